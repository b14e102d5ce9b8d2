//! Which files are scenarios, and that a run of one adds up.

use super::*;
use crate::check::Checker;
use gpumux_core::MonoTime;

fn options(seed: u64) -> RunOptions {
    RunOptions { seed, policy: "fifo".to_owned(), requests: Some(3_000), objective: None }
}

#[test]
fn the_example_is_a_scenario_in_its_files_too() {
    let folder = tempfile::tempdir().unwrap();
    write_example(folder.path()).unwrap();
    let read = Scenario::read(&folder.path().join("scenario.toml")).unwrap();
    let (one, other) = (Scenario::example().unwrap(), read);
    let run = |scenario: &Scenario| {
        let report = scenario.run(&options(1), |_| ()).unwrap();
        Report { scenario: String::new(), ..report }
    };
    assert_eq!(run(&one), run(&other));
    assert!(write_example(folder.path()).unwrap_err().to_string().contains("scenario.toml"));
}

#[test]
fn profiles_of_the_example_say_that_they_are_made_up() {
    for function in &Scenario::example().unwrap().functions {
        assert!(function.profile.device().starts_with("made up"), "{}", function.name);
    }
}

#[test]
fn every_arrival_is_counted_once_and_a_seed_gives_them_again() {
    let scenario = Scenario::example().unwrap();
    let report = scenario.run(&options(1), |_| ()).unwrap();
    let all = &report.all;
    assert_eq!(all.arrivals, 3_000);
    let ended = all.done + all.deadline_missed + all.refused_queue_full;
    assert_eq!(ended, all.arrivals);
    let sum: u64 = report.functions.iter().map(|function| function.figures.arrivals).sum();
    assert_eq!(sum, all.arrivals);
    assert_eq!(report, scenario.run(&options(1), |_| ()).unwrap());
    assert_ne!(report.all, scenario.run(&options(2), |_| ()).unwrap().all);
}

/// Under a load that fills queues, so that every kind of outcome is there.
#[test]
fn no_rule_is_broken_in_the_example() {
    let scenario = Scenario::example().unwrap();
    let busy = GapRule::Mmpp2 { per_s: [500.0, 6_000.0], leave_per_s: [2.0, 2.0] };
    let scenario = scenario.with_arrivals(busy).unwrap();
    let requests = Requests::new(&scenario, 3, 10_000).unwrap();
    let world = scenario.world("fifo");
    let watch = (Checker::new(&world), Recorder::new(&scenario, None));
    let simulation = Simulation::new(&world, &scenario, requests, None, watch).unwrap();
    let (ended, (checker, recorder)) = simulation.run();
    assert_eq!(checker.into_broken(), None);
    let figures = recorder.report(&scenario, &options(3), ended).all;
    let all = [figures.done, figures.deadline_missed, figures.refused_queue_full];
    assert!(all.iter().all(|count| *count > 100), "{figures:?}");
}

#[test]
fn arrivals_of_a_file_fall_on_functions_by_weight_and_end_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gaps");
    std::fs::write(&path, "0.01\n".repeat(1_000)).unwrap();
    let mut scenario = Scenario::example().unwrap();
    scenario.functions[0].weight = 3.0;
    let scenario = scenario.with_arrivals(GapRule::File { path, speed: 1.0 }).unwrap();
    let report = scenario.run(&RunOptions { requests: None, ..options(1) }, |_| ()).unwrap();
    assert_eq!(report.all.arrivals, 1_000);
    let first = report.functions[0].figures.arrivals;
    assert!((700..800).contains(&first), "{first}");
    assert!((10.0..11.0).contains(&report.simulated_s), "{}", report.simulated_s);
}

#[test]
fn requests_come_in_order_of_all_sources() {
    let scenario = Scenario::example().unwrap();
    let times: Vec<MonoTime> =
        Requests::new(&scenario, 4, 2_000).unwrap().map(|(at, _)| at).collect();
    assert_eq!(times.len(), 2_000);
    assert!(times.is_sorted());
}

#[test]
fn a_scenario_without_end_does_not_begin() {
    let poisson = GapRule::Poisson { per_s: 10.0 };
    let mut scenario = Scenario::example().unwrap().with_arrivals(poisson).unwrap();
    scenario.requests = None;
    let error = scenario.run(&RunOptions { requests: None, ..options(1) }, |_| ()).unwrap_err();
    assert!(matches!(error, RunError::Endless(_)), "{error}");
    let policy = RunOptions { policy: "fastest".to_owned(), ..options(1) };
    let error = scenario.run(&policy, |_| ()).unwrap_err().to_string();
    assert_eq!(error, "there is no policy `fastest`: there is `fifo`, `sequoia-priority`");
}

#[test]
fn a_file_that_is_no_scenario_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    write_example(folder.path()).unwrap();
    let path = folder.path().join("scenario.toml");
    let good = EXAMPLE_FILES[0].1;
    for (from, to, expected) in [
        ("version = 1", "version = 9", "scenario.toml:2: version 9"),
        ("lanes = [16, 8, 8]", "lanes = [16, 8, 9]", "scenario.toml:7: the lanes hold 33 SMs"),
        ("lanes = [16, 8, 8]", "lanes = []", "scenario.toml:7: from 1 to 64 lanes"),
        ("lanes = [16, 8, 8]", "lanes = [16, 2]", "a lane has 2 SMs, and profile"),
        ("run_ahead = 2", "run_ahead = 0", "scenario.toml:8: `run_ahead` is 0"),
        ("max_batch = 16", "max_batch = 17", "`max_batch` is 17, and its profile"),
        ("[32, 64, 128]", "[32, 64, 129]", "the last of `buckets` is 129"),
        ("[32, 64, 128]", "[64, 32]", "`buckets` are ascending"),
        ("[32, 64, 128]", "[32, 64]", "`lengths` go to 128, its buckets to 64"),
        ("\"2ms\"", "2", "scenario.toml:15: invalid type: integer"),
        ("\"2ms\"", "\"2\"", "write it like `2ms`"),
        ("queue = 256", "queue = 0", "`queue` is 0"),
        ("name = \"classify\"", "name = \"embed\"", "function `embed` is there twice"),
        ("per_s = 300", "per_s = 0", "function `classify`: `arrivals`: write a rate above 0"),
        ("process = \"gamma\"", "process = \"gama\"", "unknown variant `gama`"),
        ("fixed = 1", "fixed = 0", "`lengths`: write lengths from 1 on"),
        ("requests = 20000", "arrivals = { process = \"poisson\", per_s = 5 }", "one of the two"),
        ("\"classifier.toml\"", "\"absent.toml\"", "absent.toml: No such file"),
        ("queue = 64", "queue = 64\nweight = 0", "`weight` is 0"),
        ("cv = 2.0 }", "cv = 2.0, sv = 1 }", "unknown field `sv`"),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let error = Scenario::read(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nshould contain: {expected}");
    }
}
