//! A profile as it stands in its file, and the check that makes it one.

use super::Profile;
use super::axis::{Axis, Kind};
use crate::file::{FileError, Source};
use serde::Deserialize;
use toml::Spanned;

/// The version of the file's form that this release reads.
pub const VERSION: u32 = 1;
/// The longest that a batch may take, in microseconds: an hour.
const LONGEST_US: f64 = 3.6e9;

/// Several, and where they stand. Each says where it stands if it is a list itself.
type List<T> = Spanned<Vec<T>>;

/// See the file's head. The fields are the file's keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    version: Spanned<u32>,
    name: Spanned<String>,
    device: Spanned<String>,
    emulated: bool,
    sms: Spanned<Vec<u32>>,
    batches: Spanned<Vec<u32>>,
    lengths: Spanned<Vec<u32>>,
    duration_us: List<List<List<f64>>>,
    segment_us: Spanned<f64>,
    bandwidth_share: Spanned<f64>,
    copy_in_us_per_request: Spanned<f64>,
    copy_out_us_per_request: Spanned<f64>,
}

impl Document {
    /// # Errors
    /// [`FileError`]: the first thing that is wrong, and its line.
    pub(super) fn check(self, source: &Source) -> Result<Profile, FileError> {
        let version = *self.version.get_ref();
        if version != VERSION {
            let what = format!("version {version}: this release reads version {VERSION}");
            return Err(source.wrong_at(self.version.span().start, what));
        }
        for (key, text) in [("name", &self.name), ("device", &self.device)] {
            if text.get_ref().trim().is_empty() {
                let what = format!("`{key}` is empty: say what was measured, and on what");
                return Err(source.wrong_at(text.span().start, what));
            }
        }
        let segment_us = number(source, "segment_us", &self.segment_us, (1.0, LONGEST_US))?;
        let share = number(source, "bandwidth_share", &self.bandwidth_share, (0.0, 1.0))?;
        let (copy_in, copy_out) = (&self.copy_in_us_per_request, &self.copy_out_us_per_request);
        let copy_in = number(source, "copy_in_us_per_request", copy_in, (0.0, LONGEST_US))?;
        let copy_out = number(source, "copy_out_us_per_request", copy_out, (0.0, LONGEST_US))?;
        for (key, points) in
            [("sms", &self.sms), ("batches", &self.batches), ("lengths", &self.lengths)]
        {
            ascending(source, key, points)?;
        }
        let durations = self.durations(source)?;
        let profile = Profile {
            name: self.name.into_inner(),
            device: self.device.into_inner(),
            emulated: self.emulated,
            sms: Axis::new("sms", Kind::Inverse, self.sms.into_inner()),
            batches: Axis::new("batches", Kind::Growing, self.batches.into_inner()),
            lengths: Axis::new("lengths", Kind::Growing, self.lengths.into_inner()),
            durations,
            segment_nanos: segment_us * 1e3,
            bandwidth_share: share,
            copy_in_nanos: copy_in * 1e3,
            copy_out_nanos: copy_out * 1e3,
        };
        Ok(profile)
    }

    /// The durations in one row, in nanoseconds; each is a time, there are as many as the axes say,
    /// and they are monotone.
    fn durations(&self, source: &Source) -> Result<Vec<f64>, FileError> {
        let planes = &self.duration_us;
        let (sms, batches, lengths) =
            (self.sms.get_ref(), self.batches.get_ref(), self.lengths.get_ref());
        let counted = |at: usize, there: usize, wanted: usize, of: &str| {
            if there == wanted {
                return Ok(());
            }
            let what = format!("duration_us: {there} entries here, and `{of}` has {wanted}");
            Err(source.wrong_at(at, what))
        };
        counted(planes.span().start, planes.get_ref().len(), sms.len(), "sms")?;
        let mut row: Vec<f64> = Vec::with_capacity(sms.len() * batches.len() * lengths.len());
        let plane_len = batches.len() * lengths.len();
        for (i, plane) in planes.get_ref().iter().enumerate() {
            counted(plane.span().start, plane.get_ref().len(), batches.len(), "batches")?;
            for (j, line) in plane.get_ref().iter().enumerate() {
                let at = line.span().start;
                counted(at, line.get_ref().len(), lengths.len(), "lengths")?;
                for (k, us) in line.get_ref().iter().enumerate() {
                    let point = format!(
                        "duration_us at sms {}, batch {}, length {}",
                        sms[i], batches[j], lengths[k]
                    );
                    let wrong = |why: &str| Err(source.wrong_at(at, format!("{point}: {why}")));
                    if !(*us > 0.0 && *us <= LONGEST_US) {
                        return wrong("a time above 0 and up to an hour is needed");
                    }
                    let nanos = us * 1e3;
                    let back = |steps: usize| row[row.len() - steps];
                    if k > 0 && nanos < back(1) {
                        return wrong("less than the shorter length before it takes");
                    }
                    if j > 0 && nanos < back(lengths.len()) {
                        return wrong("less than the smaller batch before it takes");
                    }
                    if i > 0 && nanos > back(plane_len) {
                        return wrong("more than it takes on the fewer SMs before");
                    }
                    row.push(nanos);
                }
            }
        }
        Ok(row)
    }
}

fn number(
    source: &Source,
    key: &str,
    value: &Spanned<f64>,
    (least, most): (f64, f64),
) -> Result<f64, FileError> {
    let number = *value.get_ref();
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    let what = format!("`{key}` is {number}: write a number from {least} to {most}");
    Err(source.wrong_at(value.span().start, what))
}

fn ascending(source: &Source, key: &str, points: &Spanned<Vec<u32>>) -> Result<(), FileError> {
    let values = points.get_ref();
    let rises = values.windows(2).all(|pair| pair[0] < pair[1]);
    if rises && values.first().is_some_and(|least| *least > 0) {
        return Ok(());
    }
    let what = format!("`{key}`: write at least one number, ascending, from 1 on");
    Err(source.wrong_at(points.span().start, what))
}
