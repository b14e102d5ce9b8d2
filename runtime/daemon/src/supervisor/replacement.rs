//! Other functions for a device: its worker makes room for one that has loaded them, without a request
//! lost.
//!
//! The worker first finishes what it accepted of the functions that *retire*: those that are served no
//! more, or by another model. Then it ends as a worker does whose supervisor is gone, the next one
//! loads what there is now, and takes up the rest from the ledgers. Where it cannot, the one after it
//! loads what there was before. A channel whose function is gone, or takes other tensors, is hung up:
//! its peer presents it anew, and hears why it is not taken.

use super::Served;
use super::channels::Channels;
use gpumux_core::MonoTime;
use gpumux_wire::signature::Signature;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a worker may take to finish what it accepted of functions that retire.
const RETIRE_LIMIT: Duration = Duration::from_secs(30);

/// Who waits to hear whether a device has other functions now.
pub(super) type Verdict = oneshot::Sender<Result<(), String>>;

/// What a device is to serve in place of what it serves.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) functions: Vec<Served>,
    pub(super) verdict: Verdict,
}

/// Where a device is on its way to other functions.
#[derive(Debug, Default)]
pub(super) enum Turn {
    /// Nowhere.
    #[default]
    None,
    /// The worker finishes what it accepted of the functions that retire, until then at most.
    Retiring(Replacement, MonoTime),
    /// The worker can go.
    Due(Replacement),
    /// The next worker loads; with what was served before.
    Trying { before: Vec<Served>, verdict: Verdict },
}

impl Turn {
    /// The functions that retire, and the wait for them.
    pub(super) fn begin(
        now: MonoTime,
        served: &[Served],
        replacement: Replacement,
    ) -> (Self, Vec<String>) {
        let retiring: Vec<String> = served
            .iter()
            .filter(|served| !replacement.functions.iter().any(|other| is_as_before(served, other)))
            .map(|served| served.function.name.clone())
            .collect();
        let turn = if retiring.is_empty() {
            Self::Due(replacement)
        } else {
            Self::Retiring(replacement, now.after(RETIRE_LIMIT))
        };
        (turn, retiring)
    }

    /// Nothing is awaited of the worker any more.
    pub(super) fn retired(&mut self) {
        *self = match std::mem::take(self) {
            Self::Retiring(replacement, _) => Self::Due(replacement),
            other => other,
        };
    }

    /// Whether the worker can go.
    pub(super) fn is_due(&self, now: MonoTime) -> bool {
        match self {
            Self::Due(_) => true,
            Self::Retiring(_, until) => *until <= now,
            Self::None | Self::Trying { .. } => false,
        }
    }

    /// The worker is gone. Puts what is to be served next in the place of what was, and says what is
    /// other; or that it was not to go.
    pub(super) fn advance(&mut self, served: &mut Vec<Served>) -> Option<Vec<String>> {
        match std::mem::take(self) {
            Self::Retiring(Replacement { functions, verdict }, _)
            | Self::Due(Replacement { functions, verdict }) => {
                let is_new = |it: &&Served| !served.contains(it);
                let others = functions.iter().filter(is_new);
                let others = others.map(|it| it.function.name.clone()).collect();
                let before = std::mem::replace(served, functions);
                *self = Self::Trying { before, verdict };
                Some(others)
            }
            Self::None => None,
            trying @ Self::Trying { .. } => {
                *self = trying;
                None
            }
        }
    }

    /// There will be no next worker for now, for `why`.
    pub(super) fn give_up(&mut self, served: &mut Vec<Served>, why: &str) {
        if self.fail(served, why) {
            return;
        }
        if let Self::Retiring(replacement, _) | Self::Due(replacement) = std::mem::take(self) {
            let _gone = replacement.verdict.send(Err(why.to_owned()));
        }
    }

    /// The next worker serves.
    pub(super) fn succeed(&mut self) {
        match std::mem::take(self) {
            Self::Trying { verdict, .. } => drop(verdict.send(Ok(()))),
            other => *self = other,
        }
    }

    /// The next worker does not serve, for `why`: what was served before is served again. Says whether
    /// there was such a worker.
    pub(super) fn fail(&mut self, served: &mut Vec<Served>, why: &str) -> bool {
        match std::mem::take(self) {
            Self::Trying { before, verdict } => {
                *served = before;
                let _gone = verdict.send(Err(why.to_owned()));
                true
            }
            other => {
                *self = other;
                false
            }
        }
    }
}

/// Whether a function is computed as before, from the same tensors, however it is served.
fn is_as_before(one: &Served, other: &Served) -> bool {
    let (of, now) = (&one.function, &other.function);
    of.name == now.name
        && one.plan == other.plan
        && of.config.model == now.config.model
        && of.config.outputs == now.config.outputs
        && of.config.length == now.config.length
}

/// Hangs up what a worker that serves cannot take from the one before it, by what both served.
pub(super) fn part(
    channels: &mut Channels,
    before: &HashMap<String, Signature>,
    now: &HashMap<String, Signature>,
) {
    channels.hang_up(|function| match (before.get(function), now.get(function)) {
        (Some(before), Some(now)) => before != now,
        // It was not served yet by any worker.
        (None, Some(_)) => false,
        (_, None) => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Function;
    use crate::link::PlanFiles;

    fn served(name: &str, text: &str, plan: Option<&str>) -> Served {
        let config = toml::from_str(text).unwrap();
        let function = Function { name: name.to_owned(), folder: name.into(), config };
        let files = |plan: &str| PlanFiles { plan: plan.into(), weights: plan.into() };
        Served { function, plan: plan.map(files) }
    }

    fn begin(before: &[Served], after: Vec<Served>) -> (Turn, Vec<String>) {
        let (verdict, _) = oneshot::channel();
        Turn::begin(MonoTime::ZERO, before, Replacement { functions: after, verdict })
    }

    const MODEL: &str = "model = \"m.onnx\"\n";

    #[test]
    fn what_computes_something_else_retires() {
        let before = [served("a", MODEL, Some("1")), served("b", MODEL, Some("1"))];
        let same = begin(&before, before.to_vec());
        assert!(matches!(same, (Turn::Due(_), retiring) if retiring.is_empty()));
        for (text, plan, retires) in [
            ("model = \"m.onnx\"\nmax_batch = 4\nqueue = 9\n", "1", false),
            (MODEL, "2", true),
            ("model = \"other.onnx\"\n", "1", true),
            ("model = \"m.onnx\"\noutputs = [\"y\"]\n", "1", true),
            ("model = \"m.onnx\"\nlength = { axis = \"n\", max = 3 }\n", "1", true),
        ] {
            let after = vec![before[0].clone(), served("b", text, Some(plan))];
            let (turn, retiring) = begin(&before, after);
            assert_eq!(retiring == ["b"], retires, "{text}: {retiring:?}");
            assert_eq!(turn.is_due(MonoTime::ZERO), !retires);
            assert!(turn.is_due(MonoTime::ZERO.after(RETIRE_LIMIT)));
        }
        assert_eq!(begin(&before, vec![before[1].clone()]).1, ["a"]);
    }

    #[test]
    fn a_worker_that_cannot_load_has_what_was_before_served_again() {
        let before = vec![served("a", MODEL, Some("1"))];
        let after = vec![served("a", MODEL, Some("2")), served("b", MODEL, Some("1"))];
        for works in [true, false] {
            let mut functions = before.clone();
            let (verdict, mut heard) = oneshot::channel();
            let replacement = Replacement { functions: after.clone(), verdict };
            let (mut turn, _) = Turn::begin(MonoTime::ZERO, &functions, replacement);
            assert!(!turn.fail(&mut functions, "an accident"), "it was not tried yet");
            turn.succeed();
            assert!(heard.try_recv().is_err(), "that the worker before it serves is no news");
            turn.retired();
            let others = turn.advance(&mut functions);
            assert_eq!(others.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
            assert_eq!(functions, after);
            assert!(heard.try_recv().is_err(), "nothing is known yet");
            if works {
                turn.succeed();
            } else {
                assert!(turn.fail(&mut functions, "no memory"));
            }
            let (served, verdict) = match works {
                true => (&after, Ok(())),
                false => (&before, Err("no memory".to_owned())),
            };
            assert_eq!((&functions, heard.try_recv().unwrap()), (served, verdict));
            assert!(matches!(turn, Turn::None));
        }
    }
}
