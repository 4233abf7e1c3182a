//! Closing the open writer for a switchover: the epoch ends with the proof and not before, and nothing renewals need waits.

use std::time::Duration;

use tokio::time::sleep;

use super::world::{TTL, World, granted};
use crate::guard::{Freeze, FreezeHow, Frozen};
use crate::state::{ClusterState, Epoch, NodeName, Operation, OperationId, OperationKind, Step, StepName};

const ALL: &[&str] = &["a", "b", "c"];
const LONG: Duration = Duration::from_secs(10);
const WITHIN: Duration = Duration::from_millis(400);

/// This node holds `epoch`, and a switchover away from it is about to close it.
fn freezing(epoch: u64) -> ClusterState {
    let mut state = granted(epoch);
    let me = NodeName::from("a");
    let step = Step { at_ms: 0, node: me.clone(), name: StepName::Freeze.to_string(), detail: String::new() };
    let operation = Operation::of(OperationKind::Switchover, Epoch(epoch), me);
    state.operation = Some(Operation { id: OperationId("s".into()), steps: vec![step], ..operation });
    state
}

fn asked(epoch: u64, what: FreezeHow) -> Freeze {
    Freeze { operation: OperationId("s".into()), epoch: Epoch(epoch), what }
}

const CLOSE: FreezeHow = FreezeHow::Close { within: WITHIN, kill_blockers: false };

#[tokio::test(start_paused = true)]
async fn a_frozen_writer_is_closed_and_opens_under_the_next_epoch_only() {
    let world = World::of(granted(1), ALL);
    let (handle, guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.state(|s| *s = freezing(1));
    let frozen = handle.freeze(asked(1, CLOSE), LONG).await;
    assert!(matches!(frozen, Frozen::Closed { .. }), "{frozen:?}");
    sleep(LONG).await;
    assert_eq!(world.facts().opened, 1, "not again under its epoch, which the state still names");
    assert_eq!(world.facts().held, None, "the keeper lets it live");
    assert_eq!(handle.seen().lease, None);
    // Nor by the next daemon.
    guard.abort();
    let (_handle, _guard) = world.guard().await;
    sleep(LONG).await;
    assert_eq!(world.facts().opened, 1);
    world.state(|s| *s = granted(2));
    world.until("open under the next epoch", |f| f.opened == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_held_up_leaves_the_writer_open_under_its_lease() {
    let world = World::of(granted(1), ALL);
    let (handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.state(|s| *s = freezing(1));
    world.facts().close_hangs = true;
    let frozen = handle.freeze(asked(1, CLOSE), LONG).await;
    assert!(matches!(frozen, Frozen::Open { .. }), "{frozen:?}");
    let settled = handle.freeze(asked(1, FreezeHow::Settle), LONG).await;
    assert!(matches!(settled, Frozen::Open { .. }), "{settled:?}");
    world.facts().close_hangs = false;
    // A request that was on its way for longer than the switchover that it belongs to.
    let late = handle.freeze(asked(1, CLOSE), LONG).await;
    assert!(matches!(&late, Frozen::Unknown { why } if why.contains("taken back")), "{late:?}");
    sleep(TTL * 3).await;
    assert_eq!(world.openings_and_closings(), (1, 0));
    assert!(handle.seen().lease.is_some(), "the lease was renewed all the while");
}

#[tokio::test(start_paused = true)]
async fn a_server_found_closed_is_closed_for_good_when_it_is_taken_back() {
    let world = World::of(granted(1), ALL);
    let (handle, _guard) = world.guard().await;
    world.until("open", |f| f.open).await;
    world.state(|s| *s = freezing(1));
    world.facts().open = false;
    let settled = handle.freeze(asked(1, FreezeHow::Settle), LONG).await;
    assert!(matches!(settled, Frozen::Closed { .. }), "{settled:?}");
    world.state(|s| *s = granted(2));
    world.until("open under the next epoch", |f| f.opened == 2).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_closed_for_a_switchover_that_the_state_does_not_name() {
    type Change = fn(&mut ClusterState);
    let cases: [(&str, Change); 4] = [
        ("none", |s| s.operation = None),
        ("another", |s| s.operation.as_mut().unwrap().id = OperationId("t".into())),
        ("of another epoch", |s| s.grant.as_mut().unwrap().epoch = Epoch(0)),
        ("taken back", |s| {
            let undo = StepName::Undo.to_string();
            let operation = s.operation.as_mut().unwrap();
            let step = Step { name: undo, ..operation.steps[0].clone() };
            operation.steps.push(step);
        }),
    ];
    for (what, change) in cases {
        let world = World::of(granted(1), ALL);
        let (handle, _guard) = world.guard().await;
        world.until("open", |f| f.open).await;
        let mut state = freezing(1);
        change(&mut state);
        let named = state.grant.as_ref().is_some_and(|g| g.epoch == Epoch(1));
        if named {
            world.state(|s| *s = state);
        }
        let epoch = if named { 1 } else { 0 };
        let frozen = handle.freeze(asked(epoch, CLOSE), LONG).await;
        assert!(matches!(frozen, Frozen::Unknown { .. }), "{what}: {frozen:?}");
        assert_eq!(world.openings_and_closings(), (1, 0), "{what}");
    }
}
