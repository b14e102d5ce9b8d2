//! Where a way is not there: the next one is taken, or there is an error, and each says why.

use super::rig::{NEW, Rig, random, tested, wish};
use crate::machine::{Machine, open};
use gpumux_cuda::{
    AllowList, BackendKind, BackendReport, ChooseError, CudaError, DeviceOptions, Grants,
    LiveChange, NotProven, PartitionWish, Partitioner, Refusal, Verdict, Wake, Wanted,
};
use rand::RngExt;

fn refused(report: &BackendReport) -> &Refusal {
    match &report.verdict {
        Verdict::Refused(why) => why,
        other => panic!("{other}"),
    }
}

fn choose(wish: &PartitionWish) -> Result<Partitioner, ChooseError> {
    let device = open(DeviceOptions::default());
    Partitioner::choose(&device, &Wake::new().expect("a descriptor"), wish)
}

fn reports_of(wish: &PartitionWish) -> Vec<BackendReport> {
    match choose(wish) {
        Ok(partitioner) => panic!("chose {}", partitioner.backend()),
        Err(ChooseError::NotPossible { reports, .. }) => reports,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_best_backend_is_taken_and_the_others_say_why_not() {
    NEW.run(|| {
        let rig = Rig::new(wish());
        let [green, masks, none] = rig.partitioner.reports() else { panic!("three backends") };
        assert_eq!(rig.partitioner.backend(), BackendKind::GreenContexts);
        let abilities = *rig.partitioner.abilities();
        assert_eq!(green.abilities(), Some(&abilities));
        assert_eq!((abilities.granularity_sms, abilities.has_read_back), (2, true));
        assert_eq!(abilities.live_change, LiveChange::OtherLane);
        assert!(matches!(refused(masks), Refusal::NotProven(_)), "{masks}");
        assert_eq!(none.verdict, Verdict::NotNeeded);
        assert!(masks.to_string().starts_with("stream masks: no: "), "{masks}");
    });
}

#[test]
fn with_a_proof_masks_are_possible_and_not_needed() {
    NEW.run(|| {
        tested(AllowList::PUBLISHED, |proof| {
            let proven = Some(proof.expect("the emulated driver's mask is where it should be"));
            let rig = Rig::new(PartitionWish { proven: proven.clone(), ..wish() });
            assert_eq!(rig.partitioner.reports()[1].verdict, Verdict::NotNeeded);
            drop(rig);
            let backend = Some(BackendKind::StreamMasks);
            let rig = Rig::new(PartitionWish { proven: proven.clone(), backend, ..wish() });
            assert_eq!(rig.partitioner.reports()[0].verdict, Verdict::NotWanted);
            assert_eq!(rig.partitioner.abilities().live_change, LiveChange::Store);
            drop(rig);
            // The proof is of the published offset, not of another one.
            let allow_list = AllowList::with_emulated_offset(0x100);
            let reports = reports_of(&PartitionWish { proven, backend, allow_list, ..wish() });
            assert!(matches!(refused(&reports[1]), Refusal::OtherProof { .. }), "{}", reports[1]);
        });
    });
}

#[test]
fn a_driver_without_green_contexts_has_masks_or_nothing() {
    Machine { claim: "driver=12.2,sms=8,memory=256MiB", ..NEW }.run(|| {
        tested(AllowList::PUBLISHED, |proof| {
            let rig = Rig::new(wish());
            assert_eq!(rig.partitioner.backend(), BackendKind::None);
            let [green, masks, _] = rig.partitioner.reports() else { panic!("three backends") };
            assert_eq!(*refused(green), Refusal::DriverTooOld { found: 12_020 });
            assert!(green.to_string().contains("CUDA 12.2"), "{green}");
            assert!(matches!(refused(masks), Refusal::NotProven(_)), "{masks}");
            drop(rig);
            let proven = Some(proof.expect("12.2 is listed"));
            let rig = Rig::new(PartitionWish { proven, ..wish() });
            assert_eq!(rig.partitioner.backend(), BackendKind::StreamMasks);
        });
    });
}

#[test]
fn a_driver_with_green_contexts_and_no_streams_in_them_is_too_old() {
    Machine { claim: "driver=12.4,sms=8,memory=256MiB", ..NEW }.run(|| {
        let backend = Some(BackendKind::GreenContexts);
        let reports = reports_of(&PartitionWish { backend, ..wish() });
        assert_eq!(*refused(&reports[0]), Refusal::DriverTooOld { found: 12_040 });
        assert_eq!(reports[2].verdict, Verdict::NotWanted);
    });
}

#[test]
fn a_driver_that_is_not_listed_is_never_tried() {
    Machine { claim: "driver=13.1,sms=8,memory=256MiB", ..NEW }.run(|| {
        tested(AllowList::PUBLISHED, |proof| {
            let why = proof.expect_err("13.1 is not listed");
            assert!(matches!(why, NotProven::Refused(Refusal::NotListed(_))), "{why}");
            assert!(why.to_string().contains("CUDA 13.1"), "{why}");
            let backend = Some(BackendKind::StreamMasks);
            let reports = reports_of(&PartitionWish { backend, ..wish() });
            assert!(matches!(refused(&reports[1]), Refusal::NotListed(_)), "{}", reports[1]);
        });
    });
}

#[test]
fn a_driver_that_lacks_a_function_is_named_with_it() {
    Machine { claim: "absent=cuGreenCtxStreamCreate,sms=8,memory=256MiB", ..NEW }.run(|| {
        let backend = Some(BackendKind::GreenContexts);
        let reports = reports_of(&PartitionWish { backend, ..wish() });
        assert_eq!(*refused(&reports[0]), Refusal::Missing("cuGreenCtxStreamCreate"));
    });
}

#[test]
fn a_device_of_one_part_is_not_partitioned() {
    Machine { claim: "sms=2,memory=256MiB", ..NEW }.run(|| {
        let backend = Some(BackendKind::GreenContexts);
        let reports = reports_of(&PartitionWish { backend, ..wish() });
        let indivisible = Refusal::Indivisible { sms: 2, granularity: 2 };
        assert_eq!(*refused(&reports[0]), indivisible);
    });
}

#[test]
fn without_the_exact_split_the_older_one_is_as_fine() {
    Machine { claim: "absent=cuDevSmResourceSplit,sms=22,memory=256MiB,pace=off", ..NEW }.run(
        || {
            let rig = Rig::new(wish());
            assert_eq!(rig.partitioner.abilities().granularity_sms, 2);
            let Grants::These(grants) = rig.partitioner.grants() else { panic!("green contexts") };
            assert_eq!(grants.len(), 21);
        },
    );
}

#[test]
fn what_a_split_leaves_over_is_used() {
    // 22 SMs at 8 a time leave 6.
    Machine { claim: "sms=22,memory=256MiB,pace=off", ..NEW }.run(|| {
        let rig = Rig::new(PartitionWish { atom_sms: 8, ..wish() });
        let Grants::These(grants) = rig.partitioner.grants() else { panic!("green contexts") };
        let mut sizes: Vec<u32> = grants.iter().map(|grant| grant.sms().len()).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [6, 8, 8, 16, 22]);
        rig.partitioner.lease(Wanted::Sms(22)).expect("all of it");
    });
}

#[test]
fn where_a_descriptor_takes_one_group_lanes_are_the_groups_of_one_split() {
    Machine { claim: "one-group=on,sms=22,memory=256MiB,pace=off", ..NEW }.run(|| {
        let rig = Rig::new(wish());
        assert_eq!(rig.partitioner.backend(), BackendKind::GreenContexts);
        let Grants::These(grants) = rig.partitioner.grants() else { panic!("green contexts") };
        let sizes: Vec<u32> = grants.iter().map(|grant| grant.sms().len()).collect();
        assert_eq!(sizes, [6, 6, 6, 4]);
        for tpcs in grants {
            let mut lane = rig.partitioner.lease(Wanted::Tpcs(tpcs)).expect("all are apart");
            let seen = rig.partitioner.probe().measure(&mut lane).expect("a measurement").sms;
            assert_eq!(seen, tpcs.sms());
        }
    });
}

#[test]
fn a_device_lost_meanwhile_is_an_error_and_not_another_backend() {
    Machine { claim: "lose=5,sms=8,memory=256MiB", ..NEW }.run(|| {
        let why = match choose(&wish()) {
            Ok(partitioner) => panic!("chose {}", partitioner.backend()),
            Err(why) => why,
        };
        let lost = |error: &CudaError| matches!(error, CudaError::DeviceLost(_));
        let is_told = match &why {
            ChooseError::Call(error) => lost(error),
            ChooseError::NotPossible { reports, .. } => {
                reports[0].to_string().contains("the device is lost")
            }
        };
        assert!(is_told, "{why}");
    });
}

#[test]
fn wrong_offsets_cost_a_child_and_nothing_more() {
    NEW.run(|| {
        let mut random = random();
        // The child has to be told the same offset, so there is one a test process.
        let seed = std::env::var("GPUMUX_TEST_OFFSET").ok();
        let offset = seed.map(|text| text.parse().expect("a number"));
        let offset = offset.unwrap_or_else(|| random.random_range(0..0x200) * 4 + 0x610);
        // SAFETY: no other thread of this process reads or writes its environment.
        unsafe { std::env::set_var("GPUMUX_TEST_OFFSET", offset.to_string()) };
        let list = AllowList::with_emulated_offset(offset);
        tested(list, |proof| {
            let why = proof.expect_err("the offset is wrong");
            assert!(matches!(why, NotProven::Died { .. }), "{why}");
            let rig = Rig::new(PartitionWish { allow_list: list, ..wish() });
            assert_eq!(rig.partitioner.backend(), BackendKind::GreenContexts);
        });
    });
}
