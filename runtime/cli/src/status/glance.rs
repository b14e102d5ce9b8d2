//! The whole daemon on one page.

use super::text::{
    align, bytes, cell, counted, fitting, mean_batch, micros, percent, sm_time, uptime,
};
use comfy_table::Cell;
use gpumux_wire::status::{
    ConnectionStatus, DeviceStatus, FunctionStatus, OutcomeCounts, RefusalCount, SessionStatus,
    Status, TenantStatus, share,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Sessions that are shown; a page that nobody can read says less.
const SESSIONS_SHOWN: usize = 20;

/// See the file's head.
pub(super) fn page(status: &Status) -> String {
    let up = Duration::from_secs(status.uptime_s);
    let mut sections = vec![head(status)];
    sections.extend(status.devices.iter().map(|one| device(one, up)));
    sections.push(functions(&status.functions));
    sections.extend(tenants(status));
    sections.push(sessions(&status.sessions));
    sections.join("\n\n")
}

fn head(status: &Status) -> String {
    let connections = &status.connections;
    let draining = if status.draining { ", draining: nothing new is admitted" } else { "" };
    let mut lines = vec![
        format!(
            "gpumuxd {}, pid {}, up {}{draining}",
            status.version,
            status.pid,
            uptime(status.uptime_s)
        ),
        format!(
            "{}, {}, {} of {} mapped",
            counted(status.sessions.len() as u64, "session"),
            counted(connections.channels.into(), "channel"),
            bytes(connections.mapped_bytes),
            bytes(connections.mapped_bytes_max)
        ),
    ];
    lines.extend(turned_away(connections));
    lines.join("\n")
}

/// Who got nothing, if anybody.
fn turned_away(connections: &ConnectionStatus) -> Option<String> {
    let mut parts = Vec::new();
    if !connections.refused.is_empty() {
        parts.push(format!("connections turned away: {}", reasons(&connections.refused)));
    }
    if !connections.opens_refused.is_empty() {
        parts.push(format!("functions not opened: {}", reasons(&connections.opens_refused)));
    }
    if connections.violations > 0 {
        let count = counted(connections.violations, "session");
        parts.push(format!("{count} ended for breaking the protocol"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Refusals, most frequent first.
pub(super) fn reasons(refusals: &[RefusalCount]) -> String {
    let mut refusals: Vec<&RefusalCount> = refusals.iter().collect();
    refusals.sort_by_key(|refusal| std::cmp::Reverse(refusal.count));
    let texts: Vec<String> =
        refusals.iter().map(|it| format!("{} {}", it.count, it.reason)).collect();
    texts.join(", ")
}

fn device(device: &DeviceStatus, up: Duration) -> String {
    let emulated = if device.emulated { " (emulated)" } else { "" };
    let worker = device.worker_pid.map_or("no worker".to_owned(), |pid| format!("worker {pid}"));
    let memory = device.memory;
    let used = memory.weights_bytes + memory.batches_bytes;
    let mut lines = vec![
        format!(
            "DEVICE {} {}{emulated}: {}, {} SMs, policy {}, {worker}, {}",
            device.ordinal,
            device.name,
            device.state,
            device.sms,
            device.policy,
            counted(device.worker_restarts.into(), "restart")
        ),
        format!("  partitions  {}", device.partitions),
        format!(
            "  memory      {} reserved: {} weights, {} for batches, {} free",
            bytes(device.memory_bytes),
            bytes(memory.weights_bytes),
            bytes(memory.batches_bytes),
            bytes(device.memory_bytes.saturating_sub(used))
        ),
    ];
    for (index, lane) in device.lanes.iter().enumerate() {
        let now = if lane.held_sms > 0 { "busy now" } else { "idle now" };
        let busy = Duration::from_nanos(lane.busy_ns).as_secs_f64() / up.as_secs_f64().max(1.0);
        lines.push(format!(
            "  lane {index:<6} {} SMs ({}): {now}, {} busy so far, {}",
            lane.sms,
            lane.granted,
            percent(busy.min(1.0)),
            batches(lane.batches)
        ));
    }
    lines.join("\n")
}

fn batches(count: u64) -> String {
    if count == 1 { "1 batch".to_owned() } else { format!("{count} batches") }
}

fn functions(functions: &[FunctionStatus]) -> String {
    let mut rows = fitting(&[
        "FUNCTION",
        "DEVICE",
        "RATE/S",
        "P50",
        "P99",
        "OBJECTIVE",
        "IS MET",
        "DEADLINES MET",
        "WAITING",
        "BATCH",
        "PADDING",
        "DONE",
        "REFUSED",
        "CANCELLED",
    ]);
    for function in functions {
        let (met, alarming) = objective_met(function);
        rows.add_row([
            cell(&function.name, function.quarantined.is_some()),
            cell(function.device.to_string(), false),
            cell(format!("{:.1}", function.rate_per_s), false),
            cell(micros(function.latency_us.p50), false),
            cell(micros(function.latency_us.p99), false),
            cell(function.objective.as_deref().unwrap_or("-"), false),
            cell(met, alarming),
            cell(deadlines_met(function), false),
            cell(format!("{}/{}", function.queued, function.queue_max), false),
            cell(mean_batch(function), false),
            cell(percent(function.padding_share), false),
            cell(function.outcomes.done.to_string(), false),
            cell(function.outcomes.refused.to_string(), false),
            cell(function.outcomes.cancelled.to_string(), false),
        ]);
    }
    align(&mut rows, 1..5);
    align(&mut rows, 6..14);
    let refused = functions.iter().filter(|function| !function.refusals.is_empty());
    let refused = refused.map(|it| format!("\n{} refused: {}", it.name, reasons(&it.refusals)));
    let quarantined = functions.iter().filter_map(|function| {
        let why = function.quarantined.as_ref()?;
        Some(format!("\n{}", quarantine(&function.name, why)))
    });
    rows.to_string() + &refused.chain(quarantined).collect::<String>()
}

/// Whether a function gets what it is owed, and whether that is bad.
pub(super) fn objective_met(function: &FunctionStatus) -> (String, bool) {
    let attainment = function.attainment.and_then(|it| it.share().zip(it.is_met()));
    match attainment {
        Some((share, true)) => (format!("yes, {}", percent(share)), false),
        Some((share, false)) => (format!("NO, {}", percent(share)), true),
        None => ("-".to_owned(), false),
    }
}

fn deadlines_met(function: &FunctionStatus) -> String {
    let counts = function.deadlines;
    match counts.met + counts.late + counts.missed {
        0 => "-".to_owned(),
        all => format!("{} of {all}", percent(share(counts.met, all))),
    }
}

/// What to do about a function that is not served.
pub(super) fn quarantine(name: &str, why: &str) -> String {
    format!("{name} is quarantined: {why}: `gpumux functions clear {name}` serves it again")
}

/// What each tenant has of what it may have, what it was refused, and what it had of all functions
/// together.
fn tenants(status: &Status) -> Option<String> {
    let mut uses: BTreeMap<&str, (OutcomeCounts, u64)> = BTreeMap::new();
    for it in status.functions.iter().flat_map(|function| &function.tenants) {
        let (outcomes, sm_ns) = uses.entry(&it.tenant).or_default();
        outcomes.add(it.outcomes);
        *sm_ns += it.sm_ns;
    }
    let configured = status.tenants.iter().map(|tenant| (tenant.name.as_str(), Some(tenant)));
    let mut all: BTreeMap<&str, Option<&TenantStatus>> =
        uses.keys().map(|name| (*name, None)).collect();
    all.extend(configured);
    if all.is_empty() {
        return None;
    }
    let mut rows = fitting(&[
        "TENANT",
        "SESSIONS",
        "CHANNELS",
        "MAPPED",
        "TURNED AWAY",
        "NOT OPENED",
        "DONE",
        "REFUSED",
        "LATE",
        "CANCELLED",
        "SM-SECONDS",
        "MAY OPEN",
    ]);
    for (name, tenant) in all {
        let (outcomes, sm_ns) = uses.get(name).copied().unwrap_or_default();
        let [sessions, channels, mapped, turned_away, not_opened, may_open] = quotas(tenant);
        rows.add_row([
            cell(name, false),
            sessions,
            channels,
            mapped,
            turned_away,
            not_opened,
            cell(outcomes.done.to_string(), false),
            cell(outcomes.refused.to_string(), false),
            cell(outcomes.deadline_missed.to_string(), false),
            cell(outcomes.cancelled.to_string(), false),
            cell(sm_time(sm_ns), false),
            may_open,
        ]);
    }
    align(&mut rows, 1..11);
    Some(rows.to_string())
}

/// What a tenant has and may have. What it has all of stands out: it gets no more. One that is not
/// configured any more has nothing, and what it had is still told.
fn quotas(tenant: Option<&TenantStatus>) -> [Cell; 6] {
    let Some(tenant) = tenant else {
        let gone = cell("(not configured any more)", false);
        let none = || cell("-", false);
        return [none(), none(), none(), none(), none(), gone];
    };
    let of = |has: u32, max: u32| cell(format!("{has}/{max}"), has >= max);
    let (mapped, mapped_max) = (tenant.mapped_bytes, tenant.mapped_bytes_max);
    [
        of(tenant.sessions, tenant.sessions_max),
        of(tenant.channels, tenant.channels_max),
        cell(format!("{} of {}", bytes(mapped), bytes(mapped_max)), mapped >= mapped_max),
        cell(tenant.refused_connections.to_string(), tenant.refused_connections > 0),
        cell(tenant.refused_opens.to_string(), tenant.refused_opens > 0),
        cell(tenant.functions.join(", "), false),
    ]
}

/// Peers that are connected.
pub(super) fn sessions(sessions: &[SessionStatus]) -> String {
    if sessions.is_empty() {
        return "no peer is connected".to_owned();
    }
    let mut rows = fitting(&["SESSION", "PID", "UID", "MAPPED", "TENANT", "FUNCTIONS"]);
    for session in sessions.iter().take(SESSIONS_SHOWN) {
        rows.add_row([
            session.id.to_string(),
            session.pid.to_string(),
            session.uid.to_string(),
            bytes(session.mapped_bytes),
            session.tenant.clone(),
            session.functions.join(", "),
        ]);
    }
    align(&mut rows, 0..4);
    let more = sessions.len().saturating_sub(SESSIONS_SHOWN);
    let more = if more > 0 { format!("\nand {more} more: --json has all") } else { String::new() };
    rows.to_string() + &more
}
