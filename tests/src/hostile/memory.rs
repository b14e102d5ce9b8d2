//! Harm done in shared memory. The bytes are written through the memfd, from another thread than the
//! one that submits, so that they change while the worker reads them.

use super::Hostile;
use super::connection::{Open, Trouble};
use gpumux_wire::geometry::ChannelSize;
use gpumux_wire::record::RequestRecord;
use nix::fcntl::{FallocateFlags, fallocate};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const PAGE: u64 = 4096;
/// The counters and announcements at the begin of a channel, each in a line of its own.
const COUNTERS: [u64; 6] = [0, 64, 128, 192, 256, 320];

fn size(rng: &mut StdRng) -> ChannelSize {
    let slots = 1 << rng.random_range(0..9);
    ChannelSize { slots, arena_bytes: 64 << rng.random_range(4..15) }
}

/// Opens a channel and submits requests that are in order, while `meanwhile` does something to its
/// memory on another thread.
fn submit_while(
    hostile: &mut Hostile,
    meanwhile: impl Fn(&File, u64, &mut StdRng) -> Result<(), Trouble> + Sync,
) -> Result<(), Trouble> {
    let line = hostile.greet()?;
    let size = size(&mut hostile.rng);
    let mut open = line.open(1, &hostile.function, size)?;
    let file = open.file.try_clone()?;
    let bytes = open.geometry.total_bytes();
    let mut other = StdRng::seed_from_u64(hostile.rng.random());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) && meanwhile(&file, bytes, &mut other).is_ok() {}
        });
        let submitted = submit_some(&mut open, &mut hostile.rng);
        over.store(true, Ordering::Relaxed);
        submitted
    })
}

fn submit_some(open: &mut Open, rng: &mut StdRng) -> Result<(), Trouble> {
    let longest = u32::try_from(open.geometry.arena_bytes() / 4).unwrap_or(u32::MAX).min(1024);
    for _ in 0..rng.random_range(1..2000) {
        let slot = rng.random_range(0..open.geometry.slots());
        open.submit(slot, rng.random_range(1..=longest.max(1)))?;
        if let Ok(Some(_)) = open.side.completions.pop() {
            open.side.completions.announce_sleep();
        }
    }
    Ok(())
}

pub(super) fn rewrite_while_read(hostile: &mut Hostile) -> Result<(), Trouble> {
    let gently = hostile.rng.random_bool(0.5);
    submit_while(hostile, |file, bytes, rng| {
        let word: u64 = match rng.random_range(0..4) {
            0 => rng.random(),
            1 => u64::from(rng.random_range(0..64u32)),
            2 => u64::MAX,
            _ => 0,
        };
        // Half of the time the counters are spared, so that a session lives for longer.
        let at = match rng.random_range(0..3) {
            0 if !gently => COUNTERS[rng.random_range(0..COUNTERS.len())],
            1 => PAGE + rng.random_range(0..(bytes - PAGE) / 8) * 8,
            _ => bytes - 64 - rng.random_range(0..(bytes - PAGE) / 16) * 8,
        };
        Ok(file.write_all_at(&word.to_le_bytes(), at)?)
    })
}

pub(super) fn punch_holes(hostile: &mut Hostile) -> Result<(), Trouble> {
    submit_while(hostile, |file, bytes, rng| {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let first = rng.random_range(0..bytes / PAGE);
        let pages = rng.random_range(1..=bytes / PAGE - first);
        let number = |pages: u64| i64::try_from(pages * PAGE).map_err(|_| Trouble::Ended);
        Ok(fallocate(file, flags, number(first)?, number(pages)?)?)
    })
}

pub(super) fn flood_wake_ups(hostile: &mut Hostile) -> Result<(), Trouble> {
    let line = hostile.greet()?;
    let mut open =
        line.open(1, &hostile.function, ChannelSize { slots: 256, arena_bytes: 4096 })?;
    for slot in 0..256 {
        // It says that it sleeps and never wakes, so each answer is a byte that nobody takes.
        open.side.completions.announce_sleep();
        open.submit(slot, 8)?;
    }
    for _ in 0..hostile.rng.random_range(1..20_000) {
        open.ring()?;
    }
    Ok(())
}

pub(super) fn submit_nonsense(hostile: &mut Hostile) -> Result<(), Trouble> {
    let line = hostile.greet()?;
    let mut open = line.open(1, &hostile.function, size(&mut hostile.rng))?;
    let rng = &mut hostile.rng;
    for _ in 0..rng.random_range(1..500) {
        let slot = rng.random_range(0..open.geometry.slots());
        let mut record: RequestRecord = RequestRecord::default();
        // Wrong by one field or by many, and mistakes that are refused rather than violations.
        record.input_count = rng.random_range(0..3);
        record.output_count = rng.random_range(0..3);
        record.budget_us = rng.random::<u64>() >> rng.random_range(0..64);
        for input in &mut record.inputs {
            input.element = rng.random_range(0..7);
            input.rank = rng.random_range(0..9);
            input.dims[0] = rng.random::<u32>() >> rng.random_range(0..32);
            input.offset = if rng.random_ratio(1, 50) { rng.random() } else { 0 };
        }
        record.outputs[0].capacity = rng.random::<u64>() >> rng.random_range(0..64);
        if rng.random_ratio(1, 100) {
            open.push(rng.random())?;
        } else {
            open.submit_record(slot, record)?;
        }
    }
    Ok(())
}

pub(super) fn take_much(hostile: &mut Hostile) -> Result<(), Trouble> {
    let lines = (0..4).map(|_| hostile.greet()).collect::<Result<Vec<_>, _>>()?;
    let mut held = Vec::new();
    for line in &lines {
        for channel in 0..80 {
            let arena_bytes = 64 << hostile.rng.random_range(10..21);
            // A refusal is what is expected sooner or later; then the next line tries.
            match line.open(channel, &hostile.function, ChannelSize { slots: 1, arena_bytes }) {
                Ok(open) => held.push(open),
                Err(Trouble::Ended) => break,
                Err(gone) => return Err(gone),
            }
        }
    }
    Ok(())
}
