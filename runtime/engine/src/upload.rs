//! Bytes on their way to a device, in pieces: what a load sends must not hold up the requests that
//! share the copy path with it.

use std::borrow::Cow;

use gpumux_cuda::{Lane, Lent, Sequence, Staging, TransferError};
use gpumux_kernels::DeviceAddress;

/// Bytes that are not yet all on the device.
#[derive(Debug)]
pub struct Upload<'a> {
    bytes: Cow<'a, [u8]>,
    done: usize,
    to: DeviceAddress,
}

/// A piece that was issued.
pub struct Chunk {
    /// The block that the copy reads, to be reclaimed from the lane.
    pub lent: Lent,
    /// The mark after which it can be.
    pub mark: Sequence,
}

impl<'a> Upload<'a> {
    pub(crate) fn new(bytes: Cow<'a, [u8]>, to: DeviceAddress) -> Self {
        Self { bytes, done: 0, to }
    }

    /// Whether every byte was issued.
    pub fn is_done(&self) -> bool {
        self.done == self.bytes.len()
    }

    /// Bytes that are still to be issued.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.done
    }

    /// Issues as many bytes as the block holds, and a mark.
    ///
    /// # Errors
    /// What the driver answered. The block is then lost, and the upload cannot go on.
    pub fn issue(&mut self, lane: &mut Lane, mut block: Staging) -> Result<Chunk, TransferError> {
        let count = self.left().min(block.bytes().len());
        let piece = &self.bytes[self.done..self.done + count];
        block.bytes_mut()[..count].copy_from_slice(piece);
        let to = u64::try_from(self.done).ok().and_then(|done| self.to.checked_add(done));
        let mut lent = lane.lend(block);
        if count != 0 {
            let to = to.expect("the bytes have a place on the device");
            lane.copy_in(&mut lent, 0, count, to)?;
        }
        self.done += count;
        let mark = lane.mark().map_err(TransferError::from)?;
        Ok(Chunk { lent, mark })
    }
}
