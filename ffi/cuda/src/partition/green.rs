//! Green contexts: a family of lanes' streams, all made at start, because the SMs of a green context
//! never change.
//!
//! One split makes atoms; a member of the family is a run of them, halved again and again: the whole
//! device, its halves, their halves, down to single atoms. (Splits made one by one would start from
//! the same SMs and overlap.) Where the driver refuses several parts in one descriptor, the members
//! are the atoms of one coarser split.

use super::grant::Grant;
use super::probe::Probe;
use super::report::Refusal;
use super::resource::{DevResource, TYPE_SM};
use super::split::Split;
use crate::context::Context;
use crate::driver_api::STREAM_NON_BLOCKING;
use crate::error::CudaError;
use crate::lane::Lane;
use crate::sets::{SMS_PER_TPC, SmSet};
use crate::stream::Stream;
use cudarc::driver::sys::{CUdevResourceDesc, CUgreenCtx};
use std::ops::Range;
use std::ptr;
use std::rc::Rc;

/// The first driver that makes streams in green contexts.
const VERSION_NEEDED: u32 = 12_050;
/// `CU_GREEN_CTX_DEFAULT_STREAM`, which has to be passed.
const DEFAULT_STREAM: u32 = 1;
/// Lanes of the layout where runs of several atoms are not possible.
const LAYOUT_LANES: u32 = 4;

/// A run of parts, and its stream.
type Run = (Range<usize>, Stream);

/// A green context, destroyed when its stream is gone.
pub(crate) struct GreenContext {
    raw: CUgreenCtx,
    context: Rc<Context>,
}

impl Drop for GreenContext {
    fn drop(&mut self) {
        if let Some(destroy) = self.context.api().cuGreenCtxDestroy {
            // SAFETY: made once, and its only stream was destroyed before. A failure has nobody to
            // tell.
            let _ = unsafe { destroy(self.raw) };
        }
    }
}

/// A lane's stream, and the SMs on which it was seen to run.
pub(super) struct Member {
    pub(super) stream: Rc<Stream>,
    pub(super) grant: Grant,
}

/// See the head of this file.
pub(super) struct Family {
    pub(super) members: Vec<Member>,
    pub(super) granularity_sms: u32,
}

impl Family {
    /// Makes and measures all members.
    pub(super) fn make(
        driver_version: u32,
        lane: &mut Lane,
        probe: &Probe,
        atom_sms: u32,
    ) -> Result<Self, Refusal> {
        if driver_version < VERSION_NEEDED {
            return Err(Refusal::DriverTooOld { found: driver_version });
        }
        let atom_sms = atom_sms.max(SMS_PER_TPC);
        let context = Rc::clone(&lane.shared().context);
        let split = Split::of_device(&context, atom_sms)?;
        let parts = split.parts();
        let runs = halves(parts.len());
        match make_streams(&context, &parts, split.atoms.len(), &runs)? {
            Some(streams) => Self::measure(lane, probe, &parts, streams),
            None => {
                let sms: u32 = parts.iter().map(DevResource::sm_count).sum();
                let lane_sms = (sms / LAYOUT_LANES).max(atom_sms);
                let parts = Split::of_device(&context, lane_sms)?.parts();
                let runs: Vec<_> = (0..parts.len()).map(|at| at..at + 1).collect();
                let streams = make_streams(&context, &parts, parts.len(), &runs)?;
                Self::measure(lane, probe, &parts, streams.unwrap_or_default())
            }
        }
    }

    /// Sees where each member's work runs, with the measuring lane moved to its stream, and refuses a
    /// family whose members are not what they should be.
    fn measure(
        lane: &mut Lane,
        probe: &Probe,
        parts: &[DevResource],
        streams: Vec<Run>,
    ) -> Result<Self, Refusal> {
        let granularity_sms = parts[0].sm_count();
        if parts.len() < 2 {
            return Err(Refusal::Indivisible {
                sms: granularity_sms,
                granularity: granularity_sms,
            });
        }
        let home = Rc::clone(lane.queue());
        let mut members = Vec::with_capacity(streams.len());
        let mut by_part = vec![SmSet::EMPTY; parts.len()];
        // Single parts come first, so that what a longer run should have is known by then.
        for (run, stream) in streams {
            let stream = Rc::new(stream);
            let granted = parts[run.clone()].iter().map(DevResource::sm_count).sum();
            lane.move_to(Rc::clone(&stream));
            let measured = probe.measure_for(lane, granted);
            lane.move_to(Rc::clone(&home));
            let seen = measured?.sms;
            let expected = run.len() > 1;
            let expected = expected.then(|| {
                by_part[run.clone()].iter().fold(SmSet::EMPTY, |all, part| all.union(part))
            });
            if seen.len() != granted || expected.is_some_and(|expected| expected != seen) {
                let expected = expected.map(Box::new);
                return Err(Refusal::NotConfined { granted, seen, expected });
            }
            if run.len() == 1 {
                let met = by_part.iter().find(|part| !part.is_disjoint(&seen));
                if let Some(first) = met {
                    return Err(Refusal::Meet { first: *first, second: Box::new(seen) });
                }
                by_part[run.start] = seen;
            }
            members.push(Member { stream, grant: Grant::of(seen.tpcs(), seen) });
        }
        Ok(Self { members, granularity_sms })
    }
}

/// All runs of a family of `count` parts, the shortest first: the parts themselves, and what comes of
/// cutting the whole at the largest power of two, again and again.
fn halves(count: usize) -> Vec<Range<usize>> {
    fn cut(run: Range<usize>, runs: &mut Vec<Range<usize>>) {
        let length = run.len();
        if length > 1 {
            let half = length.div_ceil(2).next_power_of_two();
            let middle = run.start + half;
            cut(run.start..middle, runs);
            cut(middle..run.end, runs);
        }
        runs.push(run);
    }
    let mut runs = Vec::with_capacity(2 * count);
    if count > 0 {
        cut(0..count, &mut runs);
    }
    runs.sort_by_key(|run| (run.len(), run.start));
    runs
}

/// Makes a stream for each run, or none at all where the driver takes no descriptor of several atoms.
/// A run that includes the rest may be refused by itself, and is then left out.
fn make_streams(
    context: &Rc<Context>,
    parts: &[DevResource],
    atoms: usize,
    runs: &[Range<usize>],
) -> Result<Option<Vec<Run>>, Refusal> {
    let mut streams = Vec::with_capacity(runs.len());
    for run in runs {
        match describe(context, &parts[run.clone()]) {
            Ok(description) => {
                let expected = parts[run.clone()].iter().map(DevResource::sm_count).sum();
                streams.push((run.clone(), open(context, description, expected)?));
            }
            Err(Refusal::Call(CudaError::Refused(_))) if run.len() > 1 && run.end > atoms => (),
            Err(Refusal::Call(CudaError::Refused(_))) if run.len() > 1 => return Ok(None),
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(Some(streams))
}

fn describe(context: &Context, parts: &[DevResource]) -> Result<CUdevResourceDesc, Refusal> {
    let call = "cuDevResourceGenerateDesc";
    let describe = context.api().cuDevResourceGenerateDesc.ok_or(Refusal::Missing(call))?;
    let count = u32::try_from(parts.len()).expect("a device has a few parts");
    let mut parts = parts.to_vec();
    let mut description = ptr::null_mut();
    // SAFETY: reads `count` resources, as the driver gave them, and writes one handle.
    let answer = unsafe { describe(&raw mut description, parts.as_mut_ptr(), count) };
    context.api().check(call, answer)?;
    Ok(description)
}

/// Makes a green context and its stream.
fn open(
    context: &Rc<Context>,
    description: CUdevResourceDesc,
    expected: u32,
) -> Result<Stream, Refusal> {
    let api = context.api();
    let create = api.cuGreenCtxCreate.ok_or(Refusal::Missing("cuGreenCtxCreate"))?;
    let read = api.cuGreenCtxGetDevResource.ok_or(Refusal::Missing("cuGreenCtxGetDevResource"))?;
    let stream = api.cuGreenCtxStreamCreate.ok_or(Refusal::Missing("cuGreenCtxStreamCreate"))?;
    if api.cuGreenCtxDestroy.is_none() {
        return Err(Refusal::Missing("cuGreenCtxDestroy"));
    }
    let mut raw = ptr::null_mut();
    // SAFETY: the description is the driver's and of this device; writes one handle.
    let answer = unsafe { create(&raw mut raw, description, context.device(), DEFAULT_STREAM) };
    api.check("cuGreenCtxCreate", answer)?;
    let green = GreenContext { raw, context: Rc::clone(context) };
    let mut found = DevResource::EMPTY;
    // SAFETY: the green context was made just now; writes one resource.
    let answer = unsafe { read(green.raw, &raw mut found, TYPE_SM) };
    api.check("cuGreenCtxGetDevResource", answer)?;
    if found.sm_count() != expected {
        return Err(Refusal::OtherSize { asked: expected, found: found.sm_count() });
    }
    let mut raw = ptr::null_mut();
    // SAFETY: as above; writes one handle.
    let answer = unsafe { stream(&raw mut raw, green.raw, STREAM_NON_BLOCKING, 0) };
    api.check("cuGreenCtxStreamCreate", answer)?;
    // SAFETY: made just now in `green`, and given to nobody else.
    Ok(unsafe { Stream::confined(raw, context, green) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_covers_the_device_at_every_size() {
        assert_eq!(halves(0), []);
        assert_eq!(halves(1), std::iter::once(0..1).collect::<Vec<_>>());
        assert_eq!(halves(3), [0..1, 1..2, 2..3, 0..2, 0..3]);
        for count in 1..200 {
            let runs = halves(count);
            assert_eq!(runs.len(), 2 * count - 1);
            assert!(runs.contains(&(0..count)));
            // Two runs lie apart or one lies in the other, so free ones never block larger ones.
            for (first, second) in runs.iter().flat_map(|run| runs.iter().map(move |it| (run, it)))
            {
                let apart = first.end <= second.start || second.end <= first.start;
                let inside = |outer: &Range<usize>, inner: &Range<usize>| {
                    outer.start <= inner.start && inner.end <= outer.end
                };
                assert!(apart || inside(first, second) || inside(second, first));
            }
        }
    }
}
