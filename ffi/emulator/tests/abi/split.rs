//! Resources of a device: the sizes in which they can be split, what goes together, and which SMs the
//! green contexts that are made of them run on.

use crate::calls::*;
use crate::smid::Probe;
use std::collections::BTreeSet;
use std::ptr::null_mut;

pub(crate) const SM: CUdevResourceType = CUdevResourceType::CU_DEV_RESOURCE_TYPE_SM;
pub(crate) const NON_BLOCKING: u32 = CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
/// `CU_GREEN_CTX_DEFAULT_STREAM`.
pub(crate) const DEFAULT_STREAM: u32 = 1;
/// `CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING`, `..._MAX_POTENTIAL_CLUSTER_SIZE`.
const FINE: u32 = 1;
const CLUSTERS: u32 = 2;
/// `CU_DEV_SM_RESOURCE_GROUP_BACKFILL`.
const BACKFILL: u32 = 1;

pub(crate) fn blank() -> CUdevResource {
    // SAFETY: zeros are a resource of no type.
    unsafe { std::mem::zeroed() }
}

/// All SMs of the device.
pub(crate) fn device() -> CUdevResource {
    let mut resource = blank();
    call!(cuDeviceGetDevResource(0, &mut resource, SM));
    resource
}

fn sm(resource: &CUdevResource) -> CUdevSmResource {
    assert_eq!(resource.type_, SM);
    // SAFETY: the type says that the union holds SMs.
    unsafe { resource.__bindgen_anon_1.sm }
}

pub(crate) fn count(resource: &CUdevResource) -> u32 {
    sm(resource).smCount
}

/// The bytes of a resource, to be altered.
fn bytes(resource: &mut CUdevResource) -> &mut [u8; 144] {
    const _: () = assert!(size_of::<CUdevResource>() == 144);
    // SAFETY: plain bytes of a struct that is that long and has no padding; every value that the
    // tests write is one that the driver must bear, and the type stays a known one.
    unsafe { &mut *std::ptr::from_mut(resource).cast() }
}

/// Equal groups of at least `least` SMs, and what is left.
pub(crate) fn split(
    input: &CUdevResource,
    groups: u32,
    least: u32,
    flags: u32,
) -> (Vec<CUdevResource>, CUdevResource) {
    let mut result = vec![blank(); groups as usize];
    let (mut made, mut rest) = (groups, blank());
    let at = result.as_mut_ptr();
    call!(cuDevSmResourceSplitByCount(at, &mut made, input, &mut rest, flags, least));
    result.truncate(made as usize);
    (result, rest)
}

pub(crate) fn descriptor(resources: &[CUdevResource]) -> CUdevResourceDesc {
    let (mut descriptor, count) = (null_mut(), u32::try_from(resources.len()).unwrap());
    let mut resources = resources.to_vec();
    call!(cuDevResourceGenerateDesc(&mut descriptor, resources.as_mut_ptr(), count));
    descriptor
}

pub(crate) fn check_descriptor(resources: &[CUdevResource], code: CUresult) {
    let (mut descriptor, count) = (null_mut(), u32::try_from(resources.len()).unwrap());
    let mut resources = resources.to_vec();
    call!(cuDevResourceGenerateDesc(&mut descriptor, resources.as_mut_ptr(), count) is code);
}

pub(crate) fn green(resources: &[CUdevResource]) -> CUgreenCtx {
    let mut context = null_mut();
    call!(cuGreenCtxCreate(&mut context, descriptor(resources), 0, DEFAULT_STREAM));
    context
}

pub(crate) fn stream_of(context: CUgreenCtx) -> CUstream {
    let mut stream = null_mut();
    call!(cuGreenCtxStreamCreate(&mut stream, context, NON_BLOCKING, 0));
    stream
}

pub(crate) fn set(range: std::ops::Range<u32>) -> BTreeSet<u32> {
    range.collect()
}

fn params(count: u32, bunch: u32, preferred: u32, flags: u32) -> CU_DEV_SM_RESOURCE_GROUP_PARAMS {
    CU_DEV_SM_RESOURCE_GROUP_PARAMS {
        smCount: count,
        coscheduledSmCount: bunch,
        preferredCoscheduledSmCount: preferred,
        flags,
        localityDomainId: 0,
        reserved: [0; 11],
    }
}

/// An unequal split: the groups, what is left, and the parameters as they were filled in.
fn exact(
    input: &CUdevResource,
    params: &[CU_DEV_SM_RESOURCE_GROUP_PARAMS],
) -> (Vec<CUdevResource>, CUdevResource, Vec<CU_DEV_SM_RESOURCE_GROUP_PARAMS>) {
    let (mut result, mut rest) = (vec![blank(); params.len()], blank());
    let (mut params, groups) = (params.to_vec(), u32::try_from(params.len()).unwrap());
    let (at, filled) = (result.as_mut_ptr(), params.as_mut_ptr());
    call!(cuDevSmResourceSplit(at, groups, input, &mut rest, 0, filled));
    (result, rest, params)
}

fn check_exact(input: &CUdevResource, params: &[CU_DEV_SM_RESOURCE_GROUP_PARAMS], code: CUresult) {
    let mut result = vec![blank(); params.len()];
    let (mut params, groups) = (params.to_vec(), u32::try_from(params.len()).unwrap());
    let (at, filled) = (result.as_mut_ptr(), params.as_mut_ptr());
    call!(cuDevSmResourceSplit(at, groups, input, null_mut(), 0, filled) is code);
}

/// The sizes of a device, and of equal groups of at least `least` SMs on it.
fn check_sizes(sizes: [u32; 2], cases: &[(u32, u32, u32)]) {
    context();
    let all = device();
    assert_eq!([sm(&all).minSmPartitionSize, sm(&all).smCoscheduledAlignment], sizes);
    for (flags, least, size) in cases {
        let mut fits = 0;
        call!(cuDevSmResourceSplitByCount(null_mut(), &mut fits, &all, null_mut(), *flags, *least));
        assert_eq!(fits, count(&all) / size, "{least} with flags {flags}");
        let (groups, rest) = split(&all, fits, *least, *flags);
        assert_eq!(u32::try_from(groups.len()).unwrap(), fits);
        assert!(groups.iter().all(|group| count(group) == *size), "{least} with flags {flags}");
        if count(&all).is_multiple_of(*size) {
            assert_eq!(rest.type_, CUdevResourceType::CU_DEV_RESOURCE_TYPE_INVALID);
        } else {
            assert_eq!(count(&rest), count(&all) % size);
        }
    }
}

/// Groups of one descriptor and of one split: each green context runs on its own SMs and no others.
fn check_confinement(step: u32) {
    context();
    let probe = Probe::load();
    let all = device();
    let (groups, _) = split(&all, 512, step, 0);
    let (sms, groups_in_all) = (count(&all), u32::try_from(groups.len()).unwrap());
    for at in 0..groups_in_all {
        let green = green(&groups[at as usize..][..1]);
        let stream = stream_of(green);
        assert_eq!(probe.sms(stream), set(at * step..(at + 1) * step));
        let mut own = blank();
        call!(cuGreenCtxGetDevResource(green, &mut own, SM));
        assert_eq!(count(&own), step);
        call!(cuStreamDestroy_v2(stream));
        call!(cuGreenCtxDestroy(green));
    }
    // Several groups in one descriptor, also where they are no neighbours.
    let mut two = vec![groups[0], groups[groups.len() - 1]];
    let apart: BTreeSet<_> = set(0..step)
        .union(&set((groups_in_all - 1) * step..groups_in_all * step))
        .copied()
        .collect();
    assert_eq!(probe.sms(stream_of(green(&two))), apart);
    assert_eq!(probe.sms(stream_of(green(&groups))), set(0..groups_in_all * step));
    // One group in two contexts: both have it.
    two.truncate(1);
    assert_eq!(probe.sms(stream_of(green(&two))), set(0..step));
    assert_eq!(probe.sms(null_mut()), set(0..sms));
}

crate::child::in_child! {
    sizes_are_those_of_7_5("driver=13.3,cc=7.5,sms=16,memory=16MiB") {
        check_sizes([2, 2], &[(0, 0, 2), (0, 1, 2), (0, 3, 4), (FINE, 3, 4), (0, 16, 16), (0, 5, 6)]);
    }

    sizes_are_those_of_8_6("driver=13.3,cc=8.6,sms=32,memory=16MiB") {
        check_sizes([4, 2], &[(0, 0, 4), (0, 1, 4), (0, 5, 6), (FINE, 1, 2), (0, 32, 32)]);
        let (mut groups, mut result) = (1, blank());
        call!(cuDevSmResourceSplitByCount(
            &mut result, &mut groups, &device(), null_mut(), CLUSTERS, 4
        ) is CUDA_ERROR_INVALID_VALUE);
        // Bunches of more than two are for clusters.
        check_exact(&device(), &[params(8, 4, 0, 0)], CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
    }

    sizes_are_those_of_9_0("driver=13.3,cc=9.0,sms=132,memory=16MiB") {
        // The programming guide's example of 132 SMs.
        check_sizes([8, 8], &[
            (0, 11, 16), (FINE, 11, 12), (0, 72, 72), (0, 1, 8), (CLUSTERS, 9, 16), (0, 0, 8),
        ]);
        let all = device();
        for (groups, least, flags, made, left) in
            [(6, 11, 0, 6, 36), (6, 11, FINE, 6, 60), (2, 72, 0, 1, 60), (2, 1, 0, 2, 116)]
        {
            let (parts, rest) = split(&all, groups, least, flags);
            assert_eq!((parts.len(), count(&rest)), (made, left), "{groups} x {least}");
        }
        let (fine, _) = split(&all, 1, 11, FINE);
        assert_eq!((sm(&fine[0]).minSmPartitionSize, sm(&fine[0]).smCoscheduledAlignment), (2, 2));
    }

    splits_that_cannot_be_are_refused("driver=13.3,cc=9.0,sms=32,memory=16MiB") {
        context();
        let all = device();
        let (mut result, mut rest, mut groups) = ([blank(); 2], blank(), 2);
        let at = result.as_mut_ptr();
        let no_config = CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
        call!(cuDevSmResourceSplitByCount(at, &mut groups, &all, &mut rest, 0, 33) is no_config);
        call!(cuDevSmResourceSplitByCount(at, &mut groups, &all, &mut rest, 4, 8)
            is CUDA_ERROR_INVALID_VALUE);
        call!(cuDevSmResourceSplitByCount(at, null_mut(), &all, &mut rest, 0, 8)
            is CUDA_ERROR_INVALID_VALUE);
        call!(cuDevSmResourceSplitByCount(at, &mut groups, std::ptr::null(), &mut rest, 0, 8)
            is CUDA_ERROR_INVALID_VALUE);
        call!(cuDevSmResourceSplitByCount(at, &mut groups, &blank(), &mut rest, 0, 8)
            is CUDA_ERROR_INVALID_RESOURCE_TYPE);
        let (parts, rest) = split(&all, 1, 20, 0);
        assert_eq!((count(&parts[0]), count(&rest)), (24, 8));
        // Neither a part nor the rest of it is split again before a context is made of it.
        for made in [&parts[0], &rest] {
            call!(cuDevSmResourceSplitByCount(at, &mut groups, made, null_mut(), 0, 8) is no_config);
        }
        let mut own = blank();
        call!(cuGreenCtxGetDevResource(green(&parts), &mut own, SM));
        let (again, left) = split(&own, 2, 8, 0);
        assert_eq!((again.len(), count(&left)), (2, 8));
        let mut any = blank();
        call!(cuDeviceGetDevResource(0, &mut any, CUdevResourceType::CU_DEV_RESOURCE_TYPE_INVALID)
            is CUDA_ERROR_INVALID_RESOURCE_TYPE);
        call!(cuDeviceGetDevResource(0, &mut any, CUdevResourceType::CU_DEV_RESOURCE_TYPE_WORKQUEUE)
            is CUDA_ERROR_INVALID_RESOURCE_TYPE);
        call!(cuDeviceGetDevResource(1, &mut any, SM) is CUDA_ERROR_INVALID_DEVICE);
        call!(cuDeviceGetDevResource(0, null_mut(), SM) is CUDA_ERROR_INVALID_VALUE);
    }

    unequal_splits_are_exact("driver=13.3,cc=9.0,sms=132,memory=16MiB") {
        context();
        let all = device();
        let sizes = |groups: &[CUdevResource]| groups.iter().map(count).collect::<Vec<_>>();
        let (groups, rest, _) = exact(&all, &[params(28, 4, 4, 0), params(32, 4, 0, 0)]);
        assert_eq!((sizes(&groups), count(&rest)), (vec![28, 32], 72));
        assert_eq!((sm(&groups[0]).smCoscheduledAlignment, sm(&groups[0]).flags), (4, 0));
        // Zero discovers, and is filled in as what was left to the driver.
        let (groups, rest, filled) = exact(&all, &[params(0, 0, 0, 0)]);
        assert_eq!((sizes(&groups), count(&rest)), (vec![128], 4));
        let first = filled[0];
        assert_eq!(
            (first.smCount, first.coscheduledSmCount, first.preferredCoscheduledSmCount),
            (128, 8, 8)
        );
        let (groups, rest, filled) = exact(&all, &[params(16, 2, 2, 0), params(0, 2, 2, BACKFILL)]);
        assert_eq!((sizes(&groups), filled[1].smCount), (vec![16, 116], 116));
        assert_eq!((rest.type_, sm(&groups[1]).flags), (blank().type_, BACKFILL));
        // The rest of such a split can be split on, a part of it cannot.
        let (groups, rest, _) = exact(&all, &[params(16, 2, 2, 0)]);
        let (next, rest, _) = exact(&rest, &[params(10, 2, 0, 0)]);
        assert_eq!((count(&next[0]), count(&rest)), (10, 106));
        check_exact(&groups[0], &[params(8, 2, 0, 0)], CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
        for refused in [
            params(11, 2, 0, 0), params(12, 0, 0, 0), params(12, 8, 0, 0), params(134, 2, 0, 0),
            params(36, 36, 0, 0), params(4, 8, 0, BACKFILL), params(16, 8, 12, 0),
        ] {
            check_exact(&all, &[refused], CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
        }
        check_exact(&all, &[params(8, 2, 0, 4)], CUDA_ERROR_INVALID_VALUE);
        let mut reserved = params(8, 2, 0, 0);
        reserved.reserved[10] = 1;
        check_exact(&all, &[reserved], CUDA_ERROR_INVALID_VALUE);
        // A group of none is found out only where it is made.
        let mut dry = [params(132, 2, 0, 0), params(0, 2, 0, 0)];
        check_exact(&all, &dry, CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
        call!(cuDevSmResourceSplit(null_mut(), 2, &all, null_mut(), 0, dry.as_mut_ptr()));
        assert_eq!([dry[0].smCount, dry[1].smCount], [132, 0]);
        call!(cuDevSmResourceSplit(null_mut(), 2, &all, null_mut(), 1, dry.as_mut_ptr())
            is CUDA_ERROR_INVALID_VALUE);
        call!(cuDevSmResourceSplit(null_mut(), 0, &all, null_mut(), 0, dry.as_mut_ptr())
            is CUDA_ERROR_INVALID_VALUE);
    }

    descriptors_take_what_goes_together("driver=13.3,cc=9.0,sms=32,memory=16MiB") {
        context();
        let all = device();
        let (parts, rest) = split(&all, 2, 8, 0);
        let (others, _) = split(&all, 2, 8, 0);
        let no_config = CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
        descriptor(&parts);
        descriptor(&[all]);
        descriptor(&[parts[0], rest]);
        check_descriptor(&[parts[0], others[1]], no_config);
        check_descriptor(&[parts[0], parts[0]], no_config);
        check_descriptor(&[all, parts[0]], no_config);
        let (unlike, _, _) = exact(&all, &[params(8, 2, 0, 0), params(8, 4, 0, 0)]);
        check_descriptor(&unlike, no_config);
        check_descriptor(&[blank()], CUDA_ERROR_INVALID_RESOURCE_TYPE);
        check_descriptor(&[], CUDA_ERROR_INVALID_VALUE);
        let mut context = null_mut();
        let one = descriptor(&parts[..1]);
        call!(cuGreenCtxCreate(&mut context, one, 0, 0) is CUDA_ERROR_INVALID_VALUE);
        call!(cuGreenCtxCreate(&mut context, one, 0, 2) is CUDA_ERROR_INVALID_VALUE);
        call!(cuGreenCtxCreate(&mut context, one, 1, 1) is CUDA_ERROR_INVALID_DEVICE);
        call!(cuGreenCtxCreate(&mut context, null_mut(), 0, 1) is CUDA_ERROR_INVALID_VALUE);
        call!(cuGreenCtxCreate(null_mut(), one, 0, 1) is CUDA_ERROR_INVALID_VALUE);
    }

    altered_resources_are_refused("driver=13.3,cc=9.0,sms=32,memory=16MiB") {
        context();
        let (parts, _) = split(&device(), 2, 8, 0);
        // Every byte after the type, one at a time.
        for at in 4..144 {
            let mut altered = parts[0];
            bytes(&mut altered)[at] ^= 1;
            check_descriptor(&[altered], CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
            let mut groups = 0;
            call!(cuDevSmResourceSplitByCount(
                null_mut(), &mut groups, &altered, null_mut(), 0, 8
            ) is CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
        }
        descriptor(&parts[..1]);
    }

    work_queues_are_a_hint("driver=13.3,cc=9.0,sms=32,memory=16MiB") {
        context();
        let kind = CUdevResourceType::CU_DEV_RESOURCE_TYPE_WORKQUEUE_CONFIG;
        let config = |resource: &CUdevResource| {
            assert_eq!(resource.type_, kind);
            // SAFETY: the type says that the union holds a configuration of work queues.
            unsafe { resource.__bindgen_anon_1.wqConfig }
        };
        let (mut queues, mut own) = (blank(), blank());
        call!(cuDeviceGetDevResource(0, &mut queues, kind));
        assert_eq!((config(&queues).device, config(&queues).wqConcurrencyLimit), (0, 8));
        queues.__bindgen_anon_1.wqConfig.wqConcurrencyLimit = 4;
        let balanced = CUdevWorkqueueConfigScope::CU_WORKQUEUE_SCOPE_GREEN_CTX_BALANCED;
        queues.__bindgen_anon_1.wqConfig.sharingScope = balanced;
        let (parts, _) = split(&device(), 2, 8, 0);
        let green = green(&[parts[1], queues]);
        call!(cuGreenCtxGetDevResource(green, &mut own, kind));
        assert_eq!((config(&own).wqConcurrencyLimit, config(&own).sharingScope), (4, balanced));
        call!(cuGreenCtxGetDevResource(green, &mut own, SM));
        assert_eq!(count(&own), 8);
        check_descriptor(&[parts[0], queues, queues], CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
        check_descriptor(&[queues], CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
        queues.__bindgen_anon_1.wqConfig.wqConcurrencyLimit = 0;
        check_descriptor(&[parts[0], queues], CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
    }

    green_streams_are_confined_on_9_0("driver=13.3,cc=9.0,sms=132,cores=2,memory=16MiB") {
        check_confinement(8);
    }

    green_streams_are_confined_on_8_6("driver=12.8,cc=8.6,sms=16,cores=2,memory=16MiB") {
        check_confinement(4);
    }

    green_streams_are_confined_on_7_5("driver=13.3,cc=7.5,sms=32,cores=2,memory=16MiB") {
        check_confinement(2);
    }

    separate_splits_start_from_the_same_sms("driver=13.3,cc=9.0,sms=32,memory=16MiB") {
        context();
        let probe = Probe::load();
        let (one, _) = split(&device(), 1, 8, 0);
        let (other, rest) = split(&device(), 1, 16, 0);
        assert_eq!(probe.sms(stream_of(green(&one))), set(0..8));
        assert_eq!(probe.sms(stream_of(green(&other))), set(0..16));
        assert_eq!(probe.sms(stream_of(green(&[rest]))), set(16..32));
    }

    an_older_driver_writes_fewer_fields("driver=12.8,cc=9.0,sms=32,memory=16MiB") {
        context();
        let mut all = device();
        assert_eq!(count(&all), 32);
        assert_eq!(bytes(&mut all)[100..], [0; 44]);
        let (parts, _) = split(&all, 1, 8, FINE);
        let mut own = blank();
        call!(cuCtxGetDevResource(context(), &mut own, SM));
        assert_eq!(count(&own), 32);
        call!(cuGreenCtxGetDevResource(green(&parts), &mut own, SM));
        assert_eq!(count(&own), 8);
        // 12.9 and 13.1.
        let (mut number, not_there) = (0, CUDA_ERROR_NOT_SUPPORTED);
        call!(cuGreenCtxGetId(green(&parts), &mut number) is not_there);
        call!(cuStreamGetDevResource(null_mut(), &mut own, SM) is not_there);
        call!(cuDevSmResourceSplit(null_mut(), 1, &all, null_mut(), 0, &mut params(8, 2, 0, 0))
            is not_there);
        call!(cuDeviceGetDevResource(
            0, &mut own, CUdevResourceType::CU_DEV_RESOURCE_TYPE_WORKQUEUE_CONFIG
        ) is CUDA_ERROR_INVALID_RESOURCE_TYPE);
    }

    a_driver_before_12_4_has_no_green_contexts("driver=12.2,cc=9.0,sms=32,memory=16MiB") {
        context();
        let (mut resource, not_there) = (blank(), CUDA_ERROR_NOT_SUPPORTED);
        call!(cuDeviceGetDevResource(0, &mut resource, SM) is not_there);
        let mut green = null_mut();
        call!(cuGreenCtxCreate(&mut green, null_mut(), 0, 1) is not_there);
        call!(cuStreamGetGreenCtx(null_mut(), &mut green) is not_there);
        call!(cuCtxRecordEvent(null_mut(), event()) is not_there);
    }

    functions_are_found_by_name_from_their_first_version_on("driver=12.4,memory=1MiB") {
        call!(cuInit(0));
        use CUdriverProcAddressQueryResult::*;
        for (name, version, expected) in [
            (c"cuGreenCtxCreate", 12040, CU_GET_PROC_ADDRESS_SUCCESS),
            (c"cuGreenCtxCreate", 12030, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT),
            (c"cuGreenCtxStreamCreate", 12040, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND),
            (c"cuDevSmResourceSplit", 12040, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND),
            (c"cuDevSmResourceSplit", 13010, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT),
            (c"cuStreamGetCtx", 12040, CU_GET_PROC_ADDRESS_SUCCESS),
        ] {
            let (mut address, mut status) = (null_mut(), CU_GET_PROC_ADDRESS_SUCCESS);
            call!(cuGetProcAddress_v2(name.as_ptr(), &mut address, version, 0, &mut status));
            assert_eq!(status, expected, "{name:?} as of {version}");
            assert_eq!(address.is_null(), expected != CU_GET_PROC_ADDRESS_SUCCESS);
        }
    }
}
