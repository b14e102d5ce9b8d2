//! Functions that have killed workers: who was convicted when, and who is served no more.

use gpumux_core::MonoTime;
use std::collections::HashMap;
use std::time::Duration;
use tracing::warn;

/// Convictions within the window that quarantine a function.
const CONVICTIONS: usize = 2;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Quarantine {
    window: Duration,
    convictions: HashMap<String, Vec<MonoTime>>,
    /// With the reason.
    functions: HashMap<String, String>,
}

impl Quarantine {
    pub(super) fn new(window: Duration) -> Self {
        Self { window, convictions: HashMap::new(), functions: HashMap::new() }
    }

    /// A request of a function was convicted.
    pub(super) fn convict(&mut self, now: MonoTime, function: &str) {
        let convictions = self.convictions.entry(function.to_owned()).or_default();
        convictions.retain(|at| now.since(*at) <= self.window);
        convictions.push(now);
        warn!(function, "a request killed the worker by itself and is refused as poison");
        if convictions.len() >= CONVICTIONS {
            let (count, window) = (convictions.len(), humantime::format_duration(self.window));
            let why = format!("{count} of its requests killed the device's worker within {window}");
            warn!(function, why, "quarantined: clear it with `gpumux functions clear`");
            self.functions.insert(function.to_owned(), why);
        }
    }

    /// Why a function is served no more, if it is not.
    pub(super) fn reason(&self, function: &str) -> Option<&String> {
        self.functions.get(function)
    }

    /// Forgets what a function has done. Says whether it was quarantined.
    pub(super) fn clear(&mut self, function: &str) -> bool {
        self.convictions.remove(function);
        self.functions.remove(function).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_convictions_within_the_window_quarantine() {
        let mut quarantine = Quarantine::new(Duration::from_secs(10));
        let at = |seconds: u64| MonoTime::ZERO.after(Duration::from_secs(seconds));
        quarantine.convict(at(0), "f");
        quarantine.convict(at(11), "f");
        quarantine.convict(at(12), "g");
        assert_eq!((quarantine.reason("f"), quarantine.reason("g")), (None, None));
        quarantine.convict(at(20), "f");
        assert!(quarantine.reason("f").is_some() && quarantine.reason("g").is_none());
        assert!(quarantine.clear("f") && !quarantine.clear("g"));
        assert!(quarantine.reason("f").is_none());
    }
}
