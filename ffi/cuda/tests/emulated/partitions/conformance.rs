//! The suite that every backend passes on every machine: whatever the layout, what a lane runs, kernels
//! and products alike, runs on its SMs and on no others.

use super::rig::{LARGE, NEW, OLD, Rig, layout, random, with};
use crate::machine::placements_of_products;
use gpumux_cuda::{BackendKind, Grants, Lane, SmSet, TpcSet, Wanted};
use std::collections::BTreeSet;

/// Layouts that are tried.
const LAYOUTS: usize = 200;
/// Lanes of each, at most.
const LANES: usize = 6;

fn lease(rig: &Rig, tpcs: TpcSet) -> Lane {
    rig.partitioner.lease(Wanted::Tpcs(tpcs)).unwrap_or_else(|why| panic!("{why}"))
}

/// Every grant of its own, or every size where any set is a grant: work runs on all of it.
fn every_size(rig: &Rig) -> usize {
    let grants = match rig.partitioner.grants() {
        Grants::These(grants) => grants,
        Grants::AnyOf(tpcs) => (1..=tpcs.len()).map(|size| (0..size).collect()).collect(),
    };
    let mut sizes = BTreeSet::new();
    for tpcs in &grants {
        let mut lane = lease(rig, *tpcs);
        let granted = *lane.grant().expect("a lane of the partitioner").sms();
        assert_eq!((granted.tpcs(), granted.len()), (*tpcs, lane.sm_count_target()));
        let measured = rig.partitioner.probe().measure(&mut lane).expect("a measurement");
        assert_eq!(measured.sms, granted);
        sizes.insert(granted.len());
        rig.partitioner.give_back(lane).expect("it is given back");
    }
    sizes.len()
}

/// Random layouts, all lanes at work at the same time.
fn random_layouts(rig: &Rig) {
    let mut random = random();
    let grants = rig.partitioner.grants();
    let mut products: Vec<SmSet> = Vec::new();
    let mut home = rig.device.lane(&rig.wake).expect("a lane");
    let sums: Vec<_> = (0..LANES).map(|_| rig.sum(&mut home)).collect();
    let mut times = [0; LANES];
    for _ in 0..LAYOUTS {
        let apart = layout(&grants, LANES, &mut random);
        let mut lanes: Vec<Lane> = apart.iter().map(|tpcs| lease(rig, *tpcs)).collect();
        let mut blocks = Vec::new();
        for ((lane, sum), times) in lanes.iter_mut().zip(&sums).zip(&mut times) {
            let count = 2 * lane.sm_count_target();
            blocks.push((rig.probe(lane, count), count));
            sum.add(lane);
            *times += 1;
            products.push(*lane.grant().expect("leased").sms());
        }
        for (mut lane, (block, count)) in lanes.into_iter().zip(blocks) {
            let said = rig.said(&mut lane, &block, count);
            let granted = *lane.grant().expect("leased").sms();
            assert!(said.is_subset(&granted), "{said} of {granted}");
            // One block for each SM, round robin, on a lane that does nothing else.
            assert_eq!(said, granted);
            rig.partitioner.give_back(lane).expect("it is given back");
        }
    }
    for (sum, times) in sums.iter().zip(times) {
        rig.check_sum(&mut home, sum, times);
    }
    let placed = placements_of_products();
    assert_eq!(placed.len(), products.len());
    let mut widest = 0;
    for (placed, granted) in placed.iter().zip(&products) {
        assert!(!placed.is_empty() && placed.is_subset(granted), "{placed} of {granted}");
        widest = widest.max(placed.len());
    }
    assert!(widest > 1, "no product had tiles for several SMs: nothing was shown");
}

fn conforms(backend: BackendKind, sizes: usize) {
    with(backend, |rig| {
        assert_eq!(rig.partitioner.backend(), backend);
        assert_eq!(every_size(rig), sizes);
        random_layouts(rig);
    });
}

#[test]
fn green_contexts_of_a_new_driver_conform() {
    // 12 TPCs: 1, 2, 4, 8 and 12 of them.
    NEW.run(|| conforms(BackendKind::GreenContexts, 5));
}

#[test]
fn green_contexts_of_an_older_driver_conform() {
    // 10 TPCs: 1, 2, 8 and 10 of them, and 4.
    OLD.run(|| conforms(BackendKind::GreenContexts, 5));
}

#[test]
fn green_contexts_of_a_large_device_conform() {
    // 66 TPCs: 1, 2, 4, 8, 16, 32, 64 and 66 of them.
    LARGE.run(|| conforms(BackendKind::GreenContexts, 8));
}

#[test]
fn stream_masks_of_a_new_driver_conform() {
    NEW.run(|| conforms(BackendKind::StreamMasks, 12));
}

#[test]
fn stream_masks_of_an_older_driver_conform() {
    OLD.run(|| conforms(BackendKind::StreamMasks, 10));
}

#[test]
fn stream_masks_of_a_large_device_conform() {
    LARGE.run(|| conforms(BackendKind::StreamMasks, 66));
}

#[test]
fn no_partitions_conform() {
    NEW.run(|| conforms(BackendKind::None, 1));
}
