//! What the node answers to: peers and operators over gRPC, machines over HTTP.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::control::control_server::ControlServer;
use baton_proto::peer::peer_server::PeerServer;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracing::warn;

use super::start::{Beside, Shared};
use crate::decide::seen::Report;
use crate::identity::Identity;
use crate::observe::{Prober, see};
use crate::operate::Actor;
use crate::peers::MESSAGE_LIMIT;
use crate::route::Counters;
use crate::serve::http;
use crate::serve::metrics::{Metrics, Sample};
use crate::serve::peer::PeerService;
use crate::serve::settings::config_differs;
use crate::serve::{Callers, Control};

/// A caller whose host vanished without a word is found out after both of these.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_ANSWER: Duration = Duration::from_secs(5);
/// Calls of one connection at a time; a peer has a handful.
const CALLS_MAX: usize = 256;

/// What this node sees itself, now.
pub(super) type OwnView = Arc<dyn Fn() -> Report + Send + Sync>;

/// Starts the services.
pub(super) struct Serving<'a> {
    pub(super) shared: &'a Shared,
    pub(super) own: OwnView,
    pub(super) stop: &'a CancellationToken,
    pub(super) fatal: &'a mpsc::Sender<String>,
}

pub(super) fn own_view(shared: &Shared, prober: &Arc<Prober>, beside: Option<&Beside>) -> OwnView {
    let own = beside.map(|b| b.own.clone());
    let (prober, states, file) = (Arc::clone(prober), shared.states.clone(), shared.file.subscribe());
    Arc::new(move || see(own.as_ref(), &prober, config_differs(&file.borrow(), &states.borrow())))
}

impl Serving<'_> {
    /// The peer service, and the control service beside it: nodes forward to each other's.
    pub(super) fn peers(
        &self,
        tasks: &mut JoinSet<()>,
        identity: &Identity,
        listener: TcpListener,
        actor: Option<Arc<Actor>>,
    ) {
        let shared = self.shared;
        let peer = PeerService {
            cluster: shared.config.cluster.name.clone(),
            group: shared.group.clone(),
            voter: Arc::clone(&shared.voter),
            table: Arc::clone(&shared.table),
            actor,
        };
        let peer = PeerServer::new(peer)
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let (control, tls, stop, over) = (
            ControlServer::new(self.service()),
            identity.server_tls(),
            self.stop.clone(),
            self.fatal.clone(),
        );
        tasks.spawn(async move {
            let served = async {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                let server = builder().tls_config(tls)?.add_service(peer).add_service(control);
                server.serve_with_incoming_shutdown(incoming, stop.cancelled()).await
            };
            if let Err(error) = served.await {
                let _stopping = over.send(format!("the peer service has ended: {error}")).await;
            }
        });
    }

    /// The control service on an address of its own.
    pub(super) fn control(&self, tasks: &mut JoinSet<()>, identity: &Identity, listener: TcpListener) {
        let (control, tls, stop) =
            (ControlServer::new(self.service()), identity.server_tls(), self.stop.clone());
        tasks.spawn(async move {
            let served = async {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                let server = builder().tls_config(tls)?.add_service(control);
                server.serve_with_incoming_shutdown(incoming, stop.cancelled()).await
            };
            if let Err(error) = served.await {
                warn!(%error, "the control service on its own address has ended");
            }
        });
    }

    /// Health and metrics.
    pub(super) fn http(&self, tasks: &mut JoinSet<()>, listener: TcpListener, counters: Option<Counters>) {
        let (group, me, own) = (self.shared.group.clone(), self.shared.me.clone(), Arc::clone(&self.own));
        let (states, formation) = (group.states(), group.formation());
        let read = Arc::new(move || {
            let router = counters.as_ref().map(Counters::stats);
            let leadership = group.leadership_heard_of();
            Sample::of(&me, &states.borrow(), &leadership, &formation.borrow(), &own(), router)
        });
        let metrics = Arc::new(Metrics::new(&self.shared.config.cluster.name, self.shared.me.as_str(), read));
        let stop = self.stop.clone();
        tasks.spawn(async move {
            if let Err(error) = http::serve(listener, metrics, stop).await {
                warn!(%error, "the HTTP service has ended");
            }
        });
    }

    fn service(&self) -> Control {
        let shared = self.shared;
        let (table, states) = (Arc::clone(&shared.table), shared.states.clone());
        let lasting = shared.lasting.subscribe();
        let proposer = shared.proposer.clone();
        Control {
            group: shared.group.clone(),
            peers: Arc::clone(&shared.peers),
            me: shared.me.clone(),
            cluster: shared.config.cluster.name.clone(),
            callers: Callers::Certificates,
            seen: Arc::new(move || table.snapshot(&states.borrow())),
            own: Arc::clone(&self.own),
            lasting: Arc::new(move || *lasting.borrow()),
            new_id: Arc::new(move || proposer.draw_id()),
            now: Arc::new(Timestamp::now),
        }
    }
}

fn builder() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_ANSWER))
        .concurrency_limit_per_connection(CALLS_MAX)
}
