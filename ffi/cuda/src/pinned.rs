//! Pinned host memory, and who may touch it when.
//!
//! A [`Staging`] block belongs to the host: it can be read and written as bytes. Lent to a lane it
//! becomes a [`Lent`], which cannot be looked into; the lane gives the block back once a mark that
//! came after its transfers has retired. So no slice exists while the device reads or writes.

use crate::context::Context;
use crate::driver_api::{HOST_DEVICE_MAP, HOST_PORTABLE};
use crate::error::CudaError;
use crate::sequence::Sequence;
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::slice;

/// Pinned memory as the driver allocated it: cached by the CPU, reachable by the device.
pub(crate) struct Pinned {
    context: Rc<Context>,
    base: NonNull<u8>,
}

impl Pinned {
    /// Allocates `bytes`, zeroed.
    pub(crate) fn alloc(context: &Rc<Context>, bytes: usize) -> Result<Self, CudaError> {
        let api = context.api();
        let mut base: *mut c_void = ptr::null_mut();
        // SAFETY: writes one pointer; the context is current on this thread. Without the
        // write-combined flag, so that reading results is not slow.
        let answer =
            unsafe { (api.cuMemHostAlloc)(&raw mut base, bytes, HOST_PORTABLE | HOST_DEVICE_MAP) };
        api.check("cuMemHostAlloc", answer)?;
        let base: NonNull<u8> =
            NonNull::new(base.cast()).expect("a driver that succeeds gives an address");
        // SAFETY: `bytes` bytes were allocated there just now, and nobody else knows of them.
        unsafe { base.as_ptr().write_bytes(0, bytes) };
        Ok(Self { context: Rc::clone(context), base })
    }

    /// Where it begins.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The address that the device has for its begin.
    pub(crate) fn device_address(&self) -> Result<u64, CudaError> {
        let api = self.context.api();
        let mut address = 0;
        // SAFETY: writes one address; the memory is pinned with the device-map flag.
        let answer = unsafe {
            (api.cuMemHostGetDevicePointer_v2)(&raw mut address, self.base.as_ptr().cast(), 0)
        };
        api.check("cuMemHostGetDevicePointer_v2", answer)?;
        Ok(address)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated once in `alloc`; every block of it holds an `Rc` of this and is gone,
        // or was in a transfer and has leaked its `Rc`. A failure has nobody to tell.
        let _ = unsafe { (self.context.api().cuMemFreeHost)(self.base.as_ptr().cast()) };
    }
}

/// Blocks of pinned memory of one size, allocated together and handed out without allocating.
pub struct PinnedPool {
    free: Vec<Staging>,
    block_bytes: usize,
}

impl PinnedPool {
    pub(crate) fn alloc(
        context: &Rc<Context>,
        block_bytes: usize,
        blocks: usize,
    ) -> Result<Self, CudaError> {
        // Whole cache lines, so that two blocks never share one.
        let stride = block_bytes.max(1).checked_next_multiple_of(256).unwrap_or(usize::MAX);
        let pinned = Rc::new(Pinned::alloc(context, stride.saturating_mul(blocks.max(1)))?);
        let free = (0..blocks)
            .map(|index| Staging {
                // SAFETY: `index * stride` is inside what was allocated.
                base: unsafe { pinned.base().add(index * stride) },
                bytes: block_bytes,
                _pinned: Rc::clone(&pinned),
            })
            .collect();
        Ok(Self { free, block_bytes })
    }

    /// A block, its content whatever was there; `None` when all are out.
    pub fn take(&mut self) -> Option<Staging> {
        self.free.pop()
    }

    /// Gives back a block that `take` returned.
    ///
    /// # Panics
    /// When the block is not of this pool's size.
    pub fn give(&mut self, block: Staging) {
        assert_eq!(block.bytes, self.block_bytes, "the block is of another pool");
        self.free.push(block);
    }

    /// Blocks that can be taken now.
    pub fn available(&self) -> usize {
        self.free.len()
    }

    /// Bytes of a block.
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }
}

/// A block of pinned memory that the host has. Dropped, it is lost to its pool until the pool ends.
pub struct Staging {
    base: NonNull<u8>,
    bytes: usize,
    /// Keeps the memory.
    _pinned: Rc<Pinned>,
}

impl Staging {
    /// What is in it.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `bytes` initialised bytes at `base`, which this value alone has: no other block
        // covers them, and no transfer uses them while this is not a `Lent`.
        unsafe { slice::from_raw_parts(self.base.as_ptr(), self.bytes) }
    }

    /// The same, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.base.as_ptr(), self.bytes) }
    }
}

/// A block that a lane has: transfers may read or write it until the lane gives it back.
///
/// Dropped, it is lost for good, memory included: a transfer could still be using it.
#[must_use = "the lane that has the block gives it back with `Lane::reclaim`"]
pub struct Lent {
    block: ManuallyDrop<Staging>,
    lane: u32,
    /// The mark that comes after the last transfer; `None` before the first.
    pub(crate) due: Option<Sequence>,
}

impl Lent {
    pub(crate) fn new(block: Staging, lane: u32) -> Self {
        Self { block: ManuallyDrop::new(block), lane, due: None }
    }

    /// The lane that has it.
    pub(crate) fn lane(&self) -> u32 {
        self.lane
    }

    /// The address of `bytes` bytes at `offset`, if the block has them.
    pub(crate) fn at(&self, offset: usize, bytes: usize) -> Option<NonNull<u8>> {
        if offset.checked_add(bytes)? > self.block.bytes {
            return None;
        }
        // SAFETY: inside the block, checked above.
        Some(unsafe { self.block.base.add(offset) })
    }

    /// The block, once no transfer uses it; the caller has checked that.
    pub(crate) fn into_staging(self) -> Staging {
        ManuallyDrop::into_inner(self.block)
    }
}
