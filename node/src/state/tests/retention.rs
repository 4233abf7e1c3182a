//! Backups that leave their stores: marked first, never the last good one, never one that is pinned.

use super::*;

const GRACE: i64 = 1000;

/// Backups `b1`, `b2` and `b3` in a folder and a bucket; entries are a millisecond apart.
fn kept() -> Log {
    let mut log = Log::adopted();
    let plan = BackupPlan { grace_ms: GRACE as u64, ..BackupPlan::default() };
    log.does(Change::PlanBackups(plan)).unwrap();
    for number in 1..=3 {
        let task = format!("t{number}");
        let work = BackupWork::Make {
            backup: format!("b{number}"),
            kind: BackupKind::Full,
            at_writer: false,
            full_speed: false,
        };
        log.does(begin_task(&task, work)).unwrap();
        let stores = vec!["disk".to_owned(), "bucket".to_owned()];
        let backup = Backup { began_ms: number, stores, node: name("db2"), ..Backup::default() };
        log.by("db2", Change::BackupMade { task: id(&task), backup: Box::new(backup) }).unwrap();
    }
    log
}

fn begin_task(task: &str, work: BackupWork) -> Change {
    let (id, node, by) = (id(task), name("db2"), "ada".into());
    Change::BeginBackup(BackupTask { id, node, work, by, started_ms: 0, begun: false, slot: None })
}

fn remove(task: &str, backup: &str, store: &str) -> Change {
    begin_task(task, BackupWork::Remove { backup: backup.into(), store: store.into() })
}

fn leave(backup: &str, stores: &[&str]) -> Change {
    let stores = stores.iter().map(|store| (*store).to_owned()).collect();
    Change::LeaveStores { backup: backup.into(), stores, by: "ada".into(), by_rule: false }
}

fn pin(backup: &str, is_pinned: bool) -> Change {
    Change::PinBackup { backup: backup.into(), is_pinned, by: "ada".into() }
}

fn removed(task: &str) -> Change {
    Change::BackupRemoved { task: id(task) }
}

fn not_leaving(backup: &str, store: &str) -> Result<(), Refusal> {
    Err(Refusal::NotLeaving(backup.into(), store.into()))
}

fn last(backup: &str, store: &str) -> Result<(), Refusal> {
    Err(Refusal::LastBackup(backup.into(), store.into()))
}

#[test]
fn one_is_marked_removed_later_and_only_then_not_listed() {
    let mut log = kept();
    assert_eq!(log.does(remove("r", "b1", "disk")), not_leaving("b1", "disk"), "nobody wants that");
    log.does(leave("b1", &["disk", "bucket"])).unwrap();
    assert_eq!(log.does(remove("r", "b1", "disk")), not_leaving("b1", "disk"), "not yet");
    log.index += GRACE as u64;
    log.does(remove("r", "b1", "disk")).unwrap();
    assert_eq!(log.by("db3", removed("r")), Err(Refusal::BackupMoved));
    log.by("db2", removed("r")).unwrap();
    assert_eq!(log.state.backups.catalogue["b1"].stores, ["bucket"]);
    assert_eq!(log.does(remove("s", "b1", "disk")), not_leaving("b1", "disk"), "it is gone there");
    log.does(remove("s", "b1", "bucket")).unwrap();
    log.by("db2", removed("s")).unwrap();
    assert!(!log.state.backups.catalogue.contains_key("b1"));
}

#[test]
fn what_could_not_be_removed_stays_marked_with_the_reason() {
    let mut log = kept();
    log.does(leave("b1", &["disk"])).unwrap();
    log.index += GRACE as u64;
    log.does(remove("r", "b1", "disk")).unwrap();
    let why = "the folder is not there".to_owned();
    let fails = |log: &mut Log, task: &str, why: &str| {
        log.does(Change::EndBackup { task: id(task), why: why.into(), by_hand: false }).unwrap();
        let failed = log.state.backups.catalogue["b1"].leaving["disk"].failed.clone();
        assert_eq!(failed, Some((log.index as i64, why.to_owned())));
        (log.state.decisions.len(), log.state.backups.ended.len())
    };
    let first = fails(&mut log, "r", &why);
    log.does(remove("s", "b1", "disk")).unwrap();
    assert_eq!(fails(&mut log, "s", &why), first, "the same again is no news");
    log.does(remove("t", "b1", "disk")).unwrap();
    assert_eq!(fails(&mut log, "t", "it may not"), (first.0 + 1, first.1 + 1));
}

#[test]
fn one_that_is_pinned_stays_also_when_it_was_marked() {
    let mut log = kept();
    log.does(leave("b1", &["disk"])).unwrap();
    log.does(pin("b1", true)).unwrap();
    log.index += GRACE as u64;
    assert_eq!(log.does(remove("r", "b1", "disk")), not_leaving("b1", "disk"));
    assert_eq!(log.does(leave("b1", &["disk"])), Err(Refusal::BackupPinned("b1".into())));
    log.does(pin("b1", false)).unwrap();
    log.does(leave("b1", &["disk"])).unwrap();
    log.index += GRACE as u64;
    log.does(remove("r", "b1", "disk")).unwrap();
    assert_eq!(log.does(pin("b1", true)), Err(Refusal::BackupUnderWay(name("db2"))), "too late");
    log.by("db2", Change::BackupBegun { task: id("r") }).unwrap();
    log.does(Change::EndBackup { task: id("r"), why: "it is away".into(), by_hand: false }).unwrap();
    let begun = Err(Refusal::RemovalBegun("b1".into(), "disk".into()));
    assert_eq!(log.does(pin("b1", true)), begun, "something of it may be gone");
    log.does(pin("b1", false)).unwrap();
    assert_eq!(log.does(pin("b9", true)), Err(Refusal::NoSuchBackup("b9".into())));
}

#[test]
fn the_newest_good_one_of_a_store_stays() {
    let mut log = kept();
    assert_eq!(log.does(leave("b3", &["disk"])), last("b3", "disk"));
    log.does(leave("b1", &["disk"])).unwrap();
    log.does(begin_task("v", BackupWork::Verify { backup: "b3".into() })).unwrap();
    log.by("db2", Change::BackupVerified { task: id("v"), fault: Some("object 0".into()) }).unwrap();
    assert_eq!(log.does(leave("b2", &["disk"])), last("b2", "disk"), "the newer one is damaged");
    log.does(leave("b1", &["bucket"])).unwrap();
    log.index += GRACE as u64;
    let verified = Some(Verified { at_ms: 1, fault: Some("object 1".into()) });
    log.state.backups.catalogue.get_mut("b2").unwrap().verified = verified;
    assert_eq!(log.does(remove("r", "b1", "disk")), last("b1", "disk"), "damaged since it was marked");
}

/// `b4` adds to `b3`, and `b5` to `b4`; `b6` is a full one.
fn chained() -> Log {
    let mut log = kept();
    for (number, base) in [(4, Some("b3")), (5, Some("b4")), (6, None)] {
        made(&mut log, number, base);
    }
    log
}

fn made(log: &mut Log, number: i64, base: Option<&str>) {
    let (task, backup) = (format!("t{number}"), format!("b{number}"));
    let kind = BackupKind::Incremental;
    log.does(begin_task(&task, BackupWork::Make { backup, kind, at_writer: false, full_speed: false }))
        .unwrap();
    let (stores, base) = (vec!["disk".to_owned(), "bucket".to_owned()], base.map(Into::into));
    let backup = Backup { began_ms: number, stores, base, node: name("db2"), ..Backup::default() };
    log.by("db2", Change::BackupMade { task: id(&task), backup: Box::new(backup) }).unwrap();
}

/// By its rules, so that others take it back.
#[test]
fn what_a_rule_marked_can_stay_and_what_somebody_wants_gone_goes() {
    let mut log = chained();
    let by_rule = |backup: &str| {
        let (backup, stores, by) = (backup.to_owned(), vec!["disk".to_owned()], "retention".to_owned());
        Change::LeaveStores { backup, stores, by, by_rule: true }
    };
    let stay = |backup: &str| Change::StayInStore { backup: backup.into(), store: "disk".into() };
    for backup in ["b5", "b4", "b3"] {
        log.does(by_rule(backup)).unwrap();
    }
    log.does(stay("b4")).unwrap();
    let leaves = |log: &Log, backup: &str| !log.state.backups.catalogue[backup].leaving.is_empty();
    assert_eq!(["b3", "b4", "b5"].map(|backup| leaves(&log, backup)), [false, false, true], "with its base");
    assert_eq!(log.does(stay("b4")), not_leaving("b4", "disk"));
    log.does(leave("b5", &["disk"])).unwrap();
    assert_eq!(log.does(stay("b5")), not_leaving("b5", "disk"), "somebody wants that");
}

#[test]
fn rules_go_by_the_leaders_clock() {
    let mut log = chained();
    made(&mut log, 7, None);
    let listed = &log.state.backups.catalogue["b7"];
    assert!(listed.began_ms > 7 && listed.began_ms < log.index as i64, "{listed:?}");
}

fn needed(backup: &str, store: &str, by: &str) -> Result<(), Refusal> {
    Err(Refusal::BackupNeeded(backup.into(), store.into(), by.into()))
}

#[test]
fn what_others_add_to_stays_until_they_are_gone() {
    let mut log = chained();
    assert_eq!(log.does(leave("b3", &["disk"])), needed("b3", "disk", "b4"));
    assert_eq!(log.does(leave("b4", &["disk"])), needed("b4", "disk", "b5"));
    for backup in ["b5", "b4", "b3"] {
        log.does(leave(backup, &["disk"])).unwrap();
    }
    assert_eq!(log.does(leave("b3", &["bucket"])), needed("b3", "bucket", "b4"), "each store for itself");
    log.index += GRACE as u64;
    assert_eq!(log.does(remove("r", "b3", "disk")), needed("b3", "disk", "b4"), "it can be kept after all");
    for backup in ["b5", "b4", "b3"] {
        log.does(remove("r", backup, "disk")).unwrap();
        log.by("db2", removed("r")).unwrap();
    }
}

#[test]
fn one_that_is_kept_after_all_keeps_what_it_adds_to() {
    let mut log = chained();
    for backup in ["b5", "b4", "b3"] {
        log.does(leave(backup, &["disk", "bucket"])).unwrap();
    }
    log.does(pin("b4", true)).unwrap();
    let leaves = |log: &Log, backup: &str| !log.state.backups.catalogue[backup].leaving.is_empty();
    assert_eq!(["b3", "b4", "b5"].map(|backup| leaves(&log, backup)), [false, false, true]);
    assert_eq!(log.does(leave("b3", &["disk"])), needed("b3", "disk", "b4"));
}

#[test]
fn an_increment_that_is_made_meanwhile_keeps_its_base() {
    let mut log = chained();
    let work = BackupWork::Make {
        backup: "b7".into(),
        kind: BackupKind::Incremental,
        at_writer: false,
        full_speed: false,
    };
    made(&mut log, 8, None);
    log.does(begin_task("t7", work)).unwrap();
    log.does(leave("b6", &["disk", "bucket"])).unwrap();
    let (stores, base) = (vec!["disk".to_owned()], Some("b6".to_owned()));
    let backup = Backup { began_ms: 7, stores, base, full_because: None, ..Backup::default() };
    log.by("db2", Change::BackupMade { task: id("t7"), backup: Box::new(backup) }).unwrap();
    let leaving: Vec<_> = log.state.backups.catalogue["b6"].leaving.keys().collect();
    assert_eq!(leaving, ["bucket"], "where the increment is not");
}

#[test]
fn a_newer_one_counts_only_with_all_that_it_adds_to() {
    let mut log = kept();
    made(&mut log, 4, Some("b3"));
    assert_eq!(log.does(leave("b4", &["disk"])), last("b4", "disk"));
    log.does(begin_task("v", BackupWork::Verify { backup: "b3".into() })).unwrap();
    log.by("db2", Change::BackupVerified { task: id("v"), fault: Some("object 0".into()) }).unwrap();
    assert_eq!(log.does(leave("b2", &["disk"])), last("b2", "disk"), "b4 is good, and its base is not");
    let fault = log.state.backups.fault_of("b4");
    assert_eq!(fault.as_deref(), Some("b3 was found damaged"));
    made(&mut log, 5, None);
    log.does(leave("b2", &["disk"])).unwrap();
}

#[test]
fn the_list_forgets_a_chain_from_its_end() {
    let mut log = chained();
    for number in 7..=500 {
        log.state.backups.catalogue.insert(format!("c{number}"), Backup::default());
    }
    let forgotten = |log: &mut Log, number: i64| {
        let before = log.state.backups.catalogue.clone();
        made(log, number, None);
        let gone = before.keys().find(|id| !log.state.backups.catalogue.contains_key(*id));
        gone.cloned().unwrap_or_default()
    };
    log.state.backups.catalogue.get_mut("b2").unwrap().is_pinned = true;
    assert_eq!([81, 82, 83].map(|number| forgotten(&mut log, number)), ["b1", "b5", "b4"]);
}

/// What a group agreed on before there were increments.
#[test]
fn an_entry_of_an_earlier_release_is_a_full_one() {
    let mut old = serde_json::to_value(Backup { node: name("db2"), ..Backup::default() }).unwrap();
    for key in ["base", "full_because", "lineage", "to_lsn"] {
        assert!(old.as_object_mut().unwrap().remove(key).is_some(), "{key}");
    }
    let backup: Backup = serde_json::from_value(old).unwrap();
    assert_eq!(backup, Backup { node: name("db2"), ..Backup::default() });
    let make = r#"{"make":{"backup":"b1","at_writer":false,"full_speed":false}}"#;
    let work: BackupWork = serde_json::from_str(make).unwrap();
    assert!(matches!(work, BackupWork::Make { kind: BackupKind::Full, .. }));
    let schedule: Schedule =
        serde_json::from_str(r#"{"cron":"0 2 * * *","zone":"UTC","at_writer":false}"#).unwrap();
    assert_eq!(schedule.kind, BackupKind::Full);
}
