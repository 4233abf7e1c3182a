//! What the node answers to: peers and operators over gRPC, machines over HTTP.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::control::control_server::ControlServer;
use baton_proto::peer::peer_server::PeerServer;
use futures::FutureExt;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracing::warn;

use super::assembly::Assembly;
use crate::decide::archive::known;
use crate::decide::backup::recovery::recovery;
use crate::decide::diagnose::diagnose;
use crate::decide::readers::Reading;
use crate::identity::Identity;
use crate::peers::MESSAGE_LIMIT;
use crate::route::Counters;
use crate::serve::http::{self, Asked, Pages};
use crate::serve::metrics::{Metrics, Sample};
use crate::serve::page::Viewing;
use crate::serve::roles::{Moment, Role};

/// A caller whose host vanished without a word is found out after both of these.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_ANSWER: Duration = Duration::from_secs(5);
/// Calls of one connection at a time; a peer has a handful.
const CALLS_MAX: usize = 256;

/// Starts the services.
pub(super) struct Serving<'a> {
    pub(super) identity: &'a Identity,
    pub(super) stop: CancellationToken,
}

impl Serving<'_> {
    /// The peer service, and the control service beside it: nodes forward to each other's.
    pub(super) fn peers(&self, node: &mut Assembly, listener: TcpListener) {
        let peer = PeerServer::new(node.peer_service())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let (control, tls, stop, over) = (
            ControlServer::new(node.control_service()),
            self.identity.server_tls(),
            self.stop.clone(),
            node.ended.clone(),
        );
        node.tasks.spawn(async move {
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
    pub(super) fn control(&self, node: &mut Assembly, listener: TcpListener) {
        let (control, tls, stop) =
            (ControlServer::new(node.control_service()), self.identity.server_tls(), self.stop.clone());
        node.tasks.spawn(async move {
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

    /// Health, roles and metrics, and the page for people.
    pub(super) fn http(
        &self,
        node: &mut Assembly,
        listener: TcpListener,
        counters: Option<Counters>,
        readings: watch::Receiver<Reading>,
        token: Option<SecretString>,
    ) {
        let role = Self::roles(node, readings);
        let (group, me, own) = (node.group.clone(), node.me.clone(), Arc::clone(&node.own));
        let (states, formation) = (group.states(), group.formation());
        let followers = node.followers.subscribe();
        let (table, lasting) = (Arc::clone(&node.table), node.lasting.subscribe());
        let listeners = node.listeners.clone();
        let read = Arc::new(move || {
            let router = counters.as_ref().map(Counters::stats);
            let leadership = group.leadership_heard_of();
            let applied = Arc::clone(&states.borrow());
            let (own, followers) = (own(), followers.borrow());
            let sample =
                Sample::of(&me, &applied, &leadership, &formation.borrow(), &own, router, &followers);
            let sample = sample.with_dropped(&applied.state.alerts, listeners.borrow().sinks.names());
            if !leadership.mine {
                return sample;
            }
            let seen = table.snapshot(&applied.state);
            let state = &applied.state;
            let archive = state.collector.as_ref().and_then(|now| known(&seen, &now.node));
            let sample = sample.with_window(&recovery(&state.backups, archive.as_ref()));
            sample.with_troubles(&diagnose(state, &seen, *lasting.borrow()).troubles)
        });
        let metrics = Arc::new(Metrics::new(&node.cluster, node.me.as_str(), read));
        node.tasks.spawn(metrics.count(node.states.clone()));
        let (control, stop) = (node.control_service(), self.stop.clone());
        let look = move || {
            let control = control.clone();
            async move { control.picture().await }.boxed()
        };
        let viewing = Viewing::new(Arc::new(look), node.states.clone(), stop.clone());
        let viewing = match token {
            Some(token) => viewing.with_token(&token),
            None => viewing,
        };
        node.tasks.spawn(async move {
            if let Err(error) = http::serve(listener, Pages { metrics, role, viewing }, stop).await {
                warn!(%error, "the HTTP service has ended");
            }
        });
    }

    fn roles(
        node: &Assembly,
        readings: watch::Receiver<Reading>,
    ) -> Arc<dyn Fn(Asked) -> Role + Send + Sync> {
        let (states, me, own) = (node.states.clone(), node.me.clone(), Arc::clone(&node.own));
        let cluster = node.cluster.clone();
        Arc::new(move |asked| {
            // The state before the report: what is seen is never older than what was agreed.
            let (state, readers) = (states.borrow().clone(), readings.borrow().readers.clone());
            let report = own();
            let moment =
                Moment { cluster: &cluster, me: &me, state: &state, report: &report, readers: &readers };
            match asked {
                Asked::Primary => moment.primary(),
                Asked::Replica(lag) => moment.replica(lag),
            }
        })
    }
}

fn builder() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_ANSWER))
        .concurrency_limit_per_connection(CALLS_MAX)
}
