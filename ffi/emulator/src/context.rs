//! Contexts: what owns streams, memory and modules, and which of them each thread has current.

use crate::capture::CAPTURES;
use crate::code::{Code, Outcome};
use crate::device::Device;
use crate::handle::{Handle, Table};
use crate::heap::DeviceHeap;
use crate::memory::HOST;
use crate::module::MODULES;
use crate::partition::{Green, VIEWS};
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
    static STACK: RefCell<Vec<View>> = const { RefCell::new(Vec::new()) };
}

/// Limits that can be set: those of a machine that has no use for them.
pub(crate) const LIMITS: usize = 7;
/// `CU_LIMIT_STACK_SIZE`, `_PRINTF_FIFO_SIZE`, `_MALLOC_HEAP_SIZE`, `_DEV_RUNTIME_SYNC_DEPTH`,
/// `_DEV_RUNTIME_PENDING_LAUNCH_COUNT`, `_MAX_L2_FETCH_GRANULARITY`, `_PERSISTING_L2_CACHE_SIZE`.
const LIMIT_DEFAULTS: [usize; LIMITS] = [1024, 1 << 20, 8 << 20, 2, 2048, 128, 0];
/// `CU_LIMIT_MALLOC_HEAP_SIZE`.
const HEAP_LIMIT: usize = 2;

/// A context as a program holds it: whole, or a primary one seen through a green context.
#[derive(Clone)]
pub(crate) struct View {
    /// What owns memory, modules and events.
    pub(crate) context: Arc<Context>,
    /// What has streams of its own, where there is one.
    pub(crate) green: Option<Arc<Green>>,
}

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
    heap: Arc<DeviceHeap>,
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
            heap: Arc::new(DeviceHeap::new(device, number, LIMIT_DEFAULTS[HEAP_LIMIT])),
        });
        CONTEXTS.enter(number, Arc::clone(&context));
        context.legacy();
        Ok(context)
    }

    /// The primary context of a device, kept until as many releases.
    pub(crate) fn retain_primary(device: &Arc<Device>) -> Outcome<Arc<Self>> {
        device.check()?;
        let mut primary = device.primary();
        let context = match &primary.context {
            Some(context) => Arc::clone(context),
            None => Self::create(device, primary.flags)?,
        };
        primary.context = Some(Arc::clone(&context));
        primary.users += 1;
        Ok(context)
    }

    /// Takes back one [`Context::retain_primary`]; the last ends the context.
    pub(crate) fn release_primary(device: &Device) -> Outcome {
        let mut primary = device.primary();
        primary.users = primary.users.checked_sub(1).ok_or(Code::INVALID_CONTEXT)?;
        if primary.users == 0
            && let Some(context) = primary.context.take()
        {
            context.destroy();
        }
        Ok(())
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
        self.wait_for(None)
    }

    /// Waits for the streams of a green context, or for all.
    fn wait_for(&self, green: Option<&Green>) -> Outcome {
        self.check()?;
        CAPTURES.refuse_context(self)?;
        SCHEDULE.wait_for(self, green);
        self.check()
    }

    /// Its legacy stream.
    fn legacy(self: &Arc<Self>) -> StreamId {
        let open = || SCHEDULE.open(&View::from(self), Manner::Legacy);
        *self.legacy.get_or_init(open)
    }

    /// The calling thread's own default stream.
    fn per_thread(self: &Arc<Self>) -> StreamId {
        let mut streams = self.per_thread.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || SCHEDULE.open(&View::from(self), Manner::Blocking);
        *streams.entry(std::thread::current().id()).or_insert_with(open)
    }

    /// A limit by its number.
    pub(crate) fn limit(&self, limit: u32) -> Outcome<usize> {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.get(limit as usize).copied().ok_or(Code::UNSUPPORTED_LIMIT)
    }

    /// Where its kernels allocate memory.
    pub(crate) fn heap(&self) -> &Arc<DeviceHeap> {
        &self.heap
    }

    /// Notes a limit. None of them but the heap's size changes what the emulated device can do.
    pub(crate) fn set_limit(&self, limit: u32, value: usize) -> Outcome {
        if limit as usize == HEAP_LIMIT {
            self.heap.resize(value)?;
        }
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        *limits.get_mut(limit as usize).ok_or(Code::UNSUPPORTED_LIMIT)? = value;
        Ok(())
    }
}

impl From<&Arc<Context>> for View {
    fn from(context: &Arc<Context>) -> Self {
        Self { context: Arc::clone(context), green: None }
    }
}

impl From<&Arc<Green>> for View {
    fn from(green: &Arc<Green>) -> Self {
        Self { context: Arc::clone(green.context()), green: Some(Arc::clone(green)) }
    }
}

impl View {
    /// A context by its handle, green ones that were converted included. Unlike other handles, a
    /// wrong one is an invalid *context*.
    pub(crate) fn of(handle: Handle) -> Outcome<Self> {
        match CONTEXTS.get(handle) {
            Ok(context) => Ok(Self::from(&context)),
            Err(_) => {
                let green = VIEWS.get(handle).map_err(|_| Code::INVALID_CONTEXT)?;
                Ok(Self::from(&green))
            }
        }
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> Handle {
        self.green.as_ref().map_or(self.context.handle(), |green| green.view())
    }

    /// Whether it may be used.
    pub(crate) fn check(&self) -> Outcome {
        self.context.check()?;
        self.green.as_ref().map_or(Ok(()), |green| green.check())
    }

    /// The SMs of its streams.
    pub(crate) fn sms(&self) -> Arc<[u32]> {
        match &self.green {
            Some(green) => Arc::clone(green.sms()),
            None => self.context.device().all_sms(),
        }
    }

    /// Waits for all that was enqueued until now: of a green context its own streams, of any other
    /// also those of the green contexts within it.
    pub(crate) fn synchronize(&self) -> Outcome {
        self.check()?;
        self.context.wait_for(self.green.as_deref())?;
        self.check()
    }

    /// Its null stream.
    pub(crate) fn legacy(&self) -> Outcome<StreamId> {
        Ok(self.green.as_ref().map_or_else(|| self.context.legacy(), Green::default_stream))
    }

    /// The calling thread's own default stream. A green context has none, as documented for the one
    /// call that says anything about it (`cuStreamGetCtx_v2`).
    pub(crate) fn per_thread(&self) -> Outcome<StreamId> {
        if self.green.is_some() { Err(Code::INVALID_HANDLE) } else { Ok(self.context.per_thread()) }
    }
}

/// What the calling thread has current, usable or not.
pub(crate) fn top() -> Option<View> {
    STACK.with_borrow(|stack| stack.last().cloned())
}

/// The handle of the calling thread's current context, null where it has none.
pub(crate) fn top_handle() -> Handle {
    STACK.with_borrow(|stack| stack.last().map_or(Handle::NULL, View::handle))
}

/// What the calling thread has current.
///
/// # Errors
/// None current (201), destroyed (709), or the device's sticky error.
pub(crate) fn current_view() -> Outcome<View> {
    let view = top().ok_or(Code::INVALID_CONTEXT)?;
    view.check()?;
    Ok(view)
}

/// The calling thread's current context, the primary one where a green one is current: what owns
/// memory, modules and events.
///
/// # Errors
/// As for [`current_view`].
pub(crate) fn current() -> Outcome<Arc<Context>> {
    Ok(current_view()?.context)
}

/// Puts a context on top of the calling thread's stack.
pub(crate) fn push(view: View) {
    STACK.with_borrow_mut(|stack| stack.push(view));
}

/// Takes the top off the calling thread's stack.
pub(crate) fn pop() -> Option<View> {
    STACK.with_borrow_mut(Vec::pop)
}

/// Replaces the top of the calling thread's stack; `None` only takes it off.
pub(crate) fn set_top(view: Option<View>) {
    STACK.with_borrow_mut(|stack| {
        stack.pop();
        stack.extend(view);
    });
}
