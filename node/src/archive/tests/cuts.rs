use std::fs;
use std::path::PathBuf;

use mysql_async::binlog::BinlogVersion;
use mysql_async::binlog::events::{Event, FormatDescriptionEvent};

use crate::archive::cut::{Cut, Cutter};
use crate::archive::entry::{Origin, Timeline};
use crate::archive::segment::Segment;
use crate::archive::spool::{Left, Spool, Waiting, left};
use crate::gtid::{Dialect, GtidSet};
use crate::sql::binlog_event::kind;

fn event(kind: u8, data: &[u8]) -> Event {
    let mut bytes = 1_700_000_000u32.to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(u32::try_from(19 + data.len()).unwrap().to_le_bytes());
    bytes.extend([0; 6]);
    bytes.extend(data);
    Event::read(&FormatDescriptionEvent::new(BinlogVersion::Version4), bytes.as_slice()).unwrap()
}

/// Of MariaDB, without checksums.
pub(super) fn format() -> Event {
    let mut data = vec![4, 0];
    data.extend(b"10.11.19-MariaDB-log");
    data.resize(2 + 50, 0);
    data.extend([0, 0, 0, 0, 19]);
    data.extend([0; 163]);
    data.extend([0; 5]);
    event(kind::FORMAT, &data)
}

pub(super) fn gtid(sequence: u64, flags: u8) -> Event {
    let mut data = sequence.to_le_bytes().to_vec();
    data.extend(0_u32.to_le_bytes());
    data.push(flags);
    data.extend([0; 6]);
    event(kind::MARIADB_GTID, &data)
}

pub(super) fn query(text: &str) -> Event {
    let mut data = vec![0; 13];
    data[8] = 4;
    data.extend(b"shop\0");
    data.extend(text.as_bytes());
    event(kind::QUERY, &data)
}

pub(super) fn maria(text: &str) -> GtidSet {
    GtidSet::Mariadb(text.parse().unwrap())
}

/// How each event is judged: `b`egins with its GTIDs, `w`ithin, `e`nds, `s`kip, `f`ile.
fn judged(cutter: &mut Cutter, events: &[Event]) -> String {
    let mut said = String::new();
    for event in events {
        said += &match cutter.judge(event).unwrap() {
            Cut::File => "f".to_owned(),
            Cut::Skip => "s".to_owned(),
            Cut::Begins(begun) => match begun.unlogged {
                None => format!("b({})", begun.gtids),
                Some(unlogged) => format!("b({} after {unlogged})", begun.gtids),
            },
            Cut::Within => "w".to_owned(),
            Cut::Ends => "e".to_owned(),
        };
    }
    said
}

#[test]
fn a_transaction_ends_where_the_server_says() {
    let mut cutter = Cutter::new(&maria("0-1-100"));
    let xid = || event(kind::XID, &7_u64.to_le_bytes());
    let rows =
        [gtid(101, 0), query("BEGIN"), event(30, &[1]), query("ROLLBACK TO `s`"), xid(), event(161, &[])];
    assert_eq!(judged(&mut cutter, &rows), "b(0-1-101..101)wwwes");
    let not_in_one = [gtid(102, 0), query("INSERT"), query("COMMIT"), query("stray")];
    assert_eq!(judged(&mut cutter, &not_in_one), "b(0-1-102..102)wes");
    let statement = [gtid(103, 1), event(160, b"ALTER"), event(5, &[2; 9]), query("ALTER TABLE t")];
    assert_eq!(judged(&mut cutter, &statement), "b(0-1-103..103)wwe");
    let prepared = [gtid(107, 64), query("XA START"), event(kind::XA_PREPARE, &[0; 9])];
    assert_eq!(judged(&mut cutter, &prepared), "b(0-1-104..107)we", "nobody else has 104 to 106");
    let cut_off = [gtid(108, 0), query("BEGIN"), format(), query("COMMIT")];
    assert_eq!(judged(&mut cutter, &cut_off), "b(0-1-108..108)wfs");
}

#[test]
fn what_was_never_logged_is_told() {
    let mut cutter = Cutter::new(&GtidSet::empty(Dialect::Mariadb));
    assert_eq!(judged(&mut cutter, &[gtid(51, 0)]), "b(0-1-51..51 after 0-1-50)");
    let mut cutter = Cutter::new(&GtidSet::empty(Dialect::Mariadb));
    assert_eq!(judged(&mut cutter, &[gtid(1, 0)]), "b(0-1-1)");
    assert!(cutter.judge(&event(kind::ANONYMOUS_GTID, &[0; 42])).is_err());
}

pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("baton-archive-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// One transaction, and the beginning of another.
fn grown(spool: &Spool) -> Segment {
    let mut segment = Segment::begin(&spool.part(), spool.room(), &format(), maria("0-1-100")).unwrap();
    let mut cutter = Cutter::new(&maria("0-1-100"));
    let events = [gtid(101, 0), query("BEGIN"), query("COMMIT"), gtid(102, 0), query("BEGIN")];
    for event in events {
        match cutter.judge(&event).unwrap() {
            Cut::Begins(begun) => segment.begins(&event, *begun).unwrap(),
            Cut::Within => segment.within(&event).unwrap(),
            Cut::Ends => segment.ends(&event).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    segment
}

#[tokio::test]
async fn a_segment_is_a_binlog_file_that_ends_with_a_whole_transaction() {
    let folder = Folder::new("segment");
    let spool = Spool::open(&folder.0, 0).await.unwrap();
    let (path, span) = grown(&spool).finish().unwrap().unwrap();
    assert_eq!((span.after, span.added, span.transactions), (maria("0-1-100"), maria("0-1-101..101"), 1));
    assert_eq!((span.first_ms, span.last_ms), (1_700_000_000_000, 1_700_000_000_000));
    let bytes = fs::read(path).unwrap();
    assert_eq!(bytes[..4], [0xfe, b'b', b'i', b'n']);
    let (mut at, mut kinds) = (4, Vec::new());
    while at < bytes.len() {
        let number = |from: usize| u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap()) as usize;
        kinds.push(bytes[at + 4]);
        let end = at + number(at + 9);
        assert_eq!(number(at + 13), end, "an event says where it ends");
        at = end;
    }
    assert_eq!(kinds, [kind::FORMAT, kind::MARIADB_GTID_LIST, kind::MARIADB_GTID, kind::QUERY, kind::QUERY]);
}

#[tokio::test]
async fn the_spool_lists_what_is_whole_and_nothing_else() {
    let folder = Folder::new("spool");
    let spool = Spool::open(&folder.0, 0).await.unwrap();
    let (part, span) = grown(&spool).finish().unwrap().unwrap();
    let server = Origin { node: "db2".into(), version: "10.11".into(), is_writer: false };
    let timeline = Timeline { epoch: 3, reset: 0 };
    let waiting = Waiting { cluster: "shop".into(), timeline, span, server };
    spool.keep(&part, &waiting).unwrap();
    drop(grown(&spool));
    fs::write(folder.0.join("0000000003-0.abc.binlog"), "its entry was never written").unwrap();
    drop(spool);
    let spool = Spool::open(&folder.0, 0).await.unwrap();
    assert_eq!(spool.waiting().unwrap(), std::slice::from_ref(&waiting));
    assert!(!spool.part().exists() && spool.content(&waiting).exists());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 3, "these two and the lock");
    assert!(spool.bytes().unwrap() > 200);
    spool.remove(&waiting).unwrap();
    assert_eq!(spool.waiting().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_spool_has_one_user_and_the_next_one_waits_for_it() {
    let folder = Folder::new("locked");
    let first = Spool::open(&folder.0, 0).await.unwrap();
    fs::write(first.part(), "it grows").unwrap();
    let why = Spool::open(&folder.0, 0).await.unwrap_err();
    assert!(why.starts_with("another process archives from "), "{why}");
    assert!(first.part().exists(), "the second one has removed what grows");
    let clone = first.clone();
    drop(first);
    let ends = async {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        drop(clone);
    };
    let (next, ()) = tokio::join!(Spool::open(&folder.0, 0), ends);
    assert!(!next.unwrap().part().exists());
}

#[tokio::test]
async fn a_transaction_that_the_disk_has_no_room_for_leaves_what_was_whole() {
    let folder = Folder::new("room");
    // More is to stay free than any disk has.
    let spool = Spool::open(&folder.0, u64::MAX).await.unwrap();
    assert!(spool.room().lacking().unwrap().is_some());
    let mut segment = grown(&spool);
    let large = query(&"x".repeat(5 << 20));
    let why = segment.within(&large).unwrap_err();
    assert!(why.contains(" MiB are free on the disk of ") && why.contains("archive.keep_free_mib"), "{why}");
    let (part, span) = segment.finish().unwrap().unwrap();
    assert_eq!((span.added, span.transactions), (maria("0-1-101..101"), 1));
    assert!(fs::metadata(&part).unwrap().len() < 1 << 20);
    spool.discard();
    assert!(!part.exists());
    let roomy = Folder::new("roomy");
    let spool = Spool::open(&roomy.0, 1).await.unwrap();
    assert_eq!((spool.room().lacking(), grown(&spool).within(&large)), (Ok(None), Ok(())));
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_and_the_rest_goes_on() {
    let folder = Folder::new("aside");
    assert_eq!(left(&folder.0), Ok(Left::default()), "there is no folder yet");
    let spool = Spool::open(&folder.0, 0).await.unwrap();
    let mut kept = Vec::new();
    for epoch in 1..=4 {
        let (part, span) = grown(&spool).finish().unwrap().unwrap();
        let server = Origin { node: "db2".into(), version: "10.11".into(), is_writer: false };
        let timeline = Timeline { epoch, reset: 0 };
        let waiting = Waiting { cluster: "shop".into(), timeline, span, server };
        spool.keep(&part, &waiting).unwrap();
        kept.push(waiting);
    }
    let content = |at: usize| spool.content(&kept[at]);
    fs::write(content(0).with_extension("json"), "{}").unwrap();
    fs::remove_file(content(1)).unwrap();
    fs::write(content(2), "no binlog").unwrap();
    assert_eq!(left(&folder.0), Ok(Left { waiting: 4, aside: 0 }));
    assert_eq!(spool.waiting().unwrap(), [kept[3].clone()]);
    assert_eq!(left(&folder.0), Ok(Left { waiting: 1, aside: 3 }));
    drop(spool);
    let spool = Spool::open(&folder.0, 0).await.unwrap();
    assert_eq!(spool.waiting().unwrap(), [kept[3].clone()]);
    assert_eq!(left(&folder.0), Ok(Left { waiting: 1, aside: 3 }), "nobody but people removes it");
}
