//! The report as an operator reads it.

use crate::status::{align, table};
use comfy_table::ContentArrangement;
use gpumux_wire::doctor::{DeviceReport, DoctorReport, Finding, LaneReport, Level, Verdict};

/// Puts everything on one page, the verdict last, where the eye ends.
pub(super) fn render(report: &DoctorReport) -> String {
    let mut sections = vec![findings(&report.findings)];
    for device in report.probe.iter().flat_map(|probe| &probe.devices) {
        sections.extend(lanes(device));
    }
    sections.push(verdict(report));
    sections.join("\n\n")
}

fn findings(findings: &[Finding]) -> String {
    let mut rows = table(&["", "PLACE", "FOUND"]);
    rows.set_content_arrangement(ContentArrangement::Dynamic);
    for Finding { level, place, what, remedy } in findings {
        let level = match level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "WARNING",
            Level::Fault => "FAULT",
        };
        // What is well asks for nothing.
        let what = remedy.as_ref().map_or_else(|| what.clone(), |it| format!("{what}\n→ {it}"));
        rows.add_row([level, place, &what]);
    }
    rows.to_string()
}

/// Where each lane of a device was seen to run.
fn lanes(device: &DeviceReport) -> Option<String> {
    let partitions = device.partitions.as_ref().filter(|it| !it.lanes.is_empty())?;
    let mut rows = table(&["LANE", "GRANTED", "SMS", "SEEN", "BLOCKS AN SM", "CONFINED"]);
    for (index, lane) in partitions.lanes.iter().enumerate() {
        rows.add_row([
            index.to_string(),
            lane.granted.clone(),
            lane.granted_sms.to_string(),
            lane.seen.len().to_string(),
            spread(lane),
            if lane.strays { "NO" } else { "yes" }.to_owned(),
        ]);
    }
    align(&mut rows, 2..5);
    Some(format!("device {}: where lanes ran (%smid)\n{rows}", device.ordinal))
}

/// Fewest and most blocks that an SM ran.
fn spread(lane: &LaneReport) -> String {
    let blocks = || lane.seen.iter().map(|seen| seen.blocks);
    match (blocks().min(), blocks().max()) {
        (Some(fewest), Some(most)) if fewest == most => most.to_string(),
        (Some(fewest), Some(most)) => format!("{fewest}-{most}"),
        (None, _) | (_, None) => "-".to_owned(),
    }
}

fn verdict(report: &DoctorReport) -> String {
    let mut lines: Vec<String> = report
        .claims
        .iter()
        .map(|claim| {
            let emulated = if claim.emulated { " (emulated)" } else { "" };
            format!("device {}{emulated}: {}", claim.device, claim.claim)
        })
        .collect();
    lines.push(match report.verdict {
        Verdict::Well => "all is well".to_owned(),
        Verdict::Degraded => "it serves, and not as it could: see the warnings".to_owned(),
        Verdict::CannotServe => "it cannot serve: see the faults".to_owned(),
    });
    lines.join("\n")
}
