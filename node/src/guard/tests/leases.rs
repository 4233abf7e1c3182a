//! The lease: renewed whatever else hangs, taken over by the next daemon, and never outlived.

use std::time::Duration;

use tokio::time::sleep;

use super::world::{Ports, TTL, World, granted};
use crate::guard::HandedOver;
use crate::guard::clock::{Boottime, Clock};
use crate::state::{Change, Epoch, NodeName, Pause};

const LONG: Duration = Duration::from_secs(10);
const ALL: &[&str] = &["a", "b", "c"];

fn deadline(world: &Ports) -> Boottime {
    world.facts().held.unwrap().deadline.unwrap()
}

async fn is_held(world: &Ports) {
    for _ in 0..100 {
        sleep(LONG / 100).await;
        assert!(deadline(world) > world.now(), "the keeper would have killed it");
    }
    assert_eq!(world.openings_and_closings(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn closes_one_renewal_before_the_end() {
    let world = World::of(granted(1), ALL);
    let (handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    sleep(LONG).await;
    world.facts().granting.clear();
    sleep(TTL / 100).await;
    let end = deadline(&world);
    sleep(LONG).await;
    let closed_at = world.facts().closed_at.unwrap();
    assert!(closed_at < end && end.saturating_since(closed_at) <= TTL / 5, "{closed_at} {end}");
    assert!(world.facts().held.is_none(), "the keeper lets a closed server live");
    assert_eq!(handle.seen().closed, Epoch(1));
    assert_eq!(world.facts().opened, 1);
}

#[tokio::test(start_paused = true)]
async fn one_voter_of_three_may_be_silent() {
    let world = World::of(granted(1), &["a", "c"]);
    let (_handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    is_held(&world).await;
}

/// The leader died between the grant and the report: nobody commits for longer than a lease.
#[tokio::test(start_paused = true)]
async fn a_group_that_does_not_answer_holds_up_no_renewal() {
    let world = World::of(granted(1), ALL);
    world.facts().group_silent = true;
    let (_handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    is_held(&world).await;
    assert!(world.facts().proposed.len() > 1, "it is told again");
    world.facts().group_silent = false;
    world.state(|s| s.grant.as_mut().unwrap().opened_ms = Some(1));
    sleep(TTL * 3).await;
    let told = world.facts().proposed.len();
    sleep(LONG).await;
    assert_eq!(world.facts().proposed.len(), told, "and no more once the state says so");
}

/// Somebody killed the guard's session while new connections hang.
#[tokio::test(start_paused = true)]
async fn a_connection_that_hangs_holds_up_no_renewal() {
    let world = World::of(granted(1), ALL);
    let (_handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.facts().attach_hangs = true;
    world.facts().pin_broken = true;
    is_held(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_daemon_takes_the_lease_over_and_closes_nothing() {
    let world = World::of(granted(1), ALL);
    let (_handle, guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    guard.abort();
    sleep(TTL / 3).await;
    world.facts().keeper_silent = true;
    let (handle, _guard) = world.guard().await;
    sleep(TTL / 10).await;
    assert!(world.facts().open, "one slow answer of the keeper closes nothing");
    world.facts().keeper_silent = false;
    is_held(&world).await;
    assert_eq!(handle.seen().lease.unwrap().0, Epoch(1));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_comes_too_late_closes_and_says_so() {
    let world = World::of(granted(1), ALL);
    let (_handle, guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    guard.abort();
    // Its keeper was restarted too, and holds nothing.
    world.facts().held = None;
    let (handle, _guard) = world.guard().await;
    world.until("closed", |f| !f.open).await;
    sleep(TTL).await;
    assert_eq!(handle.seen().closed, Epoch(1));
    assert_eq!(world.facts().opened, 1);
}

#[tokio::test(start_paused = true)]
async fn without_its_keeper_the_server_is_closed() {
    let world = World::of(granted(1), ALL);
    let (_handle, guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.keeper_dies();
    assert_eq!(guard.await.unwrap(), "the keeper has died");
    assert!(!world.facts().open);
}

#[tokio::test(start_paused = true)]
async fn without_its_keeper_a_server_that_does_not_close_is_killed_when_the_lease_ends() {
    let world = World::of(granted(1), ALL);
    let (_handle, guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.facts().close_hangs = true;
    let end = deadline(&world);
    world.keeper_dies();
    guard.await.unwrap();
    let late = world.now().saturating_since(end);
    assert!(late <= TTL / 5, "it ran {late:?} past its lease");
    let exit = world.0.server.lock().unwrap().child().wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&exit), Some(9));
}

/// It is alive, so that nobody misses it, and takes nothing: its server would outlive its lease.
#[tokio::test(start_paused = true)]
#[expect(
    clippy::disallowed_methods,
    reason = "a process ends in real time, and the test's own clock stands still"
)]
async fn beside_a_keeper_that_stands_still_a_server_that_does_not_close_is_killed_when_the_lease_ends() {
    let world = World::of(granted(1), ALL);
    let (handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.facts().close_hangs = true;
    world.facts().keeper_silent = true;
    let end = deadline(&world);
    while world.0.server.lock().unwrap().child().try_wait().unwrap().is_none() {
        let late = world.now().saturating_since(end);
        assert!(late <= TTL / 5, "it runs {late:?} past its lease");
        sleep(Duration::from_millis(1)).await;
        // A process ends in real time.
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(world.now() >= end, "killed before its lease ended");
    assert_eq!(handle.seen().closed, Epoch(1));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_only_watched_keeps_its_writer_when_the_keeper_dies() {
    let world = World::of(crate::state::ClusterState::default(), ALL);
    world.facts().open = true;
    let (_handle, guard) = world.guard().await;
    sleep(TTL).await;
    world.keeper_dies();
    guard.await.unwrap();
    assert!(world.facts().open);
}

#[tokio::test(start_paused = true)]
async fn adoption_closes_nothing() {
    let mut state = granted(1);
    state.grant.as_mut().unwrap().unleased = true;
    let world = World::of(state, &["a"]);
    world.facts().open = true;
    world.facts().group_silent = true;
    let (_handle, _guard) = world.guard().await;
    sleep(LONG).await;
    assert_eq!(world.facts().held.unwrap().deadline, None, "no deadline before a majority");
    assert!(world.facts().proposed.is_empty());
    world.facts().granting.insert(NodeName::from("b"));
    world.until("told", |f| f.proposed.iter().any(|c| matches!(c, Change::Leased { .. }))).await;
    for _ in 0..100 {
        sleep(LONG / 100).await;
        assert!(deadline(&world) > world.now(), "the keeper would have killed it");
    }
    world.state(|s| {
        let grant = s.grant.as_mut().unwrap();
        (grant.unleased, grant.opened_ms) = (false, Some(1));
    });
    sleep(LONG).await;
    assert!(deadline(&world) > world.now());
    assert_eq!(world.openings_and_closings(), (0, 0));
}

/// A request that reached a voter lately.
fn asked(world: &Ports, which: impl Fn(&crate::guard::LeaseRequest) -> bool) -> bool {
    world.facts().asked.iter().any(which)
}

#[tokio::test(start_paused = true)]
async fn a_planned_restart_leaves_the_keeper_a_longer_lease_and_the_next_daemon_makes_it_ordinary_again() {
    let world = World::of(granted(1), ALL);
    let (handle, guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    let handed = handle.hand_over(LONG).await;
    assert!(matches!(handed, Ok(HandedOver::For(left)) if left > TTL * 5), "{handed:?}");
    assert_eq!(guard.await.unwrap(), "the lease has been handed over");
    sleep(TTL * 5).await;
    assert!(deadline(&world) > world.now(), "the keeper would have killed it");
    world.facts().asked.clear();
    let (_handle, _guard) = world.guard().await;
    world.until("an ordinary deadline", |f| f.held.unwrap().deadline.unwrap() <= world.now() + TTL).await;
    assert!(!asked(&world, |r| r.settled), "first the keeper, then the voters");
    sleep(TTL).await;
    assert!(asked(&world, |r| r.settled));
    is_held(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_that_no_majority_grants_is_refused() {
    let world = World::of(granted(1), ALL);
    let (handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.facts().granting.clear();
    assert!(handle.hand_over(TTL / 2).await.is_err());
    sleep(LONG).await;
    assert_eq!(world.openings_and_closings(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_under_a_lease_is_not_handed_over() {
    let mut state = granted(1);
    state.grant.as_mut().unwrap().node = NodeName::from("b");
    let world = World::of(state, ALL);
    let (handle, _guard) = world.guard().await;
    assert_eq!(handle.hand_over(LONG).await, Ok(HandedOver::Nothing));
}

fn pause(world: &Ports) {
    let pause = Pause { until_ms: i64::MAX, by: "ann".into(), reason: "disks".into() };
    world.state(|s| s.pause = Some(pause));
}

#[tokio::test(start_paused = true)]
async fn in_a_pause_the_keeper_is_disarmed_on_a_majoritys_grant_alone() {
    let world = World::of(granted(1), ALL);
    let (_handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.facts().refuse_open_end = true;
    pause(&world);
    sleep(LONG).await;
    assert!(world.facts().held.is_some(), "its own state disarms nothing");
    world.facts().refuse_open_end = false;
    world.until("disarmed", |f| f.held.is_none()).await;
    world.facts().granting.clear();
    sleep(LONG).await;
    assert_eq!(world.openings_and_closings(), (1, 0), "nobody needs to grant more");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_restarted_in_a_pause_closes_nothing_and_ends_it_in_order() {
    let world = World::of(granted(1), ALL);
    let (handle, guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    pause(&world);
    world.until("disarmed", |f| f.held.is_none()).await;
    assert_eq!(handle.hand_over(LONG).await, Ok(HandedOver::Paused));
    guard.await.unwrap();
    sleep(LONG * 10).await;
    world.facts().granting.clear();
    world.state(|s| s.pause = None);
    world.facts().asked.clear();
    let (_handle, _guard) = world.guard().await;
    sleep(LONG).await;
    assert_eq!(world.openings_and_closings(), (1, 0), "without a majority the pause goes on");
    assert_eq!(world.facts().held.unwrap().deadline, None, "held, with no deadline before a majority");
    assert!(!asked(&world, |r| r.settled));

    world.facts().granting = super::world::names(ALL);
    world.until("a deadline", |f| f.held.unwrap().deadline.is_some()).await;
    assert!(!asked(&world, |r| r.settled), "first the keeper, then the voters");
    sleep(TTL).await;
    assert!(asked(&world, |r| r.settled));
    is_held(&world).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_pause_the_server_outlives_its_keeper() {
    let world = World::of(granted(1), ALL);
    let (_handle, guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    pause(&world);
    world.until("disarmed", |f| f.held.is_none()).await;
    world.keeper_dies();
    guard.await.unwrap();
    assert!(world.facts().open);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_stopped_for_good_closes_and_says_that_its_epoch_is_over() {
    let world = World::of(granted(1), ALL);
    let (handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    handle.step_down(LONG).await.unwrap();
    assert!(!world.facts().open && world.facts().held.is_none());
    sleep(LONG).await;
    assert_eq!((handle.seen().closed, world.facts().opened), (Epoch(1), 1));
}

/// A pause that was ended at once: what the voters granted for it is still on its way.
#[tokio::test(start_paused = true)]
async fn an_open_end_that_is_granted_too_late_costs_no_lease() {
    let world = World::of(granted(1), ALL);
    let (_handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.facts().open_end_takes = TTL / 4;
    pause(&world);
    sleep(TTL / 5).await;
    world.state(|s| s.pause = None);
    is_held(&world).await;
}

/// The guard applies a longer lease before the voters do.
#[tokio::test(start_paused = true)]
async fn a_longer_lease_ends_nothing_while_the_voters_do_not_know_of_it_yet() {
    let world = World::of(granted(1), ALL);
    let (handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.facts().at_most = Some(TTL);
    world.state(|s| s.safety.lease_ttl_ms = 15_000);
    sleep(TTL / 2).await;
    world.facts().at_most = None;
    is_held(&world).await;
    assert!(handle.seen().lease.unwrap().1 > TTL, "the longer one holds");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_lease_shortens_nothing_that_was_granted() {
    let mut state = granted(1);
    state.safety.lease_ttl_ms = 15_000;
    let world = World::of(state, ALL);
    let (_handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    let granted = deadline(&world);
    world.state(|s| s.safety.lease_ttl_ms = 1500);
    world.facts().granting.clear();
    sleep(TTL * 2).await;
    assert_eq!(deadline(&world), granted);
    assert_eq!(world.openings_and_closings(), (1, 0), "it may stay open until then");
    world.facts().granting.extend(super::world::names(ALL));
    sleep(LONG * 2).await;
    assert_eq!(world.openings_and_closings(), (1, 0));
    assert!(deadline(&world) <= world.now() + TTL, "and then holds the shorter one");
}
