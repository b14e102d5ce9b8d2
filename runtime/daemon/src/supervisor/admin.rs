//! The admin socket: HTTP with JSON, for `gpumux status` and for `curl --unix-socket`.

use super::SupervisorError;
use super::devices::Devices;
use super::given::GivenSocket;
use super::metrics;
use super::place::Place;
use super::registry::Registry;
use super::reload::Reloader;
use crate::clock::Clock;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use gpumux_core::MonoTime;
use gpumux_wire::reload::Reload;
use gpumux_wire::status::{FunctionStatus, Status};
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
    /// Listens at a path, for the daemon's own user; or at the socket that a service manager made for
    /// whom it chose.
    pub(super) fn bind(path: &Path, given: Option<GivenSocket>) -> Result<Self, SupervisorError> {
        if let Some(GivenSocket { socket, place }) = given {
            let socket = UnixListener::from_std(socket.into())?;
            return Ok(Self { socket, _place: place });
        }
        let place = Place::claim(path)?;
        let socket = UnixListener::bind(place.path()).map_err(|source| place.fail(source))?;
        place.permit(0o600)?;
        Ok(Self { socket, _place: place })
    }
}

/// What answers to operators and scrapers are made of.
#[derive(Clone)]
pub(super) struct Admin {
    registry: Arc<Registry>,
    devices: Devices,
    reloader: Arc<Reloader>,
    started: MonoTime,
}

impl Admin {
    /// The figures of a daemon that has just got ready.
    pub(super) fn new(registry: Arc<Registry>, devices: Devices, reloader: Arc<Reloader>) -> Self {
        Self { registry, devices, reloader, started: Clock.now() }
    }

    /// Everything that there is to know, asked of every worker.
    pub(super) async fn document(&self) -> Status {
        let (functions, devices) = self.devices.report().await;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: Clock.now().since(self.started).as_secs(),
            draining: self.registry.is_draining(),
            devices,
            functions,
            sessions: self.registry.sessions(),
            connections: self.registry.connections(),
            tenants: self.registry.tenants(),
        }
    }

    /// There is no such function; perhaps another was meant.
    fn unknown(&self, name: &str) -> Refused {
        let nearest = self.registry.nearest(name);
        let near = nearest.map(|near| format!("; the nearest is `{near}`")).unwrap_or_default();
        (StatusCode::NOT_FOUND, format!("there is no function `{name}`{near}"))
    }
}

/// What is said to an operator whose question cannot be answered.
type Refused = (StatusCode, String);

/// Answers operators for as long as the daemon lives.
pub(super) async fn serve(listener: AdminListener, admin: Admin) {
    let router = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/functions/{name}", get(function))
        .route("/v1/functions/{name}/clear", post(clear))
        .route("/v1/reload", post(reload))
        .route("/metrics", get(metrics::metrics))
        .with_state(admin);
    if let Err(error) = axum::serve(listener.socket, router).await {
        warn!(%error, "the admin socket failed");
    }
}

async fn status(State(admin): State<Admin>) -> Json<Status> {
    Json(admin.document().await)
}

/// Reads the configuration anew. Whoever asked may hang up: what has begun is finished.
async fn reload(State(admin): State<Admin>) -> Result<Json<Reload>, Refused> {
    let reload = tokio::spawn(async move { admin.reloader.reload().await });
    reload.await.map(Json).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// One function's part of the document.
async fn function(
    State(admin): State<Admin>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<FunctionStatus>, Refused> {
    if admin.devices.of(&name).is_none() {
        return Err(admin.unknown(&name));
    }
    let functions = admin.document().await.functions;
    let silent = "the worker of its device does not answer: see `gpumux status`";
    let found = functions.into_iter().find(|function| function.name == name);
    found.map(Json).ok_or_else(|| (StatusCode::SERVICE_UNAVAILABLE, silent.to_owned()))
}

/// Serves a function again that was quarantined.
async fn clear(State(admin): State<Admin>, UrlPath(name): UrlPath<String>) -> Result<(), Refused> {
    match admin.devices.of(&name) {
        Some(worker) => {
            worker.clear(&name).await;
            Ok(())
        }
        None => Err(admin.unknown(&name)),
    }
}
