//! What goes wrong on request, so that tests see how programs cope: allocations that fail, launches
//! that fault or never end, a device that is lost. It knows no driver call.

use crate::block::{Fault, Turn};
use crate::machine::Machine;
use crate::scratch::Scratch;
use crate::sm::Grid;
use crate::transfer::Transfer;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A launch of a kernel: its name, and which of its launches on the device, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nth {
    kernel: String,
    launch: u64,
}

impl Nth {
    /// Reads `KERNEL:N`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (kernel, launch) = text.rsplit_once(':').ok_or("expected KERNEL:N")?;
        if kernel.is_empty() {
            return Err("expected KERNEL:N");
        }
        Ok(Self { kernel: kernel.to_owned(), launch: nth(launch)? })
    }
}

/// Reads which of many, from 1.
pub(crate) fn nth(text: &str) -> Result<u64, &'static str> {
    let number: u64 = text.parse().map_err(|_| "expected a whole number")?;
    if number == 0 { Err("the first is number 1") } else { Ok(number) }
}

/// What is to go wrong on each device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Misbehaviour {
    /// This allocation of device memory fails, a module's variables included.
    pub(crate) failing_allocation: Option<u64>,
    /// This launch accesses an illegal address.
    pub(crate) faulting_launch: Option<Nth>,
    /// This launch never ends.
    pub(crate) hanging_launch: Option<Nth>,
    /// With this launch, of whatever kernel, the device is lost.
    pub(crate) losing_launch: Option<u64>,
    /// Whether poison works: bytes that, once copied from the host, have the next launch go wrong.
    pub(crate) poison: bool,
}

/// What poison does, and the bytes that are it.
const POISONS: [(&[u8], Ill); 3] = [
    (b"gpumux-poison:illegal", Ill::Fault),
    (b"gpumux-poison:hang", Ill::Hang),
    (b"gpumux-poison:lose", Ill::Lose),
];

/// How a launch goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ill {
    /// It accesses an illegal address.
    Fault,
    /// It never ends.
    Hang,
    /// The device is lost.
    Lose,
}

/// The misbehaviour of one device, and how far it has come.
pub(crate) struct Mischief {
    wanted: Misbehaviour,
    allocations: AtomicU64,
    launches: AtomicU64,
    faulting: AtomicU64,
    hanging: AtomicU64,
    /// What the next launch does instead, since poison came in.
    poisoned: Mutex<Option<Ill>>,
}

impl Mischief {
    /// Nothing has happened yet.
    pub(crate) fn new(wanted: Misbehaviour) -> Self {
        Self {
            wanted,
            allocations: AtomicU64::new(0),
            launches: AtomicU64::new(0),
            faulting: AtomicU64::new(0),
            hanging: AtomicU64::new(0),
            poisoned: Mutex::new(None),
        }
    }

    /// Looks for poison in what was copied.
    pub(crate) fn taste(&self, transfer: &Transfer, machine: &Machine) {
        if !self.wanted.poison {
            return;
        }
        let Some(bytes) = transfer.host_bytes(machine) else { return };
        let is_in = |poison: &[u8]| bytes.windows(poison.len()).any(|window| window == poison);
        if let Some((_, ill)) = POISONS.iter().find(|(poison, _)| is_in(poison)) {
            *self.poisoned.lock().unwrap_or_else(PoisonError::into_inner) = Some(*ill);
        }
    }

    /// Counts an allocation; true when it is to fail.
    pub(crate) fn fails_allocation(&self) -> bool {
        count(&self.allocations, self.wanted.failing_allocation)
    }

    /// Counts a launch, and returns what is to run in its place.
    pub(crate) fn launch(&self, grid: Arc<dyn Grid>) -> Arc<dyn Grid> {
        let is = |nth: &Option<Nth>, seen: &AtomicU64| {
            let nth = nth.as_ref().filter(|nth| nth.kernel == grid.name());
            nth.is_some_and(|nth| count(seen, Some(nth.launch)))
        };
        let hangs = is(&self.wanted.hanging_launch, &self.hanging);
        let faults = is(&self.wanted.faulting_launch, &self.faulting);
        let loses = count(&self.launches, self.wanted.losing_launch);
        let poisoned = self.poisoned.lock().unwrap_or_else(PoisonError::into_inner).take();
        let named = [(loses, Ill::Lose), (faults, Ill::Fault), (hangs, Ill::Hang)];
        let named = named.into_iter().find(|(is, _)| *is).map(|(_, ill)| ill);
        match named.or(poisoned) {
            None => grid,
            Some(Ill::Lose) => Arc::new(Instead::Fault(Fault::DeviceLost)),
            Some(Ill::Fault) => {
                Arc::new(Instead::Fault(Fault::IllegalAddress { address: 0, bytes: 1 }))
            }
            Some(Ill::Hang) => Arc::new(Instead::Hang),
        }
    }
}

/// Counts one more; true when it is the wanted one.
fn count(seen: &AtomicU64, wanted: Option<u64>) -> bool {
    wanted.is_some_and(|wanted| seen.fetch_add(1, Ordering::Relaxed) + 1 == wanted)
}

/// A grid of one block that does not do what was launched.
enum Instead {
    Fault(Fault),
    Hang,
}

impl Grid for Instead {
    fn name(&self) -> &str {
        "misbehaviour"
    }

    fn blocks(&self) -> u64 {
        1
    }

    fn run(&self, _: u64, _: u32, turn: &dyn Turn, _: &mut Scratch) -> Result<(), Fault> {
        match self {
            Self::Fault(fault) => Err(*fault),
            Self::Hang => loop {
                turn.attend()?;
                std::thread::yield_now();
            },
        }
    }
}
