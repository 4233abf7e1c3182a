use std::time::{Duration, Instant};

use super::cluster::{Host, Node, WITHIN, leader_of, propose_surely, start_all, start_all_at, three};
use super::sample::sample;
use super::until;
use crate::consensus::{Pace, ProposeError};

async fn all_at(nodes: &[&Node], index: u64) {
    until("all have applied", || nodes.iter().all(|node| node.index() >= index)).await;
}

async fn stop(nodes: Vec<Node>) {
    for node in &nodes {
        node.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_proposed_anywhere_is_applied_everywhere() {
    let hosts = three();
    let nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let leader = leader_of(&refs).await;
    let follower = refs.iter().find(|node| node.name != leader.name).unwrap();
    follower.group.propose(sample(1), WITHIN).await.unwrap();
    leader.group.propose(sample(2), WITHIN).await.unwrap();
    let index = leader.index();
    all_at(&refs, index).await;
    let state = leader.group.states().borrow().clone();
    assert!(nodes.iter().all(|node| *node.group.states().borrow() == state));

    let term = leader.group.confirm_leadership(WITHIN).await.unwrap();
    assert_eq!(term, leader.group.leadership().borrow().term);
    assert!(leader.group.quorum_seen_within(Duration::from_secs(1)));
    follower.group.confirm_leadership(WITHIN).await.unwrap_err();
    assert_eq!(follower.group.quorum_seen(), None);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_dies_and_comes_back() {
    let hosts = three();
    let mut nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let dead = leader_of(&refs).await.name.clone();
    let before = leader_of(&refs).await.group.leadership().borrow().term;
    let position = nodes.iter().position(|node| node.name == dead).unwrap();
    nodes[position].group.propose(sample(1), WITHIN).await.unwrap();
    let seen = nodes[position].index();
    nodes.remove(position).kill().await;

    let refs: Vec<&Node> = nodes.iter().collect();
    propose_surely(refs[0], 2).await;
    let leader = leader_of(&refs).await;
    assert!(leader.group.leadership().borrow().term > before);

    let all: Vec<&Host> = hosts.iter().collect();
    let back = hosts[position].start(&all).await;
    assert!(back.index() >= seen, "a restart shows no older state than the one shown before it");
    let index = leader.index();
    all_at(&[&back], index).await;
    assert_eq!(*back.group.states().borrow(), *leader.group.states().borrow());
    nodes.push(back);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over() {
    let hosts = three();
    let nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let leader = leader_of(&refs).await;
    let next = refs.iter().find(|node| node.name != leader.name).unwrap();
    all_at(&refs, leader.index()).await;
    leader.group.transfer_leadership(&next.name).await.unwrap();
    until("handed over", || next.group.leadership().borrow().mine).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_committed_and_the_caller_learns_what_is_certain() {
    let hosts = three();
    let nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let leader = leader_of(&refs).await;
    let others: Vec<&&Node> = refs.iter().filter(|node| node.name != leader.name).collect();
    let before = leader.index();
    for other in &others {
        other.kill().await;
    }
    let answer = leader.group.propose(sample(1), Duration::from_millis(300)).await;
    assert!(matches!(answer, Err(ProposeError::Unknown { .. })), "it is in the leader's log: {answer:?}");
    leader.group.confirm_leadership(Duration::from_millis(300)).await.unwrap_err();
    until("the quorum is lost", || !leader.group.leadership().borrow().mine).await;
    assert!(!leader.group.quorum_seen_within(Duration::from_millis(500)));
    let answer = leader.group.propose(sample(2), Duration::from_millis(300)).await;
    assert_eq!(answer, Err(ProposeError::NoLeader), "refused once the quorum's lease is over");
    assert_eq!(leader.index(), before);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_far_behind_gets_a_snapshot() {
    let hosts = three();
    let mut nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let leader = leader_of(&refs).await.name.clone();
    let position = nodes.iter().position(|node| node.name != leader).unwrap();
    nodes.remove(position).kill().await;
    for number in 0..900 {
        propose_surely(&nodes[0], number).await;
    }
    let all: Vec<&Host> = hosts.iter().collect();
    let back = hosts[position].start(&all).await;
    let index = nodes[0].index();
    all_at(&[&back], index).await;
    assert_eq!(*back.group.states().borrow(), *nodes[0].group.states().borrow());
    assert_eq!(back.group.with_applied(|_, _| ()), Some(()));
    nodes.push(back);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hears_nothing_does_not_unseat_the_leader() {
    let hosts = three();
    let nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let leader = leader_of(&refs).await;
    let deaf = refs.iter().find(|node| node.name != leader.name).unwrap();
    let before = leader.group.leadership().borrow().clone();
    assert_eq!(deaf.group.leadership_heard_of().leader.as_ref(), Some(&leader.name));
    deaf.deafen(true);
    // Time itself is what is tested: three election timeouts without a heartbeat.
    let silence = tokio::time::Instant::now() + Duration::from_millis(2100);
    while tokio::time::Instant::now() < silence {
        propose_surely(leader, 1).await;
    }
    assert_eq!(deaf.group.leadership_heard_of().leader, None, "it has heard of none for so long");
    assert_eq!(leader.group.leadership_heard_of().leader.as_ref(), Some(&leader.name));
    deaf.deafen(false);
    all_at(&refs, leader.index()).await;
    propose_surely(leader, 2).await;
    assert_eq!(*leader.group.leadership().borrow(), before);
    until("heard again", || deaf.group.leadership_heard_of().leader.is_some()).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_at_rest_goes_on_leading() {
    tokio::join!(leads_at_rest(three()), leads_at_rest(vec![Host::new("db1")]));
}

async fn leads_at_rest(hosts: Vec<Host>) {
    let nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let mut leadership = leader_of(&refs).await.group.leadership();
    let before = leadership.borrow_and_update().clone();
    let quiet = tokio::time::timeout(Duration::from_secs(3), leadership.changed()).await;
    assert!(quiet.is_err(), "{before:?} became {:?}", leadership.borrow());
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_stops_the_node_and_the_others_go_on() {
    for table in ["log", "machine"] {
        let hosts = three();
        let nodes = start_all(&hosts).await;
        let refs: Vec<&Node> = nodes.iter().collect();
        let spoilt = leader_of(&refs).await;
        spoilt.group.store().spoil(table).await;
        let _ = spoilt.group.propose(sample(1), Duration::from_secs(2)).await;
        let reason = tokio::time::timeout(WITHIN, spoilt.group.stopped()).await.unwrap();
        assert!(reason.contains("group.db"), "{reason}");
        assert_eq!(spoilt.group.with_applied(|_, _| ()), None);
        assert!(!spoilt.group.leadership().borrow().mine);
        let rest: Vec<&Node> = refs.iter().filter(|node| node.name != spoilt.name).copied().collect();
        propose_surely(rest[0], 2).await;
        stop(nodes).await;
    }
}

/// Not a test of speed on any machine: it prints what was measured, and fails only where a command waits for the
/// next heartbeat, which takes long here.
#[tokio::test(flavor = "multi_thread")]
async fn commands_and_commits_do_not_wait_for_heartbeats() {
    let hosts = three();
    let heartbeat = Duration::from_secs(1);
    let pace = Pace { heartbeat, election_min: 4 * heartbeat, election_max: 5 * heartbeat };
    let nodes = start_all_at(pace, &hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    let leader = leader_of(&refs).await;
    let followers: Vec<&&Node> = refs.iter().filter(|node| node.name != leader.name).collect();
    let (mut taken, mut lag) = (Vec::new(), Vec::new());
    for number in 0..40 {
        let start = Instant::now();
        leader.group.propose(sample(number), WITHIN).await.unwrap();
        taken.push(start.elapsed());
        let index = leader.index();
        for follower in &followers {
            let mut states = follower.group.states();
            states.wait_for(|applied| applied.index >= index).await.unwrap();
        }
        lag.push(start.elapsed() - taken[taken.len() - 1]);
    }
    let mut confirmed = Vec::new();
    for _ in 0..40 {
        let start = Instant::now();
        leader.group.confirm_leadership(WITHIN).await.unwrap();
        confirmed.push(start.elapsed());
    }
    taken.sort();
    lag.sort();
    confirmed.sort();
    println!("leadership confirmed: median {:?}, worst {:?}", confirmed[20], confirmed[39]);
    println!("propose: median {:?}, worst {:?}", taken[20], taken[39]);
    println!("both followers have applied: median {:?} later, worst {:?}", lag[20], lag[39]);
    assert!(taken[20] + lag[20] < heartbeat / 4 && confirmed[20] < heartbeat / 4);
    stop(nodes).await;
}
