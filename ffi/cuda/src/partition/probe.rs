//! Measuring: on which SMs a lane's work runs, and whether two lanes run at the same time. For
//! start-up, loads and diagnosis; it blocks until the device has answered.

use crate::device::Shared;
use crate::error::CudaError;
use crate::lane::Lane;
use crate::pinned::Pinned;
use crate::sets::SmSet;
use gpumux_kernels::{self as kernels, DeviceAddress, DevicePtr, SmidProbe};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Blocks for each SM: an SM holds no more of them at a time than this on compute capability 9.0 and
/// before, so that the last SM gets one at the latest when all others are full.
const BLOCKS_PER_SM: u32 = 4;
/// Blocks more, so that a lane with more SMs than it should have shows.
const BLOCKS_BESIDE: u32 = 8;
/// Cycles that a block keeps its place: longer than a device takes to place all of them.
const HOLD_CYCLES: u64 = 8_000;
/// Times that a measurement is repeated where not every SM was seen.
const ROUNDS: u32 = 3;
/// What is in a word that no block has written.
const UNWRITTEN: u32 = u32::MAX;

/// Why something could not be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// What the driver answered.
    #[error(transparent)]
    Call(#[from] CudaError),
    /// A block said that it ran on an SM which no device has: it did not run, or wrote elsewhere.
    #[error("a block says that it ran on SM {0}")]
    NoSuchSm(u32),
    /// A side of a handshake did not say how it ended.
    #[error("a side of the handshake left {0} as its outcome")]
    NoOutcome(u32),
}

/// Where a lane's work ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The SMs.
    pub sms: SmSet,
    /// How many blocks ran on each.
    pub blocks_by_sm: BTreeMap<u32, u32>,
}

/// Whether two lanes ran at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Each saw the other run.
    Met,
    /// At least one waited in vain.
    Missed,
}

/// Measures lanes of one device. Kernels write what they saw to its words.
pub struct Probe {
    words: Pinned,
    address: DeviceAddress,
    /// How many there are.
    count: u32,
    sm_count: u32,
}

impl Probe {
    pub(crate) fn new(shared: &Rc<Shared>, sm_count: u32) -> Result<Self, CudaError> {
        let count = sm_count * BLOCKS_PER_SM + BLOCKS_BESIDE;
        let words = Pinned::alloc(&shared.context, count as usize * size_of::<u32>())?;
        let address = DeviceAddress::new(words.device_address()?);
        Ok(Self { words, address, count, sm_count })
    }

    /// Sees on which SMs a lane's work runs now, after all that it has to do.
    ///
    /// # Errors
    /// What the driver answered, or that the answer makes no sense.
    pub fn measure(&self, lane: &mut Lane) -> Result<Measured, ProbeError> {
        let expected = lane.grant().map_or(self.sm_count, super::Grant::sm_count);
        self.measure_for(lane, expected)
    }

    /// The same for a lane that should have `expected` SMs.
    pub(super) fn measure_for(
        &self,
        lane: &mut Lane,
        expected: u32,
    ) -> Result<Measured, ProbeError> {
        let mut measured = Measured { sms: SmSet::EMPTY, blocks_by_sm: BTreeMap::new() };
        let blocks = expected.min(self.sm_count) * BLOCKS_PER_SM + BLOCKS_BESIDE;
        for _ in 0..ROUNDS {
            (0..self.count).for_each(|index| self.word(index).store(UNWRITTEN, Ordering::Relaxed));
            let probe = SmidProbe { sm: self.address.of(), hold_cycles: HOLD_CYCLES };
            // A lane may still hold work that this thread gave it; nobody else gives it any.
            lane.launch(&probe.spread(blocks))?;
            lane.drain()?;
            for sm in (0..blocks).map(|index| self.word(index).load(Ordering::Relaxed)) {
                if !measured.sms.insert(sm) {
                    return Err(ProbeError::NoSuchSm(sm));
                }
                *measured.blocks_by_sm.entry(sm).or_default() += 1;
            }
            if measured.sms.len() >= expected {
                break;
            }
        }
        Ok(measured)
    }

    /// Sees whether two lanes run at the same time: each side waits for the other, for `wait` at most.
    ///
    /// # Errors
    /// What the driver answered, or that a side did not say how it ended.
    pub fn handshake(
        &self,
        first: &mut Lane,
        second: &mut Lane,
        wait: Duration,
    ) -> Result<Handshake, ProbeError> {
        const WORDS: u32 = 4;
        (0..WORDS).for_each(|index| self.word(index).store(0, Ordering::Relaxed));
        let at = |index: u32| -> DevicePtr<u32> {
            DeviceAddress::new(self.address.get() + u64::from(index * 4)).of()
        };
        let wait_ns = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let side = |mine, theirs| kernels::Handshake {
            mine: at(mine),
            theirs: at(theirs),
            outcome: at(mine + 2),
            wait_ns,
        };
        first.launch(&side(0, 1).launch())?;
        // The first side ends by itself if this launch is refused.
        let launched = second.launch(&side(1, 0).launch());
        let drained = first.drain();
        launched?;
        drained?;
        second.drain()?;
        let outcomes = [2, 3].map(|index| self.word(index).load(Ordering::Relaxed));
        match outcomes {
            [1, 1] => Ok(Handshake::Met),
            [1 | 2, 1 | 2] => Ok(Handshake::Missed),
            [1 | 2, other] | [other, _] => Err(ProbeError::NoOutcome(other)),
        }
    }

    fn word(&self, index: u32) -> &AtomicU32 {
        assert!(index < self.count, "a word of the probe");
        let word = self.words.base().cast::<AtomicU32>();
        // SAFETY: inside what was allocated, checked above.
        let word = unsafe { word.add(index as usize) };
        // SAFETY: aligned, initialised and alive as long as this; the device writes words whole.
        unsafe { word.as_ref() }
    }
}
