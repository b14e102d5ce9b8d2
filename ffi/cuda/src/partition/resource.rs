//! What the driver calls a resource: SMs, as bytes that are the driver's own. Our own declaration,
//! because fields were added to it from version to version while its size stayed.

use std::ffi::c_uint;

/// `CU_DEV_RESOURCE_TYPE_SM`.
pub(super) const TYPE_SM: c_uint = 1;

/// `CUdevResource`: 144 bytes in every version, a type first and the union at byte 96.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct DevResource {
    kind: c_uint,
    internal: [c_uint; 23],
    /// The first field of the union for SMs, in every version. Those behind it are younger.
    sm_count: c_uint,
    rest: [c_uint; 11],
}

const _: () = assert!(size_of::<DevResource>() == 144);
const _: () = assert!(std::mem::offset_of!(DevResource, sm_count) == 96);

impl DevResource {
    /// Room for one.
    pub(super) const EMPTY: Self = Self { kind: 0, internal: [0; 23], sm_count: 0, rest: [0; 11] };

    /// How many SMs it has; none where it is of another type.
    pub(super) fn sm_count(&self) -> u32 {
        if self.kind == TYPE_SM { self.sm_count } else { 0 }
    }
}

/// `CU_DEV_SM_RESOURCE_GROUP_PARAMS`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct GroupParams {
    sm_count: c_uint,
    coscheduled_sm_count: c_uint,
    preferred_coscheduled_sm_count: c_uint,
    flags: c_uint,
    reserved: [c_uint; 12],
}

const _: () = assert!(size_of::<GroupParams>() == 64);

impl GroupParams {
    /// A group of so many SMs, of which only those of a TPC need to be scheduled together.
    pub(super) fn of_tpcs(sm_count: u32) -> Self {
        Self {
            sm_count,
            coscheduled_sm_count: crate::sets::SMS_PER_TPC,
            preferred_coscheduled_sm_count: 0,
            flags: 0,
            reserved: [0; 12],
        }
    }
}
