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

#[cfg(test)]
mod tests {
    use super::*;
    use gpumux_wire::status::{Distribution, FunctionStatus, LaneStatus, OutcomeCounts, Quantiles};

    #[test]
    fn a_function_is_a_row_and_an_emulated_device_says_so() {
        let lane = LaneStatus { sms: 32, ..LaneStatus::default() };
        let device = DeviceStatus {
            name: "gpumux emulated GPU".to_owned(),
            emulated: true,
            sms: 32,
            policy: "fifo".to_owned(),
            lanes: vec![lane],
            ..DeviceStatus::default()
        };
        let function = FunctionStatus {
            name: "embed".to_owned(),
            outcomes: OutcomeCounts { done: 420, ..OutcomeCounts::default() },
            batches: 60,
            batch_sizes: Distribution { counts: vec![0, 0, 0, 60], sum: 420 },
            padding_share: 0.125,
            latency_us: Quantiles { p50: 950, p99: 12_500, max: 20_000 },
            ..FunctionStatus::default()
        };
        let status =
            Status { devices: vec![device], functions: vec![function], ..Status::default() };
        let shown = table(&status);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "gpumux emulated GPU, 32 SMs, policy fifo");
        assert_eq!(lines[1], EMULATED);
        let row: Vec<&str> = lines[3].split_whitespace().collect();
        let expected = ["embed", "420", "60", "7.0", "950", "µs", "12.5", "ms", "12.5", "%", "32"];
        assert_eq!(row, expected);
    }
}
