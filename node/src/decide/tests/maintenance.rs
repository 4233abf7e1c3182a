//! What people work on is counted on by nobody.

use super::*;
use crate::decide::maintenance::{may_begin, waits_for};

fn may(node: &str, change: impl FnOnce(&mut ClusterState, &mut Seen)) -> bool {
    let mut state = cluster("db1 db2 db3");
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    seen.pulse("db1").ackers = 2;
    change(&mut state, &mut seen);
    may_begin(&state, &seen.look(), &name(node), Some(&my("1:1-9")))
}

#[test]
fn it_waits_for_another_acker_that_is_about_to_acknowledge() {
    assert!(may("db2", |_, _| ()));
    assert!(!may("db2", |_, seen| seen.pulse("db3").acks = false));
    assert!(!may("db2", |_, seen| seen.pulse("db1").ackers = 1), "its source does not count it yet");
    assert!(
        !may("db2", |_, seen| seen.pulse("db3").received = my("1:1-7")),
        "it would acknowledge that first"
    );
    let alone = |state: &mut ClusterState, _: &mut Seen| {
        state.ackers.remove(&name("db3"));
    };
    assert!(may("db2", alone), "given up on purpose");
    assert!(may("db3", |state, seen| {
        state.ackers.remove(&name("db3"));
        seen.pulse("db2").acks = false;
    }));
}

#[test]
fn it_says_what_it_waits_for() {
    let why = |change: fn(&mut ClusterState, &mut Seen)| {
        let mut state = cluster("db1 db2 db3");
        let mut seen = Seen::healthy(&state, &my("1:1-9"));
        change(&mut state, &mut seen);
        waits_for(&state, &seen.look(), &name("db2"), Some(&my("1:1-9")))
    };
    assert_eq!(why(|_, seen| seen.unheard("db3", 1500)), "db3 is not heard");
    assert_eq!(why(|_, seen| seen.pulse("db3").acks = false), "db3 does not acknowledge");
    assert_eq!(
        why(|_, seen| seen.pulse("db3").received = my("1:1-7")),
        "db3 has yet to receive 2 transactions"
    );
    assert_eq!(why(|_, seen| seen.pulse("db1").ackers = 1), "the writer counts only 1 that acknowledge");
}
