//! Grants that change while their lanes have work: every launch runs where the lane was when it was
//! issued, in the order of the calls, and results are right.

use super::rig::{LARGE, NEW, OLD, Rig, random, with};
use crate::machine::placements_of_products;
use gpumux_cuda::{BackendKind, Grants, Lane, LeaseError, LiveChange, SmSet, TpcSet, Wanted};
use gpumux_kernels::{Echo, SmidProbe};
use rand::RngExt;
use rand::rngs::StdRng;

const LANES: usize = 4;
const ROUNDS: u32 = 60;

/// Some grant; preferably none that meets `others`.
fn any(grants: &Grants, others: &SmSet, random: &mut StdRng) -> TpcSet {
    let mut some = || match grants {
        Grants::These(all) => all[random.random_range(0..all.len())],
        Grants::AnyOf(all) => {
            let begin = random.random_range(0..all.len());
            let end = random.random_range(begin..all.len().min(begin + 4)) + 1;
            (begin..end).collect()
        }
    };
    let mut picks = (0..16).map(|_| some());
    let last = picks.next().expect("16 picks");
    picks.find(|tpcs| tpcs.sms().is_disjoint(others)).unwrap_or(last)
}

/// The SMs of all lanes but one.
fn others(lanes: &[Lane], but: usize) -> SmSet {
    let rest = lanes.iter().enumerate().filter(|(index, _)| *index != but);
    let sms = rest.map(|(_, lane)| *lane.grant().expect("leased").sms());
    sms.fold(SmSet::EMPTY, |all, sms| all.union(&sms))
}

/// Leases small lanes: all have room to move.
fn lease(rig: &Rig) -> Vec<Lane> {
    let lease = |_| rig.partitioner.lease(Wanted::Sms(2)).expect("a small lane");
    (0..LANES).map(lease).collect()
}

fn changes_under_load(backend: BackendKind) {
    with(backend, |rig| {
        let mut random = random();
        let grants = rig.partitioner.grants();
        let mut home = rig.device.lane(&rig.wake).expect("a lane");
        let mut lanes = lease(rig);
        let sums: Vec<_> = lanes.iter_mut().map(|lane| rig.sum(lane)).collect();
        let mut products: Vec<SmSet> = Vec::new();
        let mut probes = Vec::new();
        let (mut changed, mut refused) = (0, 0);
        for _ in 0..ROUNDS {
            for (index, sum) in sums.iter().enumerate() {
                let wanted = any(&grants, &others(&lanes, index), &mut random);
                let lane = &mut lanes[index];
                let before = *lane.grant().expect("leased");
                match rig.partitioner.regrant(lane, wanted) {
                    Ok(()) => {
                        assert_eq!(*lane.grant().expect("leased").tpcs(), wanted);
                        changed += 1;
                    }
                    Err(LeaseError::Meets { .. } | LeaseError::TooManyChanges { .. }) => {
                        assert_eq!(*lane.grant().expect("leased"), before);
                        refused += 1;
                    }
                    Err(why) => panic!("{why}"),
                }
                let granted = *lane.grant().expect("leased").sms();
                probes.push((rig.probe(lane, 8), granted));
                sum.add(lane);
                products.push(granted);
            }
        }
        println!("{changed} changes, {refused} refused");
        assert!(changed > 20, "too few changes to show anything");
        for (lane, sum) in lanes.iter_mut().zip(&sums) {
            lane.drain().expect("it drains");
            rig.check_sum(lane, sum, ROUNDS);
        }
        for (block, granted) in &probes {
            let said = rig.said(&mut home, block, 8);
            assert!(said.is_subset(granted), "{said} of {granted}");
        }
        for (placed, granted) in placements_of_products().iter().zip(&products) {
            assert!(placed.is_subset(granted), "{placed} of {granted}");
        }
    });
}

#[test]
fn green_contexts_change_under_load() {
    NEW.run(|| changes_under_load(BackendKind::GreenContexts));
}

#[test]
fn green_contexts_of_an_older_driver_change_under_load() {
    OLD.run(|| changes_under_load(BackendKind::GreenContexts));
}

#[test]
fn stream_masks_change_under_load() {
    NEW.run(|| changes_under_load(BackendKind::StreamMasks));
}

#[test]
fn stream_masks_of_a_large_device_change_under_load() {
    LARGE.run(|| changes_under_load(BackendKind::StreamMasks));
}

/// What comes after a change waits for what was before it: a block is cleared after a slow copy into
/// it was issued on other SMs, and stays clear.
fn order_is_kept(backend: BackendKind) {
    const WORDS: usize = 1024;
    with(backend, |rig| {
        let places: [TpcSet; 2] = match rig.partitioner.grants() {
            Grants::AnyOf(_) => [[0, 1].into_iter().collect(), [2].into_iter().collect()],
            Grants::These(all) => {
                let apart = all.iter().find(|other| other.is_disjoint(&all[0]));
                [all[0], *apart.expect("two parts")]
            }
        };
        let mut lane = rig.partitioner.lease(Wanted::Tpcs(places[0])).expect("a lane");
        let bytes = WORDS as u64 * 4;
        let [full, target, seen] = [bytes; 3].map(|bytes| rig.memory.alloc(bytes).expect("room"));
        rig.write(&mut lane, &full, std::iter::repeat_n(1.0, WORDS));
        let copy = Echo { input: full.address().of(), output: target.address().of(), bytes };
        lane.launch(&copy.launch()).expect("a launch");
        assert_eq!(rig.read(&mut lane, &target, WORDS), [1.0_f32.to_bits(); WORDS]);
        for round in 0..20 {
            let slow = SmidProbe { sm: seen.address().of(), hold_cycles: 2_000_000 };
            lane.launch(&slow.launch(1, 1)).expect("a launch");
            lane.launch(&copy.launch()).expect("a launch");
            rig.partitioner.regrant(&mut lane, places[(round + 1) % 2]).expect("a change");
            lane.clear(target.address(), WORDS * 4).expect("a fill");
            assert_eq!(rig.read(&mut lane, &target, WORDS), [0; WORDS], "round {round}");
        }
    });
}

#[test]
fn stream_masks_keep_the_order_of_work_across_a_change() {
    NEW.run(|| order_is_kept(BackendKind::StreamMasks));
}

#[test]
fn green_contexts_keep_the_order_of_work_across_a_change() {
    NEW.run(|| order_is_kept(BackendKind::GreenContexts));
}

#[test]
fn without_partitions_nothing_changes() {
    NEW.run(|| {
        with(BackendKind::None, |rig| {
            assert_eq!(rig.partitioner.abilities().live_change, LiveChange::No);
            let mut lane = rig.partitioner.lease(Wanted::Sms(2)).expect("a lane");
            let all = *lane.grant().expect("leased").tpcs();
            let refused = rig.partitioner.regrant(&mut lane, all);
            assert_eq!(refused, Err(LeaseError::Unchangeable));
        });
    });
}
