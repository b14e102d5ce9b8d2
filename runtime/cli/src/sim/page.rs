//! What came of simulations, as tables.

use comfy_table::{CellAlignment, Table, presets};
use gpumux_sim::Report;
use gpumux_sim::compare::{Comparison, Spread};
use gpumux_sim::report::{Figures, ProfileReport, Quantiles};
use std::time::Duration;

/// How fast it went on this machine.
#[expect(clippy::cast_precision_loss, reason = "counts fit 53 bits")]
pub(super) fn pace(arrivals: u64, events: u64, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let rate = if seconds > 0.0 { events as f64 / seconds } else { 0.0 };
    format!("{arrivals} requests, {events} events in {seconds:.2} s: {rate:.0} events/s")
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec());
    for column in 1..head.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn or_dash(figure: Option<String>) -> String {
    figure.unwrap_or_else(|| "-".to_owned())
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn millis(nanos: f64) -> String {
    format!("{:.2}", nanos / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "latencies end at an hour: 42 bits")]
fn millis_of(latency: Option<Quantiles>, which: fn(&Quantiles) -> u64) -> String {
    or_dash(latency.map(|latency| millis(which(&latency) as f64)))
}

/// A run.
pub(super) fn report(report: &Report) -> String {
    let Report { scenario, policy, seed, simulated_s, .. } = report;
    let mut functions = table(&[
        "FUNCTION", "ARRIVALS", "DONE", "MISSED", "FULL", "MET", "P50 MS", "P99 MS", "MAX MS",
        "BATCH", "PADDING", "SM-S", "SM-S/MET",
    ]);
    for function in &report.functions {
        functions.add_row(row(&function.function, &function.figures));
    }
    functions.add_row(row("all", &report.all));
    let mut lanes = table(&["LANE", "SMS", "OCCUPIED", "BATCHES"]);
    for (index, lane) in report.lanes.iter().enumerate() {
        lanes.add_row([
            index.to_string(),
            lane.sms.to_string(),
            percent(lane.occupied),
            lane.batches.to_string(),
        ]);
    }
    format!(
        "{scenario} under {policy}, seed {seed}: {simulated_s:.1} simulated seconds\n\n{functions}\n\n\
         MISSED: the budget passed before a batch began. FULL: refused by a full queue.\n\
         MET: of all arrivals, done within the objective; a refusal is a miss.\n\n{lanes}\n\n{}",
        profiles(&report.profiles)
    )
}

fn row(name: &str, figures: &Figures) -> Vec<String> {
    let latency = figures.latency;
    vec![
        name.to_owned(),
        figures.arrivals.to_string(),
        figures.done.to_string(),
        figures.deadline_missed.to_string(),
        figures.refused_queue_full.to_string(),
        or_dash(figures.attainment.map(percent)),
        millis_of(latency, |latency| latency.p50_ns),
        millis_of(latency, |latency| latency.p99_ns),
        millis_of(latency, |latency| latency.max_ns),
        or_dash(figures.batch_mean.map(|mean| format!("{mean:.1}"))),
        or_dash(figures.padding.map(percent)),
        format!("{:.2}", figures.sm_s),
        or_dash(figures.sm_s_per_met.map(|sm_s| format!("{sm_s:.4}"))),
    ]
}

/// What the durations are worth.
fn profiles(profiles: &[ProfileReport]) -> String {
    let mut lines =
        vec!["Durations follow from these profiles, and are worth what they are:".to_owned()];
    for profile in profiles {
        let ProfileReport { function, profile: name, device, emulated, .. } = profile;
        let emulated = if *emulated { " (emulated)" } else { "" };
        let error = or_dash(profile.interpolation_error_worst.map(percent));
        lines.push(format!(
            "  {function}: {name}; {device}{emulated}; interpolation error at worst {error}"
        ));
    }
    lines.join("\n")
}

/// A comparison.
pub(super) fn comparison(comparison: &Comparison) -> String {
    let Comparison { scenario, first_seed, seeds, policies } = comparison;
    let mut rows = table(&["POLICY", "MET", "P50 MS", "P99 MS", "PADDING", "SM-S/MET"]);
    for row in policies {
        rows.add_row([
            row.policy.clone(),
            spread(row.attainment, percent),
            spread(row.p50_ns, millis),
            spread(row.p99_ns, millis),
            spread(row.padding, percent),
            spread(row.sm_s_per_met, |sm_s| format!("{sm_s:.4}")),
        ]);
    }
    let last = first_seed.saturating_add(u64::from(*seeds) - 1);
    let mut page = format!(
        "{scenario}, seeds {first_seed} to {last}: the mean over seeds, and the least and the most\n\n{rows}"
    );
    if policies.len() == 1 {
        page += "\n\nThere is one policy in this table, so it compares nothing.";
    }
    let reports = policies.first().and_then(|row| row.reports.first());
    if let Some(report) = reports {
        page += "\n\n";
        page += &profiles(&report.profiles);
    }
    page
}

fn spread(figure: Option<Spread>, shown: impl Fn(f64) -> String) -> String {
    or_dash(figure.map(|Spread { mean, least, most }| {
        format!("{} ({} to {})", shown(mean), shown(least), shown(most))
    }))
}
