//! The supervisor: sessions, placement, configuration and the admin socket. It never touches a
//! device and never sees a request; it makes the connections over which requests flow.

mod admin;
mod channels;
mod devices;
mod emulated;
mod error;
mod import;
mod judge;
mod keeper;
mod packets;
mod place;
mod probe;
mod process;
mod quarantine;
mod registry;
mod session;
mod worker;

pub(crate) use emulated::DriverPlace;
pub(crate) use error::SupervisorError;
pub(crate) use probe::probe;

use crate::config::{self, Function};
use crate::link::PlanFiles;
use crate::options::SupervisorOptions;
use devices::Devices;
use registry::Registry;
use sd_notify::NotifyState;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// Runs the daemon until it is told to stop and has drained.
///
/// # Errors
/// [`SupervisorError`]: what kept it from starting or going on.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(options: SupervisorOptions) -> Result<(), SupervisorError> {
    let functions = config::load(&options.models).map_err(SupervisorError::Config)?;
    let mut stop = Stop::listen()?;
    let peers = session::Listener::bind(&options.socket)?;
    let admin = admin::AdminListener::bind(&options.admin_socket)?;
    let registry = Arc::new(Registry::new(&functions, &options));
    let served = tokio::select! {
        served = plan(functions, &options) => served?,
        () = stop.asked() => return Ok(()),
    };
    let found = tokio::select! {
        found = devices::find(&options) => found?,
        () = stop.asked() => return Ok(()),
    };
    let (devices, mut keepers) = Devices::start(&options, &found, served, &registry)?;
    tokio::select! {
        ready = devices.ready() => ready?,
        () = stop.asked() => {
            devices.stop().await;
            return Ok(());
        }
    }
    let admin = tokio::spawn(admin::serve(admin, Arc::clone(&registry), devices.clone()));
    let accept = tokio::spawn(session::accept(peers, Arc::clone(&registry), devices.clone()));
    info!(socket = %options.socket.display(), "ready");
    notify(&NotifyState::Ready);
    tokio::select! {
        () = stop.asked() => (),
        ended = keepers.join_next() => return Err(SupervisorError::ended(ended)),
    }
    info!("draining: nothing new is admitted; a second signal ends at once");
    notify(&NotifyState::Stopping);
    registry.drain();
    tokio::select! {
        () = devices.drain() => info!("drained"),
        () = stop.asked() => info!("ended without draining"),
    }
    accept.abort();
    admin.abort();
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
#[derive(Clone, Debug)]
struct Served {
    function: Function,
    plan: Option<PlanFiles>,
}

/// Makes the plans that are not there yet.
async fn plan(
    functions: Vec<Function>,
    options: &SupervisorOptions,
) -> Result<Vec<Served>, SupervisorError> {
    let mut served = Vec::new();
    for function in functions {
        let plan = import::plan_of(&function, options).await?;
        served.push(Served { function, plan });
    }
    Ok(served)
}

/// Tells the service manager, where one started us.
fn notify(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        warn!(%error, "the service manager could not be told");
    }
}
