//! A switchover: its plan leaves the epoch alone, and from the revocation on it ends with a next epoch only.

use super::*;

fn plan(to: &str) -> Change {
    Change::Plan(Plan {
        operation: id("s"),
        epoch: Epoch(1),
        to: name(to),
        planned: Planned { max_pause_ms: 500, kill_blockers: false },
        by: "asked for by ada".into(),
    })
}

fn revoke(epoch: u64) -> Change {
    Change::Revoke { operation: id("s"), epoch: Epoch(epoch) }
}

fn end(ending: Ending) -> Change {
    Change::End { operation: id("s"), ending }
}

fn ready() -> Log {
    let mut log = Log::adopted();
    log.does(Change::Leased { epoch: Epoch(1) }).unwrap();
    log
}

#[test]
fn a_plan_leaves_the_writer_alone_and_can_be_given_up() {
    let mut log = ready();
    log.does(plan("db2")).unwrap();
    assert!(log.state.is_writer(&name("db1")), "the epoch goes on");
    let evidence = log.state.operation.as_ref().map(|o| o.evidence.clone());
    assert_eq!(evidence, Some(vec!["asked for by ada".to_owned()]));
    assert_eq!(log.does(grant("s", 1, "db2")), Err(Refusal::NotRevoked(Epoch(1))));
    log.does(end(Ending::Failed)).unwrap();
    assert!(log.state.operation.is_none() && log.state.is_writer(&name("db1")));
}

#[test]
fn once_revoked_it_ends_with_a_next_epoch_for_either_server() {
    for to in ["db2", "db1"] {
        let mut log = ready();
        log.does(plan("db2")).unwrap();
        log.does(revoke(1)).unwrap();
        log.does(revoke(1)).unwrap();
        assert!(log.state.live_grant().is_none());
        assert_eq!(log.does(end(Ending::Failed)), Err(Refusal::Revoked(Epoch(1))));
        log.does(grant("s", 1, to)).unwrap();
        let other = if to == "db1" { "db2" } else { "db1" };
        let late = log.does(grant("s", 1, other));
        assert_eq!(
            late,
            Err(Refusal::OtherEpoch { have: Epoch(2), given: Epoch(1) }),
            "the first one stands"
        );
        assert!(log.state.is_writer(&name(to)));
        log.does(end(Ending::Done)).unwrap();
    }
}

#[test]
fn a_plan_is_refused_where_the_writer_may_not_move() {
    type Before = fn(&mut Log);
    let word = || Forced { by: "me".into(), reason: "work".into() };
    let cases: [(&str, &str, Before, Refusal); 7] = [
        ("to the writer itself", "db1", |_| {}, Refusal::HoldsGrant(name("db1"))),
        ("to a witness", "app1", |_| {}, Refusal::Witness(name("app1"))),
        ("to nobody", "db9", |_| {}, Refusal::NoSuchNode(name("db9"))),
        (
            "to one that is out",
            "db2",
            |log| {
                log.does(Change::TakeOut { node: name("db2"), reason: OutReason::Maintenance }).unwrap();
            },
            Refusal::IsOut(name("db2")),
        ),
        ("in a failover", "db2", |log| log.does(begin("x", 1)).unwrap(), Refusal::Revoked(Epoch(1))),
        ("in another switchover", "db3", |log| log.does(plan("db2")).unwrap(), Refusal::UnderWay(id("s"))),
        (
            "of an epoch that is over",
            "db3",
            |log| {
                log.does(begin("x", 1)).unwrap();
                log.does(grant("x", 1, "db1")).unwrap();
                log.does(Change::End { operation: id("x"), ending: Ending::Done }).unwrap();
            },
            Refusal::Revoked(Epoch(1)),
        ),
    ];
    for (what, to, before, refusal) in cases {
        let mut log = ready();
        before(&mut log);
        assert_eq!(log.does(plan(to)), Err(refusal), "{what}");
    }
    let mut log = ready();
    log.does(Change::Pause { until_ms: 1_000, word: word() }).unwrap();
    assert_eq!(log.does(plan("db2")), Err(Refusal::Paused));
    let mut log = Log::adopted();
    assert_eq!(log.does(plan("db2")), Err(Refusal::NotOpen(name("db1"))), "adopted, and no lease yet");
}

/// The writer dies before it is closed.
#[test]
fn a_failover_takes_a_switchover_over() {
    let mut log = ready();
    log.does(plan("db2")).unwrap();
    log.does(begin("x", 1)).unwrap();
    assert_eq!(log.state.history.back().unwrap().ending, Ending::Superseded);
    assert_eq!(log.does(revoke(1)), Err(Refusal::NotUnderWay(id("s"))));
    assert_eq!(log.does(grant("s", 1, "db2")), Err(Refusal::NotUnderWay(id("s"))));
}

#[test]
fn another_operation_is_not_revoked_by_a_late_word() {
    let mut log = ready();
    log.does(plan("db2")).unwrap();
    log.does(end(Ending::Failed)).unwrap();
    assert_eq!(log.does(revoke(1)), Err(Refusal::NotUnderWay(id("s"))));
    assert!(log.state.is_writer(&name("db1")));
}

fn appoint(operation: &str) -> Change {
    Change::Appoint(Appointment {
        operation: id(operation),
        at_ms: 60_000,
        to: Some(name("db2")),
        planned: Planned { max_pause_ms: 500, kill_blockers: false },
        by: "ada".into(),
    })
}

fn appointed(change: Change) -> Change {
    let Change::Plan(plan) = change else { panic!() };
    Change::PlanAppointed(plan)
}

#[test]
fn an_appointment_is_begun_once_and_not_after_it_was_cancelled() {
    let mut log = ready();
    log.does(appoint("s")).unwrap();
    assert_eq!(log.does(appoint("other")), Err(Refusal::Appointed(id("s"))));
    log.does(appointed(plan("db2"))).unwrap();
    assert!(log.state.appointment.is_none() && log.state.operation.is_some());
    log.does(end(Ending::Failed)).unwrap();
    assert_eq!(log.does(appointed(plan("db2"))), Err(Refusal::NotAppointed), "a second leader comes late");

    log.does(appoint("s")).unwrap();
    let cancel = |operation: &str| Change::EndAppointment {
        operation: id(operation),
        ending: Ending::Cancelled,
        why: "ended by ada".into(),
    };
    assert_eq!(log.does(cancel("other")), Err(Refusal::NotAppointed));
    log.does(cancel("s")).unwrap();
    assert_eq!(log.does(appointed(plan("db2"))), Err(Refusal::NotAppointed));
    let kept = log.state.history.back().unwrap();
    assert_eq!((kept.ending, kept.operation.steps[0].detail.as_str()), (Ending::Cancelled, "ended by ada"));
    assert!(log.state.is_writer(&name("db1")));
}

#[test]
fn an_appointment_stays_through_a_failover_and_ends_with_a_release() {
    let mut log = ready();
    log.does(appoint("s")).unwrap();
    log.does(begin("f", 1)).unwrap();
    assert!(log.state.appointment.is_some());
    let mut log = ready();
    log.does(appoint("s")).unwrap();
    let word = Forced { by: "ada".into(), reason: String::new() };
    log.does(Change::Release { operation: id("r"), word }).unwrap();
    assert!(log.state.appointment.is_none());
}
