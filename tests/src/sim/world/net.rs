//! The network: which host reaches which, how long that takes, and the calls between Baton's nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_node::peers::{Dialer, Wire};
use baton_node::serve::peer::PeerService;
use baton_node::task::Scope;
use baton_proto::peer::peer_server::PeerServer;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};

use super::draw::Draw;
use crate::sim::fleet::Links;

/// A packet that was lost is sent again after so long, and then after twice as long.
const AGAIN: Duration = Duration::from_millis(200);
/// A connection whose other end does not answer is given up after so long: the pings of `peers`.
const GIVEN_UP: Duration = Duration::from_millis(1500);

type Carried = Result<http::Response<Body>, Status>;

/// The whole network. Clones are the same one.
#[derive(Clone)]
pub struct Net(Arc<Mutex<State>>);

struct State {
    draw: Draw,
    cut: BTreeSet<(String, String)>,
    /// Of a thousand packets so many are lost.
    loss: u64,
    /// Added to every way, at most.
    slower: Duration,
    nodes: BTreeMap<String, Listening>,
}

#[derive(Clone)]
struct Listening {
    scope: Scope,
    service: PeerServer<PeerService>,
}

impl Net {
    /// A network on which every host reaches every other.
    pub fn new(draw: Draw) -> Self {
        Self(Arc::new(Mutex::new(State {
            draw,
            cut: BTreeSet::new(),
            loss: 0,
            slower: Duration::ZERO,
            nodes: BTreeMap::new(),
        })))
    }

    /// Cuts the way from one host to another.
    pub fn cut(&self, from: &str, to: &str) {
        self.lock().cut.insert((from.to_owned(), to.to_owned()));
    }

    /// Cuts both ways between two hosts.
    pub fn cut_both(&self, one: &str, other: &str) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Mends the way from one host to another.
    pub fn mend(&self, from: &str, to: &str) {
        self.lock().cut.remove(&(from.to_owned(), to.to_owned()));
    }

    /// From now on so many packets of a thousand are lost, and each takes up to `slower` longer.
    pub fn weather(&self, loss: u64, slower: Duration) {
        let mut state = self.lock();
        (state.loss, state.slower) = (loss, slower);
    }

    /// Everything is as at the beginning.
    pub fn calm(&self) {
        let mut state = self.lock();
        state.cut.clear();
        (state.loss, state.slower) = (0, Duration::ZERO);
    }

    /// A node's peer service listens.
    pub fn listen(&self, host: &str, scope: Scope, service: PeerService) {
        let service = PeerServer::new(service);
        self.lock().nodes.insert(host.to_owned(), Listening { scope, service });
    }

    /// It does no longer.
    pub fn hang_up(&self, host: &str) {
        let listened = self.lock().nodes.remove(host);
        drop(listened);
    }

    /// Nobody listens any more.
    pub(super) fn end(&self) {
        // What a service holds may call the network as it is dropped.
        let nodes = std::mem::take(&mut self.lock().nodes);
        drop(nodes);
    }

    /// The connections of the node on `from`.
    pub fn dialer(&self, from: &str) -> Dialer {
        let (net, from) = (self.clone(), from.to_owned());
        Dialer::Memory(Arc::new(move |to, _lane| {
            let (net, from, to) = (net.clone(), from.clone(), to.to_string());
            Wire::Memory(Arc::new(move |request| net.carry(&from, &to, request)))
        }))
    }

    /// One call. What was sent arrives whether or not the caller still waits.
    fn carry(&self, from: &str, to: &str, request: http::Request<Body>) -> BoxFuture<'static, Carried> {
        let (reply, answer) = oneshot::channel();
        let (net, from, to) = (self.clone(), from.to_owned(), to.to_owned());
        tokio::spawn(async move {
            let carried = net.deliver(&from, &to, request).await;
            let _caller_gone = reply.send(carried);
        });
        answer.map(|answered| answered.unwrap_or_else(|_| Err(broken("the connection broke")))).boxed()
    }

    async fn deliver(&self, from: &str, to: &str, request: http::Request<Body>) -> Carried {
        self.way(from, to).await?;
        let listening = self.lock().nodes.get(to).cloned();
        let answered = match listening {
            None => Err(broken("connection refused")),
            Some(Listening { scope, mut service }) => {
                let handled = scope.spawn(async move { service.call(request).await });
                match handled.await {
                    Ok(Ok(response)) => Ok(response),
                    Ok(Err(never)) => match never {},
                    Err(_killed) => Err(broken("connection reset")),
                }
            }
        };
        self.way(to, from).await?;
        answered
    }

    async fn way(&self, from: &str, to: &str) -> Result<(), Status> {
        match self.delay(from, to) {
            Some(delay) => {
                sleep(delay).await;
                Ok(())
            }
            None => {
                sleep(GIVEN_UP).await;
                Err(broken("keep-alive timed out"))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links for Net {
    fn delay(&self, from: &str, to: &str) -> Option<Duration> {
        let state = self.lock();
        if state.cut.contains(&(from.to_owned(), to.to_owned())) {
            return None;
        }
        let mut delay = state.draw.micros(100..600);
        if !state.slower.is_zero() {
            let most = u64::try_from(state.slower.as_micros()).unwrap_or(u64::MAX).max(1);
            delay += state.draw.micros(0..most);
        }
        let mut again = AGAIN;
        while state.loss > 0 && state.draw.chance(state.loss) {
            delay += again;
            again *= 2;
        }
        Some(delay)
    }
}

fn broken(why: &str) -> Status {
    Status::unavailable(why.to_owned())
}
