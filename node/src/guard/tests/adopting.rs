//! An adopted server is open before anything: what may close it, and what may not.

use tokio::time::sleep;

use super::world::{Ports, TTL, World, granted, names};
use crate::guard::clock::Clock;
use crate::state::{Change, ClusterState, Epoch};

const ALL: &[&str] = &["a", "b", "c"];

fn adopted() -> ClusterState {
    let mut state = granted(1);
    state.grant.as_mut().unwrap().unleased = true;
    state
}

fn open_before(granting: &[&str]) -> Ports {
    let world = World::of(adopted(), granting);
    world.facts().open = true;
    world
}

#[tokio::test(start_paused = true)]
async fn a_lease_lost_before_the_group_was_told_closes_and_kills_nothing() {
    let world = open_before(ALL);
    world.facts().leaderless = true;
    let (_handle, _guard) = world.guard().await;
    world.until("first deadline", |f| f.held.is_some_and(|h| h.deadline.is_some())).await;
    world.facts().granting.clear();
    for _ in 0..200 {
        sleep(TTL / 50).await;
        let deadline = world.facts().held.and_then(|h| h.deadline);
        assert!(deadline.is_none_or(|d| d > world.now()), "the keeper would have killed it");
    }
    assert_eq!(world.openings_and_closings(), (0, 0));
    world.facts().granting = names(ALL);
    world.facts().leaderless = false;
    world.until("a deadline again", |f| f.held.is_some_and(|h| h.deadline.is_some())).await;
    sleep(TTL).await;
    assert!(world.facts().proposed.contains(&Change::Leased { epoch: Epoch(1) }));
    assert!(world.facts().open);
}

/// The commit may stand in the log, and another node may count the lease's end as a proof.
#[tokio::test(start_paused = true)]
async fn a_lease_lost_after_the_group_may_have_committed_it_closes_in_time() {
    let world = open_before(ALL);
    world.facts().group_silent = true;
    let (_handle, _guard) = world.guard().await;
    world.until("told", |f| !f.proposed.is_empty()).await;
    world.facts().granting.clear();
    sleep(TTL / 100).await;
    let end = world.facts().held.unwrap().deadline.unwrap();
    sleep(TTL * 3).await;
    let closed_at = world.facts().closed_at.unwrap();
    assert!(closed_at < end, "closed by the guard before the keeper kills it");
    assert!(world.facts().held.is_none());
    sleep(TTL * 30).await;
    assert_eq!(world.openings_and_closings(), (0, 1), "and left closed");
}

#[tokio::test(start_paused = true)]
async fn without_a_majority_it_gives_up_and_leaves_the_server_open() {
    let world = open_before(&["a"]);
    let (handle, _guard) = world.guard().await;
    sleep(TTL * 20).await;
    let gave_up = |change: &Change| matches!(change, Change::Release { .. });
    world.until("given up", |f| f.proposed.iter().any(gave_up)).await;
    assert!(world.facts().held.is_none(), "the keeper holds nothing");
    assert!(world.facts().open);
    assert!(handle.seen().trouble.unwrap().contains("adoption given up"));
}
