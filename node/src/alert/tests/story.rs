//! What the message of a failover says of what comes next.

use super::*;
use crate::alert::story::story;
use crate::decide::sample::set;
use crate::state::{Forced, Member, Out, OutReason, Quarantine, RebuildPolicy};

/// The last line of a failover's message, in a state that differs so from the one right after it.
fn next(spoil: impl FnOnce(&mut ClusterState)) -> String {
    let mut state = listened();
    failed_over(&mut state);
    spoil(&mut state);
    let ended = state.history.iter().find(|f| f.operation.kind == OperationKind::Failover).unwrap();
    let (_, story) = story(&state, &ended.operation, Some(&**ended), NOW_MS + 500).unwrap();
    story.facts.last().unwrap().clone()
}

/// db1 is back with three transactions of its own.
fn quarantined(state: &mut ClusterState, settle: impl FnOnce(&mut Quarantine)) {
    let mut quarantine = Quarantine::of(set("6-8"), Epoch(2));
    settle(&mut quarantine);
    let reason = OutReason::Quarantine(quarantine);
    state.out.insert(name("db1"), Out { reason, since_ms: NOW_MS + 350 });
}

/// db3 acknowledges: all that is left to happen is what becomes of db1.
fn lossless_with_db3(state: &mut ClusterState) {
    lossless_again(state);
    let server = Some("10.0.0.3:3306".to_owned());
    state.members.insert(name("db3"), Member { server, ..Member::default() });
    state.ackers = [name("db3")].into();
}

fn of_db1(spoil: impl FnOnce(&mut ClusterState)) -> String {
    next(|state| {
        lossless_with_db3(state);
        spoil(state);
    })
}

#[test]
fn an_old_writer_that_is_away_comes_back_by_itself_whatever_proved_that_it_writes_no_more() {
    let proven = |kind: ProofKind| {
        of_db1(|state| {
            let ended = Arc::make_mut(state.history.back_mut().unwrap());
            ended.operation.proof = Some(Proof { kind, detail: String::new() });
        })
    };
    for gone in [ProofKind::Gone, ProofKind::Stonith] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(proven(gone), @"Next: when db1 comes back, it starts closed and follows db2 by itself, unless it has transactions that db2 lacks.");
        }
    }
    insta::assert_snapshot!(proven(ProofKind::Closed), @"Next: db1 is closed and follows db2 by itself, unless it has transactions that db2 lacks.");
    for fenced in [ProofKind::Expired, ProofKind::Starved, ProofKind::Forced] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(proven(fenced), @"Next: db1 is being fenced off, and follows db2 by itself when it is back, unless it has transactions that db2 lacks.");
        }
    }
}

#[test]
fn a_quarantined_one_is_told_with_what_it_has_and_the_command_that_is_wanted() {
    let told = |policy: RebuildPolicy, settle: fn(&mut Quarantine)| {
        of_db1(|state| {
            state.safety.live.rebuild = policy;
            quarantined(state, settle);
        })
    };
    insta::assert_snapshot!(told(RebuildPolicy::Approve, |_| ()), @"Next: db1 stays closed, in quarantine: it alone has 3 transactions, to be archived first (`batonctl quarantine list`).");
    insta::assert_snapshot!(told(RebuildPolicy::Approve, |q| q.trouble = Some("its disk is full".into())), @"Next: db1 stays closed, in quarantine: it alone has 3 transactions, NOT archived yet (`batonctl quarantine list`): its disk is full.");
    let archived = |q: &mut Quarantine| q.archive = Some("db1-e2-5f3a".into());
    insta::assert_snapshot!(told(RebuildPolicy::Approve, archived), @"Next: db1 stays closed, in quarantine: it alone has 3 transactions (`batonctl quarantine show db1`), and waits for its rebuild to be approved: `batonctl rebuild db1`.");
    insta::assert_snapshot!(told(RebuildPolicy::Automatic, archived), @"Next: db1 stays closed, in quarantine: it alone has 3 transactions (`batonctl quarantine show db1`), and Baton rebuilds it by itself.");
    insta::assert_snapshot!(told(RebuildPolicy::Never, archived), @"Next: db1 stays closed, in quarantine: it alone has 3 transactions (`batonctl quarantine show db1`), and is not rebuilt, because [rebuild] policy is never.");
    let given_up =
        |q: &mut Quarantine| q.released = Some(Forced { by: "ada".into(), reason: "tests".into() });
    insta::assert_snapshot!(told(RebuildPolicy::Approve, given_up), @"Next: db1 stays closed, in quarantine: it alone has 3 transactions, given up, and waits for its rebuild to be approved: `batonctl rebuild db1`.");
}

#[test]
fn a_rebuild_that_failed_is_nothing_that_baton_does_again_by_itself() {
    let told = of_db1(|state| {
        state.safety.live.rebuild = RebuildPolicy::Automatic;
        quarantined(state, |q| q.archive = Some("db1-e2-5f3a".into()));
        let rebuild = Operation {
            wanted: Some(name("db1")),
            ..Operation::of(OperationKind::Rebuild, Epoch(2), name("db3"))
        };
        let failed = Finished { operation: rebuild, ended_ms: NOW_MS + 900, ending: Ending::Failed };
        state.history.push_back(Arc::new(failed));
    });
    assert!(
        told.ends_with("a rebuild of it has ended without success: `batonctl rebuild db1` begins anew."),
        "{told}"
    );
}

#[test]
fn one_that_is_out_for_another_reason_is_told_with_that() {
    let out = |reason: OutReason| {
        of_db1(|state| drop(state.out.insert(name("db1"), Out { reason, since_ms: NOW_MS })))
    };
    insta::assert_snapshot!(out(OutReason::Rebuild), @"Next: db1 stays closed, because its data is not whole: `batonctl rebuild db1`.");
    insta::assert_snapshot!(out(OutReason::Maintenance), @"Next: db1 is in maintenance and follows db2 after that.");
}

#[test]
fn the_promise_waits_for_a_replica_and_not_for_one_that_is_out() {
    let first = |told: String| told.split(';').next().unwrap_or_default().to_owned();
    let add = |state: &mut ClusterState, node: &str| {
        let server = Some("10.0.0.9:3306".to_owned());
        state.members.insert(name(node), Member { server, ..Member::default() });
    };
    insta::assert_snapshot!(first(next(|_| ())), @"Next: the cluster is NOT LOSSLESS until a replica has caught up");
    insta::assert_snapshot!(first(next(|state| {
        add(state, "db3");
        state.safety.wait_count = 2;
    })), @"Next: the cluster is NOT LOSSLESS until 2 replicas have caught up");
    insta::assert_snapshot!(first(next(|state| quarantined(state, |_| ()))), @"Next: the cluster is NOT LOSSLESS until more replicas are in again (out: db1)");
    insta::assert_snapshot!(first(next(|state| state.safety.wait_count = 2)), @"Next: the cluster is NOT LOSSLESS until there are more replicas");
}

#[test]
fn nothing_comes_next_where_all_is_well_or_another_operation_has_the_word() {
    let has_next = |told: String| told.starts_with("Next: ");
    assert!(!has_next(next(lossless_again)), "db1 acknowledges");
    assert!(!has_next(of_db1(|state| drop(state.members.remove(&name("db1"))))), "db1 is no member any more");
    let moved_on = next(|state| state.grant.as_mut().unwrap().epoch = Epoch(3));
    assert!(!has_next(moved_on));
    let again = of_db1(|state| {
        let ended = Arc::make_mut(state.history.back_mut().unwrap());
        ended.operation.to = Some((Epoch(2), name("db1")));
        state.grant.as_mut().unwrap().node = name("db1");
    });
    assert!(!has_next(again), "db1 is the writer again");
}
