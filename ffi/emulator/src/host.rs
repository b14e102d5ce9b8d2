//! Host memory that the device may touch: pinned (allocated here) and registered (the program's
//! own). One table for the process, as every device sees all of it. It copies nothing.

use crate::code::{Code, Outcome};
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// `CU_MEMHOSTREGISTER_*` and `CU_MEMHOSTALLOC_*` flags that change nothing here: all host memory
/// is portable and mapped, and write combining has no meaning without a bus.
const FLAGS_WITHOUT_EFFECT: u32 = 0b111;
/// `CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP`.
const REGISTER_FLAGS: u32 = 0b11;
const PAGE_BYTES: u64 = 4096;

/// One range of host memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostRange {
    /// First address.
    pub(crate) start: u64,
    /// Length as asked for.
    pub(crate) bytes: u64,
    /// Flags that it was made with.
    pub(crate) flags: u32,
    /// Whether we allocated it (freed by `cuMemFreeHost`) or the program did.
    pub(crate) pinned: bool,
    /// The context that it was made in.
    pub(crate) context: usize,
}

/// All host memory that devices may touch, by first address.
pub(crate) struct HostRanges {
    ranges: RwLock<BTreeMap<u64, HostRange>>,
}

impl HostRanges {
    /// No ranges.
    pub(crate) const fn new() -> Self {
        Self { ranges: RwLock::new(BTreeMap::new()) }
    }

    /// Allocates page-locked memory, zeroed.
    pub(crate) fn allocate(&self, bytes: u64, flags: u32, context: usize) -> Outcome<u64> {
        if bytes == 0 || flags & !FLAGS_WITHOUT_EFFECT != 0 {
            return Err(Code::INVALID_VALUE);
        }
        let length = usize::try_from(bytes).map_err(|_| Code::OUT_OF_MEMORY)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), length, access, kind, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(Code::OUT_OF_MEMORY);
        }
        let start = memory.addr() as u64;
        self.write().insert(start, HostRange { start, bytes, flags, pinned: true, context });
        Ok(start)
    }

    /// Frees what `allocate` returned.
    pub(crate) fn free(&self, start: u64) -> Outcome {
        let range = {
            let mut ranges = self.write();
            match ranges.get(&start) {
                Some(range) if range.pinned => *range,
                _ => return Err(Code::INVALID_VALUE),
            };
            ranges.remove(&start).ok_or(Code::INVALID_VALUE)?
        };
        unmap(&range);
        Ok(())
    }

    /// Lets devices touch the program's own memory.
    pub(crate) fn register(&self, start: u64, bytes: u64, flags: u32, context: usize) -> Outcome {
        if start == 0 || bytes == 0 {
            return Err(Code::INVALID_VALUE);
        }
        // Read-only and I/O memory would need a check of their own at every store.
        if flags & !REGISTER_FLAGS != 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        let end = start.checked_add(bytes).ok_or(Code::INVALID_VALUE)?;
        if !is_mapped(start, end) {
            return Err(Code::INVALID_VALUE);
        }
        let mut ranges = self.write();
        if overlap(&ranges, start, end) {
            return Err(Code::HOST_MEMORY_ALREADY_REGISTERED);
        }
        ranges.insert(start, HostRange { start, bytes, flags, pinned: false, context });
        Ok(())
    }

    /// Takes back what `register` allowed.
    pub(crate) fn unregister(&self, start: u64) -> Outcome {
        let mut ranges = self.write();
        match ranges.get(&start) {
            Some(range) if !range.pinned => ranges.remove(&start),
            _ => return Err(Code::HOST_MEMORY_NOT_REGISTERED),
        };
        Ok(())
    }

    /// The range that holds `address`.
    pub(crate) fn find(&self, address: u64) -> Option<HostRange> {
        let ranges = self.read();
        let (_, range) = ranges.range(..=address).next_back()?;
        (address - range.start < range.bytes).then_some(*range)
    }

    /// Whether all of `bytes` from `address` lie in one range.
    pub(crate) fn covers(&self, address: u64, bytes: u64) -> bool {
        self.find(address).is_some_and(|range| bytes <= range.bytes - (address - range.start))
    }

    /// Frees and forgets all that a context made.
    pub(crate) fn drop_context(&self, context: usize) {
        let gone: Vec<_> = {
            let mut ranges = self.write();
            let starts: Vec<_> =
                ranges.values().filter(|range| range.context == context).map(|r| r.start).collect();
            starts.iter().filter_map(|start| ranges.remove(start)).collect()
        };
        for range in gone.iter().filter(|range| range.pinned) {
            unmap(range);
        }
    }

    // A panic in a holder cannot leave the map half changed: each change is one insert or remove.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<u64, HostRange>> {
        self.ranges.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, HostRange>> {
        self.ranges.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn overlap(ranges: &BTreeMap<u64, HostRange>, start: u64, end: u64) -> bool {
    ranges.range(..end).next_back().is_some_and(|(_, range)| start < range.start + range.bytes)
}

fn unmap(range: &HostRange) {
    let bytes = usize::try_from(range.bytes).expect("it was mapped with this length");
    let memory = std::ptr::with_exposed_provenance_mut(
        usize::try_from(range.start).expect("an address of this process"),
    );
    // SAFETY: `allocate` mapped exactly this range, and its entry was removed by our caller, so it
    // is unmapped once.
    unsafe { libc::munmap(memory, bytes) };
}

/// Whether every page of the range exists. Registering a hole is refused, as the driver does.
fn is_mapped(start: u64, end: u64) -> bool {
    let from = start / PAGE_BYTES * PAGE_BYTES;
    let (Ok(bytes), Ok(from)) = (usize::try_from(end - from), usize::try_from(from)) else {
        return false;
    };
    let memory = std::ptr::without_provenance_mut(from);
    // SAFETY: an asynchronous msync reads and writes nothing; it fails where a page is missing.
    unsafe { libc::msync(memory, bytes, libc::MS_ASYNC) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_allows_its_own_bytes_and_no_more() {
        let ranges = HostRanges::new();
        let start = ranges.allocate(100, 0, 1).unwrap();
        assert!(ranges.covers(start, 100));
        assert!(ranges.covers(start + 99, 1));
        assert!(!ranges.covers(start, 101));
        assert!(!ranges.covers(start + 100, 1));
        assert!(!ranges.covers(start + 50, u64::MAX));
        assert_eq!(ranges.free(start), Ok(()));
        assert!(!ranges.covers(start, 1));
        assert_eq!(ranges.free(start), Err(Code::INVALID_VALUE));
    }

    #[test]
    fn registration_is_checked() {
        let ranges = HostRanges::new();
        let memory = vec![0_u8; 10_000];
        let start = memory.as_ptr().addr() as u64;
        assert_eq!(ranges.register(start, 10_000, 0, 1), Ok(()));
        assert_eq!(
            ranges.register(start + 9_999, 1, 0, 1),
            Err(Code::HOST_MEMORY_ALREADY_REGISTERED)
        );
        assert_eq!(ranges.register(4096, 100, 0, 1), Err(Code::INVALID_VALUE));
        assert_eq!(ranges.register(start, u64::MAX, 0, 1), Err(Code::INVALID_VALUE));
        assert_eq!(ranges.unregister(start), Ok(()));
        assert_eq!(ranges.unregister(start), Err(Code::HOST_MEMORY_NOT_REGISTERED));
    }
}
