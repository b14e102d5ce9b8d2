//! Descriptors: resources put together, of which contexts are made.

use super::resource::{Origin, SmResource};
use super::split::Grain;
use crate::code::{Code, Outcome};
use crate::handle::Table;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Every descriptor that was ever made: the interface has no call that ends one.
pub(crate) static DESCRIPTORS: Table<Descriptor> = Table::new(0x6722);

/// What a program says of work queues. It is a hint against false dependencies between streams,
/// which the emulated device does not have: each of its streams is a queue of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workqueues {
    /// The number of its device.
    pub(crate) device: u32,
    /// Streams that are expected to have work at a time.
    pub(crate) concurrency: u32,
    /// How queues are shared: by all contexts, or evenly set apart.
    pub(crate) scope: u32,
}

/// One resource of a descriptor.
pub(crate) enum Part {
    /// SMs.
    Sms(Arc<SmResource>),
    /// Work queues.
    Workqueues(Workqueues),
}

/// See the head of this file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(super) device: u32,
    pub(super) sms: Arc<[u32]>,
    pub(super) grain: Grain,
    pub(super) backfill: bool,
    pub(super) workqueues: Option<Workqueues>,
}

impl Descriptor {
    /// Puts resources together.
    ///
    /// # Errors
    /// 915: no SMs at all, SMs of several devices or splits or of unlike bunches, an SM twice, or
    /// more than one word on work queues. What a split left over may have bunches of its own.
    pub(crate) fn of(parts: &[Part]) -> Outcome<Self> {
        let sets: Vec<_> = parts
            .iter()
            .filter_map(|part| if let Part::Sms(set) = part { Some(&**set) } else { None })
            .collect();
        let queues: Vec<_> = parts
            .iter()
            .filter_map(
                |part| if let Part::Workqueues(queues) = part { Some(*queues) } else { None },
            )
            .collect();
        let refused = Err(Code::INVALID_RESOURCE_CONFIGURATION);
        // A structured part says what the whole can promise; a rest only where it is alone.
        let structured = sets.iter().find(|set| !set.is_rest());
        let Some(first) = structured.or(sets.first()) else { return refused };
        let elsewhere = sets.iter().any(|set| set.device != first.device)
            || queues.iter().any(|queues| queues.device != first.device);
        if elsewhere || queues.len() > 1 || (sets.len() > 1 && !go_together(&sets, first.grain)) {
            return refused;
        }
        let sms: Arc<[u32]> = sets.iter().flat_map(|set| set.sms.iter().copied()).collect();
        if sms.iter().collect::<BTreeSet<_>>().len() != sms.len() {
            return refused;
        }
        Ok(Self {
            device: first.device,
            sms,
            grain: first.grain,
            backfill: sets.iter().any(|set| set.backfill || (sets.len() > 1 && set.is_rest())),
            workqueues: queues.first().copied(),
        })
    }
}

/// Whether several sets come from one split and have like bunches.
fn go_together(sets: &[&SmResource], grain: Grain) -> bool {
    let split = |set: &SmResource| match set.origin {
        Origin::Asked => None,
        Origin::Part(split) | Origin::Rest(split) => Some(split),
    };
    let first = split(sets[0]);
    first.is_some()
        && sets
            .iter()
            .all(|set| (set.is_rest() || set.grain.step == grain.step) && split(set) == first)
}
