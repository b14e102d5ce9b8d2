//! How a device is divided, and what shows it.

use super::device::LookError;
use super::isolation::{self, Side};
use super::look::Look;
use gpumux_cuda::{
    BackendKind, BackendReport, Device, DeviceMemory, Grant, Handshake, Lane, LeaseError,
    PartitionWish, Partitioner, Proven, Verdict, Wake, Wanted,
};
use gpumux_wire::doctor::{self, Checked, Form, LaneReport, PartitionReport, SmBlocks};
use std::time::Duration;

/// Lanes that are looked at side by side.
const LANES: u32 = 4;
/// How long one side of a handshake waits for the other.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// Chooses how the device is divided. Making green contexts and measuring each takes time: the short
/// form makes those that it looks at, and the full form all that there can be.
pub(super) fn choose(
    form: Form,
    device: &Device,
    wake: &Wake,
    proven: Option<Proven>,
) -> Result<Partitioner, LookError> {
    let finest = PartitionWish { lanes: LANES, proven, ..PartitionWish::default() };
    let wish = match form {
        Form::Full => finest,
        Form::Short => PartitionWish { atom_sms: share(device.info().sm_count, LANES), ..finest },
    };
    Ok(Partitioner::choose(device, wake, &wish)?)
}

/// SMs of each of `count` lanes: green contexts double in size.
fn share(sms: u32, count: u32) -> u32 {
    1 << (sms / count).max(1).ilog2()
}

/// Leases lanes side by side and looks at where they run, and in the full form at how.
pub(super) fn look_at(
    look: &Look<'_>,
    device: &Device,
    memory: &DeviceMemory,
    partitioner: &Partitioner,
) -> Result<PartitionReport, LookError> {
    let mut lanes = lease(device.info().sm_count, partitioner)?;
    let seen: Vec<LaneReport> =
        lanes.iter_mut().map(|lane| where_it_runs(partitioner, lane)).collect::<Result<_, _>>()?;
    let mut report = PartitionReport {
        backend: partitioner.backend().to_string(),
        proof: proof(partitioner, &seen),
        granularity_sms: partitioner.abilities().granularity_sms,
        backends: partitioner.reports().iter().map(backend).collect(),
        lanes: seen,
        handshake: None,
        isolation: None,
    };
    if look.form == Form::Full && lanes.len() > 1 {
        report.handshake = Some(handshakes(partitioner, &mut lanes)?);
        if let [first, second, ..] = &mut lanes[..] {
            let emulated = look.driver.is_emulated();
            let (first, second) = (side(first), side(second));
            report.isolation = isolation::measure(look.clock, memory, emulated, first, second)?;
        }
    }
    Ok(report)
}

/// Lanes that together have most of the device; one where it is not divided.
fn lease(sms: u32, partitioner: &Partitioner) -> Result<Vec<Lane>, LookError> {
    let is_divided = partitioner.backend() != BackendKind::None;
    let count = if is_divided { LANES } else { 1 };
    let share = if is_divided { share(sms, count) } else { sms };
    let mut lanes = Vec::new();
    for _ in 0..count {
        match partitioner.lease(Wanted::Sms(share)) {
            Ok(lane) => lanes.push(lane),
            Err(LeaseError::NoRoom { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(lanes)
}

fn where_it_runs(partitioner: &Partitioner, lane: &mut Lane) -> Result<LaneReport, LookError> {
    let measured = partitioner.probe().measure(lane)?;
    let grant = lane.grant().copied();
    let granted = grant.as_ref().map_or(measured.sms, |grant| *grant.sms());
    let seen =
        measured.blocks_by_sm.iter().map(|(sm, blocks)| SmBlocks { sm: *sm, blocks: *blocks });
    Ok(LaneReport {
        granted: granted.to_string(),
        granted_sms: granted.len(),
        seen: seen.collect(),
        strays: !measured.sms.is_subset(&granted),
    })
}

/// What shows that the backend does what it says, or why there is none.
fn proof(partitioner: &Partitioner, lanes: &[LaneReport]) -> String {
    let confined = lanes.iter().filter(|lane| !lane.strays).count();
    let seen = format!(
        "{confined} of {} lanes side by side ran on their own SMs alone, by %smid",
        lanes.len()
    );
    match partitioner.backend() {
        BackendKind::GreenContexts => seen,
        BackendKind::StreamMasks => format!("the self-test in another process passed, and {seen}"),
        BackendKind::None => {
            let refused = partitioner.reports().iter().filter(|report| !is_usable(report));
            refused.map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
    }
}

fn backend(report: &BackendReport) -> doctor::BackendReport {
    doctor::BackendReport {
        name: report.backend.to_string(),
        usable: is_usable(report),
        why: report.verdict.to_string(),
    }
}

fn is_usable(report: &BackendReport) -> bool {
    match report.verdict {
        Verdict::Chosen(_) | Verdict::NotNeeded => true,
        Verdict::NotWanted | Verdict::Refused(_) => false,
    }
}

/// Each lane with the next.
fn handshakes(partitioner: &Partitioner, lanes: &mut [Lane]) -> Result<Checked, LookError> {
    let (mut met, mut pairs) = (0, 0);
    for index in 1..lanes.len() {
        let (before, from) = lanes.split_at_mut(index);
        let (Some(first), Some(second)) = (before.last_mut(), from.first_mut()) else { continue };
        pairs += 1;
        if partitioner.probe().handshake(first, second, HANDSHAKE)? == Handshake::Met {
            met += 1;
        }
    }
    let what = format!("handshake: {met} of {pairs} pairs of lanes ran at the same time");
    Ok(Checked { passed: met == pairs, what })
}

fn side(lane: &mut Lane) -> Side<'_> {
    let sms = lane.grant().map_or(0, Grant::sm_count);
    Side { lane, sms }
}
