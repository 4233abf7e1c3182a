//! The page that shows a person the cluster: drawn here, complete without a script, and kept live by a small one.
//!
//! It only shows. It is for browsers on this host, or at the end of a tunnel to it, and for others only where there is a token:
//! the rest of the port may be open to load balancers and Prometheus, and knows less.

mod calendar;
mod draw;
mod entrance;
mod history;
mod html;
mod nodes;
mod outcome;
mod stream;
mod window;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use baton_proto::control::{BackupListReply, HistoryReply, RecoveryReply, StatusReply, WhyReply};
use futures::future::BoxFuture;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::entrance::Entrance;
use self::stream::live;
use crate::state::ClusterState;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing is loaded from anywhere else, and nothing written into the page runs.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// Between two looks while a page is kept up to date, as long as nothing is agreed on: what servers and nodes are seen to do is
/// shown within twice that.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// What was seen so lately is shown to others too, unless something has been agreed on since.
const FRESH: Duration = Duration::from_millis(200);
/// Browsers that are kept up to date at a time.
const WATCHERS: usize = 32;

/// What the page shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// How the cluster is.
    pub status: StatusReply,
    /// What happened last, the newest first.
    pub history: HistoryReply,
    /// What speaks for and against a failover now; `None` while nobody leads.
    pub why: Option<WhyReply>,
    /// Backups, the archive of the binlog and schedules; `None` while nobody leads.
    pub backups: Option<BackupListReply>,
    /// What can be restored; `None` while nobody leads, or the leader is of a release that does not say it.
    pub recovery: Option<RecoveryReply>,
    /// For how long one round of grants keeps a server open, in milliseconds.
    pub lease_ms: u64,
    /// When this was seen, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Where the page comes from.
#[derive(Clone)]
pub struct Viewing {
    look: Arc<dyn Fn() -> BoxFuture<'static, Picture> + Send + Sync>,
    seen: Arc<Mutex<Option<Seen>>>,
    states: watch::Receiver<Arc<ClusterState>>,
    watchers: Arc<Semaphore>,
    entrance: Option<Arc<Entrance>>,
    stop: CancellationToken,
}

/// What was seen last.
struct Seen {
    at: Instant,
    /// What was agreed before it was looked at.
    state: Arc<ClusterState>,
    picture: Picture,
}

impl Viewing {
    /// With a way to look, which is bounded, and whatever is agreed on, which is reason to look at once; until `stop`: a page
    /// that is kept up to date would go on for ever.
    pub fn new(
        look: Arc<dyn Fn() -> BoxFuture<'static, Picture> + Send + Sync>,
        states: watch::Receiver<Arc<ClusterState>>,
        stop: CancellationToken,
    ) -> Self {
        let watchers = Arc::new(Semaphore::new(WATCHERS));
        Self { look, seen: Arc::default(), states, watchers, entrance: None, stop }
    }

    /// The same for whoever shows the token, from wherever, and for nobody else.
    #[must_use]
    pub fn with_token(mut self, token: &SecretString) -> Self {
        self.entrance = Some(Arc::new(Entrance::new(token)));
        self
    }

    /// How the cluster is. The leader is asked once, however many pages are open.
    async fn picture(&self) -> Picture {
        let mut seen = self.seen.lock().await;
        let state = self.states.borrow().clone();
        let fresh = |seen: &&Seen| seen.at.elapsed() < FRESH && Arc::ptr_eq(&seen.state, &state);
        if let Some(seen) = seen.as_ref().filter(fresh) {
            return seen.picture.clone();
        }
        let picture = (self.look)().await;
        *seen = Some(Seen { at: Instant::now(), state, picture: picture.clone() });
        picture
    }
}

/// `/`, what belongs to it, and `/live`.
pub(super) fn router(viewing: Viewing) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/live", get(live))
        .route_layer(middleware::from_fn_with_state(viewing.clone(), admitted))
        .route("/enter", post(entrance::enter).layer(DefaultBodyLimit::max(entrance::FORM_MAX)))
        .route("/page.css", get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .route("/page.js", get(async || ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)))
        .layer(middleware::from_fn_with_state(viewing.clone(), guarded))
        .with_state(viewing)
}

async fn page(State(viewing): State<Viewing>) -> Response {
    let picture = viewing.picture().await;
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], draw::page(&picture)).into_response()
}

/// Both ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    peer: IpAddr,
    own: Option<IpAddr>,
}

impl Connected<IncomingStream<'_, TcpListener>> for Ends {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        let own = stream.io().local_addr().ok().map(|own| own.ip().to_canonical());
        Self { peer: stream.remote_addr().ip().to_canonical(), own }
    }
}

impl Ends {
    fn on_one_host(self) -> bool {
        self.peer.is_loopback() || self.own == Some(self.peer)
    }
}

/// Until when a reader may look, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Until(i64);

/// With a token, only for whoever has shown it.
async fn admitted(State(viewing): State<Viewing>, mut request: Request, next: Next) -> Response {
    if let Some(entrance) = &viewing.entrance {
        if let Some(until) = entrance.stays(request.headers(), Timestamp::now().as_second()) {
            request.extensions_mut().insert(Until(until));
        } else if let Some(token) = entrance::bearer(request.headers()).map(str::to_owned) {
            if let Err(refused) = entrance.shown(Some(&token)).await {
                return refused;
            }
        } else {
            return entrance::form("");
        }
    }
    next.run(request).await
}

/// Without a token, only for browsers on this host; and what every answer says to them.
async fn guarded(
    State(viewing): State<Viewing>,
    ConnectInfo(ends): ConnectInfo<Ends>,
    request: Request,
    next: Next,
) -> Response {
    let is_own = ends.on_one_host() && names_an_address(request.headers());
    if viewing.entrance.is_none() && !is_own {
        let why = "this page is shown to its own host alone: ssh -L 7480:127.0.0.1:7480 HOST, then open \
                   http://127.0.0.1:7480/; or write http.token_file, and it is shown to whoever has the token\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    let mut answer = next.run(request).await;
    let said = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in said {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Another site can have a name of its own lead to this host; its pages would then be taken for this one's. Under an address
/// they cannot.
fn names_an_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests;
