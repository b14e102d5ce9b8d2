//! The emulated machine: its claim and its devices. Made by `cuInit`, and never unmade.

use crate::claim::{Claim, VARIABLE};
use crate::code::{Code, Outcome};
use crate::device::Device;
use crate::memory::HOST;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static CLAIM: OnceLock<Outcome<Claim>> = OnceLock::new();
static MACHINE: OnceLock<Outcome<Machine>> = OnceLock::new();
/// Whether this process was forked off one that has the machine. Its threads stayed there, so the
/// machine did, too; a real driver does not come along, either.
static LEFT_BEHIND: AtomicBool = AtomicBool::new(false);

extern "C" fn leave_behind() {
    LEFT_BEHIND.store(true, Ordering::Relaxed);
}

/// See the head of this file.
pub(crate) struct Machine {
    devices: Vec<Arc<Device>>,
}

/// What the environment claims. Read once; what is wrong with it is said once.
///
/// # Errors
/// `CUDA_ERROR_UNKNOWN` where the claim cannot be read.
pub(crate) fn claim() -> Outcome<&'static Claim> {
    let read = || {
        let text = match std::env::var(VARIABLE) {
            Err(std::env::VarError::NotPresent) => return Ok(Claim::default()),
            Err(std::env::VarError::NotUnicode(_)) => {
                eprintln!("gpumux emulator: {VARIABLE} is not text");
                return Err(Code::UNKNOWN);
            }
            Ok(text) => text,
        };
        Claim::parse(&text).map_err(|why| {
            eprintln!("gpumux emulator: {why}");
            Code::UNKNOWN
        })
    };
    CLAIM.get_or_init(read).as_ref().map_err(|code| *code)
}

impl Machine {
    /// Makes the machine, the first time.
    ///
    /// # Errors
    /// `CUDA_ERROR_NO_DEVICE` where the claim says so; no room for a device's addresses.
    pub(crate) fn init() -> Outcome {
        let claim = claim()?;
        if claim.devices == 0 {
            return Err(Code::NO_DEVICE);
        }
        if LEFT_BEHIND.load(Ordering::Relaxed) {
            return Err(Code::NOT_INITIALIZED);
        }
        let make = || {
            // SAFETY: the function stays, as the library is never unloaded, and only stores a flag.
            let code = unsafe { libc::pthread_atfork(None, None, Some(leave_behind)) };
            if code != 0 {
                return Err(Code::OPERATING_SYSTEM);
            }
            let device = |ordinal| {
                Device::new(ordinal, claim).map(Arc::new).map_err(|why| {
                    eprintln!("gpumux emulator: cannot reserve the device's memory: {why}");
                    Code::OPERATING_SYSTEM
                })
            };
            let devices = (0..claim.devices).map(device).collect::<Outcome<_>>()?;
            Ok(Machine { devices })
        };
        MACHINE.get_or_init(make).as_ref().map(|_| ()).map_err(|code| *code)
    }

    /// The machine.
    ///
    /// # Errors
    /// `CUDA_ERROR_NOT_INITIALIZED` before `cuInit`, and in a process that was forked off after it.
    pub(crate) fn get() -> Outcome<&'static Machine> {
        let made = MACHINE.get().and_then(|made| made.as_ref().ok());
        made.filter(|_| !LEFT_BEHIND.load(Ordering::Relaxed)).ok_or(Code::NOT_INITIALIZED)
    }

    /// The machine, for what is part of it and so exists only after it.
    pub(crate) fn made() -> &'static Machine {
        Self::get().expect("only a machine that was made has parts")
    }

    /// How many devices there are.
    pub(crate) fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// A device by its number.
    pub(crate) fn device(&self, ordinal: i32) -> Outcome<&Arc<Device>> {
        let index = usize::try_from(ordinal).map_err(|_| Code::INVALID_DEVICE)?;
        self.devices.get(index).ok_or(Code::INVALID_DEVICE)
    }

    /// The device whose memory `address` is, allocated or not.
    pub(crate) fn owner(&self, address: u64) -> Option<&Arc<Device>> {
        self.devices.iter().find(|device| device.memory().owns(address))
    }

    /// Whether all of `bytes` from `address` are one allocation of a device, or host memory that
    /// devices may touch.
    pub(crate) fn covers(&self, address: u64, bytes: u64) -> bool {
        match self.owner(address) {
            Some(device) => device.memory().covers(address, bytes),
            None => HOST.covers(address, bytes),
        }
    }

    /// Ends a free in stream order.
    pub(crate) fn finish_free(&self, address: u64) {
        if let Some(device) = self.owner(address) {
            device.memory().finish_free(address);
        }
    }
}
