//! Contexts: what owns streams, memory and modules, and which of them each thread has current.

use crate::capture::CAPTURES;
use crate::code::{Code, Outcome};
use crate::device::Device;
use crate::handle::{Handle, Table};
use crate::memory::HOST;
use crate::module::MODULES;
use crate::reach::Reach;
use crate::schedule::{Manner, SCHEDULE, StreamId};
use crate::stream::{EVENTS, STREAMS};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::ThreadId;

/// All live contexts.
pub(crate) static CONTEXTS: Table<Context> = Table::new(0x6701);

thread_local! {
    /// The calling thread's stack of contexts; the last is current.
    static STACK: RefCell<Vec<Arc<Context>>> = const { RefCell::new(Vec::new()) };
}

/// Limits that can be set: those of a machine that has no use for them.
pub(crate) const LIMITS: usize = 7;
/// `CU_LIMIT_STACK_SIZE`, `_PRINTF_FIFO_SIZE`, `_MALLOC_HEAP_SIZE`, `_DEV_RUNTIME_SYNC_DEPTH`,
/// `_DEV_RUNTIME_PENDING_LAUNCH_COUNT`, `_MAX_L2_FETCH_GRANULARITY`, `_PERSISTING_L2_CACHE_SIZE`.
const LIMIT_DEFAULTS: [usize; LIMITS] = [1024, 1 << 20, 8 << 20, 2, 2048, 128, 0];

/// See the head of this file.
pub(crate) struct Context {
    number: usize,
    device: Arc<Device>,
    flags: u32,
    destroyed: AtomicBool,
    /// Nonzero tells the blocks of this context to leave.
    stop: Arc<AtomicU32>,
    legacy: OnceLock<StreamId>,
    per_thread: Mutex<HashMap<ThreadId, StreamId>>,
    limits: Mutex<[usize; LIMITS]>,
    reach: Reach,
}

impl Context {
    /// Makes a context on a device, and its legacy stream.
    pub(crate) fn create(device: &Arc<Device>, flags: u32) -> Outcome<Arc<Self>> {
        device.check()?;
        device.start()?;
        let number = CONTEXTS.reserve();
        let context = Arc::new(Self {
            number,
            device: Arc::clone(device),
            flags,
            destroyed: AtomicBool::new(false),
            stop: Arc::default(),
            legacy: OnceLock::new(),
            per_thread: Mutex::default(),
            limits: Mutex::new(LIMIT_DEFAULTS),
            reach: Reach::new(device.ordinal(), device.memory()),
        });
        CONTEXTS.enter(number, Arc::clone(&context));
        context.legacy();
        Ok(context)
    }

    /// Ends a context: its work stops, and all that it owns is gone. Its number stays dead.
    pub(crate) fn destroy(&self) {
        self.destroyed.store(true, Ordering::Release);
        self.stop.store(1, Ordering::Release);
        // Gone already where two threads race to destroy it; the first does the rest as well.
        if CONTEXTS.remove(self.handle()).is_err() {
            return;
        }
        CAPTURES.drop_context(self);
        SCHEDULE.bury(self);
        STREAMS.remove_where(|stream| stream.context.is(self));
        EVENTS.remove_where(|event| event.context().is(self));
        for module in MODULES.remove_where(|module| module.context.is(self)) {
            module.forget_functions();
        }
        self.device.memory().drop_context(self.number);
        HOST.drop_context(self.number);
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> Handle {
        self.number.into()
    }

    /// Its number, as memory knows it.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Its device.
    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// What its kernels may touch.
    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Whether its work may touch all of `bytes` from `address`.
    pub(crate) fn covers(&self, address: u64, bytes: u64) -> bool {
        let memory = self.device.memory();
        if memory.owns(address) {
            memory.covers(address, bytes)
        } else {
            self.reach.allows(address, bytes)
        }
    }

    /// The flags that it was made with.
    pub(crate) fn flags(&self) -> u32 {
        self.flags
    }

    /// What tells its blocks to leave.
    pub(crate) fn stop(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.stop)
    }

    /// Whether both are the same context.
    pub(crate) fn is(&self, other: &Context) -> bool {
        self.number == other.number
    }

    /// Whether it may be used: not destroyed, its device not lost.
    pub(crate) fn check(&self) -> Outcome {
        if self.destroyed.load(Ordering::Acquire) {
            return Err(Code::CONTEXT_IS_DESTROYED);
        }
        self.device.check()
    }

    /// Whether its work is to be dropped.
    pub(crate) fn is_over(&self) -> bool {
        self.check().is_err()
    }

    /// A fault: from now on every call returns `code`.
    pub(crate) fn poison(&self, code: Code) {
        self.device.poison(code);
        // Release: whoever sees the stop sees the code.
        self.stop.store(1, Ordering::Release);
    }

    /// Waits for all that was enqueued until now.
    pub(crate) fn synchronize(&self) -> Outcome {
        self.check()?;
        CAPTURES.refuse_context(self)?;
        SCHEDULE.wait_for_context(self);
        self.check()
    }

    /// Its legacy stream.
    pub(crate) fn legacy(self: &Arc<Self>) -> StreamId {
        let open = || SCHEDULE.open(self, Manner::Legacy, self.device.all_sms());
        *self.legacy.get_or_init(open)
    }

    /// The calling thread's own default stream.
    pub(crate) fn per_thread(self: &Arc<Self>) -> StreamId {
        let mut streams = self.per_thread.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || SCHEDULE.open(self, Manner::Blocking, self.device.all_sms());
        *streams.entry(std::thread::current().id()).or_insert_with(open)
    }

    /// A limit by its number.
    pub(crate) fn limit(&self, limit: u32) -> Outcome<usize> {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.get(limit as usize).copied().ok_or(Code::UNSUPPORTED_LIMIT)
    }

    /// Notes a limit. None of them changes what the emulated device can do.
    pub(crate) fn set_limit(&self, limit: u32, value: usize) -> Outcome {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        *limits.get_mut(limit as usize).ok_or(Code::UNSUPPORTED_LIMIT)? = value;
        Ok(())
    }
}

/// The calling thread's current context, usable or not.
pub(crate) fn top() -> Option<Arc<Context>> {
    STACK.with_borrow(|stack| stack.last().cloned())
}

/// The handle of the calling thread's current context, null where it has none.
pub(crate) fn top_handle() -> Handle {
    STACK.with_borrow(|stack| stack.last().map_or(Handle::NULL, |context| context.handle()))
}

/// The calling thread's current context.
///
/// # Errors
/// None current (201), destroyed (709), or the device's sticky error.
pub(crate) fn current() -> Outcome<Arc<Context>> {
    let context = top().ok_or(Code::INVALID_CONTEXT)?;
    context.check()?;
    Ok(context)
}

/// Puts a context on top of the calling thread's stack.
pub(crate) fn push(context: Arc<Context>) {
    STACK.with_borrow_mut(|stack| stack.push(context));
}

/// Takes the top off the calling thread's stack.
pub(crate) fn pop() -> Option<Arc<Context>> {
    STACK.with_borrow_mut(Vec::pop)
}

/// Replaces the top of the calling thread's stack; `None` only takes it off.
pub(crate) fn set_top(context: Option<Arc<Context>>) {
    STACK.with_borrow_mut(|stack| {
        stack.pop();
        stack.extend(context);
    });
}
