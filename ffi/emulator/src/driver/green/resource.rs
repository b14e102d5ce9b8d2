//! Resources: asked for, split, described.
#![expect(non_snake_case, reason = "the names of the ABI")]

use super::record::{BACKFILL, CUdevResource, TYPE_SM, answer};
use crate::code::{Code, Outcome};
use crate::context::View;
use crate::device::Device;
use crate::driver::abi::{In, Out};
use crate::driver::since::edge_since;
use crate::handle::Handle;
use crate::machine::{Machine, claim};
use crate::partition::{
    DESCRIPTORS, Descriptor, Green, SmResource, Wish, Workqueues, whole_device,
};
use crate::stream::Stream;
use std::ffi::{c_int, c_uint};
use std::sync::Arc;

/// `CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING`.
const IGNORE_COSCHEDULING: c_uint = 1;
/// `CU_DEV_SM_RESOURCE_SPLIT_MAX_POTENTIAL_CLUSTER_SIZE`: a hint for clusters, of compute capability
/// 9.0 on.
const MAX_CLUSTER: c_uint = 2;
/// More resources than any call needs: at least one SM in each.
const RESOURCES_MAX: c_uint = 1025;
/// Connections of a device where `CUDA_DEVICE_MAX_CONNECTIONS` does not say otherwise.
const CONNECTIONS: u32 = 8;

/// What is so of the work queues of a whole device.
fn workqueues(device: &Device) -> Workqueues {
    let asked = std::env::var("CUDA_DEVICE_MAX_CONNECTIONS").ok();
    let asked = asked.and_then(|text| text.parse().ok()).filter(|count| (1..=32).contains(count));
    let concurrency = asked.unwrap_or(CONNECTIONS);
    Workqueues { device: device.ordinal(), concurrency, scope: 0 }
}

/// What a view has of a resource.
fn answer_for(view: &View, out: Out<CUdevResource>, kind: c_uint) -> Outcome {
    let device = view.context.device();
    let sms = || view.green.as_ref().map_or_else(|| whole_device(device), |green| green.resource());
    let queues = || {
        let own = view.green.as_ref().and_then(|green| green.workqueues());
        own.unwrap_or_else(|| workqueues(device))
    };
    answer(out, kind, sms, queues)
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetDevResource(device: c_int, out: Out<CUdevResource>, kind: c_uint) -> Code {
    edge_since("cuDeviceGetDevResource", || {
        let device = Machine::get()?.device(device)?;
        answer(out, kind, || whole_device(device), || workqueues(device))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetDevResource(context: Handle, out: Out<CUdevResource>, kind: c_uint) -> Code {
    edge_since("cuCtxGetDevResource", || {
        let view = View::of(context)?;
        view.check()?;
        answer_for(&view, out, kind)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuGreenCtxGetDevResource(
    context: Handle,
    out: Out<CUdevResource>,
    kind: c_uint,
) -> Code {
    edge_since("cuGreenCtxGetDevResource", || {
        let green = Green::of(context)?;
        answer_for(&View::from(&green), out, kind)
    })
}

/// Of a stream only SMs can be asked, and the mask in its structure is not part of the answer.
#[unsafe(no_mangle)]
extern "C" fn cuStreamGetDevResource(
    stream: Handle,
    out: Out<CUdevResource>,
    kind: c_uint,
) -> Code {
    edge_since("cuStreamGetDevResource", || {
        let stream = Stream::of(stream)?;
        if kind != TYPE_SM {
            return Err(Code::INVALID_RESOURCE_TYPE);
        }
        answer_for(&stream.view(), out, kind)
    })
}

/// The device that a resource is of.
fn device_of(set: &SmResource) -> Outcome<&'static Arc<Device>> {
    Machine::get()?.device(set.device().cast_signed())
}

/// Writes a rest; where nothing is left it is of no type.
fn put_rest(out: Out<CUdevResource>, rest: Option<SmResource>) -> Outcome {
    if out.is_null() {
        return Ok(());
    }
    out.put(rest.map_or(Ok(CUdevResource::INVALID), CUdevResource::enter)?)
}

#[unsafe(no_mangle)]
extern "C" fn cuDevSmResourceSplitByCount(
    result: Out<CUdevResource>,
    count: *mut c_uint,
    input: In<CUdevResource>,
    rest: Out<CUdevResource>,
    flags: c_uint,
    wanted: c_uint,
) -> Code {
    edge_since("cuDevSmResourceSplitByCount", || {
        let (asked, made) = (In::from(count.cast_const()), Out::from(count));
        let asked = asked.get()?;
        let set = input.get()?.sms()?;
        let device = device_of(&set)?;
        check_flags(flags, device)?;
        let fine = flags & IGNORE_COSCHEDULING != 0;
        if result.is_null() {
            return made.put(set.equal_parts(wanted, fine, device)?);
        }
        let split = set.split_equally(asked, wanted, fine, device)?;
        made.put(u32::try_from(split.parts.len()).expect("no more than were asked for"))?;
        for (index, part) in split.parts.into_iter().enumerate() {
            result.at(index).put(CUdevResource::enter(part)?)?;
        }
        put_rest(rest, split.rest)
    })
}

/// Flags came with the headers of 12.5. Clusters are not emulated, so the hint for them is met.
fn check_flags(flags: c_uint, device: &Device) -> Outcome {
    let claim = device.claim();
    let early = claim.driver_number() < 12050;
    let clusters = claim.capability >= (9, 0);
    let known =
        if early { 0 } else { IGNORE_COSCHEDULING | if clusters { MAX_CLUSTER } else { 0 } };
    if flags & !known == 0 { Ok(()) } else { Err(Code::INVALID_VALUE) }
}

/// `CU_DEV_SM_RESOURCE_GROUP_PARAMS`. One of the reserved words has a meaning from 13.4 on, for
/// devices of several locality domains.
#[repr(C)]
#[derive(Clone, Copy)]
struct CU_DEV_SM_RESOURCE_GROUP_PARAMS {
    smCount: c_uint,
    coscheduledSmCount: c_uint,
    preferredCoscheduledSmCount: c_uint,
    flags: c_uint,
    reserved: [c_uint; 12],
}
const _: () = assert!(size_of::<CU_DEV_SM_RESOURCE_GROUP_PARAMS>() == 64);

impl CU_DEV_SM_RESOURCE_GROUP_PARAMS {
    fn wish(&self) -> Outcome<Wish> {
        if self.flags & !BACKFILL != 0 || self.reserved != [0; 12] {
            return Err(Code::INVALID_VALUE);
        }
        Ok(Wish {
            count: self.smCount,
            bunch: self.coscheduledSmCount,
            preferred: self.preferredCoscheduledSmCount,
            backfill: self.flags & BACKFILL != 0,
        })
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuDevSmResourceSplit(
    result: Out<CUdevResource>,
    count: c_uint,
    input: In<CUdevResource>,
    rest: Out<CUdevResource>,
    flags: c_uint,
    params: *mut CU_DEV_SM_RESOURCE_GROUP_PARAMS,
) -> Code {
    edge_since("cuDevSmResourceSplit", || {
        if flags != 0 || !(1..=RESOURCES_MAX).contains(&count) {
            return Err(Code::INVALID_VALUE);
        }
        let asked = In::from(params.cast_const()).take(count as usize)?;
        let wishes: Vec<_> = asked.iter().map(|params| params.wish()).collect::<Outcome<_>>()?;
        let set = input.get()?.sms()?;
        let device = device_of(&set)?;
        let (granted, split) = set.split_exactly(&wishes, !result.is_null(), device)?;
        for (index, (mut filled, part)) in asked.into_iter().zip(granted).enumerate() {
            filled.smCount = part.count;
            filled.coscheduledSmCount = part.bunch;
            filled.preferredCoscheduledSmCount = part.preferred;
            Out::from(params).at(index).put(filled)?;
        }
        let Some(split) = split else { return Ok(()) };
        for (index, part) in split.parts.into_iter().enumerate() {
            result.at(index).put(CUdevResource::enter(part)?)?;
        }
        put_rest(rest, split.rest)
    })
}

/// Puts resources together. Only SMs and a word on work queues can be.
#[unsafe(no_mangle)]
extern "C" fn cuDevResourceGenerateDesc(
    out: Out<Handle>,
    resources: In<CUdevResource>,
    count: c_uint,
) -> Code {
    edge_since("cuDevResourceGenerateDesc", || {
        if out.is_null() || !(1..=RESOURCES_MAX).contains(&count) {
            return Err(Code::INVALID_VALUE);
        }
        let parts: Vec<_> = resources
            .take(count as usize)?
            .iter()
            .map(CUdevResource::part)
            .collect::<Outcome<_>>()?;
        if count > 1 && claim()?.one_group {
            return Err(Code::INVALID_RESOURCE_CONFIGURATION);
        }
        out.put(DESCRIPTORS.add(Descriptor::of(&parts)?))
    })
}
