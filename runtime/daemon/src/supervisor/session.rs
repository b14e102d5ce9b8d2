//! Peers: accepting them, and one task for each.

use super::SupervisorError;
use super::devices::Devices;
use super::given::GivenSocket;
use super::identity::Identity;
use super::packets::{Packets, watch};
use super::place::Place;
use super::registry::Registry;
use super::tenancy::Door;
use crate::link::{Attachment, TenantLimits};
use gpumux_wire::control::{ChannelId, OpenRefusal, ToDaemon, ToPeer};
use gpumux_wire::geometry::{ChannelSize, Geometry};
use gpumux_wire::packet::PacketError;
use gpumux_wire::signature::Signature;
use gpumux_wire::{PROTOCOL_VERSION, memfd, wake};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;
/// How long a peer may take to greet. Until then it holds a place and has said nothing.
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// How long a peer may take to make room for the reason why its session ends.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// The socket that peers connect to.
#[derive(Debug)]
pub(super) struct Listener {
    socket: AsyncFd<OwnedFd>,
    place: Place,
}

impl Listener {
    /// Listens at a path, for whom its mode lets through. A socket that a service manager made is taken
    /// as it is.
    pub(super) fn bind(
        path: &Path,
        mode: u32,
        given: Option<GivenSocket>,
    ) -> Result<Self, SupervisorError> {
        if let Some(GivenSocket { socket, place }) = given {
            return Ok(Self { socket: watch(OwnedFd::from(socket))?, place });
        }
        let place = Place::claim(path)?;
        let listening = || {
            let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
            socket.bind(&SockAddr::unix(place.path())?)?;
            socket.set_nonblocking(true)?;
            socket.listen(BACKLOG)?;
            watch(OwnedFd::from(socket))
        };
        let socket = listening().map_err(|source| place.fail(source))?;
        place.permit(mode)?;
        Ok(Self { socket, place })
    }

    /// Says anew who may connect.
    pub(super) fn permit(&self, mode: u32) -> Result<(), SupervisorError> {
        self.place.permit(mode)
    }

    /// Where it listens.
    pub(super) fn path(&self) -> &Path {
        self.place.path()
    }

    async fn accept(&self) -> std::io::Result<Socket> {
        loop {
            let mut ready = self.socket.readable().await?;
            match ready.try_io(|socket| SockRef::from(socket.get_ref()).accept()) {
                Ok(accepted) => return accepted.map(|(socket, _)| socket),
                Err(_would_block) => (),
            }
        }
    }
}

/// Accepts the peers that come by a door.
pub(super) async fn accept(
    listener: Arc<Listener>,
    door: Door,
    registry: Arc<Registry>,
    devices: Devices,
) {
    loop {
        match listener.accept().await {
            Ok(socket) => {
                let session = serve(socket, door.clone(), Arc::clone(&registry), devices.clone());
                tokio::spawn(session);
            }
            // Out of descriptors: those who are connected go on, and their leaving makes room.
            Err(error) => {
                warn!(%error, "a peer could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One peer's session.
struct Session {
    id: u64,
    packets: Packets,
    registry: Arc<Registry>,
    devices: Devices,
}

async fn serve(socket: Socket, door: Door, registry: Arc<Registry>, devices: Devices) {
    let peer = Identity::of(&socket, door == Door::Shared && registry.asks_for_cgroups());
    if socket.set_nonblocking(true).is_err() {
        return;
    }
    let Ok(packets) = Packets::new(OwnedFd::from(socket)) else { return };
    let peer = match peer {
        Ok(peer) => peer,
        Err(why) => {
            registry.note_nobodys(&Identity::default(), "no_identity", &why);
            return turn_away(&registry, &packets, why).await;
        }
    };
    let (tell, mut farewells) = mpsc::unbounded_channel();
    let id = match registry.enter(&door, &peer, tell) {
        Ok(id) => id,
        Err(what) => return turn_away(&registry, &packets, what).await,
    };
    let session =
        Session { id, packets, registry: Arc::clone(&registry), devices: devices.clone() };
    let ended = tokio::select! {
        ended = session.converse() => ended,
        Some(what) = farewells.recv() => Err(what),
    };
    match ended {
        Ok(()) => debug!(session = id, pid = peer.pid, "the peer left"),
        Err(what) => {
            registry.note_violation(id, &what);
            take_leave(&session.packets, what).await;
        }
    }
    // The socket closes before the worker lets its channels go, so that the shim, which sees its
    // wake-up channel close, finds the cause.
    drop(session);
    for (attachment, function) in registry.leave(id) {
        devices.detach(&function, attachment);
    }
}

/// Tells a peer why it has no session. Its hello is heard first, as long as there is room for those
/// who are turned away: a socket that closes with something unread takes what was said to the peer
/// with it, and one that says nothing must not hold a descriptor of ours.
async fn turn_away(registry: &Registry, packets: &Packets, what: String) {
    if let Ok(_place) = registry.turned_away.try_acquire() {
        let _hello = timeout(FAREWELL_LIMIT, packets.receive::<ToDaemon>(0)).await;
    }
    take_leave(packets, what).await;
}

/// Tells a peer why its session ends. One that does not listen is not waited for.
async fn take_leave(packets: &Packets, what: String) {
    let violation = ToPeer::Violation { what };
    let _gone = timeout(FAREWELL_LIMIT, packets.send(&violation, &[])).await;
}

impl Session {
    /// Talks with the peer until it leaves.
    ///
    /// # Errors
    /// What it did wrong.
    async fn converse(&self) -> Result<(), String> {
        let (hello, _) = match timeout(HELLO_LIMIT, self.packets.receive(0)).await {
            Err(_) => return Err(format!("no hello came within {} s", HELLO_LIMIT.as_secs())),
            Ok(Err(PacketError::Closed)) => return Ok(()),
            Ok(other) => other.map_err(|error| error.to_string())?,
        };
        let ToDaemon::Hello { version } = hello else {
            return Err("the first message of a session is a hello".to_owned());
        };
        let welcome = ToPeer::Welcome { version: PROTOCOL_VERSION };
        if self.packets.send(&welcome, &[]).await.is_err() || version != PROTOCOL_VERSION {
            return Ok(());
        }
        loop {
            let (message, descriptors) = match self.packets.receive(1).await {
                Ok(received) => received,
                Err(PacketError::Closed) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            match message {
                ToDaemon::Hello { .. } => return Err("a session has one hello".to_owned()),
                ToDaemon::Open { channel, function, size } => {
                    let memory = descriptors.into_iter().next();
                    if self.open(channel, function, size, memory).await.is_err() {
                        return Ok(());
                    }
                }
                ToDaemon::Close { channel } => {
                    self.close(channel);
                }
            }
        }
    }

    async fn open(
        &self,
        channel: ChannelId,
        function: String,
        size: ChannelSize,
        memory: Option<OwnedFd>,
    ) -> Result<(), PacketError> {
        match self.try_open(channel, &function, size, memory).await {
            Ok((signature, wake)) => {
                let opened = ToPeer::Opened { channel, signature };
                self.packets.send(&opened, &[wake.as_fd()]).await
            }
            Err(refusal) => {
                debug!(session = self.id, %refusal, "not opened");
                self.registry.note_not_opened(self.id, &function, &refusal);
                self.packets.send(&ToPeer::NotOpened { channel, refusal }, &[]).await
            }
        }
    }

    async fn try_open(
        &self,
        channel: ChannelId,
        function: &str,
        size: ChannelSize,
        memory: Option<OwnedFd>,
    ) -> Result<(Signature, OwnedFd), OpenRefusal> {
        let bad_memory = |what: String| OpenRefusal::BadMemory { what };
        let geometry = Geometry::new(size)
            .map_err(|error| OpenRefusal::OverLimit { what: error.to_string() })?;
        let memory =
            memory.ok_or_else(|| bad_memory("no memfd came with the message".to_owned()))?;
        memfd::vet(&memory, &geometry).map_err(|error| bad_memory(error.to_string()))?;
        let of = self.registry.open(self.id, channel, function, &geometry)?;
        let attached = self.attach(of, function, size, memory).await;
        attached.map_err(|why| {
            self.close(channel);
            OpenRefusal::Unavailable { name: function.to_owned(), why }
        })
    }

    async fn attach(
        &self,
        of: (Attachment, TenantLimits),
        function: &str,
        size: ChannelSize,
        memory: OwnedFd,
    ) -> Result<(Signature, OwnedFd), String> {
        let (ours, theirs) = wake::pair().map_err(|error| error.to_string())?;
        let worker = self.devices.of(function).ok_or("no device serves it")?;
        let signature = worker.attach(of, function, size, memory, ours).await?;
        Ok((signature, theirs))
    }

    fn close(&self, channel: ChannelId) {
        if let Some((attachment, function)) = self.registry.close(self.id, channel) {
            self.devices.detach(&function, attachment);
        }
    }
}
