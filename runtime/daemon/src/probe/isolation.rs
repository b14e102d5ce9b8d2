//! Whether a lane keeps its speed beside a busy neighbour: the same work alone and beside, in turn, in
//! one run, so that whatever else the machine does falls on both.
//!
//! The work is arithmetic on operands that fit a cache: it shows whether lanes share SMs. Memory and
//! the larger caches are shared by all lanes, and this does not measure them.

use super::device::LookError;
use super::latency::finish;
use super::look::micros;
use crate::clock::Clock;
use gpumux_cuda::{DeviceBlock, DeviceMemory, Lane};
use gpumux_kernels::{DevicePtr, Gemm, Launch};
use gpumux_wire::doctor::Isolation;
use std::time::Duration;

/// Pairs of durations that are wanted, and tries for them.
const PAIRS: (usize, usize) = (9, 18);
/// How long the work should take: far longer than a launch on a GPU, and on the emulated device than
/// the share that an idle SM may save up there.
const WORK: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(150));
/// How many times as long the neighbour is busy.
const BUSY: u32 = 3;
/// Lengths of the sums: the first to be tried, and the longest.
const SUMS: (u32, u32) = (16, 1 << 16);
/// What the ratio may be: work that shares its SMs with as much again takes twice as long.
const TOLERANCE: f64 = 1.25;
/// Results of a block along each side; a block for each SM keeps each of them busy.
const TILE: u32 = 64;

/// A lane, its SMs, and room for its results.
pub(super) struct Side<'a> {
    pub(super) lane: &'a mut Lane,
    pub(super) sms: u32,
}

/// Measures; `None` when the neighbour was never busy for long enough to compare.
pub(super) fn measure(
    clock: Clock,
    memory: &DeviceMemory,
    emulated: bool,
    first: Side<'_>,
    second: Side<'_>,
) -> Result<Option<Isolation>, LookError> {
    let room = |sms: u32| memory.alloc(u64::from(TILE * TILE * sms) * 4);
    let (here, there) = (room(first.sms)?, room(second.sms)?);
    let operand = memory.alloc(256)?;
    let Side { lane, sms } = first;
    let Side { lane: neighbour, sms: neighbour_sms } = second;
    // Sums of zeros take as long as others, and never meet a number that is slow to add.
    lane.clear(operand.address(), 256)?;
    finish(lane)?;
    let enough = if emulated { WORK.1 } else { WORK.0 };
    let sums = sums(clock, lane, enough, |sums| work(&operand, &here, sms, sums, 1))?;
    let alone = work(&operand, &here, sms, sums, 1);
    let busy = work(&operand, &there, neighbour_sms, sums, BUSY);
    let (mut without, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS.1 {
        let before = clock.now();
        lane.launch(&alone)?;
        finish(lane)?;
        let between = clock.now();
        neighbour.launch(&busy)?;
        let mark = neighbour.mark()?;
        let begin = clock.now();
        lane.launch(&alone)?;
        finish(lane)?;
        let end = clock.now();
        let was_busy = !neighbour.retired().has_reached(mark);
        finish(neighbour)?;
        if was_busy {
            without.push(between.since(before));
            beside.push(end.since(begin));
        }
        if beside.len() == PAIRS.0 {
            break;
        }
    }
    let pairs = u32::try_from(beside.len()).unwrap_or(u32::MAX);
    let (Some(alone), Some(beside)) = (median(without), median(beside)) else { return Ok(None) };
    Ok(Some(Isolation {
        sms,
        neighbour_sms,
        alone_us: micros(alone),
        beside_us: micros(beside),
        ratio: beside.as_secs_f64() / alone.as_secs_f64().max(f64::MIN_POSITIVE),
        tolerance: TOLERANCE,
        pairs,
        emulated,
    }))
}

/// The length of sums at which the work takes about as long as it should.
fn sums(
    clock: Clock,
    lane: &mut Lane,
    enough: Duration,
    work: impl Fn(u32) -> Launch,
) -> Result<u32, LookError> {
    let mut sums = SUMS.0;
    while sums < SUMS.1 {
        let before = clock.now();
        lane.launch(&work(sums))?;
        finish(lane)?;
        if clock.now().since(before) >= enough / 2 {
            break;
        }
        sums *= 2;
    }
    Ok(sums)
}

/// A block of sums for each SM, `times` over.
fn work(operand: &DeviceBlock, room: &DeviceBlock, sms: u32, sums: u32, times: u32) -> Launch {
    let columns = TILE * sms;
    Gemm {
        // Strides of zero read one number again and again.
        a: operand.address().of(),
        b: operand.address().of(),
        c: room.address().of(),
        bias: DevicePtr::NULL,
        a_batch_stride: 0,
        b_batch_stride: 0,
        c_batch_stride: 0,
        m: TILE,
        n: columns,
        k: sums,
        batches: times,
        a_row_stride: 0,
        a_column_stride: 0,
        b_row_stride: 0,
        b_column_stride: 0,
        c_row_stride: columns,
        alpha: 1.0,
        beta: 0.0,
    }
    .launch()
}

fn median(mut spans: Vec<Duration>) -> Option<Duration> {
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied()
}
