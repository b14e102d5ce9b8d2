//! The admin socket: HTTP with JSON, for `gpumux status` and for `curl --unix-socket`.

use super::SupervisorError;
use super::place::Place;
use super::registry::Registry;
use super::worker::Worker;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use gpumux_wire::status::Status;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;
use tracing::warn;

/// The socket that operators ask.
#[derive(Debug)]
pub(super) struct AdminListener {
    socket: UnixListener,
    _place: Place,
}

impl AdminListener {
    /// Listens at a path, for the daemon's own user.
    pub(super) fn bind(path: &Path) -> Result<Self, SupervisorError> {
        let place = Place::claim(path)?;
        let socket = UnixListener::bind(place.path()).map_err(|source| place.fail(source))?;
        place.permit(0o600)?;
        Ok(Self { socket, _place: place })
    }
}

#[derive(Clone)]
struct Admin {
    registry: Arc<Registry>,
    worker: Worker,
}

/// Answers operators for as long as the daemon lives.
pub(super) async fn serve(listener: AdminListener, registry: Arc<Registry>, worker: Worker) {
    let router =
        Router::new().route("/v1/status", get(status)).with_state(Admin { registry, worker });
    if let Err(error) = axum::serve(listener.socket, router).await {
        warn!(%error, "the admin socket failed");
    }
}

async fn status(State(admin): State<Admin>) -> Result<Json<Status>, (StatusCode, String)> {
    let (functions, device) = admin.worker.report().await;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_s: admin.worker.uptime().as_secs(),
        draining: admin.registry.is_draining(),
        devices: vec![device],
        functions,
        sessions: admin.registry.sessions(),
    }))
}
