//! The event scheduler follows the writer, and nothing waits for it.

use std::time::Duration;

use tokio::time::sleep;

use super::world::{TTL, World, granted};
use crate::state::NodeName;

const ALL: &[&str] = &["a", "b", "c"];
const LONG: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn events_run_on_the_writer_and_on_no_closed_server() {
    let world = World::of(granted(1), ALL);
    world.facts().wants_events = true;
    let (_handle, _guard) = world.guard().await;
    world.until("events run", |f| f.open && f.scheduler_on).await;
    world.state(|s| s.grant.as_mut().unwrap().node = NodeName::from("b"));
    world.until("closed, without events", |f| !f.open && !f.scheduler_on).await;
    world.state(|s| *s = granted(2));
    world.until("events run again", |f| f.open && f.scheduler_on).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_scheduler_holds_up_no_renewal_and_no_close() {
    let world = World::of(granted(1), ALL);
    world.facts().wants_events = true;
    world.facts().scheduler_takes = TTL * 4;
    let (_handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    sleep(TTL * 3).await;
    assert_eq!(world.openings_and_closings(), (1, 0));
    world.state(|s| s.grant.as_mut().unwrap().node = NodeName::from("b"));
    sleep(TTL / 5).await;
    assert!(!world.facts().open, "closed while the scheduler was being switched");
}

#[tokio::test(start_paused = true)]
async fn who_did_not_ask_for_events_has_none_switched_on() {
    let world = World::of(granted(1), ALL);
    let (_handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    sleep(LONG).await;
    assert!(!world.facts().scheduler_on);
    world.facts().scheduler_on = true;
    sleep(LONG).await;
    assert!(world.facts().scheduler_on, "on the open writer it is its people's");
}
