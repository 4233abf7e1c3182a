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
        let work = BackupWork::Make { backup: format!("b{number}"), at_writer: false, full_speed: false };
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
    Change::LeaveStores { backup: backup.into(), stores, by: "ada".into() }
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
    log.does(Change::EndBackup { task: id("r"), why: why.clone(), by_hand: false }).unwrap();
    let leaving = &log.state.backups.catalogue["b1"].leaving["disk"];
    assert_eq!(leaving.failed, Some((log.index as i64, why)));
    log.does(remove("s", "b1", "disk")).unwrap();
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
