//! What holds a failover back, and until when.

use super::*;
use crate::decide::holding::{Hold, holds};
use crate::state::{Ending, Finished, Pause};

const MINUTE_MS: i64 = 60_000;

/// At most three failovers in quick succession; each weighs half after ten minutes.
fn limited() -> ClusterState {
    let mut state = cluster("db1 db2 app1");
    state.safety.live.flap_limit = 3;
    state.safety.live.flap_half_life_ms = 600_000;
    state
}

fn ended(state: &mut ClusterState, at_min: i64, change: impl FnOnce(&mut Finished)) {
    let operation = Operation { opened_ms: Some(at_min * MINUTE_MS), ..failover("WriterCrashed") };
    let mut finished = Finished { operation, ended_ms: at_min * MINUTE_MS, ending: Ending::Done };
    change(&mut finished);
    state.history.push_back(finished.into());
}

/// The minutes for which a failover is held at `at_min`, rounded down; `None` when it is not.
fn held_for(state: &ClusterState, at_min: i64) -> Option<i64> {
    match holds(state, at_min * MINUTE_MS).as_slice() {
        [] => None,
        [Hold::Flapping { until_ms, .. }] => Some((until_ms - at_min * MINUTE_MS) / MINUTE_MS),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_window_decays() {
    let mut state = limited();
    for minute in [100, 100, 100] {
        assert_eq!(held_for(&state, minute), None);
        ended(&mut state, minute, |_| ());
    }
    // Three weigh 3; they weigh 2.5 after 10 * log2(3 / 2.5) = 2.63 minutes.
    assert_eq!(held_for(&state, 100), Some(2));
    assert_eq!(held_for(&state, 102), Some(0));
    assert_eq!(held_for(&state, 103), None);
    ended(&mut state, 103, |_| ());
    // And one more: 3 * 2^-0.3 + 1 = 3.44.
    assert_eq!(held_for(&state, 103), Some(4));
    assert_eq!(held_for(&state, 200), None);
}

#[test]
fn what_does_not_count() {
    type Change = fn(&mut Finished);
    let cases: [(&str, Change); 4] = [
        ("an operator's", |f| f.operation.forced = forced()),
        ("one that was superseded", |f| f.ending = Ending::Superseded),
        ("one that never opened", |f| f.operation.opened_ms = None),
        ("an adoption", |f| f.operation.kind = OperationKind::Adopt),
    ];
    for (case, change) in cases {
        let mut state = limited();
        for _ in 0..9 {
            ended(&mut state, 100, change);
        }
        assert_eq!(held_for(&state, 100), None, "{case}");
    }
    let mut off = limited();
    off.safety.live.flap_limit = 0;
    for _ in 0..9 {
        ended(&mut off, 100, |_| ());
    }
    assert_eq!(held_for(&off, 100), None, "switched off");
}

#[test]
fn a_clock_set_back_holds_no_longer() {
    let mut state = limited();
    for _ in 0..3 {
        ended(&mut state, 10_000, |_| ());
    }
    assert_eq!(held_for(&state, 100), Some(2));
}

#[test]
fn each_names_the_command_that_overrides_it() {
    let mut state = limited();
    for _ in 0..3 {
        ended(&mut state, 100, |_| ());
    }
    state.safety.live.automatic = false;
    state.pause = Some(Pause { until_ms: 101 * MINUTE_MS, by: "ann".into(), reason: "disks".into() });
    let said: Vec<String> = holds(&state, 100 * MINUTE_MS).iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "ann has paused automatic failovers: disks; batonctl resume ends that",
            "[failover] automatic is off: batonctl failover --reason … moves the writer",
            "Flapping: 3 failovers lately, so none by itself before 01:42:37 UTC; batonctl failover --reason … moves \
             the writer all the same",
        ]
    );
    assert_eq!(holds(&state, 101 * MINUTE_MS).len(), 2, "the pause has ended");
}
