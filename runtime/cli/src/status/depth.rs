//! One function in depth.

use super::glance::{quarantine, sessions};
use super::text::{align, counted, fitting, micros, percent, sm_time};
use gpumux_wire::outcome::Reason;
use gpumux_wire::status::{BATCH_BOUNDS, FunctionStatus, SessionStatus, Status};
use std::time::Duration;

/// The width of the longest bar.
const BAR: u64 = 40;

/// See the file's head.
pub(super) fn page(status: &Status, function: &FunctionStatus) -> String {
    let mut sections = vec![head(status, function), stages(function)];
    sections.extend(batch_sizes(function));
    sections.extend(tenants(function));
    let peers = status.sessions.iter().filter(|it| it.functions.contains(&function.name));
    let peers: Vec<SessionStatus> = peers.cloned().collect();
    sections.push(sessions(&peers).replace("is connected", "has it open"));
    sections.join("\n\n")
}

fn head(status: &Status, function: &FunctionStatus) -> String {
    let device = status.devices.iter().find(|device| device.ordinal == function.device);
    let device = device.map_or("it is not known".to_owned(), |device| {
        let emulated = if device.emulated { ", emulated" } else { "" };
        format!("{}{emulated}, {}", device.name, device.state)
    });
    let outcomes = function.outcomes;
    let mut lines = vec![
        format!("{}: {} on device {} ({device})", function.name, function.model, function.device),
        line("objective", &objective(function)),
        line("deadlines", &deadlines(function)),
    ];
    if let Some(signature) = &function.signature {
        let tensors = |specs: &[gpumux_wire::signature::TensorSpec]| {
            let specs: Vec<String> = specs.iter().map(ToString::to_string).collect();
            if specs.is_empty() { "nothing".to_owned() } else { specs.join(", ") }
        };
        lines.push(line("takes", &tensors(&signature.inputs)));
        lines.push(line("gives", &tensors(&signature.outputs)));
        lines.push(line("length", &format!("at most {}", signature.length_max)));
    }
    lines.push(line(
        "requests",
        &format!(
            "{:.1}/s now; {} done, {} refused, {} past their deadline, {} cancelled",
            function.rate_per_s,
            outcomes.done,
            outcomes.refused,
            outcomes.deadline_missed,
            outcomes.cancelled
        ),
    ));
    for refusal in &function.refusals {
        let reason = Reason::ALL.into_iter().find(|reason| reason.label() == refusal.reason);
        let advice = reason.map_or("", Reason::advice);
        lines.push(line("refused", &format!("{} {}: {advice}", refusal.count, refusal.reason)));
    }
    lines.push(line(
        "waiting",
        &format!(
            "{} of {}; {} open",
            function.queued,
            function.queue_max,
            counted(function.channels.into(), "channel")
        ),
    ));
    lines.push(line("padding", &padding(function)));
    lines.push(line("SM time", &format!("{} SM-seconds", sm_time(function.sm_ns))));
    if let Some(why) = &function.quarantined {
        lines.push(line("quarantine", &quarantine(&function.name, why)));
    }
    lines.join("\n")
}

fn line(name: &str, text: &str) -> String {
    format!("  {name:<11} {text}")
}

fn objective(function: &FunctionStatus) -> String {
    let Some(objective) = &function.objective else {
        return "none: set service.objective in function.toml".to_owned();
    };
    let Some((attainment, share)) =
        function.attainment.and_then(|it| it.share().map(|at| (it, at)))
    else {
        return format!("{objective}: no request has ended yet");
    };
    let all = attainment.within + attainment.beyond;
    let met = if attainment.is_met() == Some(true) { "met" } else { "NOT MET" };
    format!("{objective}: {met}, {} of {} within it", percent(share), counted(all, "request"))
}

fn deadlines(function: &FunctionStatus) -> String {
    let counts = function.deadlines;
    match counts.met + counts.late + counts.missed {
        0 => "no request with a budget has ended".to_owned(),
        _ => format!(
            "{} met, {} done too late, {} not run because their budget was over",
            counts.met, counts.late, counts.missed
        ),
    }
}

fn padding(function: &FunctionStatus) -> String {
    format!(
        "{} ({} elements beside the {} that requests brought)",
        percent(function.padding_share),
        function.padded_elements,
        function.own_elements
    )
}

/// Where the time of requests went.
fn stages(function: &FunctionStatus) -> String {
    let mut rows = fitting(&["STAGE", "P50", "P99", "MAX", "MEAN", "SHARE"]);
    let total = function.stages.iter().find(|stage| stage.stage == "total");
    let total = total.map_or(0, |stage| stage.distribution.sum);
    for stage in &function.stages {
        let mean = Duration::from_secs_f64(stage.distribution.mean() / 1e9);
        rows.add_row([
            stage.stage.clone(),
            micros(stage.latency_us.p50),
            micros(stage.latency_us.p99),
            micros(stage.latency_us.max),
            super::span(mean),
            percent(gpumux_wire::status::share(stage.distribution.sum, total)),
        ]);
    }
    align(&mut rows, 1..6);
    match function.stages.len() {
        0 => "no worker serves it, so nothing is known of its latency".to_owned(),
        _ => {
            format!("{rows}\nquantiles since the worker's start, mean and share since the daemon's")
        }
    }
}

/// How large its batches were; nothing before the first.
fn batch_sizes(function: &FunctionStatus) -> Option<String> {
    let most = function.batch_sizes.counts.iter().copied().max().filter(|most| *most > 0)?;
    let mut rows = fitting(&["BATCH OF", "BATCHES", ""]);
    let mut least = 1;
    for (bound, count) in BATCH_BOUNDS.into_iter().zip(&function.batch_sizes.counts) {
        let range = if least == bound { bound.to_string() } else { format!("{least}–{bound}") };
        least = bound + 1;
        if bound / 2 < u64::from(function.max_batch) {
            let bar = "█".repeat(usize::try_from(count * BAR / most).unwrap_or(0));
            rows.add_row([range, count.to_string(), bar]);
        }
    }
    align(&mut rows, 0..2);
    Some(rows.to_string())
}

/// Who asked for it; nothing where nobody did.
fn tenants(function: &FunctionStatus) -> Option<String> {
    if function.tenants.is_empty() {
        return None;
    }
    let mut rows = fitting(&["TENANT", "DONE", "REFUSED", "LATE", "CANCELLED", "SM-SECONDS"]);
    for it in &function.tenants {
        rows.add_row([
            it.tenant.clone(),
            it.outcomes.done.to_string(),
            it.outcomes.refused.to_string(),
            it.outcomes.deadline_missed.to_string(),
            it.outcomes.cancelled.to_string(),
            sm_time(it.sm_ns),
        ]);
    }
    align(&mut rows, 1..6);
    Some(rows.to_string())
}
