//! Plans run to their end, one at a time: for loads and tests, never for requests.

use std::rc::Rc;

use gpumux_cuda::{
    CudaError, Device, DeviceMemory, Lane, OutOfDeviceMemory, PinnedPool, Staging, TransferError,
};
use thiserror::Error;

use crate::address::add;
use crate::prepared::Prepared;
use crate::upload::Upload;

/// Why a trial could not run.
#[derive(Debug, Error)]
pub enum TrialError {
    /// All blocks of pinned memory are out, or none is large enough.
    #[error("a batch needs {needed} bytes of pinned memory, and there is no block of that size")]
    Pinned {
        /// Bytes that the batch needs.
        needed: usize,
    },
    /// The device is full.
    #[error(transparent)]
    Memory(#[from] OutOfDeviceMemory),
    /// A transfer failed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] CudaError),
}

/// A lane, and memory to run something on it.
pub struct Trial<'a> {
    /// Where to run.
    pub device: &'a Device,
    /// Memory for blocks.
    pub memory: &'a DeviceMemory,
    /// What to run on; nothing else may use it meanwhile.
    pub lane: &'a mut Lane,
    /// Memory for transfers.
    pub pinned: &'a mut PinnedPool,
}

impl Trial<'_> {
    /// Sends all of an upload and waits until it has arrived.
    ///
    /// # Errors
    /// What the driver answered, or that there is no pinned memory.
    pub fn send(&mut self, mut upload: Upload) -> Result<(), TrialError> {
        while !upload.is_done() {
            let block = self.pinned.take().ok_or(TrialError::Pinned { needed: upload.left() })?;
            let chunk = upload.issue(self.lane, block)?;
            self.lane.drain()?;
            let block = self.lane.reclaim(chunk.lent);
            self.pinned.give(block.ok().expect("a drained lane has finished its transfers"));
        }
        Ok(())
    }

    /// Runs a plan on what `bring` writes into the bytes that travel to the device, which are zero
    /// before, and returns those that come back.
    ///
    /// # Errors
    /// What the driver answered, or that memory is short.
    pub fn run(
        &mut self,
        prepared: &Rc<Prepared>,
        bring: impl FnOnce(&mut [u8]),
    ) -> Result<Vec<u8>, TrialError> {
        let bound = prepared.bound();
        let (incoming, outgoing) = (bound.incoming(), bound.outgoing());
        let bytes = |range: &std::ops::Range<u64>| {
            usize::try_from(range.end - range.start).expect("a block fits in memory")
        };
        let (there, back) = (bytes(&incoming), bytes(&outgoing));
        let needed = there.max(back);
        let mut staging = self.staging(needed)?;
        let block = self.memory.alloc(prepared.block_bytes())?;
        let (going, _) = staging.bytes_mut().split_at_mut(there);
        going.fill(0);
        bring(going);

        let mut lent = self.lane.lend(staging);
        self.lane.copy_in(&mut lent, 0, there, block.address())?;
        let placed = prepared.place(block.address());
        for segment in 0..prepared.segments() {
            placed.issue(segment, self.lane)?;
        }
        self.lane.copy_out(add(block.address(), outgoing.start), &mut lent, 0, back)?;
        self.lane.mark()?;
        self.lane.drain()?;
        let staging = self.lane.reclaim(lent);
        let staging = staging.ok().expect("a drained lane has finished its transfers");
        let came = staging.bytes()[..back].to_vec();
        self.pinned.give(staging);
        Ok(came)
    }

    fn staging(&mut self, needed: usize) -> Result<Staging, TrialError> {
        if self.pinned.block_bytes() < needed {
            return Err(TrialError::Pinned { needed });
        }
        self.pinned.take().ok_or(TrialError::Pinned { needed })
    }
}
