//! openraft's clock stands still at rest, and goes as soon as somebody may have to stand for election.

use std::time::{Duration, Instant};

use super::cluster::{Host, Node, leader_of, propose_surely, start_all, three};
use super::until;
use crate::consensus::Pace;

fn ticks(node: &Node) -> bool {
    node.group.0.ticking.is_on()
}

async fn stop(nodes: Vec<Node>) {
    for node in &nodes {
        node.kill().await;
    }
}

async fn all_rest(nodes: &[&Node]) {
    until("nobody ticks", || !nodes.iter().any(|node| ticks(node))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_rest_nobody_ticks_and_the_leader_still_leads() {
    let hosts = three();
    let nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let leader = leader_of(&refs).await;
    all_rest(&refs).await;
    let before = leader.group.leadership().borrow().clone();
    let span = Pace::default().election_max;
    // Time itself is what is tested: several elections would have been due without heartbeats.
    let end = Instant::now() + 4 * span;
    while Instant::now() < end {
        tokio::time::sleep(span / 7).await;
        assert!(!ticks(leader));
    }
    assert_eq!(*leader.group.leadership().borrow(), before);
    assert!(leader.group.quorum_seen_within(span));
    assert!(refs.iter().all(|node| node.group.leadership_heard_of().leader.as_ref() == Some(&leader.name)));
    all_rest(&refs).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_followed_by_another_as_soon_as_ever() {
    let hosts = three();
    let mut nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    all_rest(&refs).await;
    let dead = leader_of(&refs).await.name.clone();
    let position = nodes.iter().position(|node| node.name == dead).unwrap();
    let dead = nodes.remove(position);
    let term = dead.group.leadership().borrow().term;
    let start = Instant::now();
    let rest: Vec<&Node> = nodes.iter().collect();
    let elected = async {
        until("another leads", || rest.iter().any(|node| node.group.leadership().borrow().mine)).await;
        start.elapsed()
    };
    let ((), taken) = tokio::join!(dead.kill(), elected);
    println!("another leader after {taken:?}");
    // The longest silence and a drawn time after it; the rest is for a slow machine and draws that collide.
    assert!(taken < 5 * Pace::default().election_max, "{taken:?}");
    let leader = leader_of(&rest).await;
    assert!(leader.group.leadership().borrow().term > term);
    propose_surely(leader, 1).await;
    all_rest(&rest).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_ticks_while_it_hears_nothing() {
    let hosts = three();
    let nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let leader = leader_of(&refs).await;
    all_rest(&refs).await;
    let deaf = refs.iter().find(|node| node.name != leader.name).unwrap();
    let start = Instant::now();
    deaf.deafen(true);
    until("it ticks", || ticks(deaf)).await;
    assert!(start.elapsed() < Pace::default().election_max, "long before an election is due");
    assert!(!ticks(leader), "the other follower is a majority with it");
    deaf.deafen(false);
    until("it hears again", || !ticks(deaf)).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leadership_is_handed_over_at_once_and_both_rest_again() {
    let hosts = three();
    let nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let leader = leader_of(&refs).await;
    let next = refs.iter().find(|node| node.name != leader.name).unwrap();
    until("it has applied all", || next.index() >= leader.index()).await;
    all_rest(&refs).await;
    let start = Instant::now();
    leader.group.transfer_leadership(&next.name).await.unwrap();
    until("handed over", || next.group.leadership().borrow().mine).await;
    let (taken, pace) = (start.elapsed(), Pace::default());
    assert!(taken < pace.election_max + pace.election_min, "it waited for a silence: {taken:?}");
    all_rest(&refs).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_voter_ticks_and_so_does_whoever_has_stopped() {
    let hosts = vec![Host::new("db1")];
    let nodes = start_all(&hosts).await;
    let alone = leader_of(&[&nodes[0]]).await;
    // Longer than any silence that a follower bears.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(ticks(alone));
    stop(nodes).await;

    let hosts = three();
    let nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    all_rest(&refs).await;
    let leader = leader_of(&refs).await;
    leader.kill().await;
    until("its clock is left going", || ticks(leader)).await;
    stop(nodes).await;
}
