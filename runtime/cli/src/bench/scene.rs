//! What `bench path` measures: a function, who asks it and in which manner, and what was promised of
//! it.

use super::figures::{Figures, Repeat, Spread};
use clap::ValueEnum;
use serde::Serialize;

/// Bytes of the large requests, each way.
const LARGE_BYTES: u32 = 1 << 20;

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scene {
    /// A plan without launches, nobody spins: both sides sleep for every request
    NullAsleep,
    /// A plan without launches, and a peer that never sleeps
    NullPolled,
    /// A plan without launches, eight requests of one peer in flight
    NullPipelined,
    /// A plan without launches, 8 peers
    #[value(name = "null-8")]
    Null8,
    /// A plan without launches, 32 peers
    #[value(name = "null-32")]
    Null32,
    /// A plan without launches that takes 1 MiB and gives it back
    NullLarge,
    /// 1 KB through the device, nobody spins
    EchoAsleep,
    /// 1 KB through the device, 8 peers
    #[value(name = "echo-8")]
    Echo8,
    /// 1 KB through the device, 32 peers
    #[value(name = "echo-32")]
    Echo32,
}

/// How a scene is played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// The function's name.
    pub(super) function: &'static str,
    /// Bytes of a request.
    pub(super) bytes: u32,
    pub(super) peers: u32,
    /// Requests that each peer has in flight.
    pub(super) in_flight: u32,
    /// Peers look for their replies and never sleep.
    pub(super) polls: bool,
    /// The daemon and the answerer never look for work before they sleep.
    pub(super) sleeps: bool,
    /// Whether a bare ping-pong of words is what to compare with.
    pub(super) has_like: bool,
    pub(super) promises: &'static [Promise],
}

/// A bound on what a scene shows, over the median of its repeats.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Promise {
    /// The p50 is at most so many times the ping-pong's.
    P50Ratio(f64),
    /// The p99 is.
    P99Ratio(f64),
    /// The p50 is at most so many microseconds.
    P50Micros(f64),
    /// So many requests are answered in a second.
    Rate(f64),
}

/// What became of a promise.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Verdict {
    promise: Promise,
    found: f64,
    kept: bool,
}

const NULL: Manner = Manner {
    function: "null",
    bytes: 1,
    peers: 1,
    in_flight: 1,
    polls: false,
    sleeps: false,
    has_like: true,
    promises: &[],
};
const ECHO: Manner = Manner { function: "echo", bytes: 1024, ..NULL };

impl Scene {
    /// Its name on the command line.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// How it is played.
    pub(super) const fn manner(self) -> Manner {
        match self {
            Self::NullAsleep => Manner {
                sleeps: true,
                promises: &[Promise::P50Ratio(1.4), Promise::P99Ratio(1.5)],
                ..NULL
            },
            Self::NullPolled => {
                Manner { polls: true, promises: &[Promise::P50Micros(6.0)], ..NULL }
            }
            Self::NullPipelined => {
                Manner { in_flight: 8, promises: &[Promise::Rate(20_000.0)], ..NULL }
            }
            Self::Null8 => Manner { peers: 8, ..NULL },
            Self::Null32 => Manner { peers: 32, promises: &[Promise::Rate(40_000.0)], ..NULL },
            Self::NullLarge => Manner {
                bytes: LARGE_BYTES,
                has_like: false,
                promises: &[Promise::P50Micros(400.0)],
                ..NULL
            },
            Self::EchoAsleep => {
                Manner { sleeps: true, promises: &[Promise::P50Ratio(3.0)], ..ECHO }
            }
            Self::Echo8 => Manner { peers: 8, ..ECHO },
            Self::Echo32 => Manner { peers: 32, ..ECHO },
        }
    }
}

impl Manner {
    /// The function's function.toml.
    pub(super) fn function_text(&self) -> String {
        let Self { function, bytes, .. } = self;
        // What gives nothing has nothing to bring back.
        let outputs = if self.has_like { "" } else { "outputs = [\"data\"]\n" };
        format!(
            "model = \"builtin:{function}\"\nlength = {{ max = {bytes} }}\nmax_batch = 32\n{outputs}"
        )
    }
}

impl Promise {
    /// What became of it in these repeats; nothing where what it speaks of was not measured.
    pub(super) fn judge(self, repeats: &[Repeat]) -> Option<Verdict> {
        let of = |figure: &dyn Fn(&Repeat) -> Option<f64>| {
            let figures: Option<Vec<f64>> = repeats.iter().map(figure).collect();
            figures.map(|figures| Spread::of(figures.into_iter()).median)
        };
        let gpumux = |figure: fn(&Figures) -> f64| of(&|repeat| Some(figure(&repeat.gpumux)));
        let (found, kept): (f64, fn(f64, f64) -> bool) = match self {
            Self::P50Ratio(_) => (of(&Repeat::p50_ratio)?, |found, bound| found <= bound),
            Self::P99Ratio(_) => (of(&Repeat::p99_ratio)?, |found, bound| found <= bound),
            Self::P50Micros(_) => (gpumux(Figures::p50_micros)?, |found, bound| found <= bound),
            Self::Rate(_) => (gpumux(Figures::rate)?, |found, bound| found >= bound),
        };
        Some(Verdict { promise: self, found, kept: kept(found, self.bound()) })
    }

    fn bound(self) -> f64 {
        match self {
            Self::P50Ratio(bound)
            | Self::P99Ratio(bound)
            | Self::P50Micros(bound)
            | Self::Rate(bound) => bound,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { promise, found, kept } = self;
        match promise {
            Promise::P50Ratio(bound) => write!(f, "p50 {found:.2} × the ping-pong's, ≤ {bound} ×"),
            Promise::P99Ratio(bound) => write!(f, "p99 {found:.2} × the ping-pong's, ≤ {bound} ×"),
            Promise::P50Micros(bound) => write!(f, "p50 {found:.1} µs, ≤ {bound} µs"),
            Promise::Rate(bound) => write!(f, "{found:.0} requests/s, ≥ {bound}"),
        }?;
        write!(f, ": {}", if *kept { "kept" } else { "MISSED" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_judged_by_the_median_of_ratios_of_neighbours() {
        let figures = |p50_ns: u64, requests_per_s: f64| Figures {
            p50_ns,
            p99_ns: p50_ns * 3,
            p999_ns: p50_ns * 4,
            requests: 10,
            requests_per_s,
        };
        let repeat = |gpumux, like| Repeat {
            gpumux: figures(gpumux, 30_000.0),
            ping_pong: Some(figures(like, 1.0)),
        };
        let repeats = [repeat(30, 10), repeat(14, 10), repeat(12, 10)];
        let kept = |promise: Promise| promise.judge(&repeats).unwrap().kept;
        assert!(kept(Promise::P50Ratio(1.4)) && !kept(Promise::P50Ratio(1.3)));
        assert!(kept(Promise::P99Ratio(1.4)) && !kept(Promise::P99Ratio(1.3)));
        assert!(kept(Promise::P50Micros(0.014)) && !kept(Promise::P50Micros(0.013)));
        assert!(kept(Promise::Rate(30_000.0)) && !kept(Promise::Rate(30_001.0)));
        let alone = [Repeat { gpumux: figures(30, 1.0), ping_pong: None }];
        assert!(Promise::P50Ratio(9.0).judge(&alone).is_none());
        let shown = Promise::P50Ratio(1.4).judge(&repeats).unwrap().to_string();
        assert_eq!(shown, "p50 1.40 × the ping-pong's, ≤ 1.4 ×: kept");
    }
}
