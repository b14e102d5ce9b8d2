//! One axis of a profile's grid: where a value lies between its points.

use super::Outside;

/// Which side of its points an axis may be asked on, and how its values are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Time grows with the value.
    Growing,
    /// Time grows with the value's inverse.
    Inverse,
}

/// Ascending points.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    name: &'static str,
    kind: Kind,
    points: Vec<u32>,
}

/// Between two points, or on one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    low: usize,
    high: usize,
    /// How far it is from `low` to `high`; zero on `low`.
    share: f64,
}

impl Place {
    /// The value here, of the values at the points.
    pub(super) fn mix(self, at: impl Fn(usize) -> f64) -> f64 {
        if self.share == 0.0 {
            return at(self.low);
        }
        let (low, high) = (at(self.low), at(self.high));
        low + (high - low) * self.share
    }
}

impl Axis {
    /// The points are ascending and there is one at least: whoever reads the file looks.
    pub(super) fn new(name: &'static str, kind: Kind, points: Vec<u32>) -> Self {
        Self { name, kind, points }
    }

    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    pub(super) fn least(&self) -> u32 {
        self.points[0]
    }

    pub(super) fn most(&self) -> u32 {
        self.points[self.points.len() - 1]
    }

    pub(super) fn place(&self, asked: u32) -> Result<Place, Outside> {
        let (least, most) = (self.least(), self.most());
        let unknown = match self.kind {
            Kind::Growing => asked > most,
            Kind::Inverse => asked < least,
        };
        if unknown {
            return Err(Outside { axis: self.name, least, most, asked });
        }
        let asked = asked.clamp(least, most);
        let above = self.points.partition_point(|point| *point <= asked);
        let low = above - 1;
        if self.points[low] == asked {
            return Ok(Place { low, high: low, share: 0.0 });
        }
        Ok(self.between(low, above, asked))
    }

    /// Where an inner point lies between its neighbours.
    pub(super) fn without(&self, inner: usize) -> Place {
        self.between(inner - 1, inner + 1, self.points[inner])
    }

    fn between(&self, low: usize, high: usize, asked: u32) -> Place {
        let measure = |value: u32| match self.kind {
            Kind::Growing => f64::from(value),
            Kind::Inverse => 1.0 / f64::from(value),
        };
        let (from, to) = (measure(self.points[low]), measure(self.points[high]));
        Place { low, high, share: (measure(asked) - from) / (to - from) }
    }
}
