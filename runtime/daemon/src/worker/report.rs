//! What the control thread tells the supervisor of the worker's figures.

use super::counters::{FunctionCounters, LaneCounters};
use super::function::FunctionInfo;
use super::startup::DeviceSummary;
use gpumux_wire::status::{DeviceStatus, FunctionStatus, LaneStatus};

/// One function's figures; `tenants` names the tenants by their places.
pub(super) fn of_function(
    info: &FunctionInfo,
    counters: &FunctionCounters,
    tenants: &[String],
) -> FunctionStatus {
    let (own_elements, padded_elements) = counters.elements();
    let stages = counters.stages();
    let tenants = counters.tenants(tenants);
    FunctionStatus {
        name: info.name.clone(),
        model: info.config.model.clone().into(),
        objective: info.config.service.objective.map(String::from),
        attainment: counters.attainment(),
        signature: Some(info.signature.clone()),
        channels: counters.channel_count(),
        queued: counters.queued_count(),
        queue_max: info.config.queue,
        max_batch: info.config.max_batch,
        arrived: counters.arrived_count(),
        outcomes: counters.outcomes(),
        refusals: counters.refusals(),
        deadlines: counters.deadlines(),
        batches: counters.batch_count(),
        batch_sizes: counters.batch_sizes(),
        own_elements,
        padded_elements,
        padding_share: counters.padding_share(),
        latency_us: stages.last().map(|total| total.latency_us).unwrap_or_default(),
        stages,
        sm_ns: tenants.iter().map(|tenant| tenant.sm_ns).sum(),
        tenants,
        ..FunctionStatus::default()
    }
}

/// The device's.
pub(super) fn of_device<'a>(
    device: &DeviceSummary,
    lanes: impl Iterator<Item = &'a LaneCounters>,
) -> DeviceStatus {
    let lane = |((sms, granted), counters): (&(u32, String), &LaneCounters)| LaneStatus {
        sms: *sms,
        granted: granted.clone(),
        batches: counters.batch_count(),
        held_sms: counters.held_sms(),
        busy_ns: counters.busy_ns(),
    };
    DeviceStatus {
        name: device.name.clone(),
        emulated: device.emulated,
        sms: device.sms,
        memory_bytes: device.memory_bytes,
        memory: device.memory,
        state: "ready".to_owned(),
        worker_pid: Some(std::process::id()),
        lanes: device.lanes.iter().zip(lanes).map(lane).collect(),
        ..DeviceStatus::default()
    }
}
