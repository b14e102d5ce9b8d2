//! What is said of measurements: quantiles of each, medians and spread over repeats, a table.

use super::report::Latencies;
use super::scene::{Manner, Verdict};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::time::Duration;

/// What one measurement showed.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Figures {
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) p999_ns: u64,
    pub(super) requests: u64,
    pub(super) requests_per_s: f64,
}

impl Figures {
    pub(super) fn new(latencies: &Latencies, requests_per_s: f64) -> Self {
        Self {
            p50_ns: latencies.quantile(0.5),
            p99_ns: latencies.quantile(0.99),
            p999_ns: latencies.quantile(0.999),
            requests: latencies.count(),
            requests_per_s,
        }
    }

    pub(super) fn p50_micros(&self) -> f64 {
        ns(self.p50_ns) / 1e3
    }

    pub(super) fn rate(&self) -> f64 {
        self.requests_per_s
    }

    /// A span as figures have it.
    pub(super) fn nanos(span: Duration) -> u64 {
        u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The two legs of one repeat, measured one after the other; a scene that nothing bare is like has
/// one.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Repeat {
    pub(super) gpumux: Figures,
    pub(super) ping_pong: Option<Figures>,
}

impl Repeat {
    /// How the p50 of one leg is to that of the other.
    pub(super) fn p50_ratio(&self) -> Option<f64> {
        Some(ns(self.gpumux.p50_ns) / ns(self.ping_pong?.p50_ns))
    }

    /// The same of the p99.
    pub(super) fn p99_ratio(&self) -> Option<f64> {
        Some(ns(self.gpumux.p99_ns) / ns(self.ping_pong?.p99_ns))
    }
}

/// A scene, repeated.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) scene: String,
    pub(super) bytes: u32,
    pub(super) peers: u32,
    pub(super) in_flight: u32,
    pub(super) repeats: Vec<Repeat>,
    pub(super) verdicts: Vec<Verdict>,
}

/// The middle of several values, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// Of at least one value.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => values[middle - 1].midpoint(values[middle]),
            _ => values[middle],
        };
        Self { median, least: values[0], most: values[values.len() - 1] }
    }
}

impl Row {
    /// What the repeats of a scene showed.
    pub(super) fn new(scene: String, manner: &Manner, repeats: Vec<Repeat>) -> Self {
        let Manner { bytes, peers, in_flight, promises, .. } = *manner;
        let verdicts = promises.iter().filter_map(|promise| promise.judge(&repeats)).collect();
        Self { scene, bytes, peers, in_flight, repeats, verdicts }
    }

    fn spread(&self, figure: impl Fn(&Repeat) -> Option<f64>) -> Option<Spread> {
        let figures: Option<Vec<f64>> = self.repeats.iter().map(figure).collect();
        Some(Spread::of(figures?.into_iter()))
    }

    /// A line, and one of what it is compared with.
    fn lines(&self) -> Vec<Vec<String>> {
        let ratio = |figure: fn(&Repeat) -> Option<f64>| {
            self.spread(figure).map_or_else(String::new, |Spread { median, least, most }| {
                format!("{median:.2} ({least:.2}–{most:.2})")
            })
        };
        let mut through = vec![self.scene.clone(), "gpumux".to_owned()];
        through.extend(self.figures(|repeat| Some(repeat.gpumux)).into_iter().flatten());
        through.extend([ratio(Repeat::p50_ratio), ratio(Repeat::p99_ratio)]);
        let mut lines = vec![through];
        if let Some(figures) = self.figures(|repeat| repeat.ping_pong) {
            let mut bare = vec![String::new(), "ping-pong".to_owned()];
            bare.extend(figures);
            bare.extend([String::new(), String::new()]);
            lines.push(bare);
        }
        lines
    }

    fn figures(&self, leg: impl Fn(&Repeat) -> Option<Figures>) -> Option<[String; 5]> {
        let of = |figure: fn(&Figures) -> f64| self.spread(|repeat| Some(figure(&leg(repeat)?)));
        let p50 = of(|figures| ns(figures.p50_ns))?;
        Some([
            micros(p50.median),
            format!("{}–{}", micros(p50.least), micros(p50.most)),
            micros(of(|figures| ns(figures.p99_ns))?.median),
            micros(of(|figures| ns(figures.p999_ns))?.median),
            format!("{:.0}", of(Figures::rate)?.median),
        ])
    }
}

/// The table of all rows. Every figure is the median over repeats.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "SCENE",
        "PATH",
        "P50 µs",
        "OVER REPEATS",
        "P99 µs",
        "P99.9 µs",
        "REQUESTS/s",
        "P50 TO PING-PONG",
        "P99 TO PING-PONG",
    ]);
    table.add_rows(rows.iter().flat_map(Row::lines));
    for column in 2..9 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

fn micros(nanos: f64) -> String {
    format!("{:.1}", nanos / 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "latencies end at a minute: 36 bits")]
fn ns(nanos: u64) -> f64 {
    nanos as f64
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;

    fn figures(p50_ns: u64) -> Figures {
        let (p99_ns, p999_ns) = (p50_ns * 2, p50_ns * 3);
        Figures { p50_ns, p99_ns, p999_ns, requests: 10, requests_per_s: 1e9 / ns(p50_ns) }
    }

    #[test]
    fn the_table_shows_medians_spread_and_the_ratios_of_neighbours() {
        let repeat = |gpumux, ping_pong| Repeat {
            gpumux: figures(gpumux),
            ping_pong: Some(figures(ping_pong)),
        };
        let repeats = vec![repeat(30_000, 10_000), repeat(20_000, 20_000), repeat(10_000, 5_000)];
        let manner = Scene::Null8.manner();
        let row = Row::new("null-8".to_owned(), &manner, repeats);
        let alone = vec![Repeat { gpumux: figures(1_000), ping_pong: None }];
        let alone = Row::new("alone".to_owned(), &manner, alone);
        let shown = table(&[row, alone]);
        let lines: Vec<Vec<&str>> =
            shown.lines().map(|line| line.split_whitespace().collect()).collect();
        let through = ["null-8", "gpumux", "20.0", "10.0–30.0", "40.0", "60.0", "50000"];
        assert_eq!(lines[1][..7], through);
        assert_eq!(lines[1][7..], ["2.00", "(1.00–3.00)", "2.00", "(1.00–3.00)"]);
        assert_eq!(lines[2], ["ping-pong", "10.0", "5.0–20.0", "20.0", "30.0", "100000"]);
        assert_eq!(lines[3], ["alone", "gpumux", "1.0", "1.0–1.0", "2.0", "3.0", "1000000"]);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0].into_iter());
        assert_eq!(spread, Spread { median: 2.5, least: 1.0, most: 4.0 });
    }
}
