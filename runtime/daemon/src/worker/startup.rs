//! Getting the dispatch thread ready: the device, the functions, the scheduler. All that takes time
//! or memory happens here, before `ready`.

use super::beat::Beat;
use super::commands::{Command, News, Queue};
use super::counters::{Counters, Owed};
use super::dispatch::{Dispatch, Parts};
use super::function::FunctionInfo;
use super::gpu::{Division, Gpu, NoGpu};
use super::loading::{self, Equipment, Memory, Named};
use super::spin::Spin;
use gpumux_core::{Limits, Scheduler, policy};
use gpumux_cuda::TransferError;
use gpumux_wire::status::MemoryStatus;
use nix::errno::Errno;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use thiserror::Error;

/// What the thread is started with.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) division: Division,
    pub(super) functions: Vec<Named>,
    pub(super) limits: Limits,
    pub(super) policy: String,
    /// Longest spin before a sleep.
    pub(super) spin: Duration,
    /// The core that the thread is kept on.
    pub(super) core: Option<usize>,
    /// Longest time without progress on a busy lane.
    pub(super) hang_limit: Duration,
    /// Which worker of its device this is.
    pub(super) incarnation: u32,
    /// When the dispatch thread last looked around.
    pub(super) beat: Arc<Beat>,
    pub(super) commands: Arc<Queue<Command>>,
    pub(super) news: Arc<Queue<News>>,
}

/// What it says when it is ready.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) infos: Vec<FunctionInfo>,
    pub(super) device: DeviceSummary,
    pub(super) counters: Arc<Counters>,
}

/// What `status` shows of the device.
#[derive(Clone, Debug)]
pub(super) struct DeviceSummary {
    pub(super) name: String,
    pub(super) emulated: bool,
    pub(super) sms: u32,
    pub(super) memory_bytes: u64,
    pub(super) memory: MemoryStatus,
    /// Of each lane, its SMs, and which they are.
    pub(super) lanes: Vec<(u32, String)>,
}

/// Why the thread could not get ready, or cannot go on. Either ends the worker.
#[derive(Debug, Error)]
pub(crate) enum DispatchError {
    /// There is no device.
    #[error(transparent)]
    NoGpu(#[from] NoGpu),
    /// A function cannot be served.
    #[error("{0}")]
    Loading(String),
    /// The kernel refused something.
    #[error("the dispatch thread: {0}")]
    Os(#[from] Errno),
    /// The device refused work, or faulted.
    #[error("the device: {0}")]
    Device(#[from] TransferError),
    /// The device makes no progress.
    #[error("the device made no progress on a lane for {0:?}: a kernel may never end")]
    Hung(Duration),
}

/// Opens the device, loads the functions, says so, and serves until the control thread says stop.
///
/// # Errors
/// [`DispatchError`].
pub(super) fn run(setup: Setup, ready: &SyncSender<Ready>) -> Result<(), DispatchError> {
    pin_to(setup.core)?;
    let gpu = Gpu::open(&setup.division)?;
    let limits = setup.limits;
    let equipment = loading::equip(&gpu, setup.functions, limits.lanes, limits.run_ahead)
        .map_err(DispatchError::Loading)?;
    let policy = policy::by_name(&setup.policy)
        .ok_or_else(|| DispatchError::Loading(format!("there is no policy `{}`", setup.policy)))?;
    let specs = equipment.functions.iter().map(|function| function.spec.clone()).collect();
    let scheduler = Scheduler::new(limits, specs, policy);
    let info = gpu.device.info();
    let lanes: Vec<_> =
        equipment.runners.iter().map(|runner| runner.place(info.sm_count)).collect();
    let owed = equipment.infos.iter().map(|info| {
        let objective = info.config.service.objective?;
        Some(Owed { share: objective.percentile / 100.0, bound: objective.bound.0 })
    });
    let counters = Arc::new(Counters::new(owed, lanes.iter().map(|(sms, _)| *sms)));
    let Memory { batches_bytes, staging_bytes } = equipment.memory;
    let used = gpu.memory.bytes() - gpu.memory.free_bytes();
    let summary = DeviceSummary {
        name: info.name.clone(),
        emulated: info.is_emulated,
        sms: info.sm_count,
        memory_bytes: gpu.memory.bytes(),
        memory: MemoryStatus {
            weights_bytes: used.saturating_sub(batches_bytes),
            batches_bytes,
            staging_bytes,
        },
        lanes,
    };
    let Equipment { infos, functions, runners, .. } = equipment;
    let parts = Parts {
        scheduler,
        functions,
        runners,
        counters: Arc::clone(&counters),
        commands: setup.commands,
        news: setup.news,
        spin: Spin::new(setup.spin),
        requests: limits.requests,
        hang_limit: setup.hang_limit,
        incarnation: setup.incarnation,
        beat: setup.beat,
        gpu,
    };
    let dispatch = Dispatch::new(parts)?;
    // A control thread that is gone takes the whole worker with it.
    let _gone = ready.send(Ready { infos, device: summary, counters });
    dispatch.run()
}

/// Keeps the calling thread on one core, where the operator asked for it.
fn pin_to(core: Option<usize>) -> Result<(), Errno> {
    let Some(core) = core else { return Ok(()) };
    let mut cores = nix::sched::CpuSet::new();
    cores.set(core)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cores)
}
