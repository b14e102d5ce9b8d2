//! SM sets that the program holds as resources. What the program has is bytes; what they mean is
//! looked up here and never read from them.
//!
//! The interface has no call that gives a resource back, so an entry stays for good: about a hundred
//! bytes for each part of a split.

use super::split::{self, Grain, Wish};
use crate::code::{Code, Outcome};
use crate::device::Device;
use crate::handle::{Handle, Table};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Every resource that was ever given out.
pub(crate) static RESOURCES: Table<SmResource> = Table::new(0x6721);

/// The resource of each whole device: one, however often it is asked for.
static WHOLE: Mutex<BTreeMap<u32, Handle>> = Mutex::new(BTreeMap::new());

/// Where a resource comes from, which decides what may be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Asked of a device, a context or a stream.
    Asked,
    /// A part of the split with this number,
    Part(u64),
    /// or what that split left over.
    Rest(u64),
}

/// A set of SMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SmResource {
    pub(super) device: u32,
    pub(super) sms: Arc<[u32]>,
    pub(super) grain: Grain,
    pub(super) backfill: bool,
    pub(super) origin: Origin,
}

/// What a split makes.
pub(crate) struct Split {
    /// The parts, in order.
    pub(crate) parts: Vec<SmResource>,
    /// What is left, where anything is.
    pub(crate) rest: Option<SmResource>,
}

/// The resource of a whole device.
pub(crate) fn whole_device(device: &Device) -> Handle {
    let mut whole = WHOLE.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        RESOURCES.add(SmResource {
            device: device.ordinal(),
            sms: device.all_sms(),
            grain: split::grain(device.claim().capability),
            backfill: false,
            origin: Origin::Asked,
        })
    };
    *whole.entry(device.ordinal()).or_insert_with(make)
}

impl SmResource {
    /// The number of its device.
    pub(crate) fn device(&self) -> u32 {
        self.device
    }

    /// How many SMs it has.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.sms.len()).expect("a device has at most 1024 SMs")
    }

    /// The sizes in which it can be split.
    pub(crate) fn grain(&self) -> Grain {
        self.grain
    }

    /// Whether SMs that are in no bunch fill it up.
    pub(crate) fn backfill(&self) -> bool {
        self.backfill
    }

    /// Whether it is what a split left over.
    pub(super) fn is_rest(&self) -> bool {
        matches!(self.origin, Origin::Rest(_))
    }

    /// How many equal parts of `wanted` SMs or more it makes.
    pub(crate) fn equal_parts(&self, wanted: u32, fine: bool, device: &Device) -> Outcome<u32> {
        Ok(self.equal(wanted, fine, device)?.0.count)
    }

    fn equal(&self, wanted: u32, fine: bool, device: &Device) -> Outcome<(split::Equal, Grain)> {
        // As documented: what a split made is not split again before a context is made of it.
        if self.origin != Origin::Asked {
            return Err(Code::INVALID_RESOURCE_CONFIGURATION);
        }
        let capability = device.claim().capability;
        let grain = if fine { split::fine_grain(capability) } else { split::grain(capability) };
        Ok((split::equal_parts(self.count(), wanted, grain)?, grain))
    }

    /// Splits it into at most `parts` equal parts of `wanted` SMs or more.
    pub(crate) fn split_equally(
        &self,
        parts: u32,
        wanted: u32,
        fine: bool,
        device: &Device,
    ) -> Outcome<Split> {
        let (equal, grain) = self.equal(wanted, fine, device)?;
        let count = parts.min(equal.count);
        if count == 0 {
            return Err(Code::INVALID_RESOURCE_CONFIGURATION);
        }
        Ok(self.cut((0..count).map(|_| (equal.size, grain, false))))
    }

    /// Splits it exactly as wished. Returns what each wish came to; without `make`, only that.
    pub(crate) fn split_exactly(
        &self,
        wishes: &[Wish],
        make: bool,
        device: &Device,
    ) -> Outcome<(Vec<Wish>, Option<Split>)> {
        // A rest may be split further, by this call only; a part may not.
        if matches!(self.origin, Origin::Part(_)) {
            return Err(Code::INVALID_RESOURCE_CONFIGURATION);
        }
        let granted = split::exact_parts(self.count(), wishes, device.claim().capability)?;
        if !make {
            return Ok((granted, None));
        }
        if granted.iter().any(|part| part.count == 0) {
            return Err(Code::INVALID_RESOURCE_CONFIGURATION);
        }
        let parts = granted
            .iter()
            .map(|part| (part.count, Grain { least: part.bunch, step: part.bunch }, part.backfill));
        let split = self.cut(parts);
        Ok((granted, Some(split)))
    }

    /// Cuts parts off its front. A split is reproducible, and two splits of the same resource start
    /// from the same SMs, as they do on a real device.
    fn cut(&self, parts: impl Iterator<Item = (u32, Grain, bool)>) -> Split {
        static SPLITS: AtomicU64 = AtomicU64::new(1);
        let split = SPLITS.fetch_add(1, Ordering::Relaxed);
        let mut left = &*self.sms;
        let parts = parts.map(|(count, grain, backfill)| {
            let (part, rest) = left.split_at(count as usize);
            left = rest;
            let origin = Origin::Part(split);
            SmResource { device: self.device, sms: part.into(), grain, backfill, origin }
        });
        let parts = parts.collect();
        // A rest has no structure that anything could be promised of.
        let step = if left.len().is_multiple_of(2) { 2 } else { 1 };
        let rest = (!left.is_empty()).then(|| SmResource {
            device: self.device,
            sms: left.into(),
            grain: Grain { least: step, step },
            backfill: false,
            origin: Origin::Rest(split),
        });
        Split { parts, rest }
    }
}
