//! The reserved range of addresses that is a device's memory, and the table that says which
//! granules of it are allocated. The only file that maps device memory; it does not decide who gets
//! what.

use crate::block::GRANULE_BYTES;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

const PAGE_BYTES: u64 = 4096;
/// Accessible memory grows by steps of this size, so that the kernel's map of the process stays
/// short however many allocations there are.
const COMMIT_STEP_BYTES: u64 = 64 << 20;

/// A mapping that lives until it is dropped.
struct Mapping {
    start: *mut u8,
    bytes: usize,
}

// SAFETY: the pointer is an address of memory that this value owns; what touches the memory behind
// it says why it may.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing in `Mapping` itself changes after it is made.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(bytes: u64, protection: i32) -> io::Result<Self> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and whoever used it is gone, as this is its only owner.
        unsafe { libc::munmap(self.start.cast(), self.bytes) };
    }
}

/// A device's address range. Nothing in it is accessible before it was first allocated.
pub(crate) struct Window {
    memory: Mapping,
    table: Mapping,
    bytes: u64,
    /// Bytes from the start that are readable and writable. Only grows.
    committed: AtomicU64,
}

impl Window {
    /// Reserves `bytes`, a multiple of the page size.
    pub(crate) fn reserve(bytes: u64) -> io::Result<Self> {
        assert!(bytes.is_multiple_of(PAGE_BYTES), "claims count in MiB");
        Ok(Self {
            memory: Mapping::new(bytes, libc::PROT_NONE)?,
            table: Mapping::new(bytes / GRANULE_BYTES, libc::PROT_READ | libc::PROT_WRITE)?,
            bytes,
            committed: AtomicU64::new(0),
        })
    }

    /// First address.
    pub(crate) fn base(&self) -> u64 {
        self.memory.start.addr() as u64
    }

    /// Length.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// One byte a granule, zero where nothing is allocated.
    pub(crate) fn table(&self) -> *const u8 {
        self.table.start
    }

    /// Makes granules usable. Their bytes are zero: they are either new or were zapped.
    pub(crate) fn open(&self, start: u64, granules: u64) -> io::Result<()> {
        self.commit((start + granules) * GRANULE_BYTES)?;
        self.mark(start, granules, 1);
        Ok(())
    }

    /// Makes granules unusable and wipes them, so that nothing leaks to whoever gets them next.
    pub(crate) fn close(&self, start: u64, granules: u64) {
        self.mark(start, granules, 0);
        let from = self.base() + start * GRANULE_BYTES;
        let to = from + granules * GRANULE_BYTES;
        let first_page = from.next_multiple_of(PAGE_BYTES);
        let last_page = to / PAGE_BYTES * PAGE_BYTES;
        if first_page >= last_page {
            self.wipe(from, to);
            return;
        }
        self.wipe(from, first_page);
        self.wipe(last_page, to);
        let inner = usize::try_from(last_page - first_page).expect("the window was mapped");
        // SAFETY: whole pages inside our own mapping; giving them back makes them read as zero.
        let code = unsafe { libc::madvise(self.at(first_page).cast(), inner, libc::MADV_DONTNEED) };
        if code != 0 {
            self.wipe(first_page, last_page);
        }
    }

    fn at(&self, address: u64) -> *mut u8 {
        let offset = usize::try_from(address - self.base()).expect("the window was mapped");
        self.memory.start.wrapping_add(offset)
    }

    fn wipe(&self, from: u64, to: u64) {
        let bytes = usize::try_from(to - from).expect("the window was mapped");
        // SAFETY: the range was allocated until now, so it is committed; compiled code and copies
        // that still aim at it write bytes that nobody reads, as they would on a device.
        unsafe { self.at(from).write_bytes(0, bytes) };
    }

    fn commit(&self, end: u64) -> io::Result<()> {
        // Racing growths are harmless: making a page accessible twice is the same as once.
        let have = self.committed.load(Ordering::Acquire);
        if end <= have {
            return Ok(());
        }
        let want = end.next_multiple_of(COMMIT_STEP_BYTES).min(self.bytes);
        let bytes = usize::try_from(want - have).map_err(io::Error::other)?;
        let start = self.at(self.base() + have).cast();
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: pages of our own mapping that nobody could touch so far.
        let code = unsafe { libc::mprotect(start, bytes, access) };
        if code != 0 {
            return Err(io::Error::last_os_error());
        }
        self.committed.fetch_max(want, Ordering::AcqRel);
        Ok(())
    }

    fn mark(&self, start: u64, granules: u64, value: u8) {
        let start = usize::try_from(start).expect("the window was mapped");
        let granules = usize::try_from(granules).expect("the window was mapped");
        assert!(start + granules <= self.table.bytes, "granules outside the window");
        let first = self.table.start.wrapping_add(start);
        // SAFETY: the entries lie in the table, which lives as long as `self` and is only ever
        // touched as atomic bytes or by compiled code's single loads.
        let entries =
            unsafe { std::slice::from_raw_parts(first.cast::<AtomicU8>().cast_const(), granules) };
        for entry in entries {
            entry.store(value, Ordering::Release);
        }
    }
}
