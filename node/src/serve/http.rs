//! Health and metrics over HTTP, for load balancers and Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::{Metrics, Sample};

/// What Prometheus is told that it gets.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The body of `/health` and `/ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The cluster.
    pub cluster: String,
    /// This node.
    pub node: String,
    /// Whether it takes part in a group that has a leader.
    pub healthy: bool,
    /// Whether the server beside it answers, too; a witness has none to wait for.
    pub ready: bool,
    /// The leader, if there is one.
    pub leader: Option<String>,
    /// The current epoch; 0 before adoption.
    pub epoch: u64,
    /// Whether this node holds the write role.
    pub writer: bool,
}

impl Health {
    /// From the same values as the metrics.
    pub fn of(cluster: &str, node: &str, sample: &Sample) -> Self {
        let healthy = sample.formed && sample.leader.is_some();
        Self {
            cluster: cluster.to_owned(),
            node: node.to_owned(),
            healthy,
            ready: healthy && sample.server_answers.unwrap_or(true),
            leader: sample.leader.clone(),
            epoch: sample.epoch,
            writer: sample.writer,
        }
    }
}

/// `/health`, `/ready` and `/metrics`.
pub fn router(metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(scrape))
        .with_state(metrics)
}

/// Serves until `shutdown`.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(metrics)).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn health(State(metrics): State<Arc<Metrics>>) -> Response {
    let health = metrics.health();
    (code(health.healthy), Json(health)).into_response()
}

async fn ready(State(metrics): State<Arc<Metrics>>) -> Response {
    let health = metrics.health();
    (code(health.ready), Json(health)).into_response()
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn code(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
