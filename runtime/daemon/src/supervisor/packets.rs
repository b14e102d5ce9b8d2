//! Packets on a non-blocking socket, for tasks: the same messages as everywhere, awaited.

use gpumux_wire::packet::{self, PacketError};
use nix::sys::socket::{Shutdown, shutdown};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch a descriptor.
#[expect(
    deprecated,
    reason = "what replaces it is unsafe for types whose descriptor may change; \
                               an `OwnedFd` keeps its own until it is dropped"
)]
pub(super) fn watch(descriptor: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}

/// A SEQPACKET socket, awaited.
#[derive(Debug)]
pub(super) struct Packets(AsyncFd<OwnedFd>);

impl Packets {
    /// Wraps a socket that is non-blocking.
    pub(super) fn new(socket: OwnedFd) -> std::io::Result<Self> {
        watch(socket).map(Self)
    }

    /// Sends one message when there is room.
    pub(super) async fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), PacketError> {
        self.when(Interest::WRITABLE, |socket| packet::send(socket, message, descriptors)).await
    }

    /// Says that nothing more will be sent.
    pub(super) fn shut(&self) {
        // Nobody is there to be told if it fails.
        let _closed = shutdown(self.0.get_ref().as_raw_fd(), Shutdown::Write);
    }

    /// Receives one message when there is one. Nothing is lost when this is dropped half-way.
    pub(super) async fn receive<M: DeserializeOwned>(
        &self,
        descriptors_max: usize,
    ) -> Result<(M, Vec<OwnedFd>), PacketError> {
        self.when(Interest::READABLE, |socket| packet::receive(socket, descriptors_max)).await
    }

    async fn when<T>(
        &self,
        interest: Interest,
        attempt: impl Fn(&OwnedFd) -> Result<T, PacketError>,
    ) -> Result<T, PacketError> {
        loop {
            let mut ready = self.0.ready(interest).await.map_err(|_| PacketError::Closed)?;
            match attempt(self.0.get_ref()) {
                Err(PacketError::NotReady) => ready.clear_ready(),
                other => return other,
            }
        }
    }
}
