//! A device's figures beyond the life of one worker: what dead workers had counted, and how fast
//! requests come now.
//!
//! A worker's counters die with it. Its keeper asks for them every second or two and adds what a dead
//! one said last to what the next one says, so that no counter goes back while the daemon lives.

use gpumux_core::MonoTime;
use gpumux_wire::status::{DeviceStatus, FunctionStatus, LaneStatus};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How far back the rate of requests looks, at least where there are figures that old.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct History {
    /// What dead workers counted, by function.
    past: HashMap<String, FunctionStatus>,
    past_lanes: Vec<LaneStatus>,
    /// What the present worker said last, without the past.
    functions: Vec<FunctionStatus>,
    device: Option<DeviceStatus>,
    /// Requests that each function had read, and when; the present worker's alone, oldest first.
    samples: VecDeque<(MonoTime, HashMap<String, u64>)>,
}

impl History {
    /// Takes what the present worker says of itself.
    pub(super) fn hear(
        &mut self,
        now: MonoTime,
        functions: &[FunctionStatus],
        device: &DeviceStatus,
    ) {
        self.functions = functions.to_vec();
        self.device = Some(device.clone());
        let arrived = |function: &FunctionStatus| (function.name.clone(), function.arrived);
        self.samples.push_back((now, functions.iter().map(arrived).collect()));
        // One sample is kept that is as old as the window, or older.
        while self.samples.get(1).is_some_and(|(at, _)| now.since(*at) >= RATE_WINDOW) {
            self.samples.pop_front();
        }
    }

    /// The worker died: what it said last is the past.
    pub(super) fn bury(&mut self) {
        self.samples.clear();
        for mut function in std::mem::take(&mut self.functions) {
            if let Some(past) = self.past.get(&function.name) {
                function.add(past);
            }
            self.past.insert(function.name.clone(), function);
        }
        if let Some(device) = &mut self.device {
            let mut lanes = std::mem::take(&mut device.lanes);
            add_lanes(&mut lanes, &self.past_lanes);
            if !lanes.is_empty() {
                self.past_lanes = lanes;
            }
        }
    }

    /// Adds the past to what a worker says, or to what is said without one.
    pub(super) fn complete(&self, functions: &mut [FunctionStatus], device: &mut DeviceStatus) {
        for function in functions {
            function.rate_per_s = self.rate(&function.name);
            if let Some(past) = self.past.get(&function.name) {
                function.add(past);
            }
        }
        add_lanes(&mut device.lanes, &self.past_lanes);
    }

    /// What the last worker that served called the device.
    pub(super) fn device_name(&self) -> Option<&str> {
        self.device.as_ref().map(|device| device.name.as_str())
    }

    /// Requests of a function in each second.
    fn rate(&self, function: &str) -> f64 {
        let ends = self.samples.front().zip(self.samples.back());
        let Some(((from, first), (to, last))) = ends else { return 0.0 };
        let seconds = to.since(*from).as_secs_f64();
        let count = |sample: &HashMap<String, u64>| sample.get(function).copied().unwrap_or(0);
        let arrived = count(last).saturating_sub(count(first));
        #[expect(clippy::cast_precision_loss, reason = "a rate does not need all 64 bits")]
        if seconds > 0.0 { arrived as f64 / seconds } else { 0.0 }
    }
}

/// Adds what was counted of the same lanes before. A worker that starts has said nothing of its lanes;
/// then those of the last one stand for them, held by nobody.
fn add_lanes(lanes: &mut Vec<LaneStatus>, past: &[LaneStatus]) {
    if lanes.is_empty() {
        *lanes = past.iter().map(|lane| LaneStatus { held_sms: 0, ..lane.clone() }).collect();
        return;
    }
    for (lane, past) in lanes.iter_mut().zip(past) {
        lane.batches += past.batches;
        lane.busy_ns += past.busy_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonoTime {
        MonoTime::ZERO.after(Duration::from_secs(seconds))
    }

    fn function(arrived: u64) -> FunctionStatus {
        FunctionStatus { name: "f".to_owned(), arrived, ..FunctionStatus::default() }
    }

    fn device(batches: u64) -> DeviceStatus {
        let lane = LaneStatus {
            sms: 8,
            granted: "0-7".to_owned(),
            batches,
            held_sms: 8,
            busy_ns: batches * 10,
        };
        DeviceStatus { lanes: vec![lane], ..DeviceStatus::default() }
    }

    fn complete(
        history: &History,
        arrived: u64,
        device: DeviceStatus,
    ) -> (FunctionStatus, DeviceStatus) {
        let (mut functions, mut device) = ([function(arrived)], device);
        history.complete(&mut functions, &mut device);
        let [function] = functions;
        (function, device)
    }

    #[test]
    fn counters_go_on_over_deaths() {
        let mut history = History::default();
        history.hear(at(1), &[function(5)], &device(3));
        history.hear(at(2), &[function(7)], &device(4));
        assert_eq!(complete(&history, 7, device(4)).0.arrived, 7, "the living are no past");
        history.bury();
        let (starting, lanes) = complete(&history, 0, DeviceStatus::default());
        assert_eq!((starting.arrived, lanes.lanes[0].batches, lanes.lanes[0].held_sms), (7, 4, 0));
        history.hear(at(9), &[function(1)], &device(1));
        history.bury();
        // A worker that died before it said anything takes nothing away.
        history.bury();
        let (next, lanes) = complete(&history, 2, device(2));
        assert_eq!((next.arrived, lanes.lanes[0].batches, lanes.lanes[0].busy_ns), (10, 7, 70));
    }

    #[test]
    fn the_rate_is_of_the_last_seconds() {
        let mut history = History::default();
        assert_eq!(history.rate("f"), 0.0);
        for second in 0..60 {
            history.hear(
                at(second),
                &[function(if second < 30 { 0 } else { second * 4 })],
                &device(0),
            );
        }
        assert_eq!(history.rate("f"), 4.0);
        assert!(history.samples.len() <= 12, "{}", history.samples.len());
        history.bury();
        assert_eq!((history.rate("f"), history.rate("other")), (0.0, 0.0));
    }
}
