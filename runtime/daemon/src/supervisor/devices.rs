//! The devices that this daemon serves, one worker each, and which function is served where.

use super::emulated::DriverPlace;
use super::probe::{ProbeError, probe};
use super::registry::Registry;
use super::watchdog::Promise;
use super::worker::Worker;
use super::{Served, SupervisorError};
use crate::link::{Attachment, TenantLimits};
use crate::options::{DeviceChoice, PartitionChoice, SupervisorOptions};
use gpumux_wire::doctor::{Form, PartitionReport};
use gpumux_wire::status::{DeviceStatus, FunctionStatus};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::{error, warn};

/// How long the devices may take to be looked at.
const PROBE_LIMIT: Duration = Duration::from_secs(60);

/// A device that can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Which driver it is of.
    pub(super) choice: DeviceChoice,
    /// Which of the driver's devices.
    pub(super) ordinal: u32,
    /// Bytes of its memory that are free.
    pub(super) free_bytes: u64,
    /// How it can be divided, as far as the probe saw: what it did not see is not claimed.
    pub(super) partitions: PartitionChoice,
    /// The same in words, with what shows it.
    pub(super) claim: String,
}

/// See the file's head.
#[derive(Clone, Debug)]
pub(super) struct Devices {
    workers: Arc<[Worker]>,
    found: Arc<[Found]>,
    serving: Arc<Mutex<Serving>>,
}

/// What is served where.
#[derive(Debug, Default)]
struct Serving {
    functions: Vec<Served>,
    /// By function, the place of its device.
    places: HashMap<String, usize>,
}

/// Functions that are served in place of those before.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) added: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) removed: Vec<String>,
    /// What the configuration says and a daemon that runs does not do.
    pub(super) needs_restart: Vec<String>,
}

/// Finds the devices to serve, by looking at them in a process of its own.
///
/// # Errors
/// [`SupervisorError::Unfit`]: there is none, or not the one that is asked for.
pub(super) async fn find(options: &SupervisorOptions) -> Result<Vec<Found>, SupervisorError> {
    let place = DriverPlace::from(options);
    let report = match probe(&place, Form::Short, PROBE_LIMIT).await {
        Ok(report) => report,
        Err(ProbeError::Prepare(error)) => return Err(error.into()),
        Err(error) => {
            // The worker may get further than the probe; if not, it says why.
            warn!(%error, "the devices could not be looked at: the first is served, without partitions");
            let choice = options.device.first_choice();
            let claim = "none: the probe of the devices failed, see the log".to_owned();
            let (free_bytes, partitions) = (u64::MAX, PartitionChoice::None);
            return Ok(vec![Found { choice, ordinal: 0, free_bytes, partitions, claim }]);
        }
    };
    if let Some(unusable) = report.unusable {
        return Err(SupervisorError::Unfit(unusable.what));
    }
    let emulated = report.driver.is_some_and(|driver| driver.emulated);
    let choice = if emulated { DeviceChoice::Emulated } else { DeviceChoice::Cuda };
    let mut found = Vec::new();
    for device in report.devices {
        let wanted = options.devices.is_empty() || options.devices.contains(&device.ordinal);
        match device.fault {
            _ if !wanted => (),
            None => found.push(Found {
                choice,
                ordinal: device.ordinal,
                free_bytes: device.memory_free_bytes.unwrap_or(0),
                partitions: seen(device.partitions.as_ref()),
                claim: device.partitions_shown(),
            }),
            Some(fault) => {
                warn!(device = device.ordinal, fault, "a device is not served");
            }
        }
    }
    let missing = options
        .devices
        .iter()
        .find(|wanted| !found.iter().any(|device| device.ordinal == **wanted));
    if let Some(missing) = missing {
        let what = format!("device {missing} of --devices cannot be served: see `gpumux doctor`");
        return Err(SupervisorError::Unfit(what));
    }
    if found.is_empty() {
        let what = "no device can be served: see `gpumux doctor`".to_owned();
        return Err(SupervisorError::Unfit(what));
    }
    Ok(found)
}

/// How the probe saw a device divided.
fn seen(report: Option<&PartitionReport>) -> PartitionChoice {
    match report.map(|report| report.backend.as_str()) {
        Some("green contexts") => PartitionChoice::GreenContexts,
        Some("stream masks") => PartitionChoice::StreamMasks,
        Some(_) | None => PartitionChoice::None,
    }
}

impl Devices {
    /// Starts a worker for each device, with the functions that are placed there.
    pub(super) fn start(
        options: &SupervisorOptions,
        found: Vec<Found>,
        functions: Vec<Served>,
        registry: &Arc<Registry>,
    ) -> Result<(Self, JoinSet<()>), SupervisorError> {
        let serving = Serving::place(&found, functions, &HashMap::new())?;
        let (mut workers, mut keepers) = (Vec::new(), JoinSet::new());
        for (place, device) in found.iter().enumerate() {
            let functions = serving.at(place);
            let (worker, keeper) = Worker::new(options, device.clone(), functions, registry)?;
            workers.push(worker);
            keepers.spawn(keeper);
        }
        let serving = Arc::new(Mutex::new(serving));
        Ok((Self { workers: workers.into(), found: found.into(), serving }, keepers))
    }

    fn serving(&self) -> MutexGuard<'_, Serving> {
        // What is served is replaced whole, so a poisoned lock guards a whole one.
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker that serves a function.
    pub(super) fn of(&self, function: &str) -> Option<&Worker> {
        let place = self.serving().places.get(function).copied();
        place.map(|place| &self.workers[place])
    }

    /// Serves other functions. What is served stays on its device; a device whose functions stay as
    /// they are does not notice. Nobody else may do so at the same time.
    ///
    /// # Errors
    /// Why not: then what was served before is served again.
    pub(super) async fn replace(&self, functions: Vec<Served>) -> Result<Change, String> {
        let (next, turns, change) = {
            let serving = self.serving();
            let next = Serving::place(&self.found, functions, &serving.places);
            let next = next.map_err(|error| error.to_string())?;
            let places = 0..self.workers.len();
            let turns = places.map(|place| (serving.at(place), next.at(place)));
            let turns: Vec<_> = turns.collect();
            let change = serving.change(&next, &self.found);
            (next, turns, change)
        };
        for (place, (before, after)) in turns.iter().enumerate() {
            if before == after {
                continue;
            }
            if let Err(why) = self.workers[place].replace(after.clone()).await {
                self.take_back(&turns[..place]).await;
                let device = self.found[place].ordinal;
                return Err(format!("device {device} does not serve the new functions: {why}"));
            }
        }
        *self.serving() = next;
        Ok(change)
    }

    /// Serves what was served before on devices that had begun to serve others.
    async fn take_back(&self, turns: &[(Vec<Served>, Vec<Served>)]) {
        for (worker, (before, after)) in self.workers.iter().zip(turns) {
            if before != after
                && let Err(why) = worker.replace(before.clone()).await
            {
                error!(%why, "the functions before cannot be served again");
            }
        }
    }

    /// What the keeper of each device's worker promises, with the device.
    pub(super) fn promises(&self) -> impl Iterator<Item = (u32, &Promise)> {
        self.workers.iter().map(Worker::promise)
    }

    /// Waits until every worker is ready.
    pub(super) async fn ready(&self) -> Result<(), SupervisorError> {
        for worker in self.workers.iter() {
            worker.ready().await?;
        }
        Ok(())
    }

    /// Has a channel of a function left.
    pub(super) fn detach(&self, function: &str, attachment: Attachment) {
        match self.of(function) {
            Some(worker) => worker.detach(attachment),
            // Served no more: the worker that served it may still have the channel.
            None => self.workers.iter().for_each(|worker| worker.detach(attachment)),
        }
    }

    /// Takes a channel of a function from its peer.
    pub(super) fn withdraw(&self, function: &str, attachment: Attachment) {
        if let Some(worker) = self.of(function) {
            worker.withdraw(attachment);
        }
    }

    /// Holds a tenant to other limits, on every device.
    pub(super) fn limit(&self, limits: &TenantLimits) {
        self.workers.iter().for_each(|worker| worker.limit(limits.clone()));
    }

    /// The figures of all devices and functions.
    pub(super) async fn report(&self) -> (Vec<FunctionStatus>, Vec<DeviceStatus>) {
        let (mut functions, mut devices) = (Vec::new(), Vec::new());
        for worker in self.workers.iter() {
            let (served, device) = worker.report().await;
            functions.extend(served);
            devices.push(device);
        }
        functions.sort_by(|one, other| one.name.cmp(&other.name));
        (functions, devices)
    }

    /// Waits until every worker has finished what it admitted.
    pub(super) async fn drain(&self) {
        // Each is asked at once, so that none admits more while another finishes.
        let mut drains = JoinSet::new();
        for worker in self.workers.iter() {
            let worker = worker.clone();
            drains.spawn(async move { worker.drain().await });
        }
        drains.join_all().await;
    }

    /// Ends every worker and waits until they are gone.
    pub(super) async fn stop(&self) {
        let mut stops = JoinSet::new();
        for worker in self.workers.iter() {
            let worker = worker.clone();
            stops.spawn(async move { worker.stop().await });
        }
        stops.join_all().await;
    }
}

impl Serving {
    /// Places functions; those that are served stay where they are.
    fn place(
        found: &[Found],
        functions: Vec<Served>,
        before: &HashMap<String, usize>,
    ) -> Result<Self, SupervisorError> {
        let placing = functions.iter().map(|served| {
            let placing = Placing::of(served);
            let stays = before.get(&placing.name).map(|place| found[*place].ordinal);
            Placing { device: stays.or(placing.device), ..placing }
        });
        let placed = place(found, placing).map_err(|(function, device)| {
            SupervisorError::NoSuchDevice { function, device, count: found.len() }
        })?;
        let names = functions.iter().map(|served| served.function.name.clone());
        let places = names.zip(placed).collect();
        Ok(Self { functions, places })
    }

    /// What is served on one device.
    fn at(&self, place: usize) -> Vec<Served> {
        let is_there = |served: &&Served| self.places[&served.function.name] == place;
        self.functions.iter().filter(is_there).cloned().collect()
    }

    fn get(&self, name: &str) -> Option<&Served> {
        self.functions.iter().find(|served| served.function.name == name)
    }

    /// What `next` has otherwise.
    fn change(&self, next: &Self, found: &[Found]) -> Change {
        let name = |served: &Served| served.function.name.clone();
        let mut change = Change::default();
        for served in &next.functions {
            match self.get(&served.function.name) {
                None => change.added.push(name(served)),
                Some(before) if before != served => change.changed.push(name(served)),
                Some(_) => (),
            }
            let device = found[next.places[&served.function.name]].ordinal;
            if let Some(wanted) = served.function.config.device.filter(|wanted| *wanted != device) {
                change.needs_restart.push(format!(
                    "function `{}` says `device = {wanted}` and is served on device {device}",
                    served.function.name
                ));
            }
        }
        let gone = self.functions.iter().filter(|it| next.get(&it.function.name).is_none());
        change.removed = gone.map(name).collect();
        change
    }
}

/// What decides where a function is served.
#[derive(Clone, Debug)]
struct Placing {
    name: String,
    /// The device that its configuration names.
    device: Option<u32>,
    /// Bytes that its model needs at least.
    bytes: u64,
}

impl Placing {
    fn of(served: &Served) -> Self {
        let weights = served.plan.as_ref().map(|files| std::fs::metadata(&files.weights));
        Self {
            name: served.function.name.clone(),
            device: served.function.config.device,
            // A file that cannot be read is the worker's to complain of.
            bytes: weights.and_then(Result::ok).map_or(0, |file| file.len()),
        }
    }
}

/// Places functions: where the configuration says, and else, the largest first, where most memory is
/// left. Of equals, the device with fewer functions takes one.
///
/// # Errors
/// The function whose configuration names a device that is not there, and that device.
fn place(
    found: &[Found],
    functions: impl Iterator<Item = Placing>,
) -> Result<Vec<usize>, (String, u32)> {
    let functions: Vec<Placing> = functions.collect();
    let mut left: Vec<(i128, usize)> =
        found.iter().map(|device| (i128::from(device.free_bytes), 0)).collect();
    let mut places = vec![0; functions.len()];
    let mut order: Vec<usize> = (0..functions.len()).collect();
    // What has no choice is placed before what has.
    order.sort_by_key(|index| {
        let function = &functions[*index];
        (function.device.is_none(), std::cmp::Reverse(function.bytes))
    });
    for index in order {
        let function = &functions[index];
        let place = match function.device {
            Some(wanted) => found.iter().position(|device| device.ordinal == wanted),
            None => (0..found.len()).max_by_key(|place| {
                let (bytes, count) = left[*place];
                (bytes, std::cmp::Reverse(count), std::cmp::Reverse(*place))
            }),
        };
        let Some(place) = place else {
            return Err((function.name.clone(), function.device.unwrap_or(0)));
        };
        left[place].0 -= i128::from(function.bytes);
        left[place].1 += 1;
        places[index] = place;
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placing(name: &str, device: Option<u32>, bytes: u64) -> Placing {
        Placing { name: name.to_owned(), device, bytes }
    }

    #[test]
    fn functions_go_where_they_are_told_and_else_where_memory_is_left() {
        let device = |ordinal| Found {
            choice: DeviceChoice::Cuda,
            ordinal,
            free_bytes: 100,
            partitions: PartitionChoice::None,
            claim: String::new(),
        };
        let found = [device(0), device(3)];
        let places = |functions: &[Placing]| place(&found, functions.iter().cloned());
        let free = placing("a", None, 0);
        assert_eq!(places(&[free.clone(), free.clone(), free.clone()]), Ok(vec![0, 1, 0]));
        let (large, told) = (placing("b", None, 60), placing("c", Some(3), 50));
        assert_eq!(places(&[free.clone(), large, told]), Ok(vec![1, 0, 1]));
        assert_eq!(places(&[placing("d", Some(1), 0)]), Err(("d".to_owned(), 1)));
    }
}
