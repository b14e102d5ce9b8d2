//! What a launch and a copy take, from the call until the host sees it done.

use super::device::LookError;
use crate::clock::Clock;
use gpumux_cuda::{Device, DeviceMemory, Lane};
use gpumux_kernels::Echo;
use gpumux_wire::doctor::Latency;

/// Times that each is taken, after a tenth as many that do not count.
const REPEATS: u32 = 200;
/// Bytes of a small copy, and of a large one.
const COPIES: [(usize, &str); 2] = [(4 << 10, "4 KiB"), (1 << 20, "1 MiB")];
/// Looks at a lane's mark between two questions to the driver whether something failed.
const LOOKS: u32 = 1 << 10;

/// Takes launch and copies, each alone on the lane.
pub(super) fn measure(
    clock: Clock,
    device: &Device,
    lane: &mut Lane,
    memory: &DeviceMemory,
) -> Result<Vec<Latency>, LookError> {
    let bytes = COPIES.iter().map(|(bytes, _)| *bytes).max().unwrap_or_default();
    let block = memory.alloc(bytes as u64)?;
    let other = memory.alloc(256)?;
    let copy = Echo { input: block.address().of(), output: other.address().of(), bytes: 16 };
    let launch = copy.launch();
    let mut latencies = vec![repeat(clock, lane, "launch", |lane| Ok(lane.launch(&launch)?))?];
    let mut pool = device.pinned_pool(bytes, 1)?;
    let mut lent = lane.lend(pool.take().expect("the pool has one block"));
    for (bytes, size) in COPIES {
        let name = format!("copy in, {size}");
        let at = block.address();
        let copied = repeat(clock, lane, &name, |lane| Ok(lane.copy_in(&mut lent, 0, bytes, at)?))?;
        latencies.push(copied);
        let name = format!("copy out, {size}");
        let copied =
            repeat(clock, lane, &name, |lane| Ok(lane.copy_out(at, &mut lent, 0, bytes)?))?;
        latencies.push(copied);
    }
    lane.drain()?;
    Ok(latencies)
}

fn repeat(
    clock: Clock,
    lane: &mut Lane,
    of: &str,
    mut issue: impl FnMut(&mut Lane) -> Result<(), LookError>,
) -> Result<Latency, LookError> {
    let mut spans = Vec::new();
    for index in 0..REPEATS + REPEATS / 10 {
        let before = clock.now();
        issue(lane)?;
        finish(lane)?;
        if index >= REPEATS / 10 {
            spans.push(clock.now().since(before));
        }
    }
    spans.sort_unstable();
    let at = |hundredth: usize| spans[(spans.len() - 1) * hundredth / 100].as_secs_f64() * 1e6;
    Ok(Latency { of: of.to_owned(), repeats: REPEATS, median_us: at(50), p99_us: at(99) })
}

/// Waits until the lane's work is done, as the dispatch thread sees it: by its mark.
pub(super) fn finish(lane: &mut Lane) -> Result<(), LookError> {
    let mark = lane.mark()?;
    let mut looks = 0_u32;
    while !lane.retired().has_reached(mark) {
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS) {
            // A fault shows here, and nowhere else.
            lane.is_idle()?;
        }
        // The emulated device may need this core.
        std::thread::yield_now();
    }
    Ok(())
}
