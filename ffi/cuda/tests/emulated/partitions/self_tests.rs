//! The self-test in its child, and children that are not what they should be.

use super::rig::{LARGE, NEW, tested};
use gpumux_cuda::{AllowList, Driver, NotProven, SmSet, prove};
use std::process::Command;
use std::time::Duration;

#[test]
fn every_bit_is_proven_and_is_its_own_tpc() {
    LARGE.run(|| {
        tested(AllowList::PUBLISHED, |proof| {
            let proven = proof.unwrap_or_else(|why| panic!("{why}"));
            let pairs: Vec<SmSet> =
                (0..66).map(|tpc| [2 * tpc, 2 * tpc + 1].into_iter().collect()).collect();
            assert_eq!(proven.sms_by_tpc(), pairs);
            assert!(proven.key().to_string().contains("CUDA 13.3"), "{}", proven.key());
        });
    });
}

fn with_child(mut command: Command, silence: Duration) -> NotProven {
    let driver = Driver::load().expect("the emulated driver loads");
    match prove(&driver, 0, &AllowList::PUBLISHED, &mut command, silence) {
        Ok(_) => panic!("it was proven by nothing"),
        Err(why) => why,
    }
}

#[test]
fn a_child_that_hangs_is_ended() {
    NEW.run(|| {
        let mut command = Command::new("sleep");
        command.arg("1000000");
        let why = with_child(command, Duration::from_millis(100));
        assert!(matches!(why, NotProven::Silent(_)), "{why}");
    });
}

#[test]
fn a_child_that_tests_nothing_proves_nothing() {
    NEW.run(|| {
        let why = with_child(Command::new("true"), Duration::from_secs(60));
        assert!(matches!(why, NotProven::OtherTest { said: None, .. }), "{why}");
        let mut command = Command::new("echo");
        command.arg("gpumux-mask-self-test: begin something else");
        let why = with_child(command, Duration::from_secs(60));
        assert!(matches!(why, NotProven::OtherTest { said: Some(_), .. }), "{why}");
    });
}

#[test]
fn a_child_that_cannot_be_started_is_an_error() {
    NEW.run(|| {
        let why = with_child(Command::new("/nowhere/to/be/found"), Duration::from_secs(60));
        assert!(matches!(why, NotProven::Process(_)), "{why}");
    });
}
