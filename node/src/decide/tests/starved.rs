//! When the promises of ackers prove that a writer acknowledges nothing more.

use super::*;
use crate::decide::starved::starved;

struct Case {
    ackers: &'static str,
    wait_count: u32,
    stopped: &'static str,
    proven_by: Option<&'static str>,
}

/// db1's epoch, revoked while lossless.
fn revoked(ackers: &str, wait_count: u32) -> ClusterState {
    let mut state = cluster("db1 db2 db3 db4 app1");
    state.ackers = names(ackers);
    state.safety.wait_count = wait_count;
    state.revoked_through = Epoch(1);
    state
}

#[test]
fn fewer_than_a_commit_waits_for_must_be_left() {
    for case in [
        Case { ackers: "db2", wait_count: 1, stopped: "db2", proven_by: Some("db2") },
        Case { ackers: "db2", wait_count: 1, stopped: "", proven_by: None },
        Case { ackers: "db2", wait_count: 1, stopped: "db3 db4", proven_by: None },
        Case { ackers: "db2 db3", wait_count: 1, stopped: "db2", proven_by: None },
        Case { ackers: "db2 db3", wait_count: 1, stopped: "db2 db3", proven_by: Some("db2 db3") },
        Case { ackers: "db2 db3", wait_count: 2, stopped: "db3", proven_by: Some("db3") },
        Case { ackers: "db2 db3 db4", wait_count: 2, stopped: "db3", proven_by: None },
        Case { ackers: "db2 db3 db4", wait_count: 2, stopped: "db3 db2", proven_by: Some("db2 db3") },
    ] {
        let state = revoked(case.ackers, case.wait_count);
        let proven = starved(&state, Epoch(1), &names(case.stopped));
        assert_eq!(
            proven,
            case.proven_by.map(list),
            "{} of {} stopped, {} waited for",
            case.stopped,
            case.ackers,
            case.wait_count
        );
    }
}

#[test]
fn a_writer_that_need_not_wait_is_never_starved() {
    let mut state = revoked("db2", 1);
    let stopped = names("db2");
    assert!(starved(&state, Epoch(1), &stopped).is_some());
    state.durability = degraded(None);
    assert_eq!(starved(&state, Epoch(1), &stopped), None);
    state.durability = Durability::Unknown;
    assert_eq!(starved(&state, Epoch(1), &stopped), None);
}

#[test]
fn only_the_revoked_epoch_is_spoken_of() {
    let mut state = revoked("db2", 1);
    let stopped = names("db2");
    assert_eq!(starved(&state, Epoch(2), &stopped), None, "not this one");
    state.revoked_through = Epoch(0);
    assert_eq!(starved(&state, Epoch(1), &stopped), None, "its list may still change");
}
