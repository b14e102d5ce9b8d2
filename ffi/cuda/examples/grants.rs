//! What a change of a grant costs the host, for each backend: `cargo run --release --example grants`.
//!
//! Method: a lane goes to and fro between two grants that do not meet, 32 times a round, with one small
//! launch after each change, or with the launch alone; the lane is drained between rounds. Each
//! figure is the time of a round's calls divided by their number; shown are the least, the median and
//! the largest of all rounds. The backends take turns round by round, so that what else the machine does
//! meets all of them alike. On an emulated device the figures are the cost of the host's calls into
//! the emulated driver and say nothing of a GPU.

use gpumux_cuda::{
    AllowList, BackendKind, Device, DeviceMemory, DeviceOptions, Driver, Grants, Lane,
    PartitionWish, Partitioner, Proven, TpcSet, Wake, Wanted, prove, self_test,
};
use gpumux_kernels::SmidProbe;
use std::env;
use std::error::Error;
use std::io::stdout;
use std::process::Command;
use std::time::{Duration, Instant};

/// Set in the process that runs the self-test of the masks.
const SELF_TEST: &str = "GPUMUX_GRANTS_SELF_TEST";
/// Changes between two drains: no more than can wait for the device.
const CHANGES: u32 = 32;
const ROUNDS: usize = 200;

/// One backend and the figures of its rounds.
struct Contender {
    partitioner: Partitioner,
    lane: Lane,
    places: [TpcSet; 2],
    change: Vec<Duration>,
    switch: Vec<Duration>,
    launch: Vec<Duration>,
}

#[expect(clippy::disallowed_methods, reason = "this measures, on the machine's own clock")]
fn now() -> Instant {
    Instant::now()
}

fn main() -> Result<(), Box<dyn Error>> {
    let driver = Driver::load()?;
    if env::var_os(SELF_TEST).is_some() {
        let device = Device::open(&driver, 0, DeviceOptions::default())?;
        return Ok(self_test(&device, &AllowList::PUBLISHED, &mut stdout())?);
    }
    let mut command = Command::new(env::current_exe()?);
    command.env(SELF_TEST, "1");
    let list = AllowList::PUBLISHED;
    let proven = match prove(&driver, 0, &list, &mut command, Duration::from_secs(60)) {
        Ok(proven) => Some(proven),
        Err(why) => {
            println!("stream masks: {why}");
            None
        }
    };
    let device = Device::open(&driver, 0, DeviceOptions::default())?;
    let memory = device.reserve(1 << 20)?;
    println!("{}, {} SMs", device.driver_key(), device.info().sm_count);
    if device.info().is_emulated {
        println!("emulated: the figures are the host's calls alone and say nothing of a GPU");
    }
    let mut contenders = Vec::new();
    for backend in [BackendKind::GreenContexts, BackendKind::StreamMasks] {
        match Contender::new(&device, backend, proven.clone()) {
            Ok(contender) => contenders.push(contender),
            Err(why) => println!("{why}"),
        }
    }
    for _ in 0..ROUNDS {
        for contender in &mut contenders {
            contender.round(&memory)?;
        }
    }
    for contender in contenders {
        println!("{} ({ROUNDS} rounds of {CHANGES}):", contender.partitioner.backend());
        show("change a grant", contender.change);
        show("change a grant and launch", contender.switch);
        show("launch", contender.launch);
    }
    Ok(())
}

impl Contender {
    fn new(
        device: &Device,
        backend: BackendKind,
        proven: Option<Proven>,
    ) -> Result<Self, Box<dyn Error>> {
        let wish = PartitionWish { backend: Some(backend), proven, ..PartitionWish::default() };
        let started = now();
        let partitioner = Partitioner::choose(device, &Wake::new()?, &wish)?;
        println!("{backend}: made and measured in {:.1?}", started.elapsed());
        let places = match partitioner.grants() {
            Grants::AnyOf(_) => [[0].into_iter().collect(), [1].into_iter().collect()],
            Grants::These(all) => {
                let other = all.iter().find(|other| other.is_disjoint(&all[0]));
                [all[0], *other.ok_or("there is one grant alone")?]
            }
        };
        let lane = partitioner.lease(Wanted::Tpcs(places[0]))?;
        let (change, switch, launch) = Default::default();
        Ok(Self { partitioner, lane, places, change, switch, launch })
    }

    fn round(&mut self, memory: &DeviceMemory) -> Result<(), Box<dyn Error>> {
        let block = memory.alloc(256)?;
        let small = SmidProbe { sm: block.address().of(), hold_cycles: 0 }.launch(1, 1);
        let places = [self.places[1], self.places[0]].into_iter().cycle().take(CHANGES as usize);

        let started = now();
        for tpcs in places.clone() {
            self.partitioner.regrant(&mut self.lane, tpcs)?;
        }
        self.change.push(started.elapsed() / CHANGES);
        self.lane.drain()?;

        let started = now();
        for tpcs in places {
            self.partitioner.regrant(&mut self.lane, tpcs)?;
            self.lane.launch(&small)?;
        }
        self.switch.push(started.elapsed() / CHANGES);
        self.lane.drain()?;

        let started = now();
        for _ in 0..CHANGES {
            self.lane.launch(&small)?;
        }
        self.launch.push(started.elapsed() / CHANGES);
        self.lane.drain()?;
        Ok(())
    }
}

fn show(what: &str, mut rounds: Vec<Duration>) {
    rounds.sort_unstable();
    let (least, median, most) = (rounds[0], rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
    println!("  {what:26} least {least:9.2?}  median {median:9.2?}  most {most:9.2?}");
}
