//! Maintenance: neither writer nor acker for a time, and never at the price of an acknowledged write.

use super::*;

fn maintain(node: &str, until_ms: UnixMillis) -> Change {
    let word = Forced { by: "ada".into(), reason: "new disks".into() };
    Change::Maintain { node: name(node), until_ms, word }
}

fn end(node: &str, until_ms: Option<UnixMillis>) -> Change {
    Change::EndMaintenance { node: name(node), until_ms, by: "ada".into() }
}

fn aside(node: &str) -> Change {
    Change::StandAside { node: name(node) }
}

#[test]
fn the_writer_and_witnesses_are_refused() {
    let mut log = Log::adopted();
    assert_eq!(log.does(maintain("db1", 10)), Err(Refusal::HoldsGrant(name("db1"))));
    assert_eq!(log.does(maintain("db9", 10)), Err(Refusal::NoSuchNode(name("db9"))));
    log.does(begin("f", 1)).unwrap();
    assert_eq!(log.does(maintain("db2", 10)), Err(Refusal::UnderWay(id("f"))), "it may be the next writer");
}

#[test]
fn it_is_no_writer_and_ends_at_the_end_that_it_has() {
    let mut log = Log::adopted();
    log.does(maintain("db2", 10)).unwrap();
    assert!(log.state.in_maintenance(&name("db2")));
    log.does(begin("f", 1)).unwrap();
    assert_eq!(log.does(grant("f", 1, "db2")), Err(Refusal::InMaintenance(name("db2"))));

    let mut log = Log::adopted();
    log.does(maintain("db2", 10)).unwrap();
    log.does(aside("db2")).unwrap();
    assert_eq!(log.state.out[&name("db2")].reason, OutReason::Maintenance);
    log.does(maintain("db2", 20)).unwrap();
    assert_eq!(log.does(end("db2", Some(10))), Err(Refusal::NotInMaintenance(name("db2"))), "made longer");
    log.does(end("db2", Some(20))).unwrap();
    assert!(log.state.out.is_empty() && !log.state.in_maintenance(&name("db2")));
    assert_eq!(log.does(aside("db2")), Err(Refusal::NotInMaintenance(name("db2"))), "it came late");
    assert_eq!(log.does(end("db2", None)), Err(Refusal::NotInMaintenance(name("db2"))));
}

#[test]
fn an_acker_stays_one_while_lossless() {
    let mut log = Log::adopted();
    let ackers = |nodes: &[&str]| Change::Ackers {
        epoch: Epoch(1),
        ackers: nodes.iter().map(|n| name(n)).collect(),
        why: String::new(),
    };
    log.does(ackers(&["db2", "db3"])).unwrap();
    log.does(Change::Lossless { epoch: Epoch(1), after: 0 }).unwrap();
    log.does(maintain("db2", 10)).unwrap();
    assert_eq!(log.does(aside("db2")), Err(Refusal::IsAcker(name("db2"))));
    assert!(log.state.leaves_ackers(&name("db2")), "db3 is there");
    log.does(ackers(&["db3"])).unwrap();
    log.does(aside("db2")).unwrap();
    log.does(maintain("db3", 10)).unwrap();
    assert!(!log.state.leaves_ackers(&name("db3")), "nobody else is there");
}

#[test]
fn nothing_is_left_of_it_after_a_release() {
    let mut log = Log::adopted();
    log.does(maintain("db2", 10)).unwrap();
    log.does(aside("db2")).unwrap();
    let word = Forced { by: "ada".into(), reason: String::new() };
    log.does(Change::Release { operation: id("r"), word }).unwrap();
    assert!(log.state.out.is_empty() && log.state.maintenance.is_empty());
}
