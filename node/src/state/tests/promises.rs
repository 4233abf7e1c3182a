//! What must stay true of acknowledged writes, whatever order the commands come in.

use super::*;
use crate::gtid::GtidSet;

fn ackers(names: &str) -> Change {
    let ackers = names.split_whitespace().map(name).collect();
    Change::Ackers { epoch: Epoch(1), ackers, why: String::new() }
}

fn degrade(upto: Option<&str>) -> Change {
    let upto = upto.map(|text| GtidSet::parse_mariadb_state(text).unwrap());
    Change::Degrade { epoch: Epoch(1), reason: DegradeReason::NoAcker, upto }
}

fn out(node: &str) -> Change {
    Change::TakeOut { node: name(node), reason: OutReason::Maintenance }
}

fn upto(log: &Log) -> String {
    log.state.durability.upto().map_or("none".into(), GtidSet::to_string)
}

fn lossless() -> Log {
    let mut log = Log::adopted();
    log.does(ackers("db2 db3")).unwrap();
    log.does(Change::Lossless { epoch: Epoch(1), after: 0 }).unwrap();
    log
}

/// db2 alone acknowledged a write, is taken out, and the writer dies: db3's answer alone would prove nothing.
#[test]
fn while_lossless_an_acker_leaves_by_the_list_alone() {
    let mut log = lossless();
    assert_eq!(log.does(out("db2")), Err(Refusal::IsAcker(name("db2"))));
    assert_eq!(log.does(Change::DropMember { node: name("db2") }), Err(Refusal::IsAcker(name("db2"))));
    log.does(ackers("db3")).unwrap();
    log.does(out("db2")).unwrap();
    assert_eq!(log.does(ackers("")), Err(Refusal::TooFewAckers));
}

#[test]
fn while_degraded_an_acker_may_leave_at_once() {
    let mut log = lossless();
    log.does(degrade(Some("0-1-9"))).unwrap();
    log.does(out("db2")).unwrap();
    log.does(Change::DropMember { node: name("db3") }).unwrap();
    assert!(log.state.ackers.is_empty());
}

/// The leader saw one commit acknowledged, by db2; db2 leaves the list; the leader's `lossless` comes after that.
#[test]
fn lossless_does_not_rest_on_a_server_that_has_left_the_list() {
    for leave in [ackers("db3"), out("db2"), Change::DropMember { node: name("db2") }] {
        let mut log = lossless();
        log.does(degrade(Some("0-1-9"))).unwrap();
        let after = log.index;
        log.does(leave).unwrap();
        let late = log.does(Change::Lossless { epoch: Epoch(1), after });
        assert_eq!(late, Err(Refusal::DurabilityChanged));
        log.does(Change::Lossless { epoch: Epoch(1), after: log.index - 1 }).unwrap();
    }
}

/// Degraded again, later and with less known: what a candidate must have is not forgotten.
#[test]
fn upto_is_kept_until_the_cluster_is_lossless_again() {
    let mut log = lossless();
    assert_eq!(log.does(degrade(None)), Err(Refusal::UptoMissing));
    log.does(degrade(Some("0-1-9"))).unwrap();
    log.does(degrade(None)).unwrap();
    assert_eq!(upto(&log), "0-1-9");
    log.does(degrade(Some("0-1-12"))).unwrap();
    log.does(begin("x", 1)).unwrap();
    log.does(grant("x", 1, "db2")).unwrap();
    assert_eq!(upto(&log), "0-1-12", "into the next epoch");
    let Durability::Degraded { index, .. } = log.state.durability else { unreachable!() };
    log.does(Change::Lossless { epoch: Epoch(2), after: index }).unwrap();
    assert_eq!(upto(&log), "none");
}

fn proven(kind: ProofKind) -> Change {
    let Change::Grant(mut next) = grant("x", 1, "db2") else { unreachable!() };
    next.proof.kind = kind;
    Change::Grant(next)
}

/// db1 was adopted open and its guard never had a lease; its host is cut off. No voter granted anything, so everything has
/// run out, and db1 is open.
#[test]
fn an_epoch_that_never_had_a_lease_does_not_expire() {
    let mut log = Log::adopted();
    log.does(begin("x", 1)).unwrap();
    assert_eq!(log.does(proven(ProofKind::Expired)), Err(Refusal::Unleased(Epoch(1))));
    log.does(proven(ProofKind::Closed)).unwrap();

    let mut log = Log::adopted();
    log.does(Change::Leased { epoch: Epoch(1) }).unwrap();
    log.does(begin("x", 1)).unwrap();
    log.does(proven(ProofKind::Expired)).unwrap();
}

/// The automatic failover waits for a proof that does not come; an operator powers the host off and says so.
#[test]
fn an_operators_word_takes_over_a_failover_that_is_held_up() {
    let mut log = Log::adopted();
    log.does(begin("x", 1)).unwrap();
    assert_eq!(log.does(proven(ProofKind::Forced)), Err(Refusal::NotForced(Epoch(1))));
    let Change::Begin(word) = begin("y", 1) else { unreachable!() };
    let forced = Some(Forced { by: "me".into(), reason: "powered off".into() });
    log.does(Change::Begin(Begin { forced, ..word })).unwrap();
    assert_eq!(
        log.does(proven(ProofKind::Closed)),
        Err(Refusal::NotUnderWay(id("x"))),
        "the first has ended"
    );
    let operation = log.state.operation.clone().unwrap();
    assert_eq!((operation.id, operation.from_node), (id("y"), Some(name("db1"))));
    let Change::Grant(next) = proven(ProofKind::Forced) else { unreachable!() };
    log.does(Change::Grant(NextGrant { operation: id("y"), ..next })).unwrap();
}

#[test]
fn an_excluded_server_is_never_the_writer() {
    let mut log = Log::adopted();
    let member = Member { excluded: true, ..log.state.members[&name("db2")].clone() };
    log.does(Change::SetMember { node: name("db2"), member }).unwrap();
    let Change::Begin(wanted) = begin("x", 1) else { unreachable!() };
    let refused = log.does(Change::Begin(Begin { wanted: Some(name("db2")), ..wanted }));
    assert_eq!(refused, Err(Refusal::Excluded(name("db2"))));
    log.does(begin("x", 1)).unwrap();
    assert_eq!(log.does(grant("x", 1, "db2")), Err(Refusal::Excluded(name("db2"))));
}

#[test]
fn a_repeated_report_of_the_opening_adds_no_line() {
    let mut log = Log::adopted();
    log.does(begin("x", 1)).unwrap();
    log.does(grant("x", 1, "db2")).unwrap();
    for _ in 0..3 {
        log.by("db2", Change::Opened { epoch: Epoch(2) }).unwrap();
    }
    assert_eq!(log.state.operation.as_ref().unwrap().steps.len(), 1);
}
