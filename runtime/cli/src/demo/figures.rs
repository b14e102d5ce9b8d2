//! What the demo took, function by function.

use crate::status::{align, mean_batch, span, table as bare_table};
use gpumux_wire::status::{DeviceStatus, Status};
use std::time::Duration;

/// Said of figures from an emulated device, wherever they are shown.
const EMULATED: &str =
    "The device is emulated by the CPU: its figures say nothing of a GPU's speed.";

/// The device in a line, and a row for each function.
pub(super) fn table(status: &Status) -> String {
    let mut rows = bare_table(&[
        "FUNCTION",
        "REQUESTS",
        "BATCHES",
        "MEAN BATCH",
        "P50",
        "P99",
        "PADDING",
        "SMS",
    ]);
    // There is one device, and its lanes are all of one size.
    let sms = status.devices.iter().flat_map(|device| &device.lanes).map(|lane| lane.sms).max();
    for function in &status.functions {
        rows.add_row([
            function.name.clone(),
            function.outcomes.done.to_string(),
            function.batches.to_string(),
            mean_batch(function),
            span(Duration::from_micros(function.latency_us.p50)),
            span(Duration::from_micros(function.latency_us.p99)),
            format!("{:.1} %", function.padding_share * 100.0),
            sms.map_or("-".to_owned(), |sms| sms.to_string()),
        ]);
    }
    align(&mut rows, 1..8);
    let devices: Vec<String> = status.devices.iter().map(line).collect();
    format!("{}\n{rows}", devices.join("\n"))
}

fn line(device: &DeviceStatus) -> String {
    let DeviceStatus { name, sms, policy, .. } = device;
    let emulated = if device.emulated { format!("\n{EMULATED}") } else { String::new() };
    format!("{name}, {sms} SMs, policy {policy}{emulated}")
}
