//! Device memory: one reservation, made at start, that we divide ourselves.
//!
//! Allocating from the driver later could synchronise the device, so everything comes from here.

use crate::arena::{Arena, Range};
use crate::context::Context;
use crate::error::CudaError;
use cudarc::driver::sys::CUdeviceptr;
use gpumux_kernels::DeviceAddress;
use std::cell::RefCell;
use std::rc::Rc;

/// No free range of the reservation is large enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{asked} bytes of device memory asked for; {free} are free, {largest} of them in one piece"
)]
pub struct OutOfDeviceMemory {
    /// Bytes that were asked for.
    pub asked: u64,
    /// Bytes free in all.
    pub free: u64,
    /// Bytes of the largest free range.
    pub largest: u64,
}

/// The reservation. Clones share it; it is freed with the last clone and the last block.
#[derive(Clone)]
pub struct DeviceMemory {
    reservation: Rc<Reservation>,
}

struct Reservation {
    context: Rc<Context>,
    base: CUdeviceptr,
    bytes: u64,
    arena: RefCell<Arena>,
}

impl DeviceMemory {
    pub(crate) fn reserve(context: &Rc<Context>, bytes: usize) -> Result<Self, CudaError> {
        let mut base = 0;
        // SAFETY: writes one address; the context is current on this thread.
        let answer = unsafe { (context.api().cuMemAlloc_v2)(&raw mut base, bytes) };
        context.api().check("cuMemAlloc_v2", answer)?;
        let context = Rc::clone(context);
        let bytes = bytes as u64;
        let arena = RefCell::new(Arena::new(bytes));
        Ok(Self { reservation: Rc::new(Reservation { context, base, bytes, arena }) })
    }

    /// A block of at least `bytes`, aligned to 256 bytes, whose content is whatever was there.
    ///
    /// # Errors
    /// When no free range is large enough.
    pub fn alloc(&self, bytes: u64) -> Result<DeviceBlock, OutOfDeviceMemory> {
        let mut arena = self.reservation.arena.borrow_mut();
        match arena.take(bytes) {
            Some(range) => Ok(DeviceBlock { memory: self.clone(), range }),
            None => Err(OutOfDeviceMemory {
                asked: bytes,
                free: arena.free_bytes(),
                largest: arena.largest_free(),
            }),
        }
    }

    /// Bytes of the reservation.
    pub fn bytes(&self) -> u64 {
        self.reservation.bytes
    }

    /// Bytes of it that no block has.
    pub fn free_bytes(&self) -> u64 {
        self.reservation.arena.borrow().free_bytes()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: allocated once in `reserve`; every block holds an `Rc` of this and is gone. The
        // driver waits for work that still uses it. A failure has nobody to tell.
        let _ = unsafe { (self.context.api().cuMemFree_v2)(self.base) };
    }
}

/// A part of device memory, given back when it is dropped. Giving back asks nothing of the device:
/// whoever drops a block knows that the work that used it has retired.
pub struct DeviceBlock {
    memory: DeviceMemory,
    range: Range,
}

impl DeviceBlock {
    /// Where it begins.
    pub fn address(&self) -> DeviceAddress {
        DeviceAddress::new(self.memory.reservation.base + self.range.start)
    }

    /// Its length: what was asked for, rounded up to 256.
    pub fn bytes(&self) -> u64 {
        self.range.bytes
    }
}

impl Drop for DeviceBlock {
    fn drop(&mut self) {
        self.memory.reservation.arena.borrow_mut().give(self.range);
    }
}
