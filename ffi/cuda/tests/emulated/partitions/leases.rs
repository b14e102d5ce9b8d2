//! Who has which SMs: leases that would meet, SMs that were given up and still work, what comes back.

use super::rig::{NEW, Rig, wish, with};
use gpumux_cuda::{BackendKind, Grants, Lane, LeaseError, PartitionWish, TpcSet, Wanted};
use gpumux_kernels::SmidProbe;

fn tpcs(indices: std::ops::Range<u32>) -> TpcSet {
    indices.collect()
}

fn lease(rig: &Rig, wanted: TpcSet) -> Result<Lane, LeaseError> {
    rig.partitioner.lease(Wanted::Tpcs(wanted))
}

fn error_of(rig: &Rig, wanted: Wanted) -> LeaseError {
    match rig.partitioner.lease(wanted) {
        Ok(lane) => panic!("leased {:?}", lane.grant()),
        Err(why) => why,
    }
}

/// Keeps a lane busy for so long that what follows in a test finds it so.
fn occupy(rig: &Rig, lane: &mut Lane) {
    let seen = rig.memory.alloc(256).expect("a block");
    let slow = SmidProbe { sm: seen.address().of(), hold_cycles: 300_000_000 };
    lane.launch(&slow.launch(1, 1)).expect("a launch");
    // The block may not be given to others while the kernel writes to it.
    std::mem::forget(seen);
}

fn leases_that_would_meet_are_refused(backend: BackendKind) {
    with(backend, |rig| {
        let first = lease(rig, tpcs(0..4)).expect("a lane");
        for wanted in [tpcs(0..4), tpcs(2..4), tpcs(0..8)] {
            let why = error_of(rig, Wanted::Tpcs(wanted));
            let LeaseError::Meets { wanted: asked, lane, held, is_draining: false } = why else {
                panic!("{why}")
            };
            assert_eq!((asked, lane, held), (wanted, first.id(), tpcs(0..4)));
            let text = why.to_string();
            assert!(
                text.contains(&held.to_string()) && text.contains(&asked.to_string()),
                "{text}"
            );
        }
        let second = lease(rig, tpcs(4..8)).expect("it is apart");
        assert_eq!(rig.partitioner.free(), Ok(tpcs(8..12).sms()));
        let third = rig.partitioner.lease(Wanted::Sms(5)).expect("there is room");
        assert_eq!(
            *third.grant().expect("leased").tpcs(),
            match backend {
                BackendKind::StreamMasks => tpcs(8..11),
                _ => tpcs(8..12),
            }
        );
        let why = error_of(rig, Wanted::Sms(5));
        assert!(matches!(why, LeaseError::NoRoom { wanted: 5, free: 0 | 2 }), "{why}");
        // Dropped or given back, it is free again.
        drop(first);
        rig.partitioner.give_back(second).expect("it is given back");
        lease(rig, tpcs(0..8)).expect("both are free");
    });
}

#[test]
fn green_contexts_that_would_meet_are_refused() {
    NEW.run(|| leases_that_would_meet_are_refused(BackendKind::GreenContexts));
}

#[test]
fn stream_masks_that_would_meet_are_refused() {
    NEW.run(|| leases_that_would_meet_are_refused(BackendKind::StreamMasks));
}

fn what_is_given_up_is_free_when_its_work_has_retired(backend: BackendKind) {
    with(backend, |rig| {
        let mut lane = lease(rig, tpcs(0..4)).expect("a lane");
        occupy(rig, &mut lane);
        rig.partitioner.regrant(&mut lane, tpcs(4..8)).expect("a change");
        let why = error_of(rig, Wanted::Tpcs(tpcs(0..2)));
        assert!(matches!(why, LeaseError::Meets { is_draining: true, .. }), "{why}");
        assert!(why.to_string().contains("gave up"), "{why}");
        // The lane itself may go back, or anywhere near.
        rig.partitioner.regrant(&mut lane, tpcs(0..8)).expect("a change");
        rig.partitioner.regrant(&mut lane, tpcs(4..8)).expect("a change");
        lane.drain().expect("it drains");
        let first = lease(rig, tpcs(0..4)).expect("the work has retired");
        // A lane that is given back at work is not leased again before that has retired.
        occupy(rig, &mut lane);
        let number = lane.id();
        rig.partitioner.give_back(lane).expect("it is given back");
        let why = error_of(rig, Wanted::Tpcs(tpcs(4..6)));
        assert!(
            matches!(why, LeaseError::Meets { is_draining: true, lane, .. } if lane == number),
            "{why}"
        );
        drop(first);
    });
}

#[test]
fn what_a_green_context_gave_up_is_free_when_its_work_has_retired() {
    NEW.run(|| what_is_given_up_is_free_when_its_work_has_retired(BackendKind::GreenContexts));
}

#[test]
fn what_a_stream_mask_gave_up_is_free_when_its_work_has_retired() {
    NEW.run(|| what_is_given_up_is_free_when_its_work_has_retired(BackendKind::StreamMasks));
}

#[test]
fn more_lanes_or_changes_than_there_is_room_for_are_refused() {
    NEW.run(|| {
        let rig = Rig::new(PartitionWish { lanes: 1, ..wish() });
        let mut lane = lease(&rig, tpcs(0..1)).expect("the one lane");
        assert_eq!(error_of(&rig, Wanted::Sms(2)), LeaseError::NoLane { lanes: 1 });
        occupy(&rig, &mut lane);
        let mut places = [tpcs(1..2), tpcs(0..1)].into_iter().cycle();
        let mut change = || rig.partitioner.regrant(&mut lane, places.next().expect("a cycle"));
        for _ in 0..4 {
            assert_eq!(change(), Ok(()));
        }
        assert_eq!(change(), Err(LeaseError::TooManyChanges { changes: 4 }));
        // There is always room to give a lane back.
        rig.partitioner.give_back(lane).expect("it is given back");
    });
}

#[test]
fn grants_that_there_are_not_and_lanes_of_others_are_refused() {
    NEW.run(|| {
        let rig = Rig::new(wish());
        assert!(matches!(rig.partitioner.grants(), Grants::These(_)));
        for wanted in [TpcSet::EMPTY, tpcs(1..3), tpcs(0..13), tpcs(100..101)] {
            let why = error_of(&rig, Wanted::Tpcs(wanted));
            assert_eq!(why, LeaseError::NoSuchGrant { wanted });
        }
        let mut free = rig.device.lane(&rig.wake).expect("a lane");
        assert_eq!(free.grant(), None);
        let refused = rig.partitioner.regrant(&mut free, tpcs(0..1));
        assert_eq!(refused, Err(LeaseError::NotLeasedHere));
        let refused = rig.partitioner.give_back(free);
        assert_eq!(refused, Err(LeaseError::NotLeasedHere));
    });
}

#[test]
fn masks_are_refused_tpcs_that_there_are_not() {
    NEW.run(|| {
        with(BackendKind::StreamMasks, |rig| {
            for wanted in [TpcSet::EMPTY, tpcs(0..13), tpcs(12..13), tpcs(200..201)] {
                let why = error_of(rig, Wanted::Tpcs(wanted));
                assert_eq!(why, LeaseError::NoSuchGrant { wanted });
            }
        });
    });
}

#[test]
fn lanes_outlive_their_partitioner_and_keep_to_their_sms() {
    NEW.run(|| {
        let Rig { partitioner, device, .. } = Rig::new(wish());
        let mut lane = partitioner.lease(Wanted::Tpcs(tpcs(4..8))).expect("a lane");
        let probe = device.probe().expect("a probe");
        drop((partitioner, device));
        assert_eq!(probe.measure(&mut lane).expect("it runs").sms, tpcs(4..8).sms());
    });
}
