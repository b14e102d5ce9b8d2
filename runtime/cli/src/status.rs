//! `gpumux status`: the daemon at a glance.

use crate::admin::AdminSocket;
use crate::failure::Failure;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use gpumux_wire::status::{DeviceStatus, FunctionStatus, SessionStatus, Status};
use std::io::Write;
use std::time::Duration;

/// What to show, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    socket: AdminSocket,
    /// Print the whole document as JSON
    #[arg(long)]
    json: bool,
}

/// Asks the daemon and prints what it says.
///
/// # Errors
/// [`Failure`]: no daemon, or nowhere to print.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let status = options.socket.status()?;
    let text = if options.json {
        serde_json::to_string_pretty(&status)
            .map_err(|error| Failure::BadAnswer(error.to_string()))?
    } else {
        render(&status)
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn render(status: &Status) -> String {
    let draining = if status.draining { ", draining" } else { "" };
    let head = format!(
        "gpumuxd {}, pid {}, up {}{draining}",
        status.version,
        status.pid,
        uptime(status.uptime_s),
    );
    let sections =
        [head, devices(&status.devices), functions(&status.functions), sessions(&status.sessions)];
    sections.join("\n\n")
}

/// A table without rules.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    table
}

/// Numbers stand at the right.
pub(crate) fn align(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn devices(devices: &[DeviceStatus]) -> String {
    let mut rows = table(&[
        "DEVICE",
        "NAME",
        "STATE",
        "SMS",
        "MEMORY",
        "LANES",
        "BATCHES",
        "POLICY",
        "PARTITIONS",
        "RESTARTS",
    ]);
    for device in devices {
        let emulated = if device.emulated { " (emulated)" } else { "" };
        let batches: u64 = device.lanes.iter().map(|lane| lane.batches).sum();
        rows.add_row([
            device.ordinal.to_string(),
            format!("{}{emulated}", device.name),
            device.state.clone(),
            device.sms.to_string(),
            bytes(device.memory_bytes),
            device.lanes.len().to_string(),
            batches.to_string(),
            device.policy.clone(),
            device.partitions.clone(),
            device.worker_restarts.to_string(),
        ]);
    }
    align(&mut rows, 3..7);
    rows.to_string()
}

fn functions(functions: &[FunctionStatus]) -> String {
    let mut rows = table(&[
        "FUNCTION",
        "MODEL",
        "DEVICE",
        "CHANNELS",
        "QUEUED",
        "DONE",
        "REFUSED",
        "LATE",
        "CANCELLED",
        "BATCH",
        "PADDING",
        "P50",
        "P99",
        "OBJECTIVE",
        "REFUSALS",
    ]);
    for function in functions {
        let outcomes = &function.outcomes;
        let refusals: Vec<String> = function
            .refusals
            .iter()
            .map(|refusal| format!("{} {}", refusal.count, refusal.reason))
            .collect();
        rows.add_row([
            function.name.clone(),
            function.model.clone(),
            function.device.to_string(),
            function.channels.to_string(),
            function.queued.to_string(),
            outcomes.done.to_string(),
            outcomes.refused.to_string(),
            outcomes.deadline_missed.to_string(),
            outcomes.cancelled.to_string(),
            mean_batch(function),
            format!("{:.1} %", function.padding_share * 100.0),
            span(Duration::from_micros(function.latency_us.p50)),
            span(Duration::from_micros(function.latency_us.p99)),
            function.objective.clone().unwrap_or_else(|| "-".to_owned()),
            refusals.join(", "),
        ]);
    }
    align(&mut rows, 2..13);
    let quarantined = functions.iter().filter_map(|function| {
        let why = function.quarantined.as_ref()?;
        let name = &function.name;
        Some(format!(
            "\n{name} is quarantined: {why}: `gpumux functions clear {name}` serves it again"
        ))
    });
    rows.to_string() + &quarantined.collect::<String>()
}

/// Requests that were done in each batch, on average.
#[expect(clippy::cast_precision_loss, reason = "a mean does not need all 64 bits")]
pub(crate) fn mean_batch(function: &FunctionStatus) -> String {
    match function.batches {
        0 => "-".to_owned(),
        batches => format!("{:.1}", function.outcomes.done as f64 / batches as f64),
    }
}

fn sessions(sessions: &[SessionStatus]) -> String {
    if sessions.is_empty() {
        return "no peer is connected".to_owned();
    }
    let mut rows = table(&["SESSION", "PID", "UID", "MAPPED", "FUNCTIONS"]);
    for session in sessions {
        rows.add_row([
            session.id.to_string(),
            session.pid.to_string(),
            session.uid.to_string(),
            bytes(session.mapped_bytes),
            session.functions.join(", "),
        ]);
    }
    align(&mut rows, 0..4);
    rows.to_string()
}

/// How long the daemon is up.
fn uptime(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// A span in the unit that suits it.
pub(crate) fn span(span: Duration) -> String {
    let micros = span.as_micros();
    match micros {
        0 => "-".to_owned(),
        1..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", span.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", span.as_secs_f64()),
    }
}

/// A size in the unit that suits it.
fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = UNITS.into_iter().find(|(_, shift)| bytes >= 1 << shift);
    unit.map_or(format!("{bytes} B"), |(unit, shift)| {
        let tenths = (bytes * 10) >> shift;
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    })
}
