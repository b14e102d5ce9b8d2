//! What a profile answers, and which files are none.

use super::*;

const GOOD: &str = r#"version = 1
name = "encoder"
device = "made up for tests"
emulated = false
sms = [8, 16, 32]
batches = [1, 4]
lengths = [16, 64, 128]
duration_us = [
  [[400, 800, 1600], [900, 2200, 4400]],
  [[250, 450, 850], [500, 1150, 2250]],
  [[175, 275, 475], [300, 625, 1175]],
]
segment_us = 500
bandwidth_share = 0.4
copy_in_us_per_request = 5
copy_out_us_per_request = 2.5
"#;

fn profile() -> Profile {
    Profile::parse(Path::new("p.toml"), GOOD).unwrap()
}

fn micros(sms: u32, batch: u32, length: u32) -> f64 {
    profile().nanos(Shape { sms, batch, length }).unwrap() / 1e3
}

#[test]
fn points_of_the_grid_are_met_exactly() {
    for (sms, batch, length, expected) in
        [(8, 1, 16, 400.0), (16, 4, 64, 1150.0), (32, 4, 128, 1175.0), (32, 1, 64, 275.0)]
    {
        assert_eq!(micros(sms, batch, length), expected);
    }
}

#[test]
fn between_points_the_mean_is_weighted() {
    assert_eq!(micros(8, 1, 40), 600.0);
    assert_eq!(micros(8, 2, 16), 400.0 + 500.0 / 3.0);
    // In the inverse: 1/12 lies two thirds of the way from 1/8 to 1/16.
    assert!((micros(12, 1, 16) - (400.0 - 150.0 * 2.0 / 3.0)).abs() < 1e-9);
}

#[test]
fn more_work_or_fewer_sms_never_take_less() {
    let profile = profile();
    let nanos = |sms, batch, length| profile.nanos(Shape { sms, batch, length }).unwrap();
    for sms in 8..40 {
        for batch in 1..=4 {
            for length in 1..=128 {
                let here = nanos(sms, batch, length);
                assert!(nanos(sms + 1, batch, length) <= here);
                assert!(batch == 4 || nanos(sms, batch + 1, length) >= here);
                assert!(length == 128 || nanos(sms, batch, length + 1) >= here);
            }
        }
    }
}

#[test]
fn outside_of_the_grid_it_errs_on_the_side_of_longer_or_is_refused() {
    assert_eq!(micros(64, 1, 3), 175.0);
    let outside =
        |sms, batch, length| profile().nanos(Shape { sms, batch, length }).unwrap_err().to_string();
    assert!(outside(7, 1, 16).contains("sms from 8 to 32, and 7"));
    assert!(outside(8, 5, 16).contains("batches from 1 to 4, and 5"));
    assert!(outside(8, 1, 129).contains("lengths from 16 to 128, and 129"));
}

#[test]
fn the_error_is_that_of_points_left_out() {
    // By hand: 64 lies 3/7 from 16 to 128. On 8 SMs, batch 1: 400 + 1200 * 3/7, a seventh above 800.
    let error = profile().error().unwrap();
    // 6 inner points along the lengths, 6 along the SMs; two batches have no inner one.
    assert_eq!(error.points, 12);
    assert!((error.worst - 1.0 / 7.0).abs() < 1e-9, "{error:?}");
    assert!(error.mean > 0.0 && error.mean < error.worst);
    let one_point = GOOD
        .replace("sms = [8, 16, 32]", "sms = [8]")
        .replace("lengths = [16, 64, 128]", "lengths = [16]")
        .replace("  [[250, 450, 850], [500, 1150, 2250]],\n", "")
        .replace("  [[175, 275, 475], [300, 625, 1175]],\n", "")
        .replace("[[400, 800, 1600], [900, 2200, 4400]]", "[[400], [900]]");
    assert_eq!(Profile::parse(Path::new("p.toml"), &one_point).unwrap().error(), None);
}

#[test]
fn a_file_that_is_no_profile_is_refused_with_its_line() {
    for (from, to, expected) in [
        ("version = 1", "version = 2", "p.toml:1: version 2: this release reads version 1"),
        ("\"encoder\"", "\" \"", "p.toml:2: `name` is empty"),
        ("emulated = false", "emulate = false", "p.toml:4: unknown field `emulate`"),
        ("[8, 16, 32]", "[8, 8, 32]", "p.toml:5: `sms`: write at least one number, ascending"),
        ("[1, 4]", "[]", "p.toml:6: `batches`"),
        ("[16, 64, 128]", "[0, 64, 128]", "p.toml:7: `lengths`"),
        ("[400, 800, 1600]", "[400, 800]", "p.toml:9: duration_us: 2 entries here"),
        ("[250, 450, 850], ", "", "p.toml:10: duration_us: 1 entries here"),
        ("[400, 800, 1600]", "[400, 300, 1600]", "less than the shorter length"),
        ("[900, 2200, 4400]", "[300, 2200, 4400]", "less than the smaller batch"),
        (
            "[175, 275, 475]",
            "[251, 275, 475]",
            "p.toml:11: duration_us at sms 32, batch 1, length 16",
        ),
        ("[175, 275, 475]", "[0, 275, 475]", "a time above 0"),
        ("[175, 275, 475]", "[nan, 275, 475]", "a time above 0"),
        ("segment_us = 500", "segment_us = 0", "p.toml:13: `segment_us` is 0"),
        ("share = 0.4", "share = 1.4", "p.toml:14: `bandwidth_share` is 1.4"),
        ("segment_us = 500\n", "", "missing field `segment_us`"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let error = Profile::parse(Path::new("p.toml"), &GOOD.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}\nshould contain: {expected}");
    }
}
