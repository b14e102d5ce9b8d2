//! What a keeper answers, with a worker and without.

use super::Served;
use super::channels::Kept;
use super::keeper::{Keeper, tell};
use super::process::Process;
use super::replacement::{Replacement, Turn};
use super::worker::{Attaching, Question, Report};
use crate::clock::Clock;
use crate::link::ToWorker;
use crate::options::DeviceChoice;
use gpumux_wire::status::{DeviceStatus, FunctionStatus};
use tracing::warn;

impl Keeper {
    /// Passes a question to a worker that is ready.
    pub(super) fn ask(&mut self, worker: &mut Process, question: Question) {
        match question {
            Question::Ready(answer) => drop(answer.send(Ok(()))),
            Question::Report(answer) => {
                worker.reports.push_back(Some(answer));
                worker.tell(ToWorker::Report);
            }
            Question::Detach(attachment) => {
                self.channels.remove(attachment);
                worker.tell(ToWorker::Detach { attachment });
            }
            Question::Limit(limits) => {
                self.channels.limit(&limits);
                worker.tell(ToWorker::Limit(limits));
            }
            Question::Drain(answer) => {
                self.drains.push(answer);
                worker.tell(ToWorker::Drain);
            }
            Question::Clear(function, answer) => {
                self.quarantine.clear(&function);
                worker.tell(ToWorker::Clear { function: function.clone() });
                self.clears.push((function, answer));
            }
            Question::Withdraw(attachment) => {
                self.channels.withdraw(attachment);
                worker.tell(ToWorker::Detach { attachment });
            }
            Question::Replace(replacement) => self.begin_turn(worker, replacement),
            Question::Attach(attaching) => {
                let attachment = attaching.attachment;
                self.keep_channel(*attaching);
                worker.attach(attachment, false);
            }
            Question::Stop(_) => unreachable!("the callers answer this"),
        }
    }

    /// Other functions are to be served.
    fn begin_turn(&mut self, worker: &mut Process, replacement: Replacement) {
        let (turn, functions) = Turn::begin(Clock.now(), &self.functions, replacement);
        self.turn = turn;
        if !functions.is_empty() {
            worker.tell(ToWorker::Retire { functions });
        }
    }

    /// Answers while no worker is ready.
    pub(super) fn answer_without_worker(&mut self, question: Question, pid: Option<u32>) {
        match question {
            Question::Ready(answer) => self.awaiting.push(answer),
            Question::Report(answer) => drop(answer.send(self.report("starting", pid))),
            Question::Detach(attachment) => drop(self.channels.remove(attachment)),
            Question::Limit(limits) => self.channels.limit(&limits),
            Question::Drain(answer) if self.channels.are_idle() => tell(answer),
            Question::Drain(answer) => self.drains.push(answer),
            Question::Clear(function, answer) => {
                self.quarantine.clear(&function);
                tell(answer);
            }
            Question::Withdraw(attachment) => {
                self.channels.withdraw(attachment);
                self.channels.left(attachment);
            }
            Question::Replace(replacement) => self.turn = Turn::Due(replacement),
            // The next worker serves it, and answers.
            Question::Attach(attaching) => self.keep_channel(*attaching),
            Question::Stop(_) => unreachable!("the callers answer this"),
        }
    }

    fn keep_channel(&mut self, attaching: Attaching) {
        let Attaching { attachment, limits, function, size, memory, wake, answer } = attaching;
        match Kept::new((limits, function), size, (memory, wake), answer) {
            Ok(kept) => self.channels.insert(attachment, kept),
            Err(error) => warn!(%error, "a channel's ledger could not be made"),
        }
    }

    /// What only the supervisor knows of a report.
    pub(super) fn complete(
        &self,
        mut functions: Vec<FunctionStatus>,
        mut device: DeviceStatus,
    ) -> Report {
        self.history.complete(&mut functions, &mut device);
        for function in &mut functions {
            function.quarantined = self.quarantine.reason(&function.name).cloned();
        }
        device.worker_restarts = self.deaths;
        device.partitions.clone_from(&self.found.claim);
        if self.registry.is_draining() {
            device.state = "draining".to_owned();
        }
        (functions, device)
    }

    /// What is known without a worker.
    pub(super) fn report(&self, state: &str, pid: Option<u32>) -> Report {
        let function = |served: &Served| FunctionStatus {
            name: served.function.name.clone(),
            model: served.function.config.model.clone().into(),
            objective: served.function.config.service.objective.map(String::from),
            queue_max: served.function.config.queue,
            max_batch: served.function.config.max_batch,
            quarantined: self.quarantine.reason(&served.function.name).cloned(),
            device: self.found.ordinal,
            ..FunctionStatus::default()
        };
        let mut functions: Vec<_> = self.functions.iter().map(function).collect();
        let mut device = DeviceStatus {
            name: self.history.device_name().unwrap_or("unknown").to_owned(),
            ordinal: self.found.ordinal,
            emulated: self.found.choice == DeviceChoice::Emulated,
            state: state.to_owned(),
            worker_pid: pid,
            worker_restarts: self.deaths,
            policy: self.options.worker.policy.clone(),
            partitions: self.found.claim.clone(),
            ..DeviceStatus::default()
        };
        self.history.complete(&mut functions, &mut device);
        (functions, device)
    }
}
