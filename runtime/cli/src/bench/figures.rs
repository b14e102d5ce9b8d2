//! What is said of measurements: quantiles of each, medians and spread over repeats, a table.

use super::report::Latencies;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

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
}

/// The two legs of one repeat, measured one after the other.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Repeat {
    pub(super) gpumux: Figures,
    pub(super) ping_pong: Figures,
}

/// A function at a number of peers, repeated.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) function: &'static str,
    pub(super) bytes: u32,
    pub(super) peers: u32,
    pub(super) pinned: bool,
    pub(super) repeats: Vec<Repeat>,
}

/// The middle of several values, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// Of at least one value.
    fn of(values: impl Iterator<Item = f64>) -> Self {
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
    fn spread(&self, figure: impl Fn(&Repeat) -> f64) -> Spread {
        Spread::of(self.repeats.iter().map(figure))
    }

    /// Two lines: through the daemon, and bare.
    fn lines(&self) -> [Vec<String>; 2] {
        let cores = if self.pinned { "pinned" } else { "any" };
        let ratio = self.spread(|repeat| ns(repeat.gpumux.p50_ns) / ns(repeat.ping_pong.p50_ns));
        let mut through = vec![
            format!("{} {} B", self.function, self.bytes),
            self.peers.to_string(),
            cores.to_owned(),
            "gpumux".to_owned(),
        ];
        through.extend(self.figures(|repeat| repeat.gpumux));
        through.push(format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.least, ratio.most));
        let mut bare = vec![String::new(), String::new(), String::new(), "ping-pong".to_owned()];
        bare.extend(self.figures(|repeat| repeat.ping_pong));
        bare.push(String::new());
        [through, bare]
    }

    fn figures(&self, leg: impl Fn(&Repeat) -> Figures) -> [String; 5] {
        let p50 = self.spread(|repeat| ns(leg(repeat).p50_ns));
        [
            micros(p50.median),
            format!("{}–{}", micros(p50.least), micros(p50.most)),
            micros(self.spread(|repeat| ns(leg(repeat).p99_ns)).median),
            micros(self.spread(|repeat| ns(leg(repeat).p999_ns)).median),
            format!("{:.0}", self.spread(|repeat| leg(repeat).requests_per_s).median),
        ]
    }
}

/// The table of all rows. Every figure is the median over repeats.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "FUNCTION",
        "PEERS",
        "CORES",
        "PATH",
        "P50 µs",
        "OVER REPEATS",
        "P99 µs",
        "P99.9 µs",
        "REQUESTS/s",
        "P50 TO PING-PONG",
    ]);
    table.add_rows(rows.iter().flat_map(Row::lines));
    for column in [1, 4, 5, 6, 7, 8, 9] {
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
    use super::*;

    fn figures(p50_ns: u64) -> Figures {
        let (p99_ns, p999_ns) = (p50_ns * 2, p50_ns * 3);
        Figures { p50_ns, p99_ns, p999_ns, requests: 10, requests_per_s: 1e9 / ns(p50_ns) }
    }

    #[test]
    fn the_table_shows_medians_spread_and_the_ratio_of_neighbours() {
        let repeat =
            |gpumux, ping_pong| Repeat { gpumux: figures(gpumux), ping_pong: figures(ping_pong) };
        let repeats = vec![repeat(30_000, 10_000), repeat(20_000, 20_000), repeat(10_000, 5_000)];
        let row = Row { function: "null", bytes: 1, peers: 8, pinned: true, repeats };
        let shown = table(&[row]);
        let lines: Vec<Vec<&str>> =
            shown.lines().map(|line| line.split_whitespace().collect()).collect();
        let through =
            ["null", "1", "B", "8", "pinned", "gpumux", "20.0", "10.0–30.0", "40.0", "60.0"];
        assert_eq!(lines[1][..10], through);
        assert_eq!(lines[1][10..], ["50000", "2.00", "(1.00–3.00)"]);
        assert_eq!(lines[2], ["ping-pong", "10.0", "5.0–20.0", "20.0", "30.0", "100000"]);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0].into_iter());
        assert_eq!(spread, Spread { median: 2.5, least: 1.0, most: 4.0 });
    }
}
