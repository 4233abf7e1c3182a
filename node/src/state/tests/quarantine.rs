//! Extra transactions: archived before they may be discarded.

use super::*;
use crate::gtid::GtidSet;

fn extra(numbers: &str) -> GtidSet {
    GtidSet::parse_mysql(&format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:{numbers}")).unwrap()
}

fn quarantine(numbers: &str) -> Change {
    Change::TakeOut {
        node: name("db2"),
        reason: OutReason::Quarantine(Quarantine::of(extra(numbers), Epoch(1))),
    }
}

fn archived(numbers: &str) -> Change {
    Change::Archived(Archive {
        id: format!("db2-e1-{numbers}"),
        node: name("db2"),
        epoch: Epoch(1),
        gtids: extra(numbers),
        bytes: 10,
        path: "/a".into(),
        at_ms: 5,
    })
}

fn give_up(numbers: &str, without_archive: bool) -> Change {
    let word = Forced { by: "me".into(), reason: "replayed".into() };
    Change::GiveUp { node: name("db2"), extra: extra(numbers), without_archive, word }
}

fn may_discard(log: &Log, numbers: &str) -> bool {
    log.state.may_discard(&name("db2"), &extra(numbers)).is_ok()
}

#[test]
fn what_is_not_archived_may_not_be_discarded() {
    let mut log = Log::adopted();
    assert!(!may_discard(&log, "5"), "it is not even known");
    let nothing = extra("5").subtract(&extra("5")).unwrap();
    assert_eq!(log.state.may_discard(&name("db2"), &nothing), Ok(()));
    log.does(quarantine("5-6")).unwrap();
    assert!(!may_discard(&log, "5-6"));
    log.does(Change::NotArchived { node: name("db2"), why: "disk full".into() }).unwrap();
    assert_eq!(log.state.quarantine(&name("db2")).unwrap().trouble.as_deref(), Some("disk full"));
    assert!(!may_discard(&log, "5"));
    log.does(archived("5-6")).unwrap();
    assert!(may_discard(&log, "5") && may_discard(&log, "5-6") && !may_discard(&log, "5-7"));
    assert_eq!(log.state.quarantine(&name("db2")).unwrap().trouble, None);
}

#[test]
fn an_archive_of_less_settles_nothing() {
    let mut log = Log::adopted();
    log.does(quarantine("5-6")).unwrap();
    log.does(archived("5")).unwrap();
    assert!(log.state.quarantine(&name("db2")).unwrap().archive.is_none());
    assert!(!may_discard(&log, "5"));
    // More came: what was archived before does not count for it, and what was said before is void.
    log.does(archived("5-6")).unwrap();
    log.does(give_up("5-6", false)).unwrap();
    let since = log.state.out[&name("db2")].since_ms;
    log.does(quarantine("5-8")).unwrap();
    assert_eq!(log.state.out[&name("db2")].since_ms, since);
    assert!(!may_discard(&log, "5-8") && log.state.quarantine(&name("db2")).unwrap().released.is_none());
    assert_eq!(log.state.archives.len(), 2);
}

#[test]
fn giving_up_needs_the_archive_or_the_word_for_it() {
    let mut log = Log::adopted();
    assert_eq!(log.does(give_up("5", true)), Err(Refusal::NotQuarantined(name("db2"))));
    log.does(quarantine("5")).unwrap();
    assert_eq!(log.does(give_up("5", false)), Err(Refusal::NotArchived(name("db2"))));
    assert_eq!(log.does(give_up("4-5", true)), Err(Refusal::OtherExtra(name("db2"))), "another was shown");
    log.does(give_up("5", true)).unwrap();
    assert!(may_discard(&log, "5"));
    assert!(log.state.decisions.back().unwrap().why.contains("not archived"));
    assert!(log.state.out.contains_key(&name("db2")), "it stays out until it is rebuilt");
}

#[test]
fn who_is_not_in_quarantine_archives_nothing() {
    let mut log = Log::adopted();
    assert_eq!(log.does(archived("5")), Err(Refusal::NotQuarantined(name("db2"))));
    log.does(Change::TakeOut { node: name("db2"), reason: OutReason::Maintenance }).unwrap();
    assert_eq!(log.does(archived("5")), Err(Refusal::NotQuarantined(name("db2"))));
    assert!(log.state.archives.is_empty());
}

/// As a node of an earlier version wrote it to its disk.
#[test]
fn a_quarantine_of_an_earlier_version_is_read() {
    let text = r#"{"Quarantine":{"extra":{"mysql":"3e11fa47-71ca-11e1-9e33-c80aa9429562:5"}}}"#;
    let read: OutReason = serde_json::from_str(text).unwrap();
    assert_eq!(read, OutReason::Quarantine(Quarantine::of(extra("5"), Epoch(0))));
}
