//! Knowing, without a system call, that this process is a fork's child.
//!
//! One page holds a mark and is advised `MADV_WIPEONFORK`: the kernel gives a child a page of zeros.

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

const PAGE: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Made by one process; every other sees it gone.
#[derive(Debug)]
pub(crate) struct ForkMark(NonNull<c_void>);

// SAFETY: the page belongs to the mark alone and is reached by atomics.
unsafe impl Send for ForkMark {}
// SAFETY: as above.
unsafe impl Sync for ForkMark {}

impl ForkMark {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (protection, flags) =
            (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE);
        // SAFETY: an anonymous mapping at an address of the kernel's choice disturbs nothing.
        let page = unsafe { mmap_anonymous(None, PAGE, protection, flags) }?;
        let mark = Self(page);
        // SAFETY: the page was just mapped, is ours alone, and holds nothing that a child needs.
        unsafe { madvise(page, PAGE.get(), MmapAdvise::MADV_WIPEONFORK) }?;
        mark.byte().store(1, Ordering::Relaxed);
        Ok(mark)
    }

    /// Whether this process is another than the one that made the mark.
    pub(crate) fn forked(&self) -> bool {
        self.byte().load(Ordering::Relaxed) == 0
    }

    fn byte(&self) -> &AtomicU8 {
        // SAFETY: the page is mapped, readable and writable until `drop`, and one byte is always
        // aligned.
        unsafe { AtomicU8::from_ptr(self.0.as_ptr().cast()) }
    }
}

impl Drop for ForkMark {
    fn drop(&mut self) {
        // SAFETY: the page came from `new`, and nothing refers to it after its mark.
        let unmapped = unsafe { munmap(self.0, PAGE.get()) };
        // It can only fail for an address that was never mapped.
        debug_assert!(unmapped.is_ok(), "a mark's page is mapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    #[test]
    fn a_child_knows_that_it_is_one_and_its_parent_that_it_is_not() {
        let mark = ForkMark::new().unwrap();
        assert!(!mark.forked());
        // SAFETY: the child reads one byte and ends by a system call; it takes no lock that another
        // thread of the parent may hold.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let code = if mark.forked() { 0 } else { 1 };
                // SAFETY: it ends the process without running anything of the parent's.
                unsafe { nix::libc::_exit(code) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
            }
        }
        assert!(!mark.forked());
    }
}
