#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use mysql_async::binlog::BinlogVersion;
use mysql_async::binlog::events::{Event, FormatDescriptionEvent};

use super::files::Cutter;
use super::folder::Folder;
use super::manifest::{Manifest, archive_id};
use super::pick::{Picker, Verdict, gtid_of, kind, may_begin_with};
use super::render::{JOB, Job, render_folder};
use super::{ArchiveError, Archiver, BinlogArchiver, Extra, keep};
use crate::gtid::GtidSet;
use crate::sql::{Address, BinlogReader, Connector, TableColumn};
use crate::state::{ClusterState, Epoch, NodeName, Out, OutReason, Quarantine};

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn my(numbers: &str) -> GtidSet {
    GtidSet::parse_mysql(&format!("{UUID}:{numbers}")).unwrap()
}

fn maria(state: &str) -> GtidSet {
    GtidSet::Mariadb(state.parse().unwrap())
}

/// Ends with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("baton-quarantine-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn event(kind: u8, server_id: u32, data: &[u8]) -> Event {
    let mut bytes = 1_700_000_000u32.to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend(server_id.to_le_bytes());
    bytes.extend(u32::try_from(19 + data.len()).unwrap().to_le_bytes());
    bytes.extend([0; 6]);
    bytes.extend(data);
    Event::read(&FormatDescriptionEvent::new(BinlogVersion::Version4), bytes.as_slice()).unwrap()
}

/// Of MySQL 9.7.4, without checksums.
fn format() -> Event {
    let mut data = vec![4, 0];
    data.extend(b"9.7.4");
    data.resize(2 + 50, 0);
    data.extend([0, 0, 0, 0, 19]);
    let mut lengths = vec![0u8; 42];
    lengths[1] = 13;
    lengths[18] = 8;
    lengths[29..32].copy_from_slice(&[10, 10, 10]);
    lengths[32] = 42;
    data.extend(lengths);
    data.extend([0; 5]);
    event(kind::FORMAT, 1, &data)
}

fn rotate(to: &str) -> Event {
    let mut data = 4u64.to_le_bytes().to_vec();
    data.extend(to.as_bytes());
    event(kind::ROTATE, 1, &data)
}

fn gtid(number: u64) -> Event {
    let uuid: Vec<u8> = UUID.replace('-', "").as_bytes().chunks(2).map(hex).collect();
    let mut data = vec![1];
    data.extend(uuid);
    data.extend(number.to_le_bytes());
    data.extend([2; 1]);
    data.extend([0; 16]);
    event(kind::GTID, 1, &data)
}

fn hex(digits: &[u8]) -> u8 {
    u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
}

fn maria_gtid(domain: u32, server_id: u32, sequence: u64) -> Event {
    let mut data = sequence.to_le_bytes().to_vec();
    data.extend(domain.to_le_bytes());
    data.extend([0; 7]);
    event(kind::MARIADB_GTID, server_id, &data)
}

fn query(text: &str) -> Event {
    let mut data = vec![0; 13];
    data[8] = 4;
    data.extend(b"shop\0");
    data.extend(text.as_bytes());
    event(2, 1, &data)
}

fn xid() -> Event {
    event(16, 1, &7u64.to_le_bytes())
}

/// shop.t (INT, VARCHAR(20)).
fn table_map() -> Event {
    let mut data = vec![9, 0, 0, 0, 0, 0, 1, 0];
    data.extend(b"\x04shop\0\x01t\0");
    data.extend([2, 3, 15, 2, 80, 0, 0b10]);
    event(19, 1, &data)
}

fn write_rows(id: u32, text: &str) -> Event {
    let mut data = vec![9, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2, 0xff, 0];
    data.extend(id.to_le_bytes());
    data.push(u8::try_from(text.len()).unwrap());
    data.extend(text.as_bytes());
    event(30, 1, &data)
}

#[test]
fn an_event_names_its_gtid() {
    assert_eq!(gtid_of(&gtid(7)).unwrap(), Some(my("7")));
    assert_eq!(gtid_of(&maria_gtid(0, 3, 101)).unwrap(), Some(maria("0-3-101..101")));
    assert_eq!(gtid_of(&xid()).unwrap(), None);
    assert!(gtid_of(&event(kind::MARIADB_GTID, 1, &[1, 2])).is_err());
}

#[test]
fn reading_begins_with_a_file_before_which_nothing_wanted_came() {
    let cases = [
        (my("1-100"), my("101-103"), true),
        (my("1-101"), my("101-103"), false),
        (my("1-100"), my("50:101"), false),
        (maria("0-1-100"), maria("0-1-101..105"), true),
        (maria("0-1-103"), maria("0-1-101..105"), false),
        // The writer's own part of the line, which the extra ones do not belong to.
        (maria("0-1-95,0-2-100"), maria("0-1-101..105"), true),
        (GtidSet::parse_mysql("").unwrap(), my("1"), true),
    ];
    for (before, wanted, expected) in cases {
        assert_eq!(may_begin_with(&before, &wanted), expected, "{before} | {wanted}");
    }
}

#[test]
fn only_the_events_of_wanted_transactions_are_picked() {
    let mut picker = Picker::new(my("2:4"));
    let (one, two, three, four) = (my("1"), my("2"), my("3"), my("4"));
    let mut judge = |kind, gtid: Option<&GtidSet>| picker.judge(kind, gtid);
    assert_eq!(judge(kind::FORMAT, None), Verdict::Pass);
    assert_eq!(judge(kind::GTID, Some(&one)), Verdict::Pass);
    assert_eq!(judge(16, None), Verdict::Pass);
    assert_eq!(judge(kind::GTID, Some(&two)), Verdict::Begin);
    assert_eq!(judge(2, None), Verdict::Keep);
    assert_eq!(judge(27, None), Verdict::Pass, "a heartbeat is nobody's");
    assert_eq!(judge(16, None), Verdict::Keep);
    assert_eq!(judge(kind::ROTATE, None), Verdict::Pass);
    assert_eq!(judge(2, None), Verdict::Pass, "nothing goes on over the end of a file");
    assert_eq!(judge(kind::GTID, Some(&three)), Verdict::Pass);
    assert_eq!(judge(kind::GTID, Some(&four)), Verdict::Begin);
    assert_eq!(judge(kind::PAYLOAD, None), Verdict::Keep);
    assert_eq!(judge(30, None), Verdict::Pass, "it is in the payload already");
    assert!(picker.missing().is_empty());
    assert_eq!(picker.transactions(), 2);
}

#[test]
fn what_did_not_come_is_missing() {
    let mut picker = Picker::new(my("2-3"));
    picker.judge(kind::GTID, Some(&my("2")));
    assert_eq!(picker.missing(), my("3"));
    // A gap in MariaDB's numbers is no transaction; the last one is.
    let mut picker = Picker::new(maria("0-1-101..105"));
    picker.judge(kind::MARIADB_GTID, Some(&maria("0-1-101..101")));
    assert!(!picker.missing().is_empty());
    picker.judge(kind::MARIADB_GTID, Some(&maria("0-1-105..105")));
    assert!(picker.missing().is_empty());
}

#[test]
fn an_archive_has_one_name_and_an_epoch_of_its_own() {
    let (db1, db2) = (NodeName::from("db1"), NodeName::from("db2"));
    let id = archive_id(&db1, Epoch(2), &my("5-6"));
    assert!(id.starts_with("db1-e2-") && id.len() == 17, "{id}");
    assert_eq!(id, archive_id(&db1, Epoch(2), &my("5:6")), "the same set, written otherwise");
    for other in [
        archive_id(&db2, Epoch(2), &my("5-6")),
        archive_id(&db1, Epoch(3), &my("5-6")),
        archive_id(&db1, Epoch(2), &my("5")),
    ] {
        assert_ne!(id, other);
    }
}

/// Everything but the server: events in, files, SQL, manifest.
fn cut(folder: &Folder, id: &str) -> Manifest {
    let part = folder.begin(id).unwrap();
    let mut cutter = Cutter::new(&part, folder.room(), my("2:4"), "binlog.000001");
    let events = [
        rotate("binlog.000001\u{1}\u{2}S\u{3}"),
        format(),
        gtid(1),
        query("CREATE TABLE other (id INT)"),
        gtid(2),
        query("BEGIN"),
        table_map(),
        write_rows(7, "it's\nmine"),
        xid(),
        gtid(3),
        query("BEGIN"),
        xid(),
        rotate("binlog.000002"),
        format(),
        gtid(4),
        query("ALTER TABLE t ADD x INT"),
    ];
    for event in &events {
        cutter.take(event).unwrap();
    }
    let cut = cutter.finish().unwrap();
    assert_eq!((cut.transactions, cut.server_version.as_str()), (2, "9.7.4"));
    let tables: Vec<_> = cut.tables.into_iter().collect();
    assert_eq!(tables, [("shop".to_owned(), "t".to_owned())]);
    let columns = ["id", "text"].map(|name| TableColumn { name: name.into(), unsigned: false });
    let job = Job {
        head: vec!["head".into()],
        files: cut.files.iter().map(|f| f.name.clone()).collect(),
        columns: [("shop.t".to_owned(), columns.to_vec())].into(),
    };
    fs::write(part.join(JOB), serde_json::to_vec(&job).unwrap()).unwrap();
    render_folder(&part).unwrap();
    let manifest = Manifest {
        id: id.to_owned(),
        node: "db1".into(),
        epoch: Epoch(2),
        gtids: my("2:4"),
        transactions: cut.transactions,
        why: "a test".into(),
        quarantined_ms: 1,
        archived_ms: 2,
        server_version: cut.server_version,
        files: cut.files,
    };
    folder.finish(&part, &manifest).unwrap();
    manifest
}

#[test]
fn an_archive_holds_the_wanted_transactions_and_nothing_else() {
    let temporary = Temporary::new("holds");
    let folder = Folder::new(temporary.0.join("quarantine"));
    let manifest = cut(&folder, "a");
    let names: Vec<_> =
        manifest.files.iter().map(|f| (f.name.as_str(), f.from.as_deref().unwrap())).collect();
    assert_eq!(
        names,
        [("extra-binlog.000001.binlog", "binlog.000001"), ("extra-binlog.000002.binlog", "binlog.000002")]
    );
    let (sql, left) = folder.sql("a", 1 << 20).unwrap();
    assert_eq!(left, 0);
    insta::assert_snapshot!(sql);
    assert_eq!(folder.manifest("a").unwrap(), Some(manifest.clone()));
    folder.verify(&manifest).unwrap();
    let (some, left) = folder.sql("a", 60).unwrap();
    assert!(some.ends_with('\n') && left == sql.len() as u64 - some.len() as u64, "{some}");
}

/// A node that was restarted finds its archive and says again that it is there. The server is not asked.
#[tokio::test]
async fn an_archive_that_is_found_again_is_as_old_as_it_was() {
    let temporary = Temporary::new("again");
    let path = temporary.0.join("quarantine");
    let extra = Extra { node: "db1".into(), epoch: Epoch(2), gtids: my("2:4"), since_ms: 1 };
    let manifest = cut(&Folder::new(path.clone()), &extra.id());
    let nowhere = Connector::new(Address::Socket(temporary.0.join("no.sock")), "baton", "".into());
    let now = Arc::new(|| 99_000_i64);
    let archiver = BinlogArchiver::new(BinlogReader::new(nowhere), path, PathBuf::from("/bin/false"), now);
    let found = archiver.archive(&extra).await.unwrap();
    assert_eq!((found.at_ms, found.bytes > 0), (manifest.archived_ms, true), "{found:?}");
}

#[test]
fn what_was_not_finished_is_no_archive_and_is_written_anew() {
    let temporary = Temporary::new("half");
    let folder = Folder::new(temporary.0.join("quarantine"));
    let part = folder.begin("a").unwrap();
    fs::write(part.join("extra-binlog.000001.binlog"), "half").unwrap();
    assert_eq!(folder.manifest("a").unwrap(), None);
    cut(&folder, "a");
    assert!(!part.exists());
}

#[test]
fn a_damaged_archive_is_found_out_and_kept_aside() {
    let temporary = Temporary::new("damaged");
    let folder = Folder::new(temporary.0.join("quarantine"));
    let manifest = cut(&folder, "a");
    fs::write(folder.path("a").join("extra-binlog.000002.binlog"), "else").unwrap();
    assert!(matches!(folder.verify(&manifest), Err(ArchiveError::Damaged { .. })));
    cut(&folder, "a");
    folder.verify(&manifest).unwrap();
    assert_eq!(fs::read(folder.path("a.damaged-1").join("extra-binlog.000002.binlog")).unwrap(), b"else");
}

#[test]
fn a_name_leads_nowhere_else() {
    let temporary = Temporary::new("names");
    let folder = Folder::new(temporary.0.join("quarantine"));
    fs::write(temporary.0.join("manifest.json"), "{}").unwrap();
    for name in ["", ".", "..", "../quarantine/..", "/etc", "a.part"] {
        assert_eq!(folder.manifest(name).unwrap(), None, "{name}");
    }
}

#[test]
fn a_binlog_without_all_of_them_makes_no_archive() {
    let temporary = Temporary::new("missing");
    let folder = Folder::new(temporary.0.join("quarantine"));
    let part = folder.begin("a").unwrap();
    let mut cutter = Cutter::new(&part, folder.room(), my("2-3"), "binlog.000001");
    for event in [rotate("binlog.000001"), format(), gtid(2), query("BEGIN"), xid()] {
        cutter.take(&event).unwrap();
    }
    let ended = cutter.finish();
    assert!(matches!(ended, Err(ArchiveError::NotFound(missing)) if missing == my("3")));
}

#[test]
fn only_ones_own_quarantine_is_archived_and_once() {
    let mut state = ClusterState::default();
    let db1 = NodeName::from("db1");
    let mut quarantine = Quarantine::of(my("5"), Epoch(2));
    let out =
        |quarantine: &Quarantine| Out { reason: OutReason::Quarantine(quarantine.clone()), since_ms: 9 };
    assert_eq!(keep::due(&state, &db1), None);
    state.out.insert(db1.clone(), out(&quarantine));
    let due = keep::due(&state, &db1).unwrap();
    assert_eq!((due.epoch, due.gtids, due.since_ms), (Epoch(2), my("5"), 9));
    assert_eq!(keep::due(&state, &NodeName::from("db2")), None);
    quarantine.archive = Some("id".into());
    state.out.insert(db1.clone(), out(&quarantine));
    assert_eq!(keep::due(&state, &db1), None);
}
