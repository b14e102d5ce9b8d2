//! Handles: what the driver gives out and takes back. A handle is a number that is looked up, never
//! an address that is trusted, and no number is given out twice, so a stale one is always found out.

use crate::code::{Code, Outcome};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A handle as it crosses the ABI, where it is a pointer that nobody follows.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle(usize);

impl Handle {
    /// The null handle.
    pub(crate) const NULL: Handle = Handle(0);

    /// Its number.
    pub(crate) fn number(self) -> usize {
        self.0
    }
}

impl From<usize> for Handle {
    fn from(number: usize) -> Self {
        Self(number)
    }
}

/// Numbers step by this much, so that they look like the aligned pointers that programs expect.
const STEP: usize = 64;

/// The live objects of one kind.
pub(crate) struct Table<T> {
    next: AtomicUsize,
    live: RwLock<BTreeMap<usize, Arc<T>>>,
}

impl<T> Table<T> {
    /// An empty table. `kind` keeps the handles of one table apart from those of every other.
    pub(crate) const fn new(kind: u16) -> Self {
        // Bits 40 and up: below them a kind has room for 2^34 objects, and no small constant that
        // the interface gives a meaning (NULL, 1, 2) is ever a handle.
        Self {
            next: AtomicUsize::new((kind as usize) << 40 | STEP),
            live: RwLock::new(BTreeMap::new()),
        }
    }

    /// Reserves a number, for an object that must know its own.
    pub(crate) fn reserve(&self) -> usize {
        self.next.fetch_add(STEP, Ordering::Relaxed)
    }

    /// Enters an object under a reserved number.
    pub(crate) fn enter(&self, number: usize, object: Arc<T>) {
        self.write().insert(number, object);
    }

    /// Enters an object and returns its handle.
    pub(crate) fn add(&self, object: T) -> Handle {
        let number = self.reserve();
        self.enter(number, Arc::new(object));
        number.into()
    }

    /// The object behind a handle.
    ///
    /// # Errors
    /// `CUDA_ERROR_INVALID_HANDLE`: null, foreign, or destroyed.
    pub(crate) fn get(&self, handle: Handle) -> Outcome<Arc<T>> {
        self.read().get(&handle.number()).cloned().ok_or(Code::INVALID_HANDLE)
    }

    /// Removes an object: its handle is dead from now on.
    ///
    /// # Errors
    /// `CUDA_ERROR_INVALID_HANDLE`, as for [`Table::get`].
    pub(crate) fn remove(&self, handle: Handle) -> Outcome<Arc<T>> {
        self.write().remove(&handle.number()).ok_or(Code::INVALID_HANDLE)
    }

    /// Removes every object that `gone` names.
    pub(crate) fn remove_where(&self, gone: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let mut live = self.write();
        let numbers: Vec<_> =
            live.iter().filter(|(_, object)| gone(object)).map(|(number, _)| *number).collect();
        numbers.iter().filter_map(|number| live.remove(number)).collect()
    }

    // Each change is a single insert or remove, so a panic elsewhere leaves the map whole.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<usize, Arc<T>>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<usize, Arc<T>>> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_dies_once_and_is_never_reused() {
        let table = Table::new(1);
        let first = table.add("first");
        assert_eq!(*table.get(first).unwrap(), "first");
        assert!(table.remove(first).is_ok());
        assert_eq!(table.remove(first).err(), Some(Code::INVALID_HANDLE));
        let second = table.add("second");
        assert_ne!(first, second);
        assert_eq!(table.get(first).err(), Some(Code::INVALID_HANDLE));
    }

    #[test]
    fn foreign_handles_are_refused() {
        let (here, there) = (Table::new(1), Table::new(2));
        let foreign = there.add(());
        here.add(());
        for handle in [Handle::NULL, foreign, 1.into(), usize::MAX.into()] {
            assert_eq!(here.get(handle).err(), Some(Code::INVALID_HANDLE));
        }
    }
}
