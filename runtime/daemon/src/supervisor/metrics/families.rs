//! Every family of metrics: its name, type, unit, labels and meaning, and what it says of the status
//! document. `docs/reference/metrics.md` is written from this table.

use super::emit::{NANOS_A_SECOND, Nanos, Rows};
use gpumux_wire::outcome::Reason;
use gpumux_wire::status::{
    BATCH_BOUNDS, DURATION_BOUNDS_NS, DeviceStatus, FunctionStatus, LaneStatus, OutcomeCounts,
    RefusalCount, Status, TenantStatus,
};
use std::fmt;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows, while the daemon lives.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How often values fell between bounds.
    Histogram,
}

/// What a family's values are in; the name ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Numbers of things, or shares.
    None,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// A family.
pub(super) struct Family {
    /// Between the prefix and the unit.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    /// Writes its rows.
    pub(super) rows: fn(&Status, &mut Rows<'_>) -> fmt::Result,
}

macro_rules! families {
    ($($kind:ident $name:literal $unit:ident [$($label:literal)*] $help:literal $rows:expr;)*) => {
        /// See the file's head.
        pub(super) const FAMILIES: &[Family] = &[$(Family {
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            labels: &[$($label),*],
            help: $help,
            rows: $rows,
        }),*];
    };
}

families! {
    Gauge "info" None ["version"]
        "Always 1; which gpumuxd this is."
        |status, rows| rows.value(&[&status.version], 1u64);
    Gauge "uptime" Seconds []
        "Time since the daemon was ready."
        |status, rows| rows.value(&[], status.uptime_s);
    Gauge "draining" None []
        "1 while the daemon stops and finishes what it admitted, else 0."
        |status, rows| rows.value(&[], status.draining);

    Gauge "sessions" None []
        "Peers that are connected."
        |status, rows| rows.value(&[], status.sessions.len() as u64);
    Gauge "channels" None []
        "Channels that are open."
        |status, rows| rows.value(&[], status.connections.channels);
    Gauge "mapped" Bytes []
        "Shared memory of all open channels."
        |status, rows| rows.value(&[], status.connections.mapped_bytes);
    Gauge "mapped_limit" Bytes []
        "Shared memory that all open channels together may have."
        |status, rows| rows.value(&[], status.connections.mapped_bytes_max);
    Counter "connections_accepted" None []
        "Connections that became sessions."
        |status, rows| rows.value(&[], status.connections.accepted);
    Counter "connections_refused" None ["reason"]
        "Connections that were turned away, by reason; a reason appears when it is first given."
        |status, rows| refusals(rows, &status.connections.refused);
    Counter "opens_refused" None ["reason"]
        "Functions that a session asked for and did not get, by reason; a reason appears when it is first given."
        |status, rows| refusals(rows, &status.connections.opens_refused);
    Counter "violations" None []
        "Sessions that were ended because their peer broke the protocol."
        |status, rows| rows.value(&[], status.connections.violations);

    Gauge "device_info" None ["device" "emulated" "name" "policy" "partitions"]
        "Always 1; what the device is, its scheduling policy, and how it is divided among its lanes."
        |status, rows| for_devices(status, |device, labels| {
            let [ordinal, emulated] = labels;
            let backend = device.partitions.split(':').next().unwrap_or_default();
            rows.value(&[ordinal, emulated, &device.name, &device.policy, backend], 1u64)
        });
    Gauge "device_up" None ["device" "emulated"]
        "1 while the device's worker serves, 0 while it starts, is silent or is lost."
        |status, rows| for_devices(status, |device, labels| {
            let up = matches!(device.state.as_str(), "ready" | "draining");
            rows.value(&labels, up)
        });
    Gauge "device_sms" None ["device" "emulated"]
        "Streaming multiprocessors of the device; 0 while its worker starts."
        |status, rows| for_devices(status, |device, labels| rows.value(&labels, device.sms));
    Gauge "device_memory" Bytes ["device" "emulated" "use"]
        "The worker's reservation of device memory by use: weights (and what prepared plans keep), batches (what lanes run in), free."
        |status, rows| for_devices(status, |device, [ordinal, emulated]| {
            let memory = device.memory;
            let used = memory.weights_bytes + memory.batches_bytes;
            let free = device.memory_bytes.saturating_sub(used);
            let uses =
                [("weights", memory.weights_bytes), ("batches", memory.batches_bytes), ("free", free)];
            uses.into_iter().try_for_each(|(kind, bytes)| rows.value(&[ordinal, emulated, kind], bytes))
        });
    Gauge "staging_memory" Bytes ["device" "emulated"]
        "Pinned memory of the host through which the device's inputs and results travel."
        |status, rows| for_devices(status, |device, labels| {
            rows.value(&labels, device.memory.staging_bytes)
        });
    Counter "worker_restarts" None ["device" "emulated"]
        "Workers of the device that died and were replaced."
        |status, rows| for_devices(status, |device, labels| {
            rows.value(&labels, device.worker_restarts)
        });
    Gauge "lane_sms" None ["device" "emulated" "lane"]
        "Streaming multiprocessors that the lane may use."
        |status, rows| for_lanes(status, |lane, labels| rows.value(&labels, lane.sms));
    Gauge "lane_granted_sms" None ["device" "emulated" "lane"]
        "Streaming multiprocessors that a batch on the lane holds now."
        |status, rows| for_lanes(status, |lane, labels| rows.value(&labels, lane.held_sms));
    Counter "lane_busy" Seconds ["device" "emulated" "lane"]
        "Time for which batches have held the lane; a batch counts when it ends."
        |status, rows| for_lanes(status, |lane, labels| rows.value(&labels, Nanos(lane.busy_ns)));
    Counter "lane_batches" None ["device" "emulated" "lane"]
        "Batches that began on the lane."
        |status, rows| for_lanes(status, |lane, labels| rows.value(&labels, lane.batches));

    Gauge "function_info" None ["function" "device" "model"]
        "Always 1; which model the function runs, and on which device."
        |status, rows| status.functions.iter().try_for_each(|function| {
            let device = function.device.to_string();
            rows.value(&[&function.name, &device, &function.model], 1u64)
        });
    Gauge "function_channels" None ["function"]
        "Channels to the function that are open."
        |status, rows| for_functions(status, |function, name| rows.value(&[name], function.channels));
    Gauge "queued_requests" None ["function"]
        "Requests that wait."
        |status, rows| for_functions(status, |function, name| rows.value(&[name], function.queued));
    Gauge "queue_limit_requests" None ["function"]
        "Requests that may wait."
        |status, rows| for_functions(status, |function, name| rows.value(&[name], function.queue_max));
    Gauge "quarantined" None ["function"]
        "1 while the function is refused because its requests killed workers, else 0."
        |status, rows| for_functions(status, |function, name| {
            rows.value(&[name], function.quarantined.is_some())
        });
    Counter "requests_read" None ["function"]
        "Requests read from slots."
        |status, rows| for_functions(status, |function, name| rows.value(&[name], function.arrived));
    Counter "requests" None ["function" "outcome"]
        "Requests by how they ended: done, refused, deadline_missed, cancelled."
        |status, rows| for_functions(status, |function, name| {
            outcomes(function.outcomes).into_iter()
                .try_for_each(|(outcome, count)| rows.value(&[name, outcome], count))
        });
    Counter "refusals" None ["function" "reason"]
        "Requests that were refused, by reason."
        |status, rows| for_functions(status, |function, name| {
            Reason::ALL.into_iter().try_for_each(|reason| {
                let mut counts = function.refusals.iter();
                let count = counts.find(|count| count.reason == reason.label());
                rows.value(&[name, reason.label()], count.map_or(0, |count| count.count))
            })
        });
    Histogram "request_duration" Seconds ["function"]
        "From a request's being read to its completion, of requests that were done."
        |status, rows| for_stages(status, |name, stage, distribution| match stage {
            "total" => rows.distribution(&[name], distribution, &DURATION_BOUNDS_NS, NANOS_A_SECOND),
            _ => Ok(()),
        });
    Histogram "stage_duration" Seconds ["function" "stage"]
        "The parts of that time: queue, copy, device, return."
        |status, rows| for_stages(status, |name, stage, distribution| match stage {
            "total" => Ok(()),
            _ => rows.distribution(
                &[name, stage], distribution, &DURATION_BOUNDS_NS, NANOS_A_SECOND,
            ),
        });
    Counter "deadlines" None ["function" "result"]
        "Requests that came with a budget: met (done within it), late (done after it), missed (never run)."
        |status, rows| for_functions(status, |function, name| {
            let counts = function.deadlines;
            [("met", counts.met), ("late", counts.late), ("missed", counts.missed)].into_iter()
                .try_for_each(|(result, count)| rows.value(&[name, result], count))
        });
    Gauge "objective_ratio" None ["function"]
        "The share of requests that the function's objective owes within its bound."
        |status, rows| for_functions(status, |function, name| match function.attainment {
            Some(attainment) => rows.value(&[name], attainment.owed),
            None => Ok(()),
        });
    Counter "objective_requests" None ["function" "result"]
        "Requests of functions with an objective: within its bound, or beyond (done later, or past their deadline)."
        |status, rows| for_functions(status, |function, name| {
            let Some(counts) = function.attainment else { return Ok(()) };
            [("within", counts.within), ("beyond", counts.beyond)].into_iter()
                .try_for_each(|(result, count)| rows.value(&[name, result], count))
        });
    Histogram "batch_size" None ["function"]
        "Requests in each batch."
        |status, rows| for_functions(status, |function, name| {
            rows.distribution(&[name], &function.batch_sizes, &BATCH_BOUNDS, 1.0)
        });
    Counter "elements" None ["function" "kind"]
        "Elements along the variable dimension that batches computed: own (brought by requests), padding."
        |status, rows| for_functions(status, |function, name| {
            let kinds = [("own", function.own_elements), ("padding", function.padded_elements)];
            kinds.into_iter().try_for_each(|(kind, count)| rows.value(&[name, kind], count))
        });
    Gauge "padding_ratio" None ["function"]
        "Elements of padding for each element that requests brought, since the daemon's start."
        |status, rows| for_functions(status, |function, name| {
            rows.value(&[name], function.padding_share)
        });
    Gauge "tenant_sessions" None ["tenant"]
        "Peers of the tenant that are connected."
        |status, rows| for_tenants(status, |it, name| rows.value(&[name], it.sessions));
    Gauge "tenant_sessions_limit" None ["tenant"]
        "Peers of the tenant that may be connected at once."
        |status, rows| for_tenants(status, |it, name| rows.value(&[name], it.sessions_max));
    Gauge "tenant_channels" None ["tenant"]
        "Channels of the tenant's peers that are open."
        |status, rows| for_tenants(status, |it, name| rows.value(&[name], it.channels));
    Gauge "tenant_channels_limit" None ["tenant"]
        "Channels that the tenant's peers may have open at once."
        |status, rows| for_tenants(status, |it, name| rows.value(&[name], it.channels_max));
    Gauge "tenant_mapped" Bytes ["tenant"]
        "Shared memory of the tenant's channels."
        |status, rows| for_tenants(status, |it, name| rows.value(&[name], it.mapped_bytes));
    Gauge "tenant_mapped_limit" Bytes ["tenant"]
        "Shared memory that the tenant's channels together may have."
        |status, rows| for_tenants(status, |it, name| rows.value(&[name], it.mapped_bytes_max));
    Counter "tenant_connections_refused" None ["tenant"]
        "Connections of the tenant's peers that were turned away, since it was configured. Those of nobody's peers are in connections_refused alone, as no_tenant."
        |status, rows| for_tenants(status, |it, name| rows.value(&[name], it.refused_connections));
    Counter "tenant_opens_refused" None ["tenant"]
        "Functions that the tenant's peers asked for and did not get, since it was configured."
        |status, rows| for_tenants(status, |it, name| rows.value(&[name], it.refused_opens));
    Counter "tenant_audit_lines_left_out" None ["tenant"]
        "Refusals of the tenant's peers that have no line of their own in the log, because there were too many; the next line counts them."
        |status, rows| for_tenants(status, |it, name| rows.value(&[name], it.audit_left_out));
    Counter "tenant_requests" None ["tenant" "function" "outcome"]
        "Requests of a tenant by how they ended; a tenant appears with its first."
        |status, rows| for_functions(status, |function, name| {
            function.tenants.iter().try_for_each(|it| {
                outcomes(it.outcomes).into_iter()
                    .try_for_each(|(outcome, count)| rows.value(&[&it.tenant, name, outcome], count))
            })
        });
    Counter "sm" Seconds ["tenant" "function"]
        "SMs times the seconds for which a tenant's requests held them: each batch's share by length, counted when it ends."
        |status, rows| for_functions(status, |function, name| {
            function.tenants.iter()
                .try_for_each(|it| rows.value(&[&it.tenant, name], Nanos(it.sm_ns)))
        });
}

fn outcomes(counts: OutcomeCounts) -> [(&'static str, u64); 4] {
    [
        ("done", counts.done),
        ("refused", counts.refused),
        ("deadline_missed", counts.deadline_missed),
        ("cancelled", counts.cancelled),
    ]
}

fn refusals(rows: &mut Rows<'_>, counts: &[RefusalCount]) -> fmt::Result {
    counts.iter().try_for_each(|refusal| rows.value(&[&refusal.reason], refusal.count))
}

/// Every device, with the two labels that each of its lines has.
fn for_devices(
    status: &Status,
    mut row: impl FnMut(&DeviceStatus, [&str; 2]) -> fmt::Result,
) -> fmt::Result {
    status.devices.iter().try_for_each(|device| {
        let (ordinal, emulated) = (device.ordinal.to_string(), device.emulated.to_string());
        row(device, [&ordinal, &emulated])
    })
}

fn for_lanes(
    status: &Status,
    mut row: impl FnMut(&LaneStatus, [&str; 3]) -> fmt::Result,
) -> fmt::Result {
    for_devices(status, |device, [ordinal, emulated]| {
        (0u16..)
            .zip(&device.lanes)
            .try_for_each(|(index, lane)| row(lane, [ordinal, emulated, &index.to_string()]))
    })
}

fn for_functions(
    status: &Status,
    mut row: impl FnMut(&FunctionStatus, &str) -> fmt::Result,
) -> fmt::Result {
    status.functions.iter().try_for_each(|function| row(function, &function.name))
}

/// Every tenant that is configured: peers cannot make more of them.
fn for_tenants(
    status: &Status,
    mut row: impl FnMut(&TenantStatus, &str) -> fmt::Result,
) -> fmt::Result {
    status.tenants.iter().try_for_each(|tenant| row(tenant, &tenant.name))
}

fn for_stages(
    status: &Status,
    mut row: impl FnMut(&str, &str, &gpumux_wire::status::Distribution) -> fmt::Result,
) -> fmt::Result {
    for_functions(status, |function, name| {
        let mut stages = function.stages.iter();
        stages.try_for_each(|stage| row(name, &stage.stage, &stage.distribution))
    })
}
