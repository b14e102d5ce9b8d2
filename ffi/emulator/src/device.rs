//! One emulated device: its memory, its SMs, the engines beside them, and whether it is lost.

use crate::claim::Claim;
use crate::code::{Code, Outcome};
use crate::context::Context;
use crate::engine::Engine;
use crate::memory::Memory;
use crate::misbehave::Mischief;
use crate::sm::{Plan, SmPool};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// See the head of this file.
pub(crate) struct Device {
    ordinal: u32,
    claim: Claim,
    memory: Memory,
    mischief: Arc<Mischief>,
    sms: Arc<SmPool>,
    transfers: Arc<Engine>,
    calls: Arc<Engine>,
    watches: Arc<Engine>,
    /// Whether its threads run; what the system said when they were started.
    started: OnceLock<Outcome>,
    /// The sticky error, zero while there is none. As documented for a real driver, a fault is the
    /// end of all work that this process has on the device.
    fault: AtomicU32,
    primary: Mutex<Primary>,
}

/// The primary context of a device.
#[derive(Default)]
pub(crate) struct Primary {
    /// The context, while somebody retains it.
    pub(crate) context: Option<Arc<Context>>,
    /// How many retain it.
    pub(crate) users: u32,
    /// Flags for the next one.
    pub(crate) flags: u32,
}

impl Device {
    /// A device with its memory reserved and no thread started.
    pub(crate) fn new(ordinal: u32, claim: &Claim) -> io::Result<Self> {
        let plan =
            Plan { count: claim.sms, cores: claim.cores, pace: claim.pace, slow: claim.slow_sm };
        let mischief = Arc::new(Mischief::new(claim.misbehaviour.clone()));
        Ok(Self {
            ordinal,
            claim: claim.clone(),
            memory: Memory::new(claim.memory_bytes, Arc::clone(&mischief))?,
            mischief,
            sms: Arc::new(SmPool::new(plan)),
            transfers: Arc::new(Engine::new("gpumux-copies")),
            calls: Arc::new(Engine::new("gpumux-calls")),
            watches: Arc::new(Engine::new("gpumux-waits")),
            started: OnceLock::new(),
            fault: AtomicU32::new(0),
            primary: Mutex::default(),
        })
    }

    /// Starts the device's threads, once.
    pub(crate) fn start(&self) -> Outcome {
        let start = || {
            self.sms.start()?;
            self.transfers.start()?;
            self.calls.start()?;
            self.watches.start()
        };
        *self.started.get_or_init(|| start().map_err(|_| Code::OPERATING_SYSTEM))
    }

    /// Its number.
    pub(crate) fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// What it claims to be.
    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Its memory.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What is to go wrong on it.
    pub(crate) fn mischief(&self) -> &Arc<Mischief> {
        &self.mischief
    }

    /// Its SMs.
    pub(crate) fn sms(&self) -> &SmPool {
        &self.sms
    }

    /// The engine that moves bytes.
    pub(crate) fn transfers(&self) -> &Engine {
        &self.transfers
    }

    /// The engine that calls the program's host functions.
    pub(crate) fn calls(&self) -> &Engine {
        &self.calls
    }

    /// The engine that looks at awaited values.
    pub(crate) fn watches(&self) -> &Engine {
        &self.watches
    }

    /// The sticky error, if the device has one.
    pub(crate) fn check(&self) -> Outcome {
        match self.fault.load(Ordering::Acquire) {
            0 => Ok(()),
            code => Err(Code(code)),
        }
    }

    /// Makes `code` the sticky error, unless there is one.
    pub(crate) fn poison(&self, code: Code) {
        // The first fault is what the program is told, whatever follows from it.
        let _ = self.fault.compare_exchange(0, code.0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The primary context's state.
    pub(crate) fn primary(&self) -> MutexGuard<'_, Primary> {
        self.primary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The SMs of a stream that is confined to none.
    pub(crate) fn all_sms(&self) -> Arc<[u32]> {
        (0..self.sms.count()).collect()
    }
}
