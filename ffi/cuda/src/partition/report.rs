//! What the ways to confine lanes came to on this machine: for whoever asks why it is as it is.

use super::probe::ProbeError;
use crate::driver_key::DriverKey;
use crate::error::CudaError;
use crate::sets::SmSet;
use std::fmt;

/// A way to confine lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackendKind {
    /// Green contexts: documented, each of fixed SMs.
    GreenContexts,
    /// A mask in the structure behind a stream: undocumented, any TPCs, changed by one store.
    StreamMasks,
    /// No way: every lane has the whole device.
    None,
}

impl BackendKind {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::GreenContexts, Self::StreamMasks, Self::None];
}

impl fmt::Display for BackendKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::GreenContexts => "green contexts",
            Self::StreamMasks => "stream masks",
            Self::None => "none",
        })
    }
}

/// How a lane's grant changes while the lane has work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveChange {
    /// By one store, for what is launched later.
    Store,
    /// By going on in another stream, which waits for the first.
    OtherLane,
    /// Not at all.
    No,
}

/// What a backend can do here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// SMs of the smallest grant.
    pub granularity_sms: u32,
    /// Whether two lanes could run on the same SMs. Leases do not, unless there are no partitions.
    pub may_overlap: bool,
    /// How a grant changes.
    pub live_change: LiveChange,
    /// Whether the driver can be asked what a lane has. Where it runs is measured in any case.
    pub has_read_back: bool,
}

/// What a backend came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendReport {
    /// Which.
    pub backend: BackendKind,
    /// Yes or no, and why.
    pub verdict: Verdict,
}

impl BackendReport {
    /// What it can do, if it is in use.
    pub fn abilities(&self) -> Option<&Abilities> {
        match &self.verdict {
            Verdict::Chosen(abilities) => Some(abilities),
            Verdict::NotNeeded | Verdict::NotWanted | Verdict::Refused(_) => None,
        }
    }
}

impl fmt::Display for BackendReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.backend, self.verdict)
    }
}

/// Yes or no, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in use.
    Chosen(Abilities),
    /// Nothing speaks against it, and a better one is in use.
    NotNeeded,
    /// Another one was asked for by name.
    NotWanted,
    /// It cannot be used.
    Refused(Refusal),
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen(abilities) => {
                let change = match abilities.live_change {
                    LiveChange::Store => "changed by one store",
                    LiveChange::OtherLane => "changed by going on in another stream",
                    LiveChange::No => "never changed",
                };
                write!(out, "in use, grants of {} SMs, {change}", abilities.granularity_sms)
            }
            Self::NotNeeded => out.write_str("possible, a better one is in use"),
            Self::NotWanted => out.write_str("not tried, another one was asked for"),
            Self::Refused(why) => write!(out, "no: {why}"),
        }
    }
}

/// Why a backend cannot be used. All of it is the host's: a driver, a device, or what was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The driver is too old for green contexts with streams of their own.
    #[error(
        "the driver is for CUDA {}.{}; streams in green contexts came with 12.5", .found / 1000,
        .found % 1000 / 10
    )]
    DriverTooOld {
        /// Its version: 12020 is 12.2.
        found: u32,
    },
    /// The driver should have a function and has not.
    #[error("the driver has no symbol {0}")]
    Missing(&'static str),
    /// The driver refused a call.
    #[error("the driver answered {0}")]
    Call(CudaError),
    /// Measuring failed.
    #[error("where work runs cannot be measured: {0}")]
    Probe(#[from] ProbeError),
    /// There is only one part.
    #[error("the device cannot be split: {sms} SMs, {granularity} at a time")]
    Indivisible {
        /// SMs of the device.
        sms: u32,
        /// SMs of a part.
        granularity: u32,
    },
    /// The driver says another size than it was asked for.
    #[error("a green context of {asked} SMs says that it has {found}")]
    OtherSize {
        /// What was asked for.
        asked: u32,
        /// What it says.
        found: u32,
    },
    /// Work ran elsewhere than it should, or not everywhere.
    #[error("of a lane of {granted} SMs, work was seen on SMs {seen}{}", Beside(.expected))]
    NotConfined {
        /// How many SMs it should have.
        granted: u32,
        /// Where work was seen.
        seen: SmSet,
        /// Where it should have been, if that is known.
        expected: Option<Box<SmSet>>,
    },
    /// Two lanes that should be apart are not.
    #[error("two lanes that should be apart ran on SMs {first} and {second}")]
    Meet {
        /// The SMs of one,
        first: SmSet,
        /// and those of the other.
        second: Box<SmSet>,
    },
    /// Nobody published where this driver has the mask.
    #[error("where {0} has a stream's mask is not known")]
    NotListed(DriverKey),
    /// The self-test was not run.
    #[error("the mask of {0} was not put to its self-test")]
    NotProven(DriverKey),
    /// The self-test was of something else.
    #[error("the self-test was of {proven}; this is {found}")]
    OtherProof {
        /// What was tested.
        proven: Box<DriverKey>,
        /// What this is.
        found: Box<DriverKey>,
    },
    /// A mask has too few bits.
    #[error("the device has {tpcs} TPCs; a mask has bits for 128")]
    TooManyTpcs {
        /// How many there are.
        tpcs: u32,
    },
}

/// Shows what was expected, where that is known.
struct Beside<'a>(&'a Option<Box<SmSet>>);

impl fmt::Display for Beside<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |expected| write!(out, " in place of {expected}"))
    }
}

impl From<CudaError> for Refusal {
    fn from(error: CudaError) -> Self {
        Self::Call(error)
    }
}
