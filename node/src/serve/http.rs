//! Over HTTP: health, roles and metrics, for load balancers and Prometheus, and the page for people.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::{Metrics, Sample};
use super::page::{self, Ends, Viewing};
use super::roles::{self, Role};

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
    /// What is missing, if something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
}

impl Health {
    /// From the same values as the metrics.
    pub fn of(cluster: &str, node: &str, sample: &Sample) -> Self {
        let healthy = sample.formed && sample.leader.is_some();
        let answers = sample.server_answers.unwrap_or(true);
        let why = match (sample.formed, sample.leader.is_some(), answers) {
            (false, ..) => Some("this node belongs to no group yet"),
            (true, false, _) => Some("this node knows no leader"),
            (true, true, false) => Some("the server beside this node does not answer"),
            (true, true, true) => None,
        };
        Self {
            cluster: cluster.to_owned(),
            node: node.to_owned(),
            healthy,
            ready: healthy && answers,
            leader: sample.leader.clone(),
            epoch: sample.epoch,
            writer: sample.writer,
            why,
        }
    }
}

/// What the pages are made from.
#[derive(Clone)]
pub struct Pages {
    /// Health and metrics.
    pub metrics: Arc<Metrics>,
    /// The role of the server beside this node, judged at the moment of the question; must not block.
    pub role: Arc<dyn Fn(Asked) -> Role + Send + Sync>,
    /// What people see.
    pub viewing: Viewing,
}

/// Which role is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The writer's.
    Primary,
    /// A replica's, with the lag that is borne, if that is said.
    Replica(Option<Duration>),
}

/// Why a question cannot be answered.
#[derive(Serialize)]
struct Refused {
    error: String,
}

/// The page for people at `/`, and `/primary`, `/replica`, `/health`, `/ready` and `/metrics`. Roles and health answer GET,
/// HEAD and OPTIONS alike, so that any health check's method does.
pub fn router(pages: Pages) -> Router {
    let for_people = page::router(pages.viewing.clone());
    let for_machines = Router::new()
        .route("/primary", get(primary).options(primary))
        .route("/replica", get(replica).options(replica))
        .route("/health", get(health).options(health))
        .route("/ready", get(ready).options(ready))
        .route("/metrics", get(scrape))
        .with_state(pages);
    for_machines.merge(for_people)
}

/// Serves until `shutdown`.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: TcpListener, pages: Pages, shutdown: CancellationToken) -> std::io::Result<()> {
    let service = router(pages).into_make_service_with_connect_info::<Ends>();
    axum::serve(listener, service).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn primary(State(pages): State<Pages>) -> Response {
    let role = (pages.role)(Asked::Primary);
    (code(role.fit), Json(role)).into_response()
}

async fn replica(State(pages): State<Pages>, RawQuery(query): RawQuery) -> Response {
    match roles::lag(query.as_deref()) {
        Ok(lag) => {
            let role = (pages.role)(Asked::Replica(lag));
            (code(role.fit), Json(role)).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, Json(Refused { error })).into_response(),
    }
}

async fn health(State(pages): State<Pages>) -> Response {
    let health = pages.metrics.health();
    (code(health.healthy), Json(health)).into_response()
}

async fn ready(State(pages): State<Pages>) -> Response {
    let health = pages.metrics.health();
    (code(health.ready), Json(health)).into_response()
}

async fn scrape(State(pages): State<Pages>) -> Response {
    match pages.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn code(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
