//! A group that is started anew by hand.

use super::*;
use crate::state::{Recover, Recovered};

fn recover(generation: u64, keep: &str) -> Change {
    Change::Recover(Recover {
        generation,
        keep: name(keep),
        operation: id("r"),
        word: Forced { by: "ada".into(), reason: "burnt".into() },
        accepts_loss: false,
        evidence: vec!["seen".into()],
    })
}

fn granted(op: &str, from: u64, node: &str, kind: ProofKind) -> Change {
    match grant(op, from, node) {
        Change::Grant(next) => {
            Change::Grant(NextGrant { proof: Proof { kind, detail: String::new() }, ..next })
        }
        other => other,
    }
}

#[test]
fn the_kept_member_is_alone_and_its_epochs_are_nobody_elses() {
    let mut log = Log::adopted();
    log.does(recover(2, "db2")).unwrap();
    let state = &log.state;
    assert_eq!(state.generation, 2);
    assert_eq!(state.members.keys().collect::<Vec<_>>(), [&name("db2")]);
    assert_eq!(state.left_behind.keys().collect::<Vec<_>>(), [&name("app1"), &name("db1"), &name("db3")]);
    assert!(state.is_revoked(Epoch(1)));
    let operation = state.operation.as_ref().unwrap();
    assert_eq!(operation.from_node, Some(name("db1")));
    assert_eq!(operation.recovered, Some(Recovered { accepts_loss: false }));

    assert_eq!(log.does(granted("r", 1, "db1", ProofKind::Forced)), Err(Refusal::NoSuchNode(name("db1"))));
    log.does(granted("r", 1, "db2", ProofKind::Forced)).unwrap();
    assert_eq!(log.state.epoch(), Epoch(1001));
    assert!(log.state.ackers.is_empty());
}

/// Those that were dropped may have degraded, or granted, what this member never heard of.
#[test]
fn what_the_members_left_can_say_proves_nothing() {
    let mut log = Log::adopted();
    log.does(Change::Leased { epoch: Epoch(1) }).unwrap();
    log.does(recover(2, "db2")).unwrap();
    for kind in [ProofKind::Expired, ProofKind::Starved] {
        assert_eq!(log.does(granted("r", 1, "db2", kind)), Err(Refusal::OtherGeneration(kind)));
    }
    // Neither does it after an operator has forced the failover that is under way.
    let Change::Begin(begin) = begin("f", 1) else { panic!() };
    let forced = Some(Forced { by: "ada".into(), reason: "again".into() });
    log.does(Change::Begin(Begin { forced, ..begin })).unwrap();
    let expired = granted("f", 1, "db2", ProofKind::Expired);
    assert_eq!(log.does(expired), Err(Refusal::OtherGeneration(ProofKind::Expired)));
    log.does(granted("f", 1, "db2", ProofKind::Stonith)).unwrap();
}

#[test]
fn whoever_was_left_behind_joins_as_a_member_or_is_forgotten() {
    let mut log = Log::adopted();
    log.does(recover(2, "db2")).unwrap();
    let member = Member { server: Some("a".into()), ..Member::default() };
    log.does(Change::SetMember { node: name("db1"), member }).unwrap();
    log.does(Change::DropMember { node: name("app1") }).unwrap();
    assert_eq!(log.state.left_behind.keys().collect::<Vec<_>>(), [&name("db3")]);
    assert_eq!(log.state.members.len(), 2);
}

#[test]
fn generations_rise_and_epochs_do_not_come_again() {
    let mut log = Log::adopted();
    assert_eq!(log.does(recover(2, "db9")), Err(Refusal::NoSuchNode(name("db9"))));
    log.does(recover(2, "db2")).unwrap();
    assert_eq!(log.does(recover(2, "db2")), Err(Refusal::OldGeneration { have: 2, given: 2 }));
    log.does(granted("r", 1, "db2", ProofKind::Forced)).unwrap();
    log.does(recover(3, "db2")).unwrap();
    log.does(granted("r", 1001, "db2", ProofKind::Forced)).unwrap();
    assert_eq!(log.state.epoch(), Epoch(2001));

    // One that was itself left behind, and is all that there is now.
    let mut log = Log::adopted();
    log.does(recover(5, "db2")).unwrap();
    assert_eq!(log.state.next_epoch(), Epoch(4001));
}

#[test]
fn an_observed_cluster_stays_observed() {
    let mut log = Log::formed();
    log.does(recover(2, "db2")).unwrap();
    assert_eq!((log.state.phase, log.state.operation.as_ref()), (Phase::Observing, None));
    log.does(Change::Adopt { operation: id("a"), node: name("db2"), by: "me".into() }).unwrap();
    assert_eq!(log.state.epoch(), Epoch(1001));
}

#[test]
fn a_node_that_was_left_behind_has_no_writer() {
    let state = Log::adopted().state.without_a_writer();
    assert!(state.live_grant().is_none() && state.phase == Phase::Managed);
    assert_eq!(state.members.len(), 4);
}
