//! Opened once, closed whenever it must be, and opened by nobody again under the same epoch.

use std::time::Duration;

use tokio::time::sleep;

use super::world::{TTL, World, granted};
use crate::guard::Fenced;
use crate::state::{ClusterState, DegradeReason, Durability, Epoch, NodeName};

const LONG: Duration = Duration::from_secs(10);
const ALL: &[&str] = &["a", "b", "c"];

#[tokio::test(start_paused = true)]
async fn opens_once_and_under_a_majority_only() {
    let world = World::of(granted(1), &["a"]);
    let (_handle, _guard) = world.guard().await;
    sleep(LONG).await;
    assert_eq!(world.facts().opened, 0, "one voter of three is no majority");
    assert_eq!(world.facts().held.unwrap().deadline, None, "no deadline before a majority");

    world.facts().granting.insert("b".into());
    world.until("open", |f| f.open).await;
    sleep(LONG).await;
    assert_eq!(world.openings_and_closings(), (1, 0));
    let events = world.facts().events.clone();
    let at = |what| events.iter().position(|e| *e == what).unwrap();
    assert!(at("armed") < at("noted") && at("noted") < at("extended") && at("extended") < at("open"));
}

#[tokio::test(start_paused = true)]
async fn a_server_still_open_under_the_epoch_before_is_closed_before_the_keeper_forgets_its_deadline() {
    let world = World::of(granted(1), ALL);
    let (_handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.facts().events.clear();
    world.state(|s| *s = granted(2));
    world.until("open again", |f| f.opened == 2).await;
    let events = world.facts().events.clone();
    let at = |what| events.iter().position(|e| *e == what).unwrap();
    assert!(at("closed") < at("armed"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_server_is_not_reopened_under_its_epoch() {
    let world = World::of(granted(1), ALL);
    let (handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.restart_server();
    sleep(LONG).await;
    assert_eq!(world.facts().opened, 1);
    assert!(handle.seen().restarted);
    assert_eq!(handle.seen().lease, None);
    world.state(|s| *s = granted(2));
    world.until("open under the next epoch", |f| f.opened == 2).await;
}

#[tokio::test(start_paused = true)]
async fn an_open_server_without_a_grant_is_closed_on_sight() {
    let mut state = granted(1);
    state.grant.as_mut().unwrap().node = NodeName::from("b");
    let world = World::of(state, ALL);
    world.facts().open = true;
    let (_handle, _guard) = world.guard().await;
    world.until("closed", |f| !f.open).await;
}

/// No keeper has a deadline for it: commits that wait for an acker which never comes would hold the close up for ever.
#[tokio::test(start_paused = true)]
async fn an_open_server_without_a_grant_that_does_not_close_is_killed() {
    let mut state = granted(1);
    state.grant.as_mut().unwrap().node = NodeName::from("b");
    let world = World::of(state, ALL);
    (world.facts().open, world.facts().close_hangs) = (true, true);
    let (_handle, _guard) = world.guard().await;
    // The process is a real one, and so is the time in which it ends.
    let began = std::time::Instant::now();
    while world.0.server.lock().unwrap().child().try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(100)).await;
        assert!(began.elapsed() < Duration::from_secs(20), "it stays open");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fenced_epoch_is_never_opened() {
    let world = World::of(granted(1), &[]);
    let (handle, guard) = world.guard().await;
    world.until("armed", |f| f.held.is_some()).await;
    let fenced = handle.fence(Epoch(1), false, LONG).await;
    assert!(matches!(fenced, Fenced::Closed { .. }), "{fenced:?}");
    world.facts().granting = super::world::names(ALL);
    sleep(LONG).await;
    assert_eq!(world.facts().opened, 0);
    // Nor by the next daemon.
    guard.abort();
    let (_handle, _guard) = world.guard().await;
    sleep(LONG).await;
    assert_eq!(world.facts().opened, 0);
    world.state(|s| *s = granted(2));
    world.until("open under the next epoch", |f| f.opened == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_fence_of_a_server_that_hangs_kills_it() {
    let world = World::of(granted(1), ALL);
    let (handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.facts().close_hangs = true;
    let fenced = handle.fence(Epoch(1), true, LONG).await;
    assert!(matches!(&fenced, Fenced::Open { why } if why.contains("killed")), "{fenced:?}");
    let exit = world.0.server.lock().unwrap().child().wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&exit), Some(9));
}

/// The revocation is applied before the request comes, so the guard already looks at the server, which gives no answer.
#[tokio::test(start_paused = true)]
async fn a_look_at_a_server_that_hangs_holds_up_no_kill() {
    let world = World::of(granted(1), ALL);
    let (handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    (world.facts().close_hangs, world.facts().pulse_hangs) = (true, true);
    world.state(|s| s.grant.as_mut().unwrap().node = NodeName::from("b"));
    sleep(Duration::from_millis(100)).await;
    let fenced = handle.fence(Epoch(1), true, Duration::from_millis(300)).await;
    assert!(matches!(&fenced, Fenced::Open { why } if why.contains("killed")), "{fenced:?}");
}

#[tokio::test(start_paused = true)]
async fn a_late_fence_of_an_older_epoch_closes_nothing() {
    let world = World::of(granted(1), ALL);
    let (handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.state(|s| *s = granted(2));
    world.until("open again", |f| f.opened == 2).await;
    let closed = world.facts().closed;
    assert!(matches!(handle.fence(Epoch(1), false, LONG).await, Fenced::Open { .. }));
    assert_eq!(world.facts().closed, closed);
    assert!(world.facts().open);
}

#[tokio::test(start_paused = true)]
async fn a_process_never_seen_proves_nothing() {
    let world = World::of(granted(1), ALL);
    world.facts().attach_hangs = true;
    let (handle, _guard) = world.guard().await;
    assert!(matches!(handle.fence(Epoch(1), false, LONG).await, Fenced::Open { .. }));
}

/// The daemon ended between the note and the statement.
#[tokio::test(start_paused = true)]
async fn an_opening_that_never_happened_is_not_reported_and_not_repeated() {
    let world = World::of(granted(1), ALL);
    let (pid, ticks) = world.identity();
    world.note(
        "guard",
        format!(r#"{{"opened":1,"process":[{pid},{ticks}],"closed":0,"refused":0,"waits_since":0}}"#),
    );
    let deadline = crate::guard::clock::Clock::now(&world) + TTL;
    let held = crate::guard::KeeperHolds { epoch: Epoch(1), process: (pid, ticks), deadline: Some(deadline) };
    world.facts().held = Some(held);
    let (handle, _guard) = world.guard().await;
    sleep(LONG).await;
    assert_eq!(handle.seen().closed, Epoch(1), "the leader learns that this epoch is over here");
    assert!(world.facts().proposed.is_empty(), "{:?}", world.facts().proposed);
    assert_eq!(world.facts().opened, 0);
}

#[tokio::test(start_paused = true)]
async fn opens_only_once_the_source_is_forgotten() {
    let world = World::of(granted(1), ALL);
    world.facts().follows = true;
    world.facts().forgetting_takes = TTL * 4;
    let (_handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    let events = world.facts().events.clone();
    let forgetting: Vec<_> = events.iter().filter(|e| ["forgets", "forgot", "open"].contains(e)).collect();
    assert_eq!(forgetting, [&"forgets", &"forgot", &"open"], "once, and before");
}

#[tokio::test(start_paused = true)]
async fn a_close_does_not_wait_for_the_source_to_be_forgotten() {
    let world = World::of(granted(1), ALL);
    world.facts().follows = true;
    world.facts().forgetting_takes = LONG;
    let (handle, _guard) = world.guard().await;
    world.until("forgetting", |f| f.events.contains(&"forgets")).await;
    let asked = tokio::time::Instant::now();
    let fenced = handle.fence(Epoch(1), false, LONG).await;
    assert!(matches!(fenced, Fenced::Closed { .. }), "{fenced:?}");
    assert!(asked.elapsed() < Duration::from_millis(50), "{:?}", asked.elapsed());
    sleep(LONG * 2).await;
    assert_eq!(world.facts().opened, 0, "its end opens nothing");
}

fn degraded(index: u64, may_let_go: bool) -> Durability {
    let reason = DegradeReason::NoAcker;
    Durability::Degraded { since_ms: 0, reason, upto: None, may_let_go, index }
}

#[tokio::test(start_paused = true)]
async fn ackers_are_let_go_once_and_only_for_a_later_entry() {
    let with = |durability| {
        let mut state = granted(1);
        state.durability = durability;
        state
    };
    let world = World::of(with(degraded(7, false)), ALL);
    world.facts().let_go_takes = TTL * 4;
    let (handle, _guard) = world.guard().await;
    world.until("open", |f| f.open && f.waits).await;
    world.state(|s| s.durability = degraded(7, true));
    sleep(LONG).await;
    assert_eq!(world.facts().let_go, 0, "it was made to wait under that very entry");
    world.state(|s| s.durability = degraded(9, true));
    sleep(LONG).await;
    sleep(LONG).await;
    assert_eq!(world.facts().let_go, 1);
    assert_eq!(handle.seen().waits_since, 7, "letting go is no waiting: the leader would degrade again");
    assert_eq!(world.openings_and_closings(), (1, 0), "letting go held up a renewal");
}

/// A daemon whose store was lost: its keeper holds a server that some epoch opened.
#[tokio::test(start_paused = true)]
async fn a_guard_that_knows_of_no_epoch_leaves_the_keeper_its_deadline() {
    let world = World::of(ClusterState::default(), ALL);
    let deadline = crate::guard::clock::Clock::now(&world) + TTL;
    let held =
        crate::guard::KeeperHolds { epoch: Epoch(4), process: world.identity(), deadline: Some(deadline) };
    world.facts().held = Some(held);
    let (_handle, _guard) = world.guard().await;
    sleep(LONG).await;
    assert!(world.facts().held.is_some());
    // A release is known by the epoch that it ended.
    world.state(|s| s.revoked_through = Epoch(4));
    world.until("released", |f| f.held.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_holds_nothing_is_asked_once_a_second_and_what_it_holds_all_the_same_is_let_go() {
    let mut state = granted(1);
    state.grant.as_mut().unwrap().node = NodeName::from("b");
    let world = World::of(state, ALL);
    let (_handle, _guard) = world.guard().await;
    sleep(LONG).await;
    let asked = world.facts().keeper_asked;
    assert!((8..=11).contains(&asked), "{asked} times in 10 s");

    let process = world.identity();
    let deadline = crate::guard::clock::Clock::now(&world) + TTL;
    world.facts().held =
        Some(crate::guard::KeeperHolds { epoch: Epoch(1), process, deadline: Some(deadline) });
    world.until("released", |f| f.held.is_none()).await;
    assert!(crate::guard::clock::Clock::now(&world) < deadline);
}

#[tokio::test(start_paused = true)]
async fn a_closed_server_is_asked_once_a_look_and_waits_no_more_by_what_it_says_then() {
    let mut state = granted(1);
    state.grant.as_mut().unwrap().node = NodeName::from("b");
    let world = World::of(state, ALL);
    let (_handle, _guard) = world.guard().await;
    sleep(LONG).await;
    let pulses = world.facts().pulses;
    assert!((40..=51).contains(&pulses), "{pulses} in 10 s, at five looks a second");
    world.facts().waits = true;
    world.until("waits no more", |f| !f.waits).await;
    world.facts().open = true;
    world.until("closed", |f| !f.open).await;
}
