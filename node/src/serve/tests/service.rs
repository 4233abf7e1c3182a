use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_proto::control::control_client::ControlClient;
use baton_proto::control::control_server::ControlServer;
use baton_proto::control::{
    AddNodeRequest, AdoptRequest, CheckRequest, ConfigApplyRequest, ConfigShowRequest, FailoverRequest,
    HistoryRequest, PauseRequest, ReleaseRequest, RemoveNodeRequest, ResumeRequest, StatusRequest,
    WhyRequest,
};
use baton_proto::peer::peer_server::{Peer, PeerServer};
use baton_proto::peer::{
    ActReply, ActRequest, CopyPiece, CopyRequest, ExpiredReply, ExpiredRequest, GrantReply, GrantRequest,
    GreetReply, GreetRequest, InviteReply, InviteRequest, ProposeReply, ProposeRequest, RaftReply,
    RaftRequest, ReportReply, ReportRequest, StillReply, StillRequest,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status};

use crate::consensus::{FormationCommand, Group, GroupOptions, Pace};
use crate::decide::diagnose::Lasting;
use crate::decide::sample::{NOW_MS, Seen, name, observed};
use crate::guard::ExpiryAnswer;
use crate::operate::{Acted, Action, Hands, Order};
use crate::peers::{Dialer, Peers};
use crate::serve::{Callers, Control};
use crate::state::{
    Begin, Change, Cluster, ClusterState, Command, CommandId, Epoch, NodeName, Operation, Safety,
};

const WITHIN: Duration = Duration::from_secs(10);

/// The part of the peer service that a group needs.
struct Consensus(Group);

type Answer<T> = Result<Response<T>, Status>;

fn not_here<T>() -> Answer<T> {
    Err(Status::unimplemented(""))
}

#[tonic::async_trait]
impl Peer for Consensus {
    type CopyStream = BoxStream<'static, Result<CopyPiece, Status>>;
    async fn copy(&self, _: Request<CopyRequest>) -> Answer<Self::CopyStream> {
        Err(Status::unimplemented("copy"))
    }
    async fn raft(&self, request: Request<RaftRequest>) -> Answer<RaftReply> {
        Ok(Response::new(self.0.serve_raft(request.into_inner()).await?))
    }
    async fn greet(&self, _: Request<GreetRequest>) -> Answer<GreetReply> {
        Ok(Response::new(self.0.serve_greet()))
    }
    async fn invite(&self, request: Request<InviteRequest>) -> Answer<InviteReply> {
        Ok(Response::new(self.0.serve_invite(request.into_inner()).await?))
    }
    async fn propose(&self, request: Request<ProposeRequest>) -> Answer<ProposeReply> {
        Ok(Response::new(self.0.serve_propose(request.into_inner()).await?))
    }
    async fn grant(&self, _: Request<GrantRequest>) -> Answer<GrantReply> {
        not_here()
    }
    async fn expired(&self, _: Request<ExpiredRequest>) -> Answer<ExpiredReply> {
        not_here()
    }
    async fn still(&self, _: Request<StillRequest>) -> Answer<StillReply> {
        not_here()
    }
    async fn report(&self, _: Request<ReportRequest>) -> Answer<ReportReply> {
        not_here()
    }
    async fn act(&self, _: Request<ActRequest>) -> Answer<ActReply> {
        not_here()
    }
}

/// Nobody can be asked for anything.
struct NoHands;

impl Hands for NoHands {
    fn act(&self, _: NodeName, _: Order, _: Action, _: Duration) -> BoxFuture<'_, Option<Acted>> {
        async { None }.boxed()
    }
    fn expired(&self, _: NodeName, _: Epoch, _: Duration) -> BoxFuture<'_, Option<ExpiryAnswer>> {
        async { None }.boxed()
    }
    fn still_grants(&self, _: NodeName, _: Epoch, _: usize) -> BoxFuture<'static, Option<bool>> {
        async { None }.boxed()
    }
    fn close_over_sql(&self, _: NodeName, _: Duration) -> BoxFuture<'_, Result<String, String>> {
        async { Err(String::new()) }.boxed()
    }
}

/// A node of the sample's cluster without a server; everything else is real.
pub(super) struct Node {
    name: NodeName,
    pub(super) control: Control,
    client: ControlClient<Channel>,
    seen: Arc<Mutex<Seen>>,
    /// Told when it looks and has no report at all.
    heard: Arc<Notify>,
    ending: CancellationToken,
    directory: std::path::PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.ending.cancel();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Node {
    pub(super) async fn end(self) {
        self.ending.cancel();
        self.control.group.shutdown().await;
    }

    fn leads(&self) -> bool {
        self.control.group.leadership().borrow().mine
    }
}

fn formation() -> FormationCommand {
    Arc::new(|id| Command {
        id: CommandId("form".into()),
        by: name("app1"),
        at_ms: NOW_MS,
        change: Change::Form {
            cluster: Cluster { name: "shop".into(), id: id.into() },
            members: observed().0.members,
            safety: Safety::default(),
        },
    })
}

async fn start(listener: TcpListener, me: &str, nodes: &[(NodeName, String)]) -> Node {
    let directory = std::env::temp_dir().join(format!("baton-serve-{:032x}", rand::random::<u128>()));
    std::fs::create_dir(&directory).unwrap();
    let peers = Arc::new(Peers::new(Dialer::Plaintext));
    let draw: Arc<dyn Fn() -> String + Send + Sync> = Arc::new(|| format!("{:032x}", rand::random::<u128>()));
    let group = Group::open(GroupOptions {
        cluster: "shop".into(),
        node: name(me),
        nodes: nodes.to_vec(),
        config_digest: "same".into(),
        version: "0".into(),
        store: crate::consensus::Medium::File(directory.join("group.db")),
        since_boot: Arc::new(crate::consensus::since_boot),
        machine_id: me.into(),
        peers: Arc::clone(&peers),
        pace: Pace::default(),
        formation: formation(),
        draw_id: Arc::clone(&draw),
    });
    let seen = Arc::new(Mutex::new(observed().1));
    let heard = Arc::new(Notify::new());
    let looked = Arc::clone(&heard);
    let (all, own, who) = (Arc::clone(&seen), Arc::clone(&seen), me.to_owned());
    let control = Control {
        group: group.await.unwrap(),
        peers,
        me: name(me),
        cluster: "shop".into(),
        callers: Callers::Anybody,
        seen: Arc::new(move || {
            let seen = all.lock().unwrap();
            if seen.0.is_empty() {
                looked.notify_one();
            }
            seen.observations()
        }),
        own: Arc::new(move || own.lock().unwrap().report(&who).clone()),
        archiver: None,
        listeners: tokio::sync::watch::Sender::default().subscribe(),
        routing: Arc::default(),
        hands: Arc::new(NoHands),
        hooks: Arc::new(Vec::new),
        by_router: None,
        followers: tokio::sync::watch::Sender::default().subscribe(),
        lasting: Arc::new(Lasting::default),
        new_id: draw,
        now: Arc::new(|| Timestamp::from_millisecond(NOW_MS).unwrap()),
    };
    let address: SocketAddr = listener.local_addr().unwrap();
    let ending = CancellationToken::new();
    let serving = Server::builder()
        .add_service(PeerServer::new(Consensus(control.group.clone())))
        .add_service(ControlServer::new(control.clone()))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), ending.clone().cancelled_owned());
    tokio::spawn(serving);
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    Node { name: name(me), control, client: ControlClient::new(channel), seen, heard, ending, directory }
}

/// Nodes of one group that has a leader; the leader first.
pub(super) async fn group(names: &[&str]) -> Vec<Node> {
    let mut listeners = Vec::new();
    let mut configured = Vec::new();
    for node in names {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        configured.push((name(node), listener.local_addr().unwrap().to_string()));
        listeners.push(listener);
    }
    let mut nodes = Vec::new();
    for (node, listener) in names.iter().zip(listeners) {
        nodes.push(start(listener, node, &configured).await);
    }
    for node in &nodes {
        let mut leadership = node.control.group.leadership();
        let known = leadership.wait_for(|l| l.leader.is_some());
        tokio::time::timeout(WITHIN, known).await.unwrap().unwrap();
        let mut states = node.control.group.states();
        let formed = states.wait_for(|applied| applied.state.cluster.is_some());
        tokio::time::timeout(WITHIN, formed).await.unwrap().unwrap();
    }
    nodes.sort_by_key(|node| !node.leads());
    assert!(nodes[0].leads());
    nodes
}

async fn commit(node: &Node, change: Change) {
    node.control.commit(change).await.unwrap();
}

/// What its guard would report.
fn first_lease(node: &Node) -> tokio::task::JoinHandle<()> {
    let control = node.control.clone();
    tokio::spawn(async move {
        let mut states = control.group.states();
        let adopted = |a: &Arc<ClusterState>| a.grant.as_ref().is_some_and(|g| g.unleased);
        let epoch = states.wait_for(|a| adopted(&a.state)).await.unwrap().state.epoch();
        control.commit(Change::Leased { epoch }).await.unwrap();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn from_adoption_to_release() {
    let mut nodes = group(&["app1"]).await;
    let node = &mut nodes[0];
    let adopt = |dry_run| AdoptRequest { writer: String::new(), dry_run, by: "ann".into() };
    let plan = node.client.adopt(adopt(true)).await.unwrap().into_inner();
    assert!(!plan.adopted && plan.writer == "db1" && !plan.changes.is_empty(), "{plan:?}");
    assert_eq!(node.control.state().epoch(), Epoch(0), "a dry run changes nothing");

    let refused = node.client.pause(PauseRequest { for_ms: 60_000, ..Default::default() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "nothing to pause: {refused}");

    let guard = first_lease(node);
    let adopted = node.client.adopt(adopt(false)).await.unwrap().into_inner();
    guard.await.unwrap();
    assert!(adopted.adopted, "{adopted:?}");
    assert_eq!(adopted.message, "epoch 1 is db1's, under a lease");
    let status = node.client.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.phase.as_str(), status.writer.as_str(), status.epoch), ("managed", "db1", 1));
    let history = node.client.history(HistoryRequest::default()).await.unwrap().into_inner();
    assert_eq!(history.operations[0].reason, "asked for by ann (node app1)");

    for (for_ms, code) in [(59_999, Code::InvalidArgument), (604_800_001, Code::InvalidArgument)] {
        let status = node.client.pause(PauseRequest { for_ms, ..Default::default() }).await.unwrap_err();
        assert_eq!(status.code(), code, "{for_ms}");
    }
    node.client.pause(PauseRequest { for_ms: 60_000, ..Default::default() }).await.unwrap();
    let status = node.client.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.automation.as_str(), status.paused_until_ms), ("paused", NOW_MS + 60_000));
    node.client.resume(ResumeRequest::default()).await.unwrap();
    node.client.resume(ResumeRequest::default()).await.unwrap_err();

    node.client.release(ReleaseRequest::default()).await.unwrap();
    let refused = node.client.release(ReleaseRequest::default()).await.unwrap_err();
    assert!(refused.message().contains("batonctl adopt"), "{refused}");
    nodes.remove(0).end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adoption_is_refused_with_what_stands_in_the_way_and_given_back_without_a_lease() {
    let mut nodes = group(&["app1"]).await;
    let node = &mut nodes[0];
    node.seen.lock().unwrap().pulse("db2").open = true;
    let refused = node.client.adopt(AdoptRequest::default()).await.unwrap().into_inner();
    assert!(!refused.adopted && refused.findings[0].level == "error", "{refused:?}");
    assert_eq!(node.control.state().epoch(), Epoch(0));

    node.seen.lock().unwrap().pulse("db2").open = false;
    let control = node.control.clone();
    let guard = tokio::spawn(async move {
        let mut states = control.group.states();
        states.wait_for(|a| a.state.grant.is_some()).await.unwrap();
        let word = super::super::orders::word("db1".into(), String::new());
        control.commit(Change::Release { operation: control.operation_id(), word }).await.unwrap();
    });
    let back = node.client.adopt(AdoptRequest::default()).await.unwrap().into_inner();
    guard.await.unwrap();
    assert!(!back.adopted && back.changes.is_empty(), "{back:?}");
    assert!(back.findings[0].what.contains("gave it back"), "{back:?}");
    nodes.remove(0).end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_lost_writer_is_replaced_without_force() {
    let mut nodes = group(&["app1"]).await;
    let node = &mut nodes[0];
    let ask =
        |force, to: &str| FailoverRequest { reason: "disk".into(), by: "ann".into(), force, to: to.into() };
    let refused = node.client.failover(ask(true, "")).await.unwrap_err();
    assert!(refused.message().contains("batonctl adopt"), "{refused}");
    let (operation, by) = (node.control.operation_id(), String::new());
    commit(node, Change::Adopt { operation, node: name("db1"), by }).await;
    let refused = node.client.failover(ask(false, "")).await.unwrap_err();
    assert!(
        refused.message().contains("db1 is not lost") && refused.message().contains("--force"),
        "{refused}"
    );
    let refused = node.client.failover(ask(true, "db1")).await.unwrap_err();
    assert!(refused.message().contains("is the writer already"), "{refused}");
    let refused = node.client.failover(ask(true, "app1")).await.unwrap_err();
    assert!(refused.message().contains("has no server"), "{refused}");
    assert!(node.control.state().operation.is_none(), "nothing was begun");

    let mut client = node.client.clone();
    let asked = tokio::spawn(async move { client.failover(ask(true, "db2")).await });
    let mut states = node.control.group.states();
    let begun =
        states.wait_for(|a| a.state.operation.is_some()).await.unwrap().state.operation.clone().unwrap();
    assert_eq!((begun.diagnosis.as_str(), begun.wanted), ("Forced", Some(name("db2"))));
    assert_eq!(begun.forced.unwrap().by, "ann (node app1)");
    let again = node.client.failover(ask(true, "db2")).await.unwrap_err();
    assert!(again.message().contains("is under way"), "{again}");
    asked.abort();
    nodes.remove(0).end().await;
}

/// An automatic failover that finds no proof, or no candidate, waits for a word; the next order would not bring it one.
#[tokio::test(flavor = "multi_thread")]
async fn a_word_takes_over_a_failover_that_is_held_up() {
    let mut nodes = group(&["app1"]).await;
    let node = &mut nodes[0];
    let (operation, by) = (node.control.operation_id(), String::new());
    commit(node, Change::Adopt { operation, node: name("db1"), by }).await;
    let begin = Begin {
        operation: node.control.operation_id(),
        epoch: Epoch(1),
        diagnosis: "WriterCrashed".into(),
        evidence: vec!["gone".into()],
        forced: None,
        wanted: None,
        last_seen: None,
    };
    commit(node, Change::Begin(begin.clone())).await;
    let ask = |force| FailoverRequest { force, by: "ann".into(), ..FailoverRequest::default() };
    let refused = node.client.failover(ask(false)).await.unwrap_err();
    assert!(refused.message().contains("is under way"), "{refused}");

    let mut client = node.client.clone();
    let asked = tokio::spawn(async move { client.failover(ask(true)).await });
    let mut states = node.control.group.states();
    let taken = |o: &Option<Operation>| o.as_ref().is_some_and(|o| o.id != begin.operation);
    let after =
        states.wait_for(|a| taken(&a.state.operation)).await.unwrap().state.operation.clone().unwrap();
    assert_eq!((after.diagnosis.as_str(), after.from), ("WriterCrashed", Epoch(1)));
    assert!(after.forced.is_some() && after.evidence[0] == "gone", "{after:?}");
    asked.abort();
    nodes.remove(0).end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_answers_what_the_leader_sees() {
    let mut nodes = group(&["db1", "db2", "app1"]).await;
    let (leader, last) = (nodes[0].name.to_string(), nodes.len() - 1);
    let follower = &mut nodes[last];
    let status = follower.client.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.answered_by, status.leader, status.voters_answering), (leader.clone(), leader, 3));
    follower.client.check(CheckRequest {}).await.unwrap();
    follower.client.why(WhyRequest { epoch: 0 }).await.unwrap();
    let unknown = follower.client.why(WhyRequest { epoch: 9 }).await.unwrap_err();
    assert!(unknown.message().contains("no operation on record"), "{unknown}");
    // A leader that has heard nobody yet waits for the first reports.
    let asked = nodes[0].client.clone();
    let all = std::mem::take(&mut nodes[0].seen.lock().unwrap().0);
    let late = tokio::spawn(async move { { asked }.status(StatusRequest {}).await.unwrap().into_inner() });
    nodes[0].heard.notified().await;
    nodes[0].seen.lock().unwrap().0 = all;
    assert_eq!(late.await.unwrap().health, "healthy");
    let follower = &mut nodes[last];
    // Passed on already, it is not passed on again.
    let mut again = Request::new(CheckRequest {});
    again.metadata_mut().insert("baton-forwarded", "1".parse().unwrap());
    let refused = follower.client.check(again).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    assert!(refused.message().contains("no leader"), "{refused}");
    // The signature is the first node's, once.
    let word = ReleaseRequest { by: "ann".into(), ..Default::default() };
    let (operation, by) = (follower.control.operation_id(), String::new());
    commit(follower, Change::Adopt { operation, node: name("db1"), by }).await;
    follower.client.release(word).await.unwrap();
    let history = nodes[0].client.history(HistoryRequest::default()).await.unwrap().into_inner();
    let signed = format!("ann (node {})", nodes[last].name);
    assert!(history.operations[0].reason.ends_with(&signed), "{signed}: {:?}", history.operations[0]);

    // Without a majority the one that is left says so, and changes nothing.
    let mut left = nodes.pop().unwrap();
    for node in nodes {
        node.end().await;
    }
    let mut leadership = left.control.group.leadership();
    let asked = async {
        loop {
            let status = left.client.status(StatusRequest {}).await.unwrap().into_inner();
            if status.leader.is_empty() {
                return status;
            }
            let _ = tokio::time::timeout(Duration::from_millis(50), leadership.changed()).await;
        }
    };
    let status = tokio::time::timeout(WITHIN, asked).await.unwrap();
    assert_eq!(status.health, "degraded");
    let words = "QuorumLost: 1 of 3 voters answer; nothing is promoted until a majority is back";
    assert_eq!(status.warnings, [words]);
    let refused = left.client.resume(ResumeRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    left.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_leave_by_the_rules() {
    let mut nodes = group(&["db1", "db2", "app1"]).await;
    let leader = nodes[0].name.clone();
    let (operation, by) = (nodes[0].control.operation_id(), String::new());
    commit(&nodes[0], Change::Adopt { operation, node: name("db1"), by }).await;
    let remove = |node: &NodeName| RemoveNodeRequest { name: node.to_string(), by: String::new() };
    let client = &mut nodes[1].client;
    let holder = client.remove_node(remove(&name("db1"))).await.unwrap_err();
    assert!(holder.message().contains("holds the grant"), "{holder}");
    let unknown = client.remove_node(remove(&name("db9"))).await.unwrap_err();
    assert!(unknown.message().contains("not a member"), "{unknown}");
    let bad = AddNodeRequest { name: "DB4".into(), ..Default::default() };
    assert_eq!(client.add_node(bad).await.unwrap_err().code(), Code::InvalidArgument);
    let known = AddNodeRequest { name: "db2".into(), peer: "127.0.0.1:1".into(), ..Default::default() };
    assert!(client.add_node(known).await.unwrap_err().message().contains("is a member already"));

    let goes = if leader == name("app1") { name("db2") } else { name("app1") };
    let asked = nodes.iter_mut().find(|n| n.name == leader).unwrap();
    asked.client.remove_node(remove(&goes)).await.unwrap();
    assert!(!asked.control.state().members.contains_key(&goes));
    assert_eq!(asked.control.group.membership().by_name(&goes), None);
    for node in nodes {
        node.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_applied_once_it_is_right_and_shown_before() {
    let mut nodes = group(&["app1"]).await;
    let node = &mut nodes[0];
    let names: Vec<NodeName> = node.control.state().members.keys().cloned().collect();
    let members: String = names
        .iter()
        .map(|n| format!("[[node]]\nname = \"{n}\"\npeer = \"{n}:7400\"\nserver = \"{n}:3306\"\n"))
        .collect();
    let request = |ttl: &str, dry_run| ConfigApplyRequest {
        file: format!("[cluster]\nname = \"shop\"\n{members}[failover]\nlease_ttl = \"{ttl}\"\n"),
        path: "new.toml".into(),
        dry_run,
        by: "ann".into(),
    };
    let before = node.control.state();
    let wrong = node.client.config_apply(request("10ms", false)).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    assert!(
        wrong.message().contains("new.toml") && wrong.message().contains("failover.lease_ttl"),
        "{wrong}"
    );
    let plan = node.client.config_apply(request("3s", true)).await.unwrap().into_inner();
    let ttl = plan.changes.iter().find(|c| c.key == "failover.lease_ttl").unwrap();
    assert_eq!((ttl.old.as_str(), ttl.new.as_str(), plan.applied), ("\"1500ms\"", "\"3s\"", false));
    assert_eq!(node.control.state().safety, before.safety, "a dry run changes nothing");
    let other = ConfigApplyRequest {
        file: request("3s", false).file.replace("shop", "mart"),
        ..request("3s", false)
    };
    let other = node.client.config_apply(other).await.unwrap_err();
    assert!(other.message().contains("cluster mart's"), "{other}");

    let done = node.client.config_apply(request("3s", false)).await.unwrap().into_inner();
    assert!(done.applied);
    assert_eq!(node.control.state().safety.lease_ttl_ms, 3000);
    let shown = node.client.config_show(ConfigShowRequest {}).await.unwrap().into_inner();
    assert!(shown.settings.iter().any(|s| s.key == "failover.lease_ttl" && s.value == "\"3s\""), "{shown:?}");
    let again = node.client.config_apply(request("3s", false)).await.unwrap().into_inner();
    assert!(!again.applied && again.changes.is_empty(), "{again:?}");
    nodes.remove(0).end().await;
}
