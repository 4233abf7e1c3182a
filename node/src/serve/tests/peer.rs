//! Who may give orders.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::peer::peer_client::PeerClient;
use baton_proto::peer::peer_server::PeerServer;
use baton_proto::peer::{ActReply, ActRequest, Sender};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Status};

use super::service::group;
use crate::consensus::Group;
use crate::guard::clock::RealClock;
use crate::guard::{Applied, Judged, Notes, Voter};
use crate::identity::Identity;
use crate::identity::tests::Folder;
use crate::operate::action::{Acted, Action};
use crate::serve::Callers;
use crate::serve::peer::PeerService;

/// A voter that has nothing to go by.
struct Nothing;

impl Applied for Nothing {
    fn with(&self, _: &mut dyn FnMut(Judged<'_>)) -> Option<()> {
        None
    }
}

impl Notes for Nothing {
    fn get(&self, _: &'static str) -> BoxFuture<'_, Result<Option<String>, String>> {
        async { Ok(None) }.boxed()
    }
    fn put(&self, _: &'static str, _: String) -> BoxFuture<'_, Result<(), String>> {
        async { Ok(()) }.boxed()
    }
}

struct Bench {
    group: Group,
    folder: Folder,
    address: String,
    now: Timestamp,
}

impl Bench {
    fn identity(&self, node: &str) -> Identity {
        Identity::load(&self.folder.tls(node), "shop", node, self.now).unwrap()
    }

    /// An order of `term`, with the certificate of `node`.
    async fn order(&self, node: &str, term: u64) -> Result<ActReply, Status> {
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        let channel = endpoint.tls_config(self.identity(node).client_tls("db1")).unwrap();
        let sender = Sender { node: node.into(), ..self.group.sender() };
        let json = serde_json::to_vec(&Action::ReadSets).unwrap();
        let request =
            ActRequest { sender: Some(sender), term, bound_ms: 1000, json, ..ActRequest::default() };
        let asked = async { PeerClient::new(channel.connect().await.unwrap()).act(request).await };
        let answer = tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap();
        answer.map(tonic::Response::into_inner)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_taken_from_the_node_that_leads_under_their_term_and_from_no_other() {
    let mut nodes = group(&["db1"]).await;
    let leader = nodes.remove(0);
    let group = leader.control.group.clone();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap().to_string();
    let now = Timestamp::now();
    let bench = Bench { group: group.clone(), folder: Folder::new("orders", "shop", now), address, now };
    let voter = Voter::new(Arc::new(RealClock), Arc::new(Nothing), Arc::new(Nothing)).await.unwrap();
    let service = PeerService {
        cluster: "shop".into(),
        callers: Callers::Certificates,
        group: group.clone(),
        voter: Arc::new(voter),
        table: Arc::default(),
        actor: None,
        leaving: crate::route::Leaving::default(),
        donor: None,
    };
    let mut server = Server::builder().tls_config(bench.identity("db1").server_tls()).unwrap();
    let serving = tokio::spawn(server.add_service(PeerServer::new(service)).serve_with_incoming(incoming));

    let term = group.leadership().borrow().term;
    let taken = bench.order("db1", term).await.unwrap();
    let acted: Acted = serde_json::from_slice(&taken.json).unwrap();
    assert_eq!(acted, Acted::Failed("this node is a witness".into()));

    let refused = bench.order("db2", term).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert!(refused.message().contains("of db1's term, and db2 gave it"), "{refused}");
    let refused = bench.order("db2", term + (1 << 32) + 7).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "of nobody's term: {refused}");
    serving.abort();
    leader.end().await;
}
