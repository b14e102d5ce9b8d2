//! 64-bit words that two processes of ours share.

#![allow(unsafe_code, reason = "a mapping is reached by pointers")]

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// A memfd's words, mapped here for as long as this value lives.
#[derive(Debug)]
pub(crate) struct SharedWords {
    memory: MmapRaw,
}

impl SharedWords {
    /// Makes a memfd of that many words, all zero.
    ///
    /// # Errors
    /// What the kernel says: out of descriptors or of memory.
    pub(crate) fn create(name: &CStr, words: usize) -> std::io::Result<OwnedFd> {
        let memfd = memfd_create(name, MFdFlags::MFD_CLOEXEC)?;
        let bytes = i64::try_from(words * size_of::<u64>()).map_err(std::io::Error::other)?;
        ftruncate(&memfd, bytes)?;
        Ok(memfd)
    }

    /// Maps a memfd of [`SharedWords::create`].
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn map(memfd: &impl AsFd, words: usize) -> std::io::Result<Self> {
        let bytes = words * size_of::<u64>();
        let memory = MmapOptions::new().len(bytes).map_raw(&memfd.as_fd())?;
        Ok(Self { memory })
    }

    /// Loads a word, ordered before what follows.
    pub(crate) fn load(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Acquire)
    }

    /// Stores a word, ordered after what went before.
    pub(crate) fn store(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Release);
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        let offset = index * size_of::<u64>();
        assert!(offset < self.memory.len(), "an index below the words there are");
        let pointer = self.memory.as_mut_ptr().wrapping_add(offset).cast();
        // SAFETY: the eight bytes are inside the mapping, whose length is a multiple of eight and
        // which lives as long as `self`; they are aligned, because a mapping starts at a page; both
        // processes reach them by atomics alone, and neither shortens the memfd.
        unsafe { AtomicU64::from_ptr(pointer) }
    }
}
