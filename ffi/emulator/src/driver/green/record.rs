//! What a program holds of resources: 144 bytes each, whose layout depends on the driver.
//!
//! The manual calls most of a `CUdevResource` internal. Here that is the number of an entry in our
//! own table, and whatever comes in is compared with what that entry looks like on its way out: a
//! resource that was altered, or that comes from elsewhere, is found out and nothing in it is used.
#![expect(non_snake_case, reason = "the fields of the ABI")]

use crate::code::{Code, Outcome};
use crate::driver::abi::Out;
use crate::handle::Handle;
use crate::machine::{Machine, claim};
use crate::partition::{Part, RESOURCES, SmResource, Workqueues};
use std::ffi::{c_int, c_uint};
use std::sync::Arc;

/// `CU_DEV_RESOURCE_TYPE_SM`.
pub(super) const TYPE_SM: c_uint = 1;
/// `CU_DEV_RESOURCE_TYPE_WORKQUEUE_CONFIG`. The third type, work queues that exist
/// (`CU_DEV_RESOURCE_TYPE_WORKQUEUE`), is refused: a stream here is a queue of its own.
pub(super) const TYPE_WORKQUEUE_CONFIG: c_uint = 1000;
/// The driver that first had work queues as resources, and flags of SM resources,
const WORKQUEUES_SINCE: c_int = 13010;
/// and the one that first had sizes in an SM resource.
const SIZES_SINCE: c_int = 13000;
/// `CU_DEV_SM_RESOURCE_GROUP_BACKFILL`.
pub(super) const BACKFILL: c_uint = 1;

/// `CUdevResource`. Its last pointer came with 13.1, in what had been unused before; it is always
/// null here.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct CUdevResource {
    r#type: c_uint,
    _internal_padding: [u8; 92],
    /// The union: of an SM resource `smCount`, from 13.0 on `minSmPartitionSize` and
    /// `smCoscheduledAlignment`, from 13.1 on `flags`; of a work queue configuration the device,
    /// `wqConcurrencyLimit` and `sharingScope`. Unused words are zero.
    words: [c_uint; 10],
    nextResource: usize,
}
const _: () = assert!(size_of::<CUdevResource>() == 144);
const _: () = assert!(std::mem::offset_of!(CUdevResource, words) == 96);

/// Where the number of the entry lies in the padding.
const NUMBER: std::ops::Range<usize> = 4..12;

impl CUdevResource {
    /// What an empty rest looks like: of no type.
    pub(super) const INVALID: Self =
        Self { r#type: 0, _internal_padding: [0; 92], words: [0; 10], nextResource: 0 };

    /// A known set of SMs on its way out.
    pub(super) fn of(handle: Handle) -> Outcome<Self> {
        Ok(Self::sealed(handle, &*RESOURCES.get(handle)?, claim()?.driver_number()))
    }

    /// Enters a set of SMs and sends it out.
    pub(super) fn enter(set: SmResource) -> Outcome<Self> {
        Self::of(RESOURCES.add(set))
    }

    fn sealed(handle: Handle, set: &SmResource, driver: c_int) -> Self {
        let mut resource = Self { r#type: TYPE_SM, ..Self::INVALID };
        let number = (handle.number() as u64).to_ne_bytes();
        resource._internal_padding[NUMBER].copy_from_slice(&number);
        resource.words[0] = set.count();
        if driver >= SIZES_SINCE {
            resource.words[1] = set.grain().least;
            resource.words[2] = set.grain().step;
        }
        if driver >= WORKQUEUES_SINCE {
            resource.words[3] = if set.backfill() { BACKFILL } else { 0 };
        }
        resource
    }

    /// A configuration of work queues on its way out.
    pub(super) fn of_workqueues(queues: Workqueues) -> Self {
        let mut resource = Self { r#type: TYPE_WORKQUEUE_CONFIG, ..Self::INVALID };
        resource.words[..3].copy_from_slice(&[queues.device, queues.concurrency, queues.scope]);
        resource
    }

    /// The set of SMs that it stands for.
    ///
    /// # Errors
    /// 914: not of the type of SMs. 915: it is not byte for byte what was given out.
    pub(super) fn sms(&self) -> Outcome<Arc<SmResource>> {
        if self.r#type != TYPE_SM {
            return Err(Code::INVALID_RESOURCE_TYPE);
        }
        let mut number = [0; 8];
        number.copy_from_slice(&self._internal_padding[NUMBER]);
        let handle = usize::try_from(u64::from_ne_bytes(number)).map(Handle::from);
        let refused = Code::INVALID_RESOURCE_CONFIGURATION;
        let handle = handle.map_err(|_| refused)?;
        let set = RESOURCES.get(handle).map_err(|_| refused)?;
        if *self != Self::sealed(handle, &set, claim()?.driver_number()) {
            return Err(refused);
        }
        Ok(set)
    }

    /// What it adds to a descriptor. Work queues are configured by the program itself.
    pub(super) fn part(&self) -> Outcome<Part> {
        if self.r#type != TYPE_WORKQUEUE_CONFIG {
            return Ok(Part::Sms(self.sms()?));
        }
        check_type(self.r#type)?;
        let [device, concurrency, scope, ..] = self.words;
        let known = Machine::get()?.device(device.cast_signed()).is_ok();
        // Shared by all, or balanced between green contexts.
        if !known || concurrency == 0 || scope > 1 {
            return Err(Code::INVALID_RESOURCE_CONFIGURATION);
        }
        Ok(Part::Workqueues(Workqueues { device, concurrency, scope }))
    }
}

/// Whether resources of this type can be asked for.
pub(super) fn check_type(kind: c_uint) -> Outcome {
    match kind {
        TYPE_SM => Ok(()),
        TYPE_WORKQUEUE_CONFIG if claim()?.driver_number() >= WORKQUEUES_SINCE => Ok(()),
        _ => Err(Code::INVALID_RESOURCE_TYPE),
    }
}

/// Sends out what was asked for: SMs, or what is said of work queues.
pub(super) fn answer(
    out: Out<CUdevResource>,
    kind: c_uint,
    sms: impl FnOnce() -> Handle,
    queues: impl FnOnce() -> Workqueues,
) -> Outcome {
    check_type(kind)?;
    if kind == TYPE_SM {
        out.put(CUdevResource::of(sms())?)
    } else {
        out.put(CUdevResource::of_workqueues(queues()))
    }
}
