//! Metrics for Prometheus: every family is in `families`, with what it says of the status document;
//! here they are written out and served.
//!
//! They are served at `/metrics` of a Unix socket of their own, of the admin socket, and of a loopback
//! port where one is configured. A scrape asks every worker for its figures, as `gpumux status` does.

mod emit;
mod families;
mod loopback;

use super::SupervisorError;
use super::admin::Admin;
use super::place::Place;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use emit::Page;
pub(crate) use loopback::Loopback;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;
use std::path::Path;
use tokio::net::{TcpListener, UnixListener};
use tracing::warn;

/// The media type of OpenMetrics text, which a scraper asks for; the others get Prometheus text.
const OPENMETRICS: &str = "application/openmetrics-text";
const OPENMETRICS_CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where scrapers connect.
#[derive(Debug)]
pub(super) struct MetricsListener {
    socket: UnixListener,
    _place: Place,
    loopback: Option<TcpListener>,
}

impl MetricsListener {
    /// Listens at a path, for the daemon's own user and group, and at a port where one is named.
    pub(super) async fn bind(
        path: &Path,
        loopback: Option<Loopback>,
    ) -> Result<Self, SupervisorError> {
        let place = Place::claim(path)?;
        let socket = UnixListener::bind(place.path()).map_err(|source| place.fail(source))?;
        place.permit(0o660)?;
        let loopback = match loopback {
            None => None,
            Some(at) => {
                let fail = |source| SupervisorError::Port { at: at.address(), source };
                Some(TcpListener::bind(at.address()).await.map_err(fail)?)
            }
        };
        Ok(Self { socket, _place: place, loopback })
    }
}

/// Answers scrapers for as long as the daemon lives.
pub(super) async fn serve(listener: MetricsListener, admin: Admin) {
    let router = Router::new().route("/metrics", get(metrics)).with_state(admin);
    let MetricsListener { socket, _place, loopback } = listener;
    let unix = axum::serve(socket, router.clone());
    let ended = match loopback {
        None => unix.await,
        Some(port) => {
            tokio::select! {
                ended = unix.into_future() => ended,
                ended = axum::serve(port, router).into_future() => ended,
            }
        }
    };
    if let Err(error) = ended {
        warn!(%error, "the metrics socket failed");
    }
}

/// The page that a scraper gets.
pub(super) async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(admin.document().await)));
    let accepted = headers.get(ACCEPT).and_then(|accepted| accepted.to_str().ok());
    let mut page = String::new();
    let (written, content) = if accepted.is_some_and(|accepted| accepted.contains(OPENMETRICS)) {
        (text::encode(&mut page, &registry), OPENMETRICS_CONTENT)
    } else {
        (prometheus_text::encode(&mut page, &registry), prometheus_text::CONTENT_TYPE)
    };
    // Writing to a string does not fail.
    written.expect("a string takes what is written to it");
    ([(CONTENT_TYPE, content)], page).into_response()
}

#[cfg(test)]
mod tests;
