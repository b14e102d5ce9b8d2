//! How many cores the host really gives to so many threads. It knows no SM.

use crate::clock;
use std::time::Duration;

/// How long each look takes, and how many there are: the best counts, because what else the machine
/// does may take something away but never adds anything.
const LOOK: Duration = Duration::from_millis(4);
const LOOKS: usize = 3;

/// Cores that `threads` busy threads get, at most one each; never zero.
pub(super) fn cores(threads: u32) -> f64 {
    let best = (0..LOOKS).map(|_| look(threads)).fold(0.0, f64::max);
    best.clamp(0.05, f64::from(threads))
}

fn look(threads: u32) -> f64 {
    std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, spin);
        let running: Vec<_> = (0..threads).map_while(|index| spawn(index).ok()).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).sum()
    })
}

/// Keeps a core busy, and returns the part of the time that this thread had one.
fn spin() -> f64 {
    let (start, used) = (clock::now(), clock::thread_time());
    loop {
        let passed = clock::now().since(start);
        if passed >= LOOK {
            return (clock::thread_time().saturating_sub(used)).as_secs_f64()
                / passed.as_secs_f64();
        }
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_thread_has_more_than_a_core() {
        for threads in [1, 3] {
            let found = cores(threads);
            assert!(found > 0.0 && found <= f64::from(threads), "{found} of {threads}");
        }
    }
}
