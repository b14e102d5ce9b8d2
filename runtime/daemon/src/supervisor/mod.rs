//! The supervisor: sessions, placement, configuration and the admin socket. It never touches a
//! device and never sees a request; it makes the connections over which requests flow.

mod admin;
mod audit;
mod channels;
mod check;
mod devices;
mod doors;
mod emulated;
mod error;
mod given;
mod herald;
mod history;
mod identity;
mod import;
mod judge;
mod keeper;
mod metrics;
mod packets;
mod place;
mod probe;
mod process;
mod quarantine;
mod questions;
mod registry;
mod reload;
mod replacement;
mod session;
mod tenancy;
mod watchdog;
mod worker;

pub(crate) use check::check;
pub(crate) use emulated::DriverPlace;
pub(crate) use error::SupervisorError;
pub(crate) use given::Given;
pub(crate) use metrics::Loopback;
pub(crate) use probe::probe;

use crate::config::{self, Function};
use crate::link::PlanFiles;
use crate::options::SupervisorOptions;
use devices::Devices;
use doors::Doors;
use herald::Herald;
use registry::Registry;
use reload::Reloader;
use sd_notify::NotifyState;
use socket2::Type;
use std::sync::Arc;
use tenancy::Tenancy;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// Runs the daemon until it is told to stop and has drained.
///
/// # Errors
/// [`SupervisorError`]: what kept it from starting or going on.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(
    mut options: SupervisorOptions,
    mut given: Given,
) -> Result<(), SupervisorError> {
    let functions = config::load(&options.models).map_err(SupervisorError::Config)?;
    let herald = Herald::start()?;
    let mut stop = Stop::listen()?;
    let mut hangups = signal(SignalKind::hangup())?;
    let (tenancy, _) = Tenancy::read(&options).map_err(SupervisorError::Config)?;
    given.check(tenancy.iter().map(|(name, _)| name))?;
    let doors = Doors::open(&options.socket, &mut given, &tenancy)?;
    doors.shared_path().clone_into(&mut options.socket);
    let admin =
        admin::AdminListener::bind(&options.admin_socket, given.take(given::ADMIN, Type::STREAM)?)?;
    let scrapers =
        metrics::MetricsListener::bind(&options.metrics_socket(), options.metrics_listen).await?;
    let registry = Arc::new(Registry::new(&functions, &options, tenancy));
    let served = tokio::select! {
        served = plan(functions, &options, &herald) => served?,
        () = stop.asked() => return Ok(()),
    };
    let found = tokio::select! {
        found = devices::find(&options) => found?,
        () = stop.asked() => return Ok(()),
    };
    let (devices, mut keepers) = Devices::start(&options, found, served, &registry)?;
    tokio::select! {
        ready = devices.ready() => ready?,
        () = stop.asked() => {
            devices.stop().await;
            return Ok(());
        }
    }
    let whom = (Arc::clone(&registry), devices.clone());
    let reloader = Arc::new(Reloader::new((options.clone(), herald.clone()), whom, doors));
    let figures = admin::Admin::new(Arc::clone(&registry), devices.clone(), Arc::clone(&reloader));
    let scrapes = tokio::spawn(metrics::serve(scrapers, figures.clone()));
    let admin = tokio::spawn(admin::serve(admin, figures));
    info!(socket = %options.socket.display(), "ready");
    herald.tell([NotifyState::Ready]);
    tokio::spawn(watchdog::keep(devices.clone(), herald.clone()));
    let again = Arc::clone(&reloader);
    let reloads = tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            // What became of it is in the log.
            let _noted = again.reload().await;
        }
    });
    tokio::select! {
        () = stop.asked() => (),
        ended = keepers.join_next() => return Err(SupervisorError::ended(ended)),
    }
    info!("draining: nothing new is admitted; a second signal ends at once");
    herald.tell([NotifyState::Stopping]);
    registry.drain();
    tokio::select! {
        () = devices.drain() => info!("drained"),
        () = stop.asked() => info!("ended without draining"),
    }
    for task in [reloads, admin, scrapes] {
        task.abort();
    }
    reloader.close();
    devices.stop().await;
    Ok(())
}

/// The signals by which the daemon is asked to stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of them.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}

/// A function and what its worker is to load.
#[derive(Clone, Debug, PartialEq)]
struct Served {
    function: Function,
    plan: Option<PlanFiles>,
}

/// Makes the plans that are not there yet.
async fn plan(
    functions: Vec<Function>,
    options: &SupervisorOptions,
    herald: &Herald,
) -> Result<Vec<Served>, SupervisorError> {
    let mut served = Vec::new();
    for function in functions {
        // An import may take longer than a service manager waits for the whole daemon.
        let patience = (2 * import::TIME_LIMIT).as_micros();
        let patience = u32::try_from(patience).unwrap_or(u32::MAX);
        herald.tell([NotifyState::ExtendTimeoutUsec(patience)]);
        let plan = import::plan_of(&function, options).await?;
        served.push(Served { function, plan });
    }
    Ok(served)
}
