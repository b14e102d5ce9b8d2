//! The heap that kernels of a context allocate from: one range of the device's memory, taken when the
//! first of them asks. As on a device, all of it may be accessed, allocated or not.

use crate::block::Heap;
use crate::code::{Code, Outcome};
use crate::device::Device;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What `malloc` promises.
const ALIGN: u64 = 16;

/// A context's heap.
pub(crate) struct DeviceHeap {
    device: Arc<Device>,
    context: usize,
    state: Mutex<State>,
}

struct State {
    bytes: u64,
    space: Option<Space>,
}

/// Which parts of the range are free and which are taken, by where they start.
#[derive(Default)]
struct Space {
    free: BTreeMap<u64, u64>,
    taken: BTreeMap<u64, u64>,
}

impl Space {
    fn new(start: u64, bytes: u64) -> Self {
        Self { free: BTreeMap::from([(start, bytes)]), taken: BTreeMap::new() }
    }

    fn take(&mut self, bytes: u64) -> Option<u64> {
        let (&start, &room) = self.free.iter().find(|&(_, &room)| bytes <= room)?;
        self.free.remove(&start);
        if bytes < room {
            self.free.insert(start + bytes, room - bytes);
        }
        self.taken.insert(start, bytes);
        Some(start)
    }

    fn give_back(&mut self, start: u64) -> bool {
        let Some(mut bytes) = self.taken.remove(&start) else { return false };
        let mut start = start;
        if let Some(after) = self.free.remove(&(start + bytes)) {
            bytes += after;
        }
        if let Some((&before, &room)) = self.free.range(..start).next_back()
            && before + room == start
        {
            start = before;
            bytes += room;
        }
        self.free.insert(start, bytes);
        true
    }
}

impl DeviceHeap {
    /// A heap of a context that will take `bytes` of the device's memory.
    pub(crate) fn new(device: &Arc<Device>, context: usize, bytes: usize) -> Self {
        let state = State { bytes: bytes as u64, space: None };
        Self { device: Arc::clone(device), context, state: Mutex::new(state) }
    }

    /// Sets how much it will take.
    ///
    /// # Errors
    /// A kernel has allocated from it already.
    pub(crate) fn resize(&self, bytes: usize) -> Outcome {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.space.is_some() {
            return Err(Code::INVALID_VALUE);
        }
        state.bytes = bytes as u64;
        Ok(())
    }
}

impl Heap for DeviceHeap {
    fn allocate(&self, bytes: u64) -> Option<u64> {
        let bytes = bytes.max(1).checked_next_multiple_of(ALIGN)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.space.is_none() {
            let start = self.device.memory().allocate(state.bytes, self.context).ok()?;
            state.space = Some(Space::new(start, state.bytes));
        }
        state.space.as_mut()?.take(bytes)
    }

    fn free(&self, address: u64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.space.as_mut().is_some_and(|space| space.give_back(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_given_back_become_one_again() {
        let mut space = Space::new(4096, 64);
        let parts: Vec<u64> = (0..4).map(|_| space.take(16).unwrap()).collect();
        assert_eq!(parts, [4096, 4112, 4128, 4144]);
        assert_eq!(space.take(1), None);
        for part in [4112, 4144, 4096, 4128] {
            assert!(space.give_back(part));
            assert!(!space.give_back(part), "twice");
        }
        assert_eq!(space.take(64), Some(4096));
        assert!(!space.give_back(4112));
    }
}
