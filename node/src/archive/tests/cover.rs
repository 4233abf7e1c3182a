use crate::archive::coverage::{Coverage, Piece, Stretch, begun_anew, coverage};
use crate::archive::entry::{Span, Timeline};
use crate::archive::plan::{Plan, Reading, plan};
use crate::archive::run::found;
use crate::gtid::GtidSet;
use crate::sql::OwnId;

const A: &str = "aaaaaaaa-71ca-11e1-9e33-c80aa9429562";
const B: &str = "bbbbbbbb-71ca-11e1-9e33-c80aa9429562";

/// `a1-5b3` is what server a wrote as 1 to 5, and server b as 3.
pub(super) fn my(text: &str) -> GtidSet {
    GtidSet::parse_mysql(&text.replace('a', &format!(",{A}:")).replace('b', &format!(",{B}:"))).unwrap()
}

pub(super) fn maria(text: &str) -> GtidSet {
    GtidSet::Mariadb(text.parse().unwrap())
}

pub(super) fn at(epoch: u64, reset: u32, after: GtidSet, added: GtidSet, ms: u64) -> Piece {
    let transactions = added.count();
    let span = Span { after, added, transactions, first_ms: ms, last_ms: ms + 9 };
    Piece { timeline: Timeline { epoch, reset }, writer: None, span }
}

pub(super) fn piece(epoch: u64, after: &str, added: &str, ms: u64) -> Piece {
    at(epoch, 0, my(after), my(added), ms)
}

fn covered(pieces: &[Piece]) -> Coverage {
    coverage(pieces).unwrap().unwrap()
}

#[test]
fn pieces_in_any_order_and_overlapping_are_one_window() {
    assert_eq!(coverage(&[]), Ok(None));
    let pieces =
        [piece(2, "a1-8", "b1-2", 300), piece(1, "a1-3", "a4-6", 100), piece(1, "a1-4", "a5-8", 150)];
    let found = covered(&pieces);
    assert_eq!((found.base, found.holes, found.side), (my("a1-3"), my(""), my("")));
    assert_eq!(found.archived, my("a4-8b1-2"));
    let [window] = found.windows.as_slice() else { panic!("{:?}", found.windows) };
    assert_eq!((&window.from, &window.to), (&my("a1-3"), &my("a1-8b1-2")));
    assert_eq!((window.first_ms, window.last_ms), (100, 309));
}

#[test]
fn a_hole_is_what_the_line_has_and_nobody_archived() {
    let found = covered(&[piece(1, "a1-3", "a4-6", 100), piece(1, "a1-9", "a10-12", 200)]);
    assert_eq!((found.holes, found.side), (my("a7-9"), my("")));
    let windows: Vec<_> = found.windows.iter().map(|w| (w.from.clone(), w.to.clone())).collect();
    assert_eq!(windows, [(my("a1-3"), my("a1-6")), (my("a1-9"), my("a1-12"))]);
    let late = [piece(1, "a1-3", "a4-6", 100), piece(1, "a1-9", "a10-12", 200), piece(1, "a1-6", "a7-9", 90)];
    assert_eq!(covered(&late).holes, my(""), "it was archived after all");
    assert_eq!(covered(&late).windows.len(), 1);
    // Read of another server, in two segments, which was told that 10 to 12 are archived.
    let still = |pieces: &[Piece]| covered(pieces).still_lacks(&my("a7-9")).unwrap();
    assert_eq!((still(&late[..2]), still(&late)), (my("a7-9"), my("")), "until it is archived");
    assert_eq!(still(&late[1..2]), my(""), "or what went before it was removed");
    let in_two = [
        piece(1, "a1-3", "a4-6", 100),
        piece(1, "a1-9", "a10-12", 200),
        piece(1, "a1-6a10-12", "a7-8", 90),
        piece(1, "a1-8a10-12", "a9", 95),
    ];
    assert_eq!(covered(&in_two).windows.len(), 1, "{:?}", covered(&in_two));
    let found = covered(&in_two[..3]);
    assert_eq!((found.windows.len(), found.holes), (2, my("a9")));
    assert_eq!((&found.windows[0].to, &found.windows[1].from), (&my("a1-8"), &my("a1-9")));
}

#[test]
fn what_the_cluster_went_on_without_is_a_side_line() {
    // a died with 6 and 7; b went on after 5.
    let found = covered(&[piece(1, "a1-3", "a4-7", 100), piece(2, "a1-5", "b1-2", 200)]);
    assert_eq!((found.holes, found.side), (my(""), my("a6-7")));
    let [window] = found.windows.as_slice() else { panic!("{:?}", found.windows) };
    assert_eq!(window.to, my("a1-5b1-2"));
    let maria_pieces = [
        at(1, 0, maria("0-1-100"), maria("0-1-101..105"), 1),
        at(2, 0, maria("0-1-103"), maria("0-2-104..106"), 2),
    ];
    let found = covered(&maria_pieces);
    assert_eq!((found.holes.count(), found.side.to_string()), (0, "0-1-104..105".into()));
}

#[test]
fn numbers_that_are_used_again_after_a_reset_are_another_history() {
    let pieces = [piece(1, "", "a1-9", 100), at(1, 1, my(""), my("a1-2"), 200)];
    let found = covered(&pieces);
    assert_eq!((found.archived, found.line.clone(), found.side), (my("a1-2"), my("a1-2"), my("")));
}

fn planned(pieces: &[Piece], epoch: u64, is_writer: bool, executed: &str, purged: &str) -> Plan {
    let writer = is_writer.then(|| "db1".to_owned());
    let own_id = OwnId::Uuid(A.parse().unwrap());
    plan(pieces, &Reading { epoch, writer, own_id, executed: my(executed), purged: my(purged) }).unwrap()
}

#[test]
fn reading_goes_on_where_the_archive_ends() {
    let fresh = planned(&[], 1, true, "a1-9", "a1-4");
    assert_eq!((fresh.start, fresh.gap), (my("a1-4"), my("")), "what was purged is before its beginning");
    let pieces = [piece(1, "a1-3", "a4-6", 100)];
    let next = planned(&pieces, 2, false, "a1-9b1", "a1-2");
    assert_eq!((next.start, next.gap), (my("a1-6"), my("")));
    assert_eq!(next.timeline, Timeline { epoch: 2, reset: 0 });
    let behind = planned(&pieces, 2, false, "a1-5", "");
    assert_eq!(behind.start, my("a1-5"), "it is asked for nothing that it does not have");
    let purged = planned(&pieces, 2, false, "a1-12", "a1-8");
    assert_eq!((purged.start, purged.gap), (my("a1-8"), my("a7-8")));
    let leapt = [pieces[0].clone(), piece(2, "a1-8", "a9-10", 200)];
    assert_eq!(planned(&leapt, 2, false, "a1-12", "a1-8").gap, my(""), "that hole is known");
}

#[test]
fn mariadb_is_read_from_the_first_hole_on() {
    let pieces = [
        at(1, 0, maria("0-1-100"), maria("0-1-101..110"), 1),
        at(2, 0, maria("0-1-120"), maria("0-2-121..130"), 2),
    ];
    let at = |executed: &str, purged: &str| {
        let (executed, purged) = (maria(executed), maria(purged));
        let own_id = OwnId::Id(2);
        plan(&pieces, &Reading { epoch: 2, writer: None, own_id, executed, purged }).unwrap()
    };
    assert_eq!(at("0-1-120,0-2-140", "").start, maria("0-1-110"), "it has what is missing");
    let purged = at("0-1-120,0-2-140", "0-1-120");
    assert_eq!(purged.start, maria("0-1-120,0-2-130"), "it cannot send what is missing");
}

#[test]
fn a_writer_that_lacks_what_was_archived_in_its_epoch_was_reset() {
    let pieces = [piece(1, "", "a1-9", 100)];
    let again = planned(&pieces, 1, true, "a1-2", "");
    assert_eq!((again.timeline.reset, again.start), (1, my("")), "1 and 2 are other transactions now");
    assert_eq!(planned(&pieces, 1, false, "a1-2", "").timeline.reset, 0, "a replica may be behind");
    assert_eq!(planned(&pieces, 2, true, "a1-2b1", "").timeline.reset, 0, "a failover may lose some");
    let both = [pieces[0].clone(), at(1, 1, my(""), my("a1-2"), 200)];
    let next = planned(&both, 2, true, "a1-4", "");
    assert_eq!((next.timeline, next.start), (Timeline { epoch: 2, reset: 1 }, my("a1-2")));
}

#[test]
fn the_tail_of_an_older_writer_is_no_reset() {
    // b died with its 4 and 5, and came back with them as a replica of a, which was read in a's epoch.
    let tail = piece(2, "b1-3", "a1b4-5", 100);
    let planned_then = |pieces: &[Piece]| planned(pieces, 2, true, "a1-2b1-3", "");
    let next = planned_then(std::slice::from_ref(&tail));
    assert_eq!(next.timeline, Timeline { epoch: 2, reset: 0 });
    assert_eq!(next.start, my("a1b1-3"), "and nothing is asked for again");
    // The same, once it was read from a itself, which cannot have lost it otherwise.
    let read_there = Piece { writer: Some("db1".into()), ..tail.clone() };
    assert_eq!(planned_then(&[read_there]).timeline.reset, 1);
    let read_before = Piece { writer: Some("db2".into()), ..tail };
    assert_eq!(planned_then(&[read_before]).timeline.reset, 0);
    let maria_tail = [at(2, 0, maria("0-1-100"), maria("0-1-101..103"), 1)];
    let reset = |id| {
        let (executed, purged) = (maria("0-1-100,0-2-101"), maria(""));
        let reading =
            Reading { epoch: 2, writer: Some("db2".into()), own_id: OwnId::Id(id), executed, purged };
        plan(&maria_tail, &reading).unwrap().timeline.reset
    };
    assert_eq!((reset(2), reset(1)), (0, 1), "what it committed itself cannot be lost otherwise either");
}

#[test]
fn the_newest_stretches_are_told_with_as_many_sets_as_there_is_room_for() {
    let found = covered(&[piece(1, "a1-3", "a4-6", 100), piece(1, "a1-9", "a10-12", 200)]);
    let told = found.stretches();
    let sets = |from, to| Some((my(from), my(to)));
    assert_eq!(told[0], Stretch { first_ms: 100, last_ms: 109, sets: sets("a1-3", "a1-6") });
    assert_eq!(told[1], Stretch { first_ms: 200, last_ms: 209, sets: sets("a1-9", "a1-12") });
    let sparse: String = (1..2_000).map(|n| format!(":{}", n * 2)).collect();
    let sparse = GtidSet::parse_mysql(&format!("{A}{sparse}")).unwrap();
    let long = |from: &str, ms| at(1, 0, sparse.union(&my(from)).unwrap(), my("b100"), ms);
    let found = covered(&[long("b1", 100), long("b1-3", 200), piece(1, "a1-5000b1-200", "b201", 300)]);
    let told: Vec<_> = found.stretches().iter().map(|stretch| stretch.sets.is_some()).collect();
    assert!(told.len() > 1 && told.last() == Some(&true) && told.contains(&false), "{told:?}");
    let text = serde_json::to_string(&found.stretches()).unwrap();
    assert!(text.len() < 20 << 10, "{}", text.len());
    let older: Stretch = serde_json::from_str("{\"first_ms\":1,\"last_ms\":2}").unwrap();
    assert_eq!(older, Stretch { first_ms: 1, last_ms: 2, sets: None }, "an earlier process tells no sets");
}

#[test]
fn what_is_sent_goes_on_with_the_newest_stretch() {
    let mut fresh = Stretch::begins(&my("a1-3"), 500);
    fresh.goes_on(&piece(1, "a1-3", "a4-6", 100).span).unwrap();
    fresh.goes_on(&piece(1, "a1-6", "a7", 600).span).unwrap();
    assert_eq!(fresh, Stretch { first_ms: 100, last_ms: 609, sets: Some((my("a1-3"), my("a1-7"))) });
    fresh.goes_on(&piece(1, "a1", "a2-3", 50).span).unwrap();
    assert_eq!(fresh.first_ms, 100, "that fills what came before it");
    assert!(fresh.goes_on(&at(1, 0, maria("0-1-1"), maria("0-1-2..2"), 1).span).is_err());
}

#[test]
fn a_history_that_was_begun_anew_has_a_beginning() {
    let old = piece(1, "", "a1-9", 100);
    let line = Timeline { epoch: 1, reset: 1 };
    assert_eq!(begun_anew(std::slice::from_ref(&old), Timeline { epoch: 1, reset: 0 }, 900), None);
    assert_eq!(begun_anew(std::slice::from_ref(&old), line, 900), Some(900), "nothing of it is archived yet");
    assert_eq!(begun_anew(&[old, at(1, 1, my(""), my("a1-2"), 200)], line, 900), Some(200));
}

/// The writer of epoch 1 had 6 and 7 alone when it was lost; nothing of epoch 2 is archived yet.
#[test]
fn what_the_cluster_went_on_without_is_no_part_of_the_newest_stretch() {
    let pieces = [piece(1, "a1-3", "a4-7", 100)];
    let newest = |epoch, executed: &str, purged: &str| {
        let found = found(&pieces, &planned(&pieces, epoch, false, executed, purged)).unwrap();
        assert_eq!((found.since_ms, found.stretches.len() - 1), (0, usize::from(!found.holes.is_empty())));
        found.stretches.last().unwrap().sets.clone().unwrap()
    };
    assert_eq!(newest(1, "a1-5", ""), (my("a1-3"), my("a1-7")), "a replica that lags, in the same epoch");
    assert_eq!(newest(2, "a1-5b1-2", ""), (my("a1-3"), my("a1-5")));
    let (from, to) = newest(2, "a1-5b1-9", "a1-5b1-4");
    assert_eq!((from, to), (my("a1-5b1-4"), my("a1-5b1-4")), "behind a hole");
}
