//! Pages of the host for shared memory, local memory and stacks: kept from block to block, never
//! touched before they are used.

use std::ptr;

/// Private zeroed pages that only grow.
pub(super) struct Region {
    base: *mut u8,
    bytes: usize,
}

// SAFETY: the pages belong to the region alone, and nothing about them is tied to a thread.
unsafe impl Send for Region {}

impl Region {
    pub(super) fn new() -> Self {
        Self { base: ptr::null_mut(), bytes: 0 }
    }

    /// At least `bytes` bytes, aligned to a page. What was there before is lost when it grows.
    ///
    /// # Panics
    /// When the host has no address space left.
    pub(super) fn at_least(&mut self, bytes: usize) -> *mut u8 {
        if self.bytes < bytes {
            self.release();
            let bytes = bytes.next_power_of_two().max(1 << 16);
            // SAFETY: an anonymous mapping at an address that the kernel picks replaces nothing.
            let base = unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    bytes,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                    -1,
                    0,
                )
            };
            assert!(base != libc::MAP_FAILED, "no address space for {bytes} bytes");
            self.base = base.cast();
            self.bytes = bytes;
        }
        self.base
    }

    fn release(&mut self) {
        if self.bytes != 0 {
            // SAFETY: base and length are those of the mapping that `at_least` made.
            unsafe { libc::munmap(self.base.cast(), self.bytes) };
            self.bytes = 0;
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.release();
    }
}
