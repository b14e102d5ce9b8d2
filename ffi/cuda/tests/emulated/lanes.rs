//! Work on lanes: transfers, kernels, marks, wake-ups, faults.

use crate::machine::{Machine, open};
use gpumux_cuda::{
    CudaError, Device, DeviceOptions, Lane, Lent, MarkPath, Sequence, Staging, TransferError, Wake,
};
use gpumux_kernels::{DeviceAddress, Echo, SmidProbe};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::BTreeSet;
use std::os::fd::AsFd;

fn lane_of(device: &Device) -> (Lane, Wake) {
    let wake = Wake::new().expect("a descriptor");
    (device.lane(&wake).expect("a lane"), wake)
}

/// Sleeps until the lane wakes this thread.
fn sleep_on(wake: &Wake) {
    let mut ready = [PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ready, PollTimeout::NONE), Ok(1));
    assert!(wake.drain());
}

fn reclaim(lane: &Lane, lent: Lent) -> Staging {
    lane.reclaim(lent).unwrap_or_else(|_| panic!("the mark has retired"))
}

/// Bytes that differ from place to place.
fn pattern(bytes: usize) -> impl Iterator<Item = u8> {
    (0..bytes).map(|at| u8::try_from(at * 7 % 251).expect("below 251"))
}

fn echo_round_trips(options: DeviceOptions) {
    const BLOCK: usize = 70_000;
    let device = open(options);
    let memory = device.reserve(1 << 20).expect("memory");
    let input = memory.alloc(BLOCK as u64).expect("a block");
    let output = memory.alloc(BLOCK as u64).expect("a block");
    let mut pool = device.pinned_pool(BLOCK, 2).expect("pinned memory");
    let (mut lane, wake) = lane_of(&device);
    for bytes in [1, 15, 16, 17, 255, 1024, BLOCK] {
        let mut request = pool.take().expect("a block");
        request.bytes_mut().iter_mut().zip(pattern(bytes)).for_each(|(to, from)| *to = from);
        let mut reply = pool.take().expect("a block");
        reply.bytes_mut().fill(0xee);
        assert!(pool.take().is_none());

        let (mut request, mut reply) = (lane.lend(request), lane.lend(reply));
        lane.copy_in(&mut request, 0, bytes, input.address()).expect("a copy");
        let echo = Echo {
            input: input.address().of(),
            output: output.address().of(),
            bytes: bytes as u64,
        };
        lane.launch(&echo.launch()).expect("a launch");
        lane.copy_out(output.address(), &mut reply, 0, bytes).expect("a copy");
        let marked = lane.mark().expect("a mark");
        lane.wake().expect("a wake-up");
        sleep_on(&wake);

        assert!(lane.retired().has_reached(marked));
        let reply = reclaim(&lane, reply);
        assert!(reply.bytes()[..bytes].iter().copied().eq(pattern(bytes)), "{bytes} bytes");
        assert!(reply.bytes()[bytes..].iter().all(|&byte| byte == 0xee), "{bytes} bytes");
        pool.give(reply);
        pool.give(reclaim(&lane, request));
    }
    lane.drain().expect("it drains");
    assert_eq!(lane.is_idle(), Ok(true));
}

#[test]
fn echo_gives_back_what_it_was_given() {
    Machine::WHOLE.run(|| echo_round_trips(DeviceOptions::default()));
}

#[test]
fn echo_does_so_with_marks_made_by_a_kernel() {
    Machine::WHOLE.run(|| {
        let marks = Some(MarkPath::Kernel);
        echo_round_trips(DeviceOptions { marks, ..DeviceOptions::default() });
    });
}

#[test]
fn marks_count_up_and_retire_in_order() {
    Machine::WHOLE.run(|| {
        let device = open(DeviceOptions::default());
        let (mut lane, _wake) = lane_of(&device);
        assert_eq!(lane.retired(), Sequence::START);
        let marks: Vec<_> = (0..100).map(|_| lane.mark().expect("a mark").get()).collect();
        assert_eq!(marks, (1..=100).collect::<Vec<_>>());
        lane.drain().expect("it drains");
        assert_eq!(lane.retired(), lane.marked());
    });
}

#[test]
fn a_block_comes_back_only_after_a_mark_behind_its_transfers() {
    Machine::WHOLE.run(|| {
        let device = open(DeviceOptions::default());
        let memory = device.reserve(1 << 20).expect("memory");
        let block = memory.alloc(1024).expect("a block");
        let mut pool = device.pinned_pool(1024, 1).expect("pinned memory");
        let (mut lane, _wake) = lane_of(&device);
        let (other, _wake) = lane_of(&device);

        // Never used, it is free at once.
        let untouched = lane.lend(pool.take().expect("a block"));
        let mut lent = lane.lend(reclaim(&lane, untouched));
        lane.mark().expect("a mark before the transfer");
        lane.copy_in(&mut lent, 0, 1024, block.address()).expect("a copy");
        lane.drain().expect("it drains");
        // The copy is over, but no mark says so.
        let Err(lent) = lane.reclaim(lent) else { panic!("given back without a mark") };
        lane.mark().expect("a mark behind the transfer");
        lane.drain().expect("it drains");
        let Err(lent) = other.reclaim(lent) else { panic!("given back by another lane") };
        pool.give(reclaim(&lane, lent));
    });
}

#[test]
fn transfers_beyond_a_block_or_of_another_lane_are_refused() {
    Machine::WHOLE.run(|| {
        let device = open(DeviceOptions::default());
        let memory = device.reserve(1 << 20).expect("memory");
        let to = memory.alloc(1024).expect("a block");
        let mut pool = device.pinned_pool(1000, 1).expect("pinned memory");
        let (mut lane, _wake) = lane_of(&device);
        let (mut other, _wake) = lane_of(&device);
        let mut lent = lane.lend(pool.take().expect("a block"));
        for (offset, bytes) in [(0, 1001), (1000, 1), (usize::MAX, 2)] {
            assert_eq!(
                lane.copy_in(&mut lent, offset, bytes, to.address()),
                Err(TransferError::OutOfBlock)
            );
            assert_eq!(
                lane.copy_out(to.address(), &mut lent, offset, bytes),
                Err(TransferError::OutOfBlock)
            );
        }
        assert_eq!(other.copy_in(&mut lent, 0, 1, to.address()), Err(TransferError::OtherLane));
    });
}

#[test]
fn a_whole_device_lane_runs_on_every_sm() {
    Machine::WHOLE.run(|| {
        const BLOCKS: u32 = 64;
        const BYTES: usize = BLOCKS as usize * size_of::<u32>();
        let device = open(DeviceOptions::default());
        let memory = device.reserve(1 << 20).expect("memory");
        let sm = memory.alloc(BYTES as u64).expect("a block");
        let mut pool = device.pinned_pool(BYTES, 1).expect("pinned memory");
        let (mut lane, _wake) = lane_of(&device);
        let probe = SmidProbe { sm: sm.address().of(), hold_cycles: 1000 };
        lane.launch(&probe.launch(BLOCKS, 32)).expect("a launch");
        let mut seen = lane.lend(pool.take().expect("a block"));
        lane.copy_out(sm.address(), &mut seen, 0, BYTES).expect("a copy");
        lane.mark().expect("a mark");
        lane.drain().expect("it drains");
        let seen = reclaim(&lane, seen);
        let seen: BTreeSet<u32> = seen
            .bytes()
            .chunks_exact(4)
            .map(|word| u32::from_ne_bytes(word.try_into().expect("four bytes")))
            .collect();
        assert_eq!(seen, (0..device.info().sm_count).collect());
    });
}

#[test]
fn a_fault_loses_the_device_and_nothing_hangs() {
    Machine::WHOLE.run(|| {
        let device = open(DeviceOptions::default());
        let memory = device.reserve(1 << 20).expect("memory");
        let output = memory.alloc(256).expect("a block");
        let (mut lane, _wake) = lane_of(&device);
        let nowhere = DeviceAddress::new(16);
        let echo = Echo { input: nowhere.of(), output: output.address().of(), bytes: 256 };
        lane.launch(&echo.launch()).expect("the launch itself is fine");
        let Err(CudaError::DeviceLost(failed)) = lane.drain() else { panic!("no fault") };
        assert_eq!((failed.code.number, failed.code.name), (700, "CUDA_ERROR_ILLEGAL_ADDRESS"));
        assert!(matches!(lane.is_idle(), Err(CudaError::DeviceLost(_))));
        assert!(matches!(lane.mark(), Err(CudaError::DeviceLost(_))));
        assert_eq!(lane.marked(), Sequence::START);
        assert!(matches!(device.reserve(256), Err(CudaError::DeviceLost(_))));
    });
}
