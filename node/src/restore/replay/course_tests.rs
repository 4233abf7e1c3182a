#![allow(clippy::unwrap_used)]
use super::*;
use crate::archive::entry::Span;

const A: &str = "aaaaaaaa-71ca-11e1-9e33-c80aa9429562";
const B: &str = "bbbbbbbb-71ca-11e1-9e33-c80aa9429562";

/// `a1-5b3` is what server a wrote as 1 to 5, and server b as 3; anything with a `-` first is MariaDB's.
pub(in crate::restore::replay) fn set(text: &str) -> GtidSet {
    if text.starts_with(['a', 'b']) || text == "none" {
        let text = text.replace("none", "").replace('a', &format!(",{A}:")).replace('b', &format!(",{B}:"));
        return GtidSet::parse_mysql(&text).unwrap();
    }
    GtidSet::Mariadb(text.parse().unwrap())
}

pub(in crate::restore::replay) fn piece(epoch: u64, after: &str, added: &str, ms: u64) -> Piece {
    let (after, added) = (set(after), set(added));
    let span = Span { transactions: added.count(), after, added, first_ms: ms, last_ms: ms + 9 };
    Piece { timeline: Timeline { epoch, reset: 0 }, writer: None, span }
}

fn of(pieces: &[Piece], base: &str) -> (Vec<(usize, GtidSet)>, GtidSet) {
    let line = Line::of(pieces, 0).unwrap().unwrap();
    let found = course(pieces, &line, &set(base)).unwrap();
    (found.items.into_iter().map(|item| (item.piece, item.take)).collect(), found.missing)
}

fn takes(list: &[(usize, &str)]) -> Vec<(usize, GtidSet)> {
    list.iter().map(|(piece, take)| (*piece, set(take).numbers())).collect()
}

#[test]
fn segments_in_order_and_each_transaction_once() {
    let pieces = [
        piece(2, "a1-8", "b1-2", 300),
        piece(1, "a1-3", "a4-6", 100),
        piece(1, "a1-4", "a5-8", 150),
        piece(1, "a1-3", "a4-6", 100),
    ];
    let (items, missing) = of(&pieces, "a1-4");
    assert_eq!((items, missing), (takes(&[(3, "a5-6"), (2, "a7-8"), (0, "b1-2")]), set("none")));
    assert_eq!(of(&pieces, "a1-8b1-2").0, []);
    let (items, missing) = of(&pieces, "a1-2");
    assert_eq!((items, missing), (vec![], set("a3")), "the archive begins after the backup");
}

#[test]
fn a_hole_ends_it() {
    let pieces = [piece(1, "a1-3", "a4-6", 100), piece(1, "a1-9", "a10-12", 200)];
    assert_eq!(of(&pieces, "a1-3"), (takes(&[(0, "a4-6")]), set("a7-9")));
    assert_eq!(of(&pieces, "a1-9"), (takes(&[(1, "a10-12")]), set("none")), "the backup is behind it");
    let maria = [piece(1, "0-1-3", "0-1-4..6", 100), piece(1, "0-1-9", "0-1-10..12", 200)];
    assert_eq!(of(&maria, "0-1-3"), (takes(&[(0, "0-1-4..6")]), set("0-1-7..9").numbers()));
}

#[test]
fn what_was_filled_in_later_comes_before_what_it_was_told_of() {
    let pieces = [
        piece(1, "a1-3", "a4-6", 100),
        piece(1, "a1-9", "a10-12", 200),
        piece(1, "a1-6:10-12", "a7-8", 90),
        piece(1, "a1-8:10-12", "a9", 95),
    ];
    let expected = takes(&[(0, "a4-6"), (2, "a7-8"), (3, "a9"), (1, "a10-12")]);
    assert_eq!(of(&pieces, "a1-3"), (expected, set("none")));
}

#[test]
fn what_the_cluster_went_on_without_is_not_replayed() {
    // a died with 6 and 7; b went on after 5.
    let pieces = [piece(1, "a1-3", "a4-7", 100), piece(2, "a1-5", "b1-2", 200)];
    assert_eq!(of(&pieces, "a1-3"), (takes(&[(0, "a4-5"), (1, "b1-2")]), set("none")));
    let maria = [piece(1, "0-1-100", "0-1-101..105", 1), piece(2, "0-1-103", "0-2-104..106", 2)];
    let expected = takes(&[(0, "0-1-101..103"), (1, "0-2-104..106")]);
    assert_eq!(of(&maria, "0-1-100"), (expected, set("").numbers()));
    // The first server writes again: its id says no more that it had lost something.
    let again = [
        piece(1, "0-1-100", "0-1-101..105", 1),
        piece(2, "0-1-103", "0-2-104..110", 2),
        piece(3, "0-1-103,0-2-110", "0-1-111..115", 3),
    ];
    let expected = takes(&[(0, "0-1-101..103"), (1, "0-2-104..110"), (2, "0-1-111..115")]);
    assert_eq!(of(&again, "0-1-100").0, expected);
}

#[test]
fn a_hole_where_the_next_writer_began_is_not_filled_with_what_was_lost() {
    // What the second writer wrote first, 104 to 108, is archived nowhere, and the first one writes again later.
    let pieces = [
        piece(1, "0-1-100", "0-1-101..110", 1),
        piece(2, "0-1-103,0-2-108", "0-2-109..112", 2),
        piece(3, "0-1-103,0-2-112", "0-1-113..115", 3),
    ];
    let (items, missing) = of(&pieces, "0-1-100");
    assert_eq!((items, missing), (takes(&[(0, "0-1-101..103")]), set("0-2-104..108").numbers()));
}

#[test]
fn on_mariadb_a_later_epoch_counts_wherever_it_has_a_number() {
    // What waited on a node's disk came later, and reaches further than where the next epoch began to be read.
    let pieces = [
        piece(1, "0-1-100", "0-1-101..110", 1),
        piece(2, "0-1-103", "0-1-104..108", 2),
        piece(2, "0-1-110", "0-2-111..112", 3),
    ];
    let expected =
        takes(&[(0, "0-1-101..103"), (1, "0-1-104..108"), (0, "0-1-109..110"), (2, "0-2-111..112")]);
    assert_eq!(of(&pieces, "0-1-100").0, expected);
    // Domains go on independently.
    let two = [piece(1, "0-1-10,5-1-3", "0-1-11..12,5-1-4..4", 1), piece(1, "0-1-12,5-1-4", "5-1-5..6", 2)];
    let expected = takes(&[(0, "0-1-12..12,5-1-4..4"), (1, "5-1-5..6")]);
    assert_eq!(of(&two, "0-1-11,5-1-3").0, expected);
}
