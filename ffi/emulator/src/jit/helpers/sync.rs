//! Where a thread waits for others, gives them a turn, or ends early.

use crate::block::Fault;
use crate::jit::frame::{BlockFrame, DONE, LOCAL_WINDOW, ThreadFrame};
use crate::jit::wait::{BarrierOp, BarrierWait, Wait, WarpOp, WarpWait};

/// A barrier; the answer is what `op` says.
pub(super) extern "C" fn barrier(
    thread: &ThreadFrame,
    op: BarrierOp,
    id: u32,
    expected: u32,
    predicate: u32,
) -> u32 {
    let wait = BarrierWait { op, id, expected, predicate: predicate != 0 };
    let answer = thread.wait_for(Wait::Barrier(wait));
    u32::try_from(answer).unwrap_or(0)
}

/// Something that lanes of a warp do together.
pub(super) extern "C" fn warp(
    thread: &ThreadFrame,
    op: WarpOp,
    members: u32,
    value: u64,
    select: u32,
    clamp: u32,
) -> u64 {
    thread.wait_for(Wait::Warp(WarpWait { op, members, value, select, clamp }))
}

/// `activemask`: the lanes of the warp that stand at the same one.
pub(super) extern "C" fn active(thread: &ThreadFrame, site: u32) -> u32 {
    u32::try_from(thread.wait_for(Wait::Active { site })).unwrap_or(0)
}

/// Called now and then by loops: ends the kernel when the driver asks, and gives others a turn,
/// because this thread may spin on what they will write.
pub(super) extern "C" fn poll(frame: &BlockFrame, thread: &ThreadFrame) -> u32 {
    // Its own small stack is no place to wait for other SMs: the executor does so between rounds.
    if thread.can_wait() {
        thread.wait_for(Wait::Turn);
        return DONE;
    }
    match frame.attend() {
        Ok(()) => DONE,
        Err(fault) => frame.fail(fault),
    }
}

/// `trap`
pub(super) extern "C" fn trap(frame: &BlockFrame) -> u32 {
    frame.fail(Fault::Trap)
}

/// A call found no room for its frame: the device would run past the thread's local memory.
pub(super) extern "C" fn stack_overflow(frame: &BlockFrame, thread: &ThreadFrame) -> u32 {
    frame.fail(Fault::IllegalAddress { address: LOCAL_WINDOW + thread.local_bytes, bytes: 8 })
}
