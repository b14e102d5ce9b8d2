//! Writing families out: a small layer over the encoder of `prometheus-client`.

use super::families::{FAMILIES, Family, Kind, Unit};
use gpumux_wire::status::{Distribution, Status};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry;
use std::fmt;

/// What every name begins with.
pub(super) const PREFIX: &str = "gpumux";

/// All families of one moment.
#[derive(Debug)]
pub(super) struct Page(pub(super) Status);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in FAMILIES {
            let name = format!("{PREFIX}_{}", family.name);
            let unit = match family.unit {
                Unit::None => None,
                Unit::Seconds => Some(registry::Unit::Seconds),
                Unit::Bytes => Some(registry::Unit::Bytes),
            };
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let metric = encoder.encode_descriptor(&name, family.help, unit.as_ref(), kind)?;
            let mut rows = Rows { metric, family };
            (family.rows)(&self.0, &mut rows)?;
        }
        Ok(())
    }
}

/// The rows of one family.
pub(super) struct Rows<'a> {
    metric: MetricEncoder<'a>,
    family: &'static Family,
}

impl Rows<'_> {
    /// A row: `labels` are the values of the family's labels, in their order.
    pub(super) fn value(&mut self, labels: &[&str], value: impl Number) -> fmt::Result {
        let labels = self.labels(labels);
        let labels = labels.as_slice();
        let mut row = self.metric.encode_family(&labels)?;
        match (self.family.kind, value.exact()) {
            (Kind::Counter, Ok(value)) => row.encode_counter::<NoLabelSet, _, u64>(&value, None),
            (Kind::Counter, Err(value)) => row.encode_counter::<NoLabelSet, _, f64>(&value, None),
            (Kind::Gauge, Ok(value)) => row.encode_gauge(&value),
            (Kind::Gauge, Err(value)) => row.encode_gauge(&value),
            (Kind::Histogram, _) => unreachable!("`{}` has distributions", self.family.name),
        }
    }

    /// A row of a histogram, whose bounds and sum are in units of `scale`.
    pub(super) fn distribution(
        &mut self,
        labels: &[&str],
        distribution: &Distribution,
        bounds: &[u64],
        scale: f64,
    ) -> fmt::Result {
        let bounds = bounds.iter().map(|bound| scaled(*bound, scale)).chain([f64::INFINITY]);
        let counts = distribution.counts.iter().copied().chain(std::iter::repeat(0));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let labels = self.labels(labels);
        let labels = labels.as_slice();
        let mut row = self.metric.encode_family(&labels)?;
        let sum = scaled(distribution.sum, scale);
        row.encode_histogram::<NoLabelSet>(sum, distribution.count(), &buckets, None)
    }

    fn labels<'v>(&self, values: &[&'v str]) -> Vec<(&'static str, &'v str)> {
        let names = self.family.labels;
        assert_eq!(names.len(), values.len(), "`{}` has a value for each label", self.family.name);
        names.iter().copied().zip(values.iter().copied()).collect()
    }
}

/// `value` in units of `scale`. Nanoseconds are divided, which rounds once, not twice.
fn scaled(value: u64, scale: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a metric does not need all 64 bits")]
    let value = value as f64;
    value / scale
}

/// What a row may hold.
pub(super) trait Number {
    /// A whole number, where it is one.
    fn exact(self) -> Result<u64, f64>;
}

impl Number for u64 {
    fn exact(self) -> Result<u64, f64> {
        Ok(self)
    }
}

impl Number for u32 {
    fn exact(self) -> Result<u64, f64> {
        Ok(self.into())
    }
}

impl Number for bool {
    fn exact(self) -> Result<u64, f64> {
        Ok(self.into())
    }
}

impl Number for f64 {
    fn exact(self) -> Result<u64, f64> {
        Err(self)
    }
}

/// A number of nanoseconds, shown in seconds.
pub(super) struct Nanos(pub(super) u64);

impl Number for Nanos {
    fn exact(self) -> Result<u64, f64> {
        Err(scaled(self.0, NANOS_A_SECOND))
    }
}

/// Nanoseconds in a second.
pub(super) const NANOS_A_SECOND: f64 = 1e9;
