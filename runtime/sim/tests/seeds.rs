//! Two thousand small random worlds, every rule looked at on everything that happens.

use gpumux_sim::seeds::{self, Checked};

/// `GPUMUX_SIM_SEEDS` asks for more.
#[test]
fn no_rule_is_broken_in_any_of_two_thousand_worlds() {
    let asked = std::env::var("GPUMUX_SIM_SEEDS").map(|seeds| seeds.parse().unwrap());
    let (mut sum, mut failures) = (Checked::default(), Vec::new());
    for policy in gpumux_core::policy::NAMES {
        for seed in 0..asked.clone().unwrap_or(2_000u64) {
            match seeds::check(seed, policy) {
                Ok(checked) => sum += checked,
                Err(failure) => failures.push(format!(
                    "{failure}\n  again: gpumux sim check --policy {policy} --seed {seed}"
                )),
            }
        }
    }
    assert!(failures.is_empty(), "{} failed; the first:\n{}", failures.len(), failures[0]);
    println!("{sum:?}");
    // The worlds are worth something only if all of this happens in them, and often.
    let Checked { done, queue_full, draining, deadline_missed, .. } = sum;
    let Checked { cancelled, device_failed, issued, inherited, .. } = sum;
    for often in
        [done, queue_full, draining, deadline_missed, cancelled, device_failed, issued, inherited]
    {
        assert!(often > 1_000, "{sum:?}");
    }
}

#[test]
fn a_seed_gives_the_same_world_again() {
    for seed in 0..20 {
        assert_eq!(seeds::check(seed, "fifo").unwrap(), seeds::check(seed, "fifo").unwrap());
    }
}
