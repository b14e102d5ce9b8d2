//! The supervisor: sessions, placement, configuration and the admin socket. It never touches a
//! device and never sees a request; it makes the connections over which requests flow.

mod admin;
mod error;
mod keeper;
mod packets;
mod place;
mod registry;
mod session;
mod worker;

pub(crate) use error::SupervisorError;

use crate::config;
use crate::options::SupervisorOptions;
use registry::Registry;
use sd_notify::NotifyState;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use worker::Worker;

/// Runs the daemon until it is told to stop and has drained.
///
/// # Errors
/// [`SupervisorError`]: what kept it from starting or going on.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(options: SupervisorOptions) -> Result<(), SupervisorError> {
    let functions = config::load(&options.models).map_err(SupervisorError::Config)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let peers = session::Listener::bind(&options.socket)?;
    let admin = admin::AdminListener::bind(&options.admin_socket)?;
    let registry = Arc::new(Registry::new(&functions, &options));
    let (worker, mut running) = Worker::start(&options.worker, functions, &registry)?;
    worker.ready().await?;
    let admin = tokio::spawn(admin::serve(admin, Arc::clone(&registry), worker.clone()));
    let accept = tokio::spawn(session::accept(peers, Arc::clone(&registry), worker.clone()));
    info!(socket = %options.socket.display(), "ready");
    notify(&NotifyState::Ready);
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
        ended = &mut running => return Err(SupervisorError::ended(ended)),
    }
    info!("draining: nothing new is admitted; a second signal ends at once");
    notify(&NotifyState::Stopping);
    registry.drain();
    tokio::select! {
        () = worker.drain() => info!("drained"),
        _ = terminate.recv() => info!("ended without draining"),
        _ = interrupt.recv() => info!("ended without draining"),
    }
    accept.abort();
    admin.abort();
    worker.stop().await;
    Ok(())
}

/// Tells the service manager, where one started us.
fn notify(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        warn!(%error, "the service manager could not be told");
    }
}
