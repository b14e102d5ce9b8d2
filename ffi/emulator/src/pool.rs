//! Memory pools: who allocated from which, and which devices may touch it. Memory that is freed
//! goes back to the device at once, so a pool never holds more than is in use.

use crate::code::{Code, Outcome};
use crate::context::Context;
use crate::device::Device;
use crate::handle::{Handle, Table};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All live pools.
pub(crate) static POOLS: Table<Pool> = Table::new(0x6708);
/// The default pool of each device, and the one that it allocates from.
static BY_DEVICE: Mutex<BTreeMap<u32, (Handle, Handle)>> = Mutex::new(BTreeMap::new());

/// How a device may use a pool's memory: `CUmemAccess_flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Not at all.
    None,
    /// For reading and writing.
    ReadWrite,
}

/// See the head of this file.
pub(crate) struct Pool {
    number: usize,
    device: Arc<Device>,
    /// Bytes that it may have in use; zero is no limit.
    max_bytes: u64,
    is_default: bool,
    high: AtomicU64,
    threshold: AtomicU64,
    reuse: [AtomicU64; REUSE],
    access: Mutex<BTreeMap<u32, Access>>,
}

/// `CU_MEMPOOL_ATTR_REUSE_*` are the attributes from 1 to this number.
pub(crate) const REUSE: usize = 3;

impl Pool {
    /// Makes a pool on a device.
    pub(crate) fn create(device: &Arc<Device>, max_bytes: u64) -> Handle {
        enter(device, max_bytes, false)
    }

    /// The pool behind a handle.
    pub(crate) fn of(handle: Handle) -> Outcome<Arc<Pool>> {
        POOLS.get(handle).map_err(|_| Code::INVALID_VALUE)
    }

    /// Destroys a pool. What was allocated from it stays until it is freed.
    pub(crate) fn destroy(handle: Handle) -> Outcome {
        if Pool::of(handle)?.is_default {
            return Err(Code::INVALID_VALUE);
        }
        POOLS.remove(handle)?;
        for (default, current) in by_device().values_mut() {
            if *current == handle {
                *current = *default;
            }
        }
        Ok(())
    }

    /// Its device.
    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Bytes that it may have in use; zero is no limit.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Allocates for a context of its device.
    pub(crate) fn allocate(&self, bytes: u64, context: &Context) -> Outcome<u64> {
        let in_use = self.used().saturating_add(bytes);
        if self.max_bytes != 0 && in_use > self.max_bytes {
            return Err(Code::OUT_OF_MEMORY);
        }
        let memory = self.device.memory();
        let address = memory.allocate_from(self.number, bytes, context.number())?;
        self.high.fetch_max(self.used(), Ordering::Relaxed);
        Ok(address)
    }

    /// Bytes that are allocated from it.
    pub(crate) fn used(&self) -> u64 {
        self.device.memory().used_by_pool(self.number)
    }

    /// The most that [`Pool::used`] was since [`Pool::reset_high`].
    pub(crate) fn high(&self) -> u64 {
        self.high.load(Ordering::Relaxed)
    }

    /// Begins to measure anew.
    pub(crate) fn reset_high(&self) {
        self.high.store(self.used(), Ordering::Relaxed);
    }

    /// Bytes that it may keep when the program waits; noted, as it keeps none.
    pub(crate) fn threshold(&self) -> &AtomicU64 {
        &self.threshold
    }

    /// Whether freed memory may be reused in a way, by the attribute's number; noted, as freed
    /// memory is the device's.
    pub(crate) fn reuse(&self, attribute: usize) -> Option<&AtomicU64> {
        self.reuse.get(attribute.checked_sub(1)?)
    }

    /// How a device may use its memory.
    pub(crate) fn access(&self, ordinal: u32) -> Access {
        if ordinal == self.device.ordinal() {
            return Access::ReadWrite;
        }
        self.accesses().get(&ordinal).copied().unwrap_or(Access::None)
    }

    /// Sets how a device may use its memory. Its own always may.
    pub(crate) fn set_access(&self, ordinal: u32, access: Access) -> Outcome {
        if ordinal == self.device.ordinal() {
            return if access == Access::None { Err(Code::INVALID_VALUE) } else { Ok(()) };
        }
        self.accesses().insert(ordinal, access);
        Ok(())
    }

    fn accesses(&self) -> MutexGuard<'_, BTreeMap<u32, Access>> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn enter(device: &Arc<Device>, max_bytes: u64, is_default: bool) -> Handle {
    let number = POOLS.reserve();
    let pool = Pool {
        number,
        device: Arc::clone(device),
        max_bytes,
        is_default,
        high: AtomicU64::new(0),
        threshold: AtomicU64::new(0),
        // The manual: all three are on.
        reuse: [const { AtomicU64::new(1) }; REUSE],
        access: Mutex::default(),
    };
    POOLS.enter(number, Arc::new(pool));
    number.into()
}

/// A device's default pool, and the one that it allocates from.
fn of_device(device: &Arc<Device>) -> (Handle, Handle) {
    *by_device().entry(device.ordinal()).or_insert_with(|| {
        let default = enter(device, 0, true);
        (default, default)
    })
}

/// A device's default pool.
pub(crate) fn default_of(device: &Arc<Device>) -> Handle {
    of_device(device).0
}

/// The pool that a device allocates from in stream order.
pub(crate) fn current_of(device: &Arc<Device>) -> Handle {
    of_device(device).1
}

/// Makes a device allocate from one of its pools.
pub(crate) fn set_current(device: &Arc<Device>, handle: Handle) -> Outcome {
    if Pool::of(handle)?.device.ordinal() != device.ordinal() {
        return Err(Code::INVALID_VALUE);
    }
    let default = default_of(device);
    by_device().insert(device.ordinal(), (default, handle));
    Ok(())
}

/// Whether the kernels of a device may touch what was allocated from a pool. A destroyed pool is
/// open to its own device alone.
pub(crate) fn is_open_to(pool: usize, ordinal: u32) -> bool {
    POOLS.get(pool.into()).is_ok_and(|pool| pool.access(ordinal) == Access::ReadWrite)
}

fn by_device() -> MutexGuard<'static, BTreeMap<u32, (Handle, Handle)>> {
    BY_DEVICE.lock().unwrap_or_else(PoisonError::into_inner)
}
