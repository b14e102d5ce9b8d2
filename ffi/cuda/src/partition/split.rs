//! The one split of a device's SMs, in the finest way that its driver has.

use super::report::Refusal;
use super::resource::{DevResource, GroupParams, TYPE_SM};
use crate::context::Context;
use std::ffi::c_uint;

/// `CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING`, of 12.5.
const IGNORE_COSCHEDULING: c_uint = 1;

/// Parts of one split: atoms of one size, and what is left, which may be none.
pub(super) struct Split {
    pub(super) atoms: Vec<DevResource>,
    pub(super) rest: Option<DevResource>,
}

impl Split {
    /// Splits the whole device in atoms of `atom_sms` SMs, or as few more as the driver allows. Each
    /// way is tried after the one that allows less.
    pub(super) fn of_device(context: &Context, atom_sms: u32) -> Result<Self, Refusal> {
        let whole = whole_device(context)?;
        if let Ok(split) = exactly(context, &whole, atom_sms) {
            return Ok(split);
        }
        // A driver without the flag takes it for a wrong value; then its own sizes have to do.
        by_count(context, &whole, atom_sms, IGNORE_COSCHEDULING)
            .or_else(|_| by_count(context, &whole, atom_sms, 0))
    }

    /// All parts, the rest last.
    pub(super) fn parts(&self) -> Vec<DevResource> {
        self.atoms.iter().chain(&self.rest).copied().collect()
    }
}

fn whole_device(context: &Context) -> Result<DevResource, Refusal> {
    let call = "cuDeviceGetDevResource";
    let ask = context.api().cuDeviceGetDevResource.ok_or(Refusal::Missing(call))?;
    let mut whole = DevResource::EMPTY;
    // SAFETY: writes one resource; the device is the context's.
    let answer = unsafe { ask(context.device(), &raw mut whole, TYPE_SM) };
    context.api().check(call, answer)?;
    Ok(whole)
}

/// By the call of 13.1, which rounds nothing.
fn exactly(context: &Context, whole: &DevResource, atom_sms: u32) -> Result<Split, Refusal> {
    let call = "cuDevSmResourceSplit";
    let split = context.api().cuDevSmResourceSplit.ok_or(Refusal::Missing(call))?;
    let count = whole.sm_count() / atom_sms.max(1);
    let mut params = vec![GroupParams::of_tpcs(atom_sms); count as usize];
    let mut atoms = vec![DevResource::EMPTY; count as usize];
    let mut rest = DevResource::EMPTY;
    // SAFETY: reads and writes `count` parameters and writes `count` resources and one more; there is
    // room for all of them.
    let answer =
        unsafe { split(atoms.as_mut_ptr(), count, whole, &raw mut rest, 0, params.as_mut_ptr()) };
    context.api().check(call, answer)?;
    Ok(Split { atoms, rest: Some(rest).filter(|rest| rest.sm_count() > 0) })
}

/// By the call of 12.4, which rounds sizes up.
fn by_count(
    context: &Context,
    whole: &DevResource,
    atom_sms: u32,
    flags: c_uint,
) -> Result<Split, Refusal> {
    let call = "cuDevSmResourceSplitByCount";
    let split = context.api().cuDevSmResourceSplitByCount.ok_or(Refusal::Missing(call))?;
    let mut count = whole.sm_count() / atom_sms.max(1);
    let mut atoms = vec![DevResource::EMPTY; count as usize];
    let mut rest = DevResource::EMPTY;
    // SAFETY: writes at most as many resources as `count` says, which is the room there is, one more,
    // and the number of them.
    let answer =
        unsafe { split(atoms.as_mut_ptr(), &raw mut count, whole, &raw mut rest, flags, atom_sms) };
    context.api().check(call, answer)?;
    atoms.truncate(count as usize);
    Ok(Split { atoms, rest: Some(rest).filter(|rest| rest.sm_count() > 0) })
}
