//! Two lanes that are apart run at the same time, and a side that is alone says so.

use super::rig::{NEW, OLD, Rig, wish, with};
use gpumux_cuda::{BackendKind, Handshake, Wanted};
use gpumux_kernels as kernels;
use std::time::Duration;

/// Longer than a busy machine needs to run both sides.
const WAIT: Duration = Duration::from_secs(60);

fn lanes_meet(backend: BackendKind) {
    with(backend, |rig| {
        let lease = |_| rig.partitioner.lease(Wanted::Sms(2)).expect("a lane");
        let [mut first, mut second, mut third] = [0; 3].map(lease);
        let probe = rig.partitioner.probe();
        for _ in 0..5 {
            assert_eq!(probe.handshake(&mut first, &mut second, WAIT), Ok(Handshake::Met));
            assert_eq!(probe.handshake(&mut third, &mut first, WAIT), Ok(Handshake::Met));
        }
    });
}

#[test]
fn lanes_of_green_contexts_run_at_the_same_time() {
    NEW.run(|| lanes_meet(BackendKind::GreenContexts));
}

#[test]
fn lanes_of_stream_masks_run_at_the_same_time() {
    OLD.run(|| lanes_meet(BackendKind::StreamMasks));
}

#[test]
fn lanes_without_partitions_run_at_the_same_time() {
    NEW.run(|| lanes_meet(BackendKind::None));
}

#[test]
fn a_side_that_is_alone_ends_and_says_so() {
    NEW.run(|| {
        let rig = Rig::new(wish());
        let mut lane = rig.partitioner.lease(Wanted::Sms(2)).expect("a lane");
        let words = rig.memory.alloc(256).expect("a block");
        let at =
            |index: u64| gpumux_kernels::DeviceAddress::new(words.address().get() + 4 * index).of();
        lane.clear(words.address(), 256).expect("a fill");
        // One after the other on one lane: neither runs while the other does.
        for [mine, theirs] in [[0, 1], [1, 0]] {
            let side = kernels::Handshake {
                mine: at(mine),
                theirs: at(theirs),
                outcome: at(mine + 2),
                wait_ns: 1_000_000,
            };
            lane.launch(&side.launch()).expect("a launch");
        }
        assert_eq!(rig.read(&mut lane, &words, 4), [0, 0, 2, 2]);
    });
}
