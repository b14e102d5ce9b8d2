//! Profiles: how long a batch of a model takes, by SMs, batch and length, as a file.
//!
//! A profile holds durations at the points of a grid. Between them they are interpolated: linearly in
//! the batch, in the length and in the *inverse* of the SMs, so that a model whose time is a constant
//! and a part that divides among SMs is met exactly. At a point of the grid the answer is the file's.
//! The grid must be monotone (more requests, longer ones or fewer SMs never take less), and so the
//! interpolation is too.
//!
//! Outside of the grid: fewer requests or shorter ones than the least of the grid take what the least
//! takes, and more SMs than the most take what the most take. Both err on the side of longer. More
//! requests, longer ones or fewer SMs than the grid has are refused: nothing is known of them.
//!
//! How far the interpolation may be wrong is stated by [`Profile::error`]: each inner point of each
//! axis is left out once, and computed from its neighbours on that axis.

mod axis;
mod document;

pub use document::VERSION;

use crate::file::{FileError, Source};
use axis::Axis;
use document::Document;
use std::path::Path;
use thiserror::Error;

/// See the file's head.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    name: String,
    device: String,
    emulated: bool,
    sms: Axis,
    batches: Axis,
    lengths: Axis,
    /// Nanoseconds by SMs, then batch, then length, in one row.
    durations: Vec<f64>,
    segment_nanos: f64,
    bandwidth_share: f64,
    copy_in_nanos: f64,
    copy_out_nanos: f64,
}

/// A batch that the profile says nothing of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("profile has {axis} from {least} to {most}, and {asked} was asked for: measure it there")]
pub struct Outside {
    /// Of what: `sms`, `batches` or `lengths`.
    pub axis: &'static str,
    /// The grid's least.
    pub least: u32,
    /// The grid's most.
    pub most: u32,
    /// What was asked for.
    pub asked: u32,
}

/// How wrong interpolation is at points that were left out, relative to what was measured there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InterpolationError {
    /// At the worst of them.
    pub worst: f64,
    /// On the mean.
    pub mean: f64,
    /// How many points were left out.
    pub points: u32,
}

/// A batch's shape and the SMs that it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// SMs of the lane.
    pub sms: u32,
    /// Requests.
    pub batch: u32,
    /// Length of the longest.
    pub length: u32,
}

impl Profile {
    /// Reads and checks a profile.
    ///
    /// # Errors
    /// [`FileError`]: what is wrong with the file, and on which line.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Self::checked(&Source::read(path)?)
    }

    /// Checks the text of a profile that is said to be at `path`.
    ///
    /// # Errors
    /// [`FileError`]: what is wrong with the text, and on which line.
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        Self::checked(&Source { path: path.to_owned(), text: text.to_owned() })
    }

    pub(crate) fn checked(source: &Source) -> Result<Self, FileError> {
        source.toml::<Document>()?.check(source)
    }

    /// What it calls the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was measured on, in the words of the file.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Whether that is a device that the CPU emulates.
    pub fn is_emulated(&self) -> bool {
        self.emulated
    }

    /// Fewest SMs that it knows of.
    pub fn sms_min(&self) -> u32 {
        self.sms.least()
    }

    /// Largest batch that it knows of.
    pub fn batch_max(&self) -> u32 {
        self.batches.most()
    }

    /// Longest length that it knows of.
    pub fn length_max(&self) -> u32 {
        self.lengths.most()
    }

    /// The share of the device's memory bandwidth that a batch takes on the most SMs of the grid.
    pub fn bandwidth_share(&self) -> f64 {
        self.bandwidth_share
    }

    /// Nanoseconds that one request's inputs take on the way to the device, and its results back.
    pub fn copy_nanos(&self) -> (f64, f64) {
        (self.copy_in_nanos, self.copy_out_nanos)
    }

    /// Nanoseconds that a segment is meant to take.
    pub fn segment_nanos(&self) -> f64 {
        self.segment_nanos
    }

    /// Nanoseconds of work on the device of a batch that runs alone.
    ///
    /// # Errors
    /// [`Outside`].
    pub fn nanos(&self, shape: Shape) -> Result<f64, Outside> {
        let sms = self.sms.place(shape.sms)?;
        let batches = self.batches.place(shape.batch)?;
        let lengths = self.lengths.place(shape.length)?;
        let line = |sms, batch| lengths.mix(|length| self.at(sms, batch, length));
        let plane = |sms| batches.mix(|batch| line(sms, batch));
        Ok(sms.mix(plane))
    }

    /// Nanoseconds of the same batch on the most SMs of the grid.
    ///
    /// # Errors
    /// [`Outside`].
    pub fn nanos_on_most(&self, shape: Shape) -> Result<f64, Outside> {
        self.nanos(Shape { sms: self.sms.most(), ..shape })
    }

    /// How wrong the interpolation is; none when no axis has an inner point to leave out.
    pub fn error(&self) -> Option<InterpolationError> {
        let (mut worst, mut sum, mut points) = (0.0f64, 0.0, 0u32);
        let mut leave_out =
            |axis: &Axis, rest: &mut dyn Iterator<Item = [usize; 2]>, axis_first| {
                for [one, other] in rest {
                    let along = |place| match axis_first {
                        0 => self.at(place, one, other),
                        1 => self.at(one, place, other),
                        _ => self.at(one, other, place),
                    };
                    for inner in 1..axis.len().saturating_sub(1) {
                        let known = along(inner);
                        let wrong = (axis.without(inner).mix(along) - known).abs() / known;
                        worst = worst.max(wrong);
                        sum += wrong;
                        points += 1;
                    }
                }
            };
        let grid = |one: usize, other: usize| {
            (0..one).flat_map(move |first| (0..other).map(move |second| [first, second]))
        };
        let (sms, batches, lengths) = (self.sms.len(), self.batches.len(), self.lengths.len());
        leave_out(&self.sms, &mut grid(batches, lengths), 0);
        leave_out(&self.batches, &mut grid(sms, lengths), 1);
        leave_out(&self.lengths, &mut grid(sms, batches), 2);
        (points > 0).then(|| InterpolationError { worst, mean: sum / f64::from(points), points })
    }

    fn at(&self, sms: usize, batch: usize, length: usize) -> f64 {
        self.durations[(sms * self.batches.len() + batch) * self.lengths.len() + length]
    }
}

#[cfg(test)]
mod tests;
