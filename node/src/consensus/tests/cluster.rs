//! Nodes of one group in this process, talking over plaintext on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use baton_proto::peer::peer_server::{Peer, PeerServer};
use baton_proto::peer::{
    ActReply, ActRequest, CopyPiece, CopyRequest, ExpiredReply, ExpiredRequest, GrantReply, GrantRequest,
    GreetReply, GreetRequest, InviteReply, InviteRequest, ProposeReply, ProposeRequest, RaftReply,
    RaftRequest, ReportReply, ReportRequest, StillReply, StillRequest,
};
use futures::stream::BoxStream;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::sample::sample;
use super::{Scratch, until};
use crate::consensus::{FormationStatus, Group, GroupOptions, Pace};
use crate::peers::{Dialer, Peers};
use crate::state::NodeName;

pub(crate) const WITHIN: Duration = Duration::from_secs(10);

/// The peer service of one test node, which can be cut off.
struct Service {
    group: Group,
    cut: Arc<AtomicBool>,
}

impl Service {
    fn reachable(&self) -> Result<(), Status> {
        if self.cut.load(Ordering::SeqCst) { Err(Status::unavailable("cut off")) } else { Ok(()) }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Peer for Service {
    type CopyStream = BoxStream<'static, Result<CopyPiece, Status>>;
    async fn copy(&self, _: Request<CopyRequest>) -> Answer<Self::CopyStream> {
        Err(Status::unimplemented("copy"))
    }
    async fn raft(&self, request: Request<RaftRequest>) -> Answer<RaftReply> {
        self.reachable()?;
        Ok(Response::new(self.group.serve_raft(request.into_inner()).await?))
    }
    async fn greet(&self, _: Request<GreetRequest>) -> Answer<GreetReply> {
        self.reachable()?;
        Ok(Response::new(self.group.serve_greet()))
    }
    async fn invite(&self, request: Request<InviteRequest>) -> Answer<InviteReply> {
        self.reachable()?;
        Ok(Response::new(self.group.serve_invite(request.into_inner()).await?))
    }
    async fn propose(&self, request: Request<ProposeRequest>) -> Answer<ProposeReply> {
        self.reachable()?;
        Ok(Response::new(self.group.serve_propose(request.into_inner()).await?))
    }
    async fn grant(&self, _: Request<GrantRequest>) -> Answer<GrantReply> {
        Err(Status::unimplemented(""))
    }
    async fn expired(&self, _: Request<ExpiredRequest>) -> Answer<ExpiredReply> {
        Err(Status::unimplemented(""))
    }
    async fn still(&self, _: Request<StillRequest>) -> Answer<StillReply> {
        Err(Status::unimplemented(""))
    }
    async fn report(&self, _: Request<ReportRequest>) -> Answer<ReportReply> {
        Err(Status::unimplemented(""))
    }
    async fn act(&self, _: Request<ActRequest>) -> Answer<ActReply> {
        Err(Status::unimplemented(""))
    }
}

/// A peer service that answers every call with an error of its own.
pub(crate) struct Silent;

#[tonic::async_trait]
impl Peer for Silent {
    type CopyStream = BoxStream<'static, Result<CopyPiece, Status>>;
    async fn copy(&self, _: Request<CopyRequest>) -> Answer<Self::CopyStream> {
        Err(Status::unimplemented("copy"))
    }
    async fn raft(&self, _: Request<RaftRequest>) -> Answer<RaftReply> {
        Err(Status::unimplemented("silent"))
    }
    async fn greet(&self, _: Request<GreetRequest>) -> Answer<GreetReply> {
        Err(Status::unimplemented("silent"))
    }
    async fn invite(&self, _: Request<InviteRequest>) -> Answer<InviteReply> {
        Err(Status::unimplemented("silent"))
    }
    async fn propose(&self, _: Request<ProposeRequest>) -> Answer<ProposeReply> {
        Err(Status::unimplemented("silent"))
    }
    async fn grant(&self, _: Request<GrantRequest>) -> Answer<GrantReply> {
        Err(Status::unimplemented("silent"))
    }
    async fn expired(&self, _: Request<ExpiredRequest>) -> Answer<ExpiredReply> {
        Err(Status::unimplemented("silent"))
    }
    async fn still(&self, _: Request<StillRequest>) -> Answer<StillReply> {
        Err(Status::unimplemented("silent"))
    }
    async fn report(&self, _: Request<ReportRequest>) -> Answer<ReportReply> {
        Err(Status::unimplemented("silent"))
    }
    async fn act(&self, _: Request<ActRequest>) -> Answer<ActReply> {
        Err(Status::unimplemented("silent"))
    }
}

/// Where a node listens and keeps its store; outlives its daemon.
pub(crate) struct Host {
    pub(crate) name: NodeName,
    pub(crate) address: String,
    pub(crate) scratch: Scratch,
    listener: std::net::TcpListener,
}

impl Host {
    pub(crate) fn new(name: &str) -> Self {
        // Kept open across restarts, so that nobody else takes the port.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self { name: name.into(), address, scratch: Scratch::new(), listener }
    }

    pub(crate) fn options(&self, hosts: &[&Host]) -> GroupOptions {
        GroupOptions {
            cluster: "test".into(),
            node: self.name.clone(),
            nodes: hosts.iter().map(|host| (host.name.clone(), host.address.clone())).collect(),
            config_digest: "same".into(),
            version: "0".into(),
            store: crate::consensus::Medium::File(self.scratch.file()),
            since_boot: Arc::new(crate::consensus::since_boot),
            machine_id: format!("machine of {}", self.name.as_str()),
            peers: Arc::new(Peers::new(Dialer::Plaintext)),
            pace: Pace::default(),
            formation: Arc::new(|_| sample(0)),
            draw_id: Arc::new(|| format!("{:032x}", rand::random::<u128>())),
        }
    }

    pub(crate) async fn start(&self, hosts: &[&Host]) -> Node {
        self.start_with(self.options(hosts)).await
    }

    pub(crate) async fn start_with(&self, options: GroupOptions) -> Node {
        let group = Group::open(options).await.unwrap();
        let (cut, ending) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
        let listener = TcpListener::from_std(self.listener.try_clone().unwrap()).unwrap();
        let service = PeerServer::new(Service { group: group.clone(), cut: cut.clone() });
        let end = ending.clone();
        // Tells open connections to go, too: dropping the server would leave them served.
        let serving = Server::builder()
            .add_service(service)
            .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async move {
                end.cancelled().await
            });
        tokio::spawn(serving);
        Node { name: self.name.clone(), group, cut, ending }
    }
}

/// A running daemon, as far as the group is concerned.
pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) group: Group,
    cut: Arc<AtomicBool>,
    ending: CancellationToken,
}

impl Node {
    /// Ends it as a crash would, as far as others can see: it answers nothing from now on.
    pub(crate) async fn kill(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.ending.cancel();
        self.group.shutdown().await;
    }

    /// Answers nothing while `on`, but may go on asking.
    pub(crate) fn deafen(&self, on: bool) {
        self.cut.store(on, Ordering::SeqCst);
    }

    pub(crate) fn index(&self) -> u64 {
        self.group.states().borrow().index
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}

/// Starts them and waits until they have formed a group and applied its first command.
pub(crate) async fn start_all(hosts: &[Host]) -> Vec<Node> {
    start_all_at(Pace::default(), hosts).await
}

/// The same at another pace.
pub(crate) async fn start_all_at(pace: Pace, hosts: &[Host]) -> Vec<Node> {
    let all: Vec<&Host> = hosts.iter().collect();
    let starting = hosts.iter().map(|host| host.start_with(GroupOptions { pace, ..host.options(&all) }));
    let nodes = futures::future::join_all(starting).await;
    let formed = |node: &Node| *node.group.formation().borrow() == FormationStatus::Formed;
    until("formed", || nodes.iter().all(formed)).await;
    // Those that were invited are formed before the group is; the first node knows how far it has come.
    until("applied", || nodes.iter().all(|node| node.index() >= nodes[0].index())).await;
    nodes
}

/// Proposes until it is certain that it was committed, as a caller does that may apply a command twice.
pub(crate) async fn propose_surely(node: &Node, number: u64) {
    let deadline = std::time::Instant::now() + WITHIN;
    while let Err(error) = node.group.propose(sample(number), WITHIN).await {
        assert!(std::time::Instant::now() < deadline && !error.is_certain(), "{error}");
    }
}

/// Waits for a leader that all of `nodes` agree on.
pub(crate) async fn leader_of<'a>(nodes: &[&'a Node]) -> &'a Node {
    let agreed = || {
        let leading = nodes.iter().find(|node| node.group.leadership().borrow().mine)?;
        let term = leading.group.leadership().borrow().term;
        nodes.iter().all(|node| node.group.leadership().borrow().term == term).then_some(*leading)
    };
    until("a leader", || agreed().is_some()).await;
    agreed().unwrap()
}

pub(crate) fn three() -> Vec<Host> {
    ["db1", "db2", "db3"].map(Host::new).into()
}
