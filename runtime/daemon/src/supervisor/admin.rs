//! The admin socket: HTTP with JSON, for `gpumux status` and for `curl --unix-socket`.

use super::SupervisorError;
use super::devices::Devices;
use super::place::Place;
use super::registry::Registry;
use crate::clock::Clock;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use gpumux_core::MonoTime;
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
    devices: Devices,
    started: MonoTime,
}

/// What is said to an operator whose question cannot be answered.
type Refused = (StatusCode, String);

/// Answers operators for as long as the daemon lives.
pub(super) async fn serve(listener: AdminListener, registry: Arc<Registry>, devices: Devices) {
    let router = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/functions/{name}/clear", post(clear))
        .with_state(Admin { registry, devices, started: Clock.now() });
    if let Err(error) = axum::serve(listener.socket, router).await {
        warn!(%error, "the admin socket failed");
    }
}

async fn status(State(admin): State<Admin>) -> Result<Json<Status>, Refused> {
    let (functions, devices) = admin.devices.report().await;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_s: Clock.now().since(admin.started).as_secs(),
        draining: admin.registry.is_draining(),
        devices,
        functions,
        sessions: admin.registry.sessions(),
    }))
}

/// Serves a function again that was quarantined.
async fn clear(State(admin): State<Admin>, UrlPath(name): UrlPath<String>) -> Result<(), Refused> {
    match admin.devices.of(&name) {
        Some(worker) => {
            worker.clear(&name).await;
            Ok(())
        }
        None => {
            let nearest = admin.registry.nearest(&name);
            let near = nearest.map(|near| format!("; the nearest is `{near}`")).unwrap_or_default();
            Err((StatusCode::NOT_FOUND, format!("there is no function `{name}`{near}")))
        }
    }
}
