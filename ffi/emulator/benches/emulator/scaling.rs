//! How the speed of a launch follows the SMs that it has, and what a busy neighbour costs it.

use crate::driver::{Arguments, Driver, Launch, call, spread};
use cudarc::driver::sys::*;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) const SMS: u32 = 16;
const RUNS: usize = 5;
/// Blocks that every even number of SMs up to 16 shares out evenly.
const BLOCKS: u32 = 1680;
/// How far a launch on k SMs may be from k times the speed of one SM, and what a neighbour may cost.
const SCALING_TOLERANCE: f64 = 0.15;
const NEIGHBOUR_COST_MAX: f64 = 0.10;

/// Computes for a while, as every thread of every block does alike.
const TEXT: &str = "
.version 7.0
.target sm_70
.address_size 64
.visible .entry compute(.param .u64 out, .param .u32 turns)
{
    .reg .pred %p;
    .reg .b32 %r<5>;
    .reg .f32 %f<3>;
    .reg .b64 %d;
    ld.param.u64 %d, [out];
    ld.param.u32 %r1, [turns];
    mov.u32 %r2, %tid.x;
    cvt.rn.f32.u32 %f1, %r2;
AGAIN:
    fma.rn.f32 %f1, %f1, 0f3F000000, 0f3F800000;
    sub.u32 %r1, %r1, 1;
    setp.ne.u32 %p, %r1, 0;
    @%p bra AGAIN;
    st.global.f32 [%d], %f1;
    ret;
}
";

/// Streams that are confined to groups of SMs, which have none in common.
fn streams(sizes: [u32; 2]) -> [CUstream; 2] {
    // SAFETY: plain numbers and pointers, for which zero is a value.
    let mut whole: CUdevResource = unsafe { std::mem::zeroed() };
    let sm = CUdevResourceType::CU_DEV_RESOURCE_TYPE_SM;
    call!(cuDeviceGetDevResource(0, &mut whole, sm));
    let mut wanted = sizes.map(|count| {
        // SAFETY: as above.
        let none: CU_DEV_SM_RESOURCE_GROUP_PARAMS = unsafe { std::mem::zeroed() };
        CU_DEV_SM_RESOURCE_GROUP_PARAMS { smCount: count, coscheduledSmCount: 2, ..none }
    });
    let mut groups = [whole; 2];
    let count = u32::from(sizes[1] > 0) + 1;
    call!(cuDevSmResourceSplit(
        groups.as_mut_ptr(),
        count,
        &whole,
        null_mut(),
        0,
        wanted.as_mut_ptr()
    ));
    let mut streams = [null_mut(); 2];
    for (stream, group) in streams.iter_mut().zip(&mut groups).take(count as usize) {
        let (mut description, mut green) = (null_mut(), null_mut());
        call!(cuDevResourceGenerateDesc(&mut description, group, 1));
        call!(cuGreenCtxCreate(&mut green, description, 0, 1));
        call!(cuGreenCtxStreamCreate(stream, green, 1, 0));
    }
    streams
}

fn launch(out: u64, blocks: u32) -> Launch {
    let arguments = Arguments::default().u64(out).u32(2000);
    Launch { grid: [blocks, 1], threads: [32, 1], arguments }
}

fn seconds(mut run: impl FnMut() -> Duration) -> [f64; 3] {
    spread((0..RUNS).map(|_| run().as_secs_f64()).collect())
}

/// The table of speeds by SMs; false where one is too far off.
fn scaling(driver: &Driver, launch: &Launch) -> bool {
    println!("one launch of {BLOCKS} blocks on k of {SMS} SMs, one core, {RUNS} runs each");
    println!(
        "{:>4} {:>10} {:>10} {:>10} {:>14}",
        "k", "median s", "lowest", "highest", "k x s / 2 x s(2)"
    );
    let mut base = None;
    let mut good = true;
    for count in (2..=SMS).step_by(2) {
        let [stream, _] = streams([count, 0]);
        let [middle, least, most] = seconds(|| driver.time_on(stream, "compute", launch).wall);
        let work = middle * f64::from(count);
        let ratio = work / *base.get_or_insert(work);
        println!("{count:>4} {middle:>10.3} {least:>10.3} {most:>10.3} {ratio:>14.3}");
        good &= (ratio - 1.0).abs() <= SCALING_TOLERANCE;
    }
    good
}

/// A lane alone and beside one that is always busy; false where that costs it too much.
fn neighbour(driver: &Driver, launch: &Launch) -> bool {
    let [lane, busy] = streams([SMS / 2, SMS / 2]);
    let alone = seconds(|| driver.time_on(lane, "compute", launch).wall);
    let over = AtomicBool::new(false);
    let busy = busy.expose_provenance();
    let beside = std::thread::scope(|scope| {
        scope.spawn(|| {
            driver.adopt();
            while !over.load(Ordering::Relaxed) {
                driver.time_on(std::ptr::with_exposed_provenance_mut(busy), "compute", launch);
            }
        });
        let beside = seconds(|| driver.time_on(lane, "compute", launch).wall);
        over.store(true, Ordering::Relaxed);
        beside
    });
    println!("\na lane of {} SMs, {RUNS} runs each", SMS / 2);
    for (what, [middle, least, most]) in [("alone", alone), ("beside a busy lane", beside)] {
        println!("{what:20} {middle:>10.3} s {least:>10.3} {most:>10.3}");
    }
    let cost = beside[0] / alone[0] - 1.0;
    println!("the neighbour costs {:.1} %", cost * 100.0);
    cost <= NEIGHBOUR_COST_MAX
}

/// Prints both tables.
///
/// # Panics
/// Where the device does not keep its promise.
pub(crate) fn run() {
    let driver = Driver::open(TEXT);
    let launch = launch(driver.allocate(4), BLOCKS);
    let scales = scaling(&driver, &launch);
    let is_separate = neighbour(&driver, &launch);
    assert!(scales, "speed does not follow the SMs within {SCALING_TOLERANCE}");
    assert!(is_separate, "a neighbour costs more than {NEIGHBOUR_COST_MAX}");
}
