use std::time::Duration;

use baton_proto::peer::{InviteRequest, Sender};

use futures::FutureExt;
use openraft::ChangeMembers;

use super::cluster::{Host, Node, WITHIN, leader_of, propose_surely, start_all, three};
use super::sample::sample;
use super::{Scratch, until};
use crate::consensus::{FormationStatus, Group, MembershipError, OpenError};

fn status(node: &Node) -> FormationStatus {
    node.group.formation().borrow().clone()
}

async fn stop(nodes: &[&Node]) {
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_group_while_a_configuration_differs_or_a_node_is_away() {
    let hosts = three();
    let all: Vec<&Host> = hosts.iter().collect();
    let db1 = hosts[0].start(&all).await;
    let mut other = hosts[1].options(&all);
    other.config_digest = "other".into();
    let db2 = hosts[1].start_with(other).await;
    until("db1 names db2", || status(&db1) == FormationStatus::ConfigDiffers(vec!["db2".into()])).await;
    db2.kill().await;
    let db2 = hosts[1].start(&all).await;
    until("db1 waits", || {
        matches!(status(&db1), FormationStatus::Waiting(who) if who.len() == 1 && who[0].0 == "db3".into())
    })
    .await;
    assert_eq!(db1.group.binding(), None);

    let db3 = hosts[2].start(&all).await;
    let nodes = [&db1, &db2, &db3];
    until("formed", || nodes.iter().all(|node| status(node) == FormationStatus::Formed)).await;
    let ids: Vec<String> = nodes.iter().map(|node| node.group.binding().unwrap().cluster_id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    stop(&nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_formation_that_crashed_half_way_is_finished_by_the_restart() {
    let hosts = three();
    let all: Vec<&Host> = hosts.iter().collect();
    let (db1, db2, db3) =
        (hosts[0].start(&all).await, hosts[1].start(&all).await, hosts[2].start(&all).await);
    until("the plan is written", || db1.group.binding().is_some()).await;
    db1.kill().await;
    let planned = db1.group.binding().unwrap();
    let db1 = hosts[0].start(&all).await;
    let nodes = [&db1, &db2, &db3];
    leader_of(&nodes).await;
    until("formed", || nodes.iter().all(|node| status(node) == FormationStatus::Formed)).await;
    assert!(nodes.iter().all(|node| node.group.binding().unwrap().cluster_id == planned.cluster_id));
    stop(&nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_is_not_let_in_until_it_is_removed_and_added() {
    let mut hosts = three();
    let nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let leader = leader_of(&refs).await.name.clone();
    let lost = nodes.iter().position(|node| node.name != leader).unwrap();
    nodes[lost].kill().await;
    hosts[lost].scratch = Scratch::new();
    let all: Vec<&Host> = hosts.iter().collect();
    let blank = hosts[lost].start(&all).await;
    let (name, address) = (hosts[lost].name.clone(), hosts[lost].address.clone());

    let rest: Vec<&Node> = refs.iter().filter(|node| node.name != name).copied().collect();
    let leader = leader_of(&rest).await;
    let refused = leader.group.add_node(&name, &address, WITHIN).await;
    assert!(matches!(refused, Err(MembershipError::OtherStore { .. })), "{refused:?}");
    until("it says so", || matches!(status(&blank), FormationStatus::StoreIsNew { .. })).await;
    assert_eq!(blank.group.binding(), None);

    let old_id = leader.group.membership().by_name(&name).unwrap().0;
    leader.group.remove_node(&name, WITHIN).await.unwrap();
    let unknown = leader.group.remove_node(&name, WITHIN).await;
    assert!(matches!(unknown, Err(MembershipError::Unknown(_))), "{unknown:?}");
    let id = leader.group.add_node(&name, &address, WITHIN).await.unwrap();
    assert!(id > old_id);
    assert_eq!(leader.group.add_node(&name, &address, WITHIN).await.unwrap(), id, "given twice, done once");
    let membership = leader.group.membership();
    assert_eq!(membership.voters, vec![membership.members.keys().copied().collect()]);
    assert_eq!(membership.voter_names().len(), 3);

    leader.group.propose(sample(1), WITHIN).await.unwrap();
    let index = leader.index();
    until("it follows", || blank.index() >= index).await;
    until("formed", || status(&blank) == FormationStatus::Formed).await;
    let mut running = rest;
    running.push(&blank);
    stop(&running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_takes_one_invitation_and_a_stranger_is_refused() {
    let hosts = three();
    let all: Vec<&Host> = hosts.iter().collect();
    let db2 = hosts[1].start(&all).await;
    let sender = |cluster: &str, cluster_id: &str, generation| Sender {
        cluster: cluster.into(),
        cluster_id: cluster_id.into(),
        generation,
        node: "db1".into(),
        raft_id: 1,
    };
    let store_id = db2.group.serve_greet().store_id;
    let invitation = |sender: Sender, raft_id| InviteRequest {
        cluster_id: sender.cluster_id.clone(),
        sender: Some(sender),
        raft_id,
        store_id: store_id.clone(),
    };
    let invite = |sender, raft_id| db2.group.serve_invite(invitation(sender, raft_id));
    invite(sender("other", "x", 1), 2).await.unwrap_err();
    assert!(invite(sender("test", "x", 1), 2).await.unwrap().accepted);
    assert!(invite(sender("test", "x", 1), 2).await.unwrap().accepted);
    assert!(!invite(sender("test", "x", 1), 3).await.unwrap().accepted);
    assert!(!invite(sender("test", "y", 1), 2).await.unwrap().accepted);

    let refusal = |sender| db2.group.check_sender(Some(&sender)).unwrap_err().to_string();
    assert!(refusal(sender("other", "x", 1)).contains("cluster"));
    assert!(refusal(sender("test", "y", 1)).contains("group"));
    assert!(refusal(sender("test", "x", 0)).contains("caller was left behind"));
    assert!(refusal(sender("test", "x", 2)).contains("this node was left behind"));
    db2.group.check_sender(Some(&sender("test", "x", 1))).unwrap();
    db2.kill().await;

    let mut renamed = hosts[1].options(&all);
    renamed.cluster = "renamed".into();
    let error = Group::open(renamed).await.err().unwrap();
    assert!(matches!(error, OpenError::OtherCluster { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_can_be_removed_and_the_last_voter_cannot() {
    let hosts = three();
    let nodes = start_all(&hosts).await;
    let mut rest: Vec<&Node> = nodes.iter().collect();
    for _ in 0..2 {
        let name = leader_of(&rest).await.name.clone();
        let leader = rest.iter().position(|node| node.name == name).unwrap();
        rest[leader].group.remove_node(&name, WITHIN).await.unwrap();
        rest.remove(leader).kill().await;
        propose_surely(rest[0], 1).await;
    }
    let last = leader_of(&rest).await;
    let refused = last.group.remove_node(&last.name, WITHIN).await;
    assert!(matches!(refused, Err(MembershipError::LastVoter(_))), "{refused:?}");
    stop(&rest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_left_half_done_is_finished() {
    let hosts = three();
    let nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let leader = leader_of(&refs).await;
    let other = refs.iter().find(|node| node.name != leader.name).unwrap();
    let id = leader.group.membership().by_name(&other.name).unwrap().0;
    let raft = leader.group.raft().unwrap();
    // Polled once, it has sent its first half, and is never there to send the second.
    let cut_off = raft.change_membership(ChangeMembers::RemoveVoters([id].into()), false).now_or_never();
    assert!(cut_off.is_none(), "was to be cut off");
    until("finished", || {
        let now = leader.group.membership();
        !now.is_joint() && now.voter_names().len() == 2 && now.applied_index == now.index
    })
    .await;
    stop(&refs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_alone_is_a_group() {
    let host = Host::new("db1");
    let node = host.start(&[&host]).await;
    node.group.propose(sample(1), Duration::from_secs(5)).await.unwrap();
    assert!(node.group.membership().is_majority([&"db1".into()]));
    node.kill().await;
}
