//! Backups: one task at a time, begun once, and nothing listed that its node did not say is whole.

use super::*;

fn make(id_: &str, node: &str, at_writer: bool) -> Change {
    let work = BackupWork::Make {
        backup: format!("of-{id_}"),
        kind: BackupKind::Full,
        at_writer,
        full_speed: false,
    };
    task(id_, node, work)
}

fn verify(id_: &str, node: &str, backup: &str) -> Change {
    task(id_, node, BackupWork::Verify { backup: backup.into() })
}

fn task(id_: &str, node: &str, work: BackupWork) -> Change {
    let (id, node, by) = (id(id_), name(node), "ada".to_owned());
    Change::BeginBackup(BackupTask { id, node, work, by, started_ms: 0, begun: true, slot: None })
}

fn begun(task: &str) -> Change {
    Change::BackupBegun { task: id(task) }
}

fn made(task: &str) -> Change {
    Change::BackupMade { task: id(task), backup: Box::new(Backup { node: name("db2"), ..Backup::default() }) }
}

fn verified(task: &str, fault: Option<&str>) -> Change {
    Change::BackupVerified { task: id(task), fault: fault.map(Into::into) }
}

#[test]
fn one_at_a_time_and_never_the_writer_unless_allowed() {
    let mut log = Log::formed();
    assert_eq!(log.does(make("1", "db2", false)), Err(Refusal::Observing));
    let mut log = Log::adopted();
    assert_eq!(log.does(make("1", "db1", false)), Err(Refusal::BackupOfWriter(name("db1"))));
    assert_eq!(log.does(make("1", "app1", false)), Err(Refusal::Witness(name("app1"))));
    assert_eq!(log.does(make("1", "db9", false)), Err(Refusal::NoSuchNode(name("db9"))));
    log.does(make("1", "db2", false)).unwrap();
    assert_eq!(log.does(make("2", "db3", false)), Err(Refusal::BackupUnderWay(name("db2"))));
    let end = || Change::EndBackup { task: id("1"), why: "asked for".into(), by_hand: true };
    log.does(end()).unwrap();
    assert_eq!(log.does(end()), Err(Refusal::BackupMoved));
    log.does(make("2", "db1", true)).unwrap();
}

#[test]
fn it_begins_once_and_only_its_node_ends_it_well() {
    let mut log = Log::adopted();
    log.does(make("1", "db2", false)).unwrap();
    assert_eq!(log.by("db3", begun("1")), Err(Refusal::BackupMoved));
    log.by("db2", begun("1")).unwrap();
    assert_eq!(log.by("db2", begun("1")), Err(Refusal::BackupBegun), "a restarted node");
    assert_eq!(log.by("db3", made("1")), Err(Refusal::BackupMoved));
    assert_eq!(log.by("db2", verified("1", None)), Err(Refusal::BackupMoved), "it is no such task");
    log.by("db2", made("1")).unwrap();
    assert!(log.state.backups.task.is_none() && log.state.backups.catalogue.contains_key("of-1"));
    assert_eq!(log.by("db2", made("1")), Err(Refusal::BackupMoved));
    assert_eq!(log.does(make("1", "db2", false)), Err(Refusal::BackupExists("of-1".into())));
}

#[test]
fn a_look_at_one_is_kept_with_it() {
    let mut log = Log::adopted();
    assert_eq!(log.does(verify("v", "db2", "of-1")), Err(Refusal::NoSuchBackup("of-1".into())));
    log.does(make("1", "db2", false)).unwrap();
    log.by("db2", made("1")).unwrap();
    log.does(verify("v", "db2", "of-1")).unwrap();
    assert_eq!(log.by("db2", made("v")), Err(Refusal::BackupMoved), "it makes none");
    log.by("db2", verified("v", Some("object 1 is damaged"))).unwrap();
    let found = log.state.backups.catalogue["of-1"].verified.clone().unwrap();
    assert_eq!(found.fault.as_deref(), Some("object 1 is damaged"));
    assert_eq!(log.state.backups.ended.back().unwrap().error.as_deref(), Some("object 1 is damaged"));
    log.does(verify("w", "db3", "of-1")).unwrap();
    log.by("db3", verified("w", None)).unwrap();
    assert_eq!(log.state.backups.catalogue["of-1"].verified.clone().unwrap().fault, None, "mended");
}

#[test]
fn the_task_of_a_node_that_leaves_ends() {
    let mut log = Log::adopted();
    log.does(make("1", "db3", false)).unwrap();
    log.does(Change::DropMember { node: name("db3") }).unwrap();
    assert!(log.state.backups.task.is_none());
    assert_eq!(log.state.backups.ended.back().unwrap().error.as_deref(), Some("db3 was removed"));
}

fn scan(id_: &str) -> Change {
    task(id_, "db2", BackupWork::Scan)
}

fn found(id_: &str, all: &[(&str, &str, &[&str])]) -> Change {
    let backup = |(name_, manifest, stores): &(&str, &str, &[&str])| {
        let stores = stores.iter().map(|store| (*store).to_owned()).collect();
        let manifest_blake3 = (*manifest).to_owned();
        let backup =
            Backup { node: name("db9"), manifest_blake3, stores, ended_ms: i64::MAX, ..Backup::default() };
        ((*name_).to_owned(), backup)
    };
    Change::BackupsFound { task: id(id_), found: all.iter().map(backup).collect() }
}

#[test]
fn what_a_scan_found_is_listed_once_and_what_was_agreed_stays() {
    let mut log = Log::adopted();
    assert_eq!(
        log.by("db2", found("s", &[("b1", "m", &["disk"])])),
        Err(Refusal::BackupMoved),
        "nobody looks"
    );
    log.does(scan("s")).unwrap();
    assert_eq!(
        log.by("db3", found("s", &[("b1", "m", &["disk"])])),
        Err(Refusal::BackupMoved),
        "another node"
    );
    let all: [(&str, &str, &[&str]); 4] =
        [("b1", "m1", &["disk"]), ("b2", "m2", &["disk"]), ("../b3", "m3", &["disk"]), ("b4", "m4", &[])];
    for _ in 0..2 {
        log.by("db2", found("s", &all)).unwrap();
        let ids: Vec<_> = log.state.backups.catalogue.keys().cloned().collect();
        assert_eq!(ids, ["b1", "b2"], "none without a name or a store");
    }
    let listed = &log.state.backups.catalogue["b1"];
    assert!(listed.is_pinned, "no rule removes it before somebody has looked");
    assert_eq!((listed.keeper(), &listed.node), (&name("db2"), &name("db9")));
    assert!(listed.ended_ms <= log.index as i64, "its clock was ahead");
    log.does(Change::PinBackup { backup: "b1".into(), is_pinned: false, by: "ada".into() }).unwrap();
    let again: [(&str, &str, &[&str]); 2] =
        [("b1", "m1", &["bucket", "disk"]), ("b2", "another", &["bucket"])];
    log.by("db2", found("s", &again)).unwrap();
    let of = |log: &Log, backup: &str| log.state.backups.catalogue[backup].stores.clone();
    assert_eq!(of(&log, "b1"), ["disk", "bucket"]);
    assert_eq!(of(&log, "b2"), ["disk"], "it is another backup");
    assert!(!log.state.backups.catalogue["b1"].is_pinned, "that was agreed on");
    let over = |task: &str| Change::BackupsScanned { task: id(task), note: "2 found".into() };
    assert_eq!(log.by("db3", over("s")), Err(Refusal::BackupMoved));
    log.by("db2", over("s")).unwrap();
    assert_eq!(log.state.backups.ended.back().unwrap().note.as_deref(), Some("2 found"));
    log.does(make("1", "db2", false)).unwrap();
    assert_eq!(log.by("db2", over("1")), Err(Refusal::BackupMoved), "it makes one");
}

/// An increment is listed where what it adds to is, and nowhere else.
#[test]
fn what_a_scan_found_is_listed_with_what_it_adds_to() {
    let mut log = Log::adopted();
    log.does(scan("s")).unwrap();
    let of = |base: Option<&str>, stores: &[&str]| {
        let stores = stores.iter().map(|store| (*store).to_owned()).collect();
        Backup { base: base.map(Into::into), stores, ..Backup::default() }
    };
    let tell = |log: &mut Log, id_: &str, backup: Backup| {
        log.by("db2", Change::BackupsFound { task: id("s"), found: vec![(id_.to_owned(), backup)] }).unwrap();
        log.state.backups.catalogue.get(id_).map(|listed| listed.stores.join(" ")).unwrap_or_default()
    };
    assert_eq!(tell(&mut log, "b2", of(Some("b1"), &["disk"])), "", "its base is not listed");
    assert_eq!(tell(&mut log, "b1", of(None, &["disk", "bucket"])), "disk bucket");
    let leaving = Leaving { begun: true, ..Leaving::default() };
    log.state.backups.catalogue.get_mut("b1").unwrap().leaving.insert("bucket".into(), leaving);
    assert_eq!(tell(&mut log, "b2", of(Some("b1"), &["disk", "bucket", "tape"])), "disk");
    assert!(log.state.backups.catalogue["b1"].leaving["bucket"].begun, "what is left there may be no backup");
}
