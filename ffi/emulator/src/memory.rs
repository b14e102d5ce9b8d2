//! One device's memory: who holds which range, and copies and fills between checked addresses.
//! It knows contexts only as numbers and nothing of streams.

use crate::block::{GRANULE_BYTES, MemoryView};
use crate::code::{Code, Outcome};
use crate::host::HostRanges;
use crate::misbehave::Mischief;
use crate::space::Space;
use crate::window::Window;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Host memory that all devices of the process may touch.
pub(crate) static HOST: HostRanges = HostRanges::new();

/// One allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocation {
    /// First address.
    pub(crate) start: u64,
    /// Bytes asked for; whole granules are held.
    pub(crate) bytes: u64,
    /// The context that it belongs to.
    pub(crate) context: usize,
    /// Managed memory: the program uses it by the same address, as it could all memory here.
    pub(crate) managed: bool,
    /// The pool that it was allocated from.
    pub(crate) pool: Option<usize>,
    /// A free in stream order was asked for: nobody may free it again.
    leaving: bool,
}

/// A device's memory.
pub(crate) struct Memory {
    held: Mutex<Held>,
    mischief: Arc<Mischief>,
    window: Window,
}

struct Held {
    space: Space,
    allocations: BTreeMap<u64, Allocation>,
}

/// What compiled code checks its addresses against.
pub(crate) struct View(MemoryView);

// SAFETY: its pointers name the window's table and what its maker asks about other addresses, both
// of which are read and written as atomics or under a lock, and outlive it.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// As compiled code takes it.
    pub(crate) fn get(&self) -> &MemoryView {
        &self.0
    }
}

/// Answers for addresses outside the window; see [`MemoryView::allows_beyond`].
type Ask = extern "C" fn(view: *const MemoryView, address: u64, bytes: u64) -> u32;

impl Memory {
    /// Reserves `bytes` of addresses. Pages cost nothing before they are touched.
    pub(crate) fn new(bytes: u64, mischief: Arc<Mischief>) -> io::Result<Self> {
        let window = Window::reserve(bytes)?;
        let held = Held { space: Space::new(bytes / GRANULE_BYTES), allocations: BTreeMap::new() };
        Ok(Self { held: Mutex::new(held), mischief, window })
    }

    /// A view of this memory that asks `beyond` about every other address. Both must outlive it.
    pub(crate) fn view(&self, ask: Ask, beyond: *const c_void) -> View {
        View(MemoryView {
            window_base: self.window.base(),
            window_bytes: self.window.bytes(),
            granules: self.window.table(),
            allows_beyond: ask,
            beyond_data: beyond,
        })
    }

    /// Bytes that are free, and bytes in all.
    pub(crate) fn free_and_total(&self) -> (u64, u64) {
        (self.held().space.free_granules() * GRANULE_BYTES, self.window.bytes())
    }

    /// Whether `address` lies in this device's window, allocated or not.
    pub(crate) fn owns(&self, address: u64) -> bool {
        address.wrapping_sub(self.window.base()) < self.window.bytes()
    }

    /// Allocates zeroed memory for a context.
    pub(crate) fn allocate(&self, bytes: u64, context: usize) -> Outcome<u64> {
        self.take(bytes, context, None, false)
    }

    /// Allocates managed memory for a context.
    pub(crate) fn allocate_managed(&self, bytes: u64, context: usize) -> Outcome<u64> {
        self.take(bytes, context, None, true)
    }

    /// Allocates from a pool for a context.
    pub(crate) fn allocate_from(&self, pool: usize, bytes: u64, context: usize) -> Outcome<u64> {
        self.take(bytes, context, Some(pool), false)
    }

    /// Bytes that are allocated from a pool.
    pub(crate) fn used_by_pool(&self, pool: usize) -> u64 {
        let held = self.held();
        let of_pool = held.allocations.values().filter(|found| found.pool == Some(pool));
        of_pool.map(|found| found.bytes.next_multiple_of(GRANULE_BYTES)).sum()
    }

    fn take(&self, bytes: u64, context: usize, pool: Option<usize>, managed: bool) -> Outcome<u64> {
        if bytes == 0 {
            return Err(Code::INVALID_VALUE);
        }
        if self.mischief.fails_allocation() {
            return Err(Code::OUT_OF_MEMORY);
        }
        let granules = bytes.div_ceil(GRANULE_BYTES);
        let mut held = self.held();
        let at = held.space.take(granules).ok_or(Code::OUT_OF_MEMORY)?;
        if self.window.open(at, granules).is_err() {
            held.space.give_back(at, granules);
            return Err(Code::OUT_OF_MEMORY);
        }
        let start = self.window.base() + at * GRANULE_BYTES;
        let allocation = Allocation { start, bytes, context, managed, pool, leaving: false };
        held.allocations.insert(start, allocation);
        Ok(start)
    }

    /// Frees the allocation that starts at `start`.
    pub(crate) fn free(&self, start: u64) -> Outcome {
        let mut held = self.held();
        match held.allocations.get(&start) {
            Some(allocation) if !allocation.leaving => {}
            _ => return Err(Code::INVALID_VALUE),
        }
        self.remove(&mut held, start);
        Ok(())
    }

    /// Announces a free in stream order; [`Memory::finish_free`] follows. From now on nobody else
    /// may free it.
    pub(crate) fn begin_free(&self, start: u64) -> Outcome {
        match self.held().allocations.get_mut(&start) {
            Some(allocation) if !allocation.leaving => allocation.leaving = true,
            _ => return Err(Code::INVALID_VALUE),
        }
        Ok(())
    }

    /// Whether a free was announced and not finished.
    pub(crate) fn awaits_frees(&self) -> bool {
        self.held().allocations.values().any(|allocation| allocation.leaving)
    }

    /// Frees what [`Memory::begin_free`] announced, unless its context took it away meanwhile.
    pub(crate) fn finish_free(&self, start: u64) {
        self.remove(&mut self.held(), start);
    }

    /// Frees all that a context holds.
    pub(crate) fn drop_context(&self, context: usize) {
        let mut held = self.held();
        let starts: Vec<_> = held
            .allocations
            .values()
            .filter(|allocation| allocation.context == context)
            .map(|allocation| allocation.start)
            .collect();
        for start in starts {
            self.remove(&mut held, start);
        }
    }

    /// The allocation that holds `address`.
    pub(crate) fn find(&self, address: u64) -> Option<Allocation> {
        let held = self.held();
        let (_, allocation) = held.allocations.range(..=address).next_back()?;
        (address - allocation.start < allocation.bytes).then_some(*allocation)
    }

    /// Whether all of `bytes` from `address` lie in one allocation, or in host memory that devices
    /// may touch.
    pub(crate) fn covers(&self, address: u64, bytes: u64) -> bool {
        match self.find(address) {
            Some(found) => bytes <= found.bytes - (address - found.start),
            None => HOST.covers(address, bytes),
        }
    }

    fn remove(&self, held: &mut Held, start: u64) {
        let Some(allocation) = held.allocations.remove(&start) else { return };
        let at = (start - self.window.base()) / GRANULE_BYTES;
        let granules = allocation.bytes.div_ceil(GRANULE_BYTES);
        self.window.close(at, granules);
        held.space.give_back(at, granules);
    }

    // A panic in a holder is a broken invariant of ours and is reported at the edge; what the lock
    // guards is still the best knowledge there is.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::misbehave::Misbehaviour;

    const MIB: u64 = 1 << 20;

    fn memory() -> Memory {
        Memory::new(MIB, Arc::new(Mischief::new(Misbehaviour::default()))).unwrap()
    }

    #[test]
    fn all_of_it_can_be_taken_and_nothing_leaks() {
        let memory = memory();
        for _ in 0..3 {
            let start = memory.allocate(MIB, 1).unwrap();
            assert_eq!(memory.allocate(1, 1), Err(Code::OUT_OF_MEMORY));
            assert_eq!(memory.free_and_total(), (0, MIB));
            assert_eq!(memory.free(start), Ok(()));
            assert_eq!(memory.free_and_total(), (MIB, MIB));
        }
    }

    #[test]
    fn only_the_start_frees_and_only_once() {
        let memory = memory();
        let start = memory.allocate(1000, 1).unwrap();
        assert_eq!(memory.free(start + 256), Err(Code::INVALID_VALUE));
        assert_eq!(memory.begin_free(start), Ok(()));
        assert_eq!(memory.free(start), Err(Code::INVALID_VALUE));
        assert_eq!(memory.begin_free(start), Err(Code::INVALID_VALUE));
        memory.finish_free(start);
        assert_eq!(memory.find(start).map(|found| found.start), None);
    }

    #[test]
    fn a_range_must_lie_in_one_allocation() {
        let memory = memory();
        let start = memory.allocate(1000, 1).unwrap();
        let next = memory.allocate(1000, 1).unwrap();
        assert_eq!(next, start + 1024);
        assert!(memory.covers(start, 1000));
        assert!(memory.covers(start + 999, 1));
        for (address, bytes) in [(start, 1001), (start + 1000, 1), (start, 2000), (start, u64::MAX)]
        {
            assert!(!memory.covers(address, bytes), "{bytes} bytes at start+{}", address - start);
        }
    }

    #[test]
    fn a_context_takes_its_memory_with_it() {
        let memory = memory();
        let (one, other) = (memory.allocate(10, 1).unwrap(), memory.allocate(10, 2).unwrap());
        memory.drop_context(1);
        assert!(!memory.covers(one, 1));
        assert!(memory.covers(other, 1));
    }
}
