//! What kernels of a context may touch beyond their own device's memory: host memory, managed
//! memory, what other devices' contexts opened to it, and pools that were opened to its device.

use crate::block::MemoryView;
use crate::code::{Code, Outcome};
use crate::machine::Machine;
use crate::memory::{HOST, Memory, View};
use crate::pool;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// See the head of this file.
pub(crate) struct Reach {
    // Declared before `beyond`, which it points to.
    view: View,
    beyond: Arc<Beyond>,
}

/// What is asked about an address outside the device's window.
pub(crate) struct Beyond {
    ordinal: u32,
    /// Contexts of other devices whose memory may be touched, by number.
    peers: RwLock<BTreeSet<usize>>,
}

impl Reach {
    /// Of a context that no other has opened its memory to.
    pub(crate) fn new(ordinal: u32, memory: &Memory) -> Self {
        let beyond = Arc::new(Beyond { ordinal, peers: RwLock::default() });
        Self { view: memory.view(allows, Arc::as_ptr(&beyond).cast()), beyond }
    }

    /// What compiled code checks its addresses against.
    pub(crate) fn view(&self) -> &MemoryView {
        self.view.get()
    }

    /// Whether all of `bytes` from `address`, which is not in the device's window, may be touched.
    pub(crate) fn allows(&self, address: u64, bytes: u64) -> bool {
        self.beyond.allows(address, bytes)
    }

    /// Opens a peer's memory.
    pub(crate) fn enable(&self, peer: usize) -> Outcome {
        if self.beyond.write().insert(peer) {
            Ok(())
        } else {
            Err(Code::PEER_ACCESS_ALREADY_ENABLED)
        }
    }

    /// Closes a peer's memory.
    pub(crate) fn disable(&self, peer: usize) -> Outcome {
        if self.beyond.write().remove(&peer) { Ok(()) } else { Err(Code::PEER_ACCESS_NOT_ENABLED) }
    }
}

impl Beyond {
    fn allows(&self, address: u64, bytes: u64) -> bool {
        if HOST.covers(address, bytes) {
            return true;
        }
        let Some(owner) = Machine::made().owner(address) else { return false };
        let Some(found) = owner.memory().find(address) else { return false };
        if owner.ordinal() == self.ordinal || bytes > found.bytes - (address - found.start) {
            return false;
        }
        // The manual: opening a context's memory leaves that of its pools closed.
        found.managed
            || match found.pool {
                Some(pool) => pool::is_open_to(pool, self.ordinal),
                None => self.read().contains(&found.context),
            }
    }

    // Each change is a single insert or remove.
    fn read(&self) -> RwLockReadGuard<'_, BTreeSet<usize>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeSet<usize>> {
        self.peers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What compiled code asks about an address outside the window; see [`MemoryView::allows_beyond`].
extern "C" fn allows(view: *const MemoryView, address: u64, bytes: u64) -> u32 {
    // SAFETY: compiled code passes the view that it was given, which outlives the launch.
    let beyond = unsafe { (*view).beyond_data };
    // SAFETY: `Reach::new` put the address of its own `Beyond` there, which lives as long as the
    // view does, and of which there are only shared references.
    let beyond = unsafe { &*beyond.cast::<Beyond>() };
    u32::from(beyond.allows(address, bytes))
}
