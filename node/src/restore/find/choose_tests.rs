#![allow(clippy::unwrap_used)]
use super::*;
use crate::archive::entry::Span;
use crate::gtid::{MysqlSet, Tsid};

fn maria(text: &str) -> GtidSet {
    GtidSet::Mariadb(text.parse().unwrap())
}

fn my(text: &str) -> GtidSet {
    let text = text.replace('a', "aaaaaaaa-71ca-11e1-9e33-c80aa9429562:");
    GtidSet::parse_mysql(&text.replace('b', "bbbbbbbb-71ca-11e1-9e33-c80aa9429562:")).unwrap()
}

fn piece(epoch: u64, reset: u32, after: GtidSet, added: GtidSet, ms: u64) -> Piece {
    let span = Span { transactions: added.count(), after, added, first_ms: ms, last_ms: ms + 9 };
    Piece { timeline: Timeline { epoch, reset }, writer: None, span }
}

fn history(pieces: &[Piece]) -> History {
    History::of(pieces).unwrap().unwrap()
}

fn of_maria(history: &History, epoch: u64, text: &str) -> Fate {
    let gtid = MariadbSet::parse_position(text).unwrap().last_gtids().next().unwrap();
    history.fate(Timeline { epoch, reset: 1 }, &Gtid::Mariadb(gtid))
}

#[test]
fn on_mysql_what_no_server_of_the_newest_epoch_had_is_lost() {
    let pieces = [piece(1, 0, my("a1-3"), my("a4-9"), 100), piece(2, 0, my("a1-8"), my("b1-2"), 200)];
    let history = history(&pieces);
    let GtidSet::Mysql(named) = my("a1") else { panic!("no set of MySQL's") };
    let tsid: Tsid = MysqlSet::iter(&named).next().unwrap().0.clone();
    let fate = |epoch, number| history.fate(Timeline { epoch, reset: 0 }, &Gtid::Mysql(tsid.clone(), number));
    assert_eq!([fate(1, 4), fate(1, 8), fate(1, 9)], [Fate::Kept, Fate::Kept, Fate::Lost]);
}

#[test]
fn on_mariadb_every_later_epoch_has_to_have_had_it() {
    let pieces = [
        piece(1, 1, maria("0-1-1..90"), maria("0-1-91..100"), 100),
        piece(2, 1, maria("0-1-1..98"), maria("0-2-99..150"), 200),
        // The first one writes again, beyond what it had lost.
        piece(3, 1, maria("0-1-1..98,0-2-99..150"), maria("0-1-151..160"), 300),
    ];
    let history = history(&pieces);
    let of = |epoch, text| of_maria(&history, epoch, text);
    assert_eq!([of(1, "0-1-98"), of(1, "0-1-99"), of(1, "0-1-100")], [Fate::Kept, Fate::Lost, Fate::Lost]);
    assert_eq!([of(2, "0-2-99"), of(2, "0-2-150"), of(3, "0-1-151")], [Fate::Kept; 3]);
    let seeded = [pieces[0].clone(), piece(2, 1, maria("0-2-1..150"), maria("0-2-151..152"), 200)];
    let seeded = self::history(&seeded);
    assert_eq!(
        of_maria(&seeded, 1, "0-1-95"),
        Fate::Kept,
        "it knows the position alone that it was seeded by"
    );
}

#[test]
fn what_was_before_a_reset_is_another_history() {
    let pieces = [
        piece(1, 0, maria("0-1-1..90"), maria("0-1-91..100"), 100),
        piece(2, 1, maria("0-1-1..3"), maria("0-1-4..9"), 200),
    ];
    let history = history(&pieces);
    let gtid = Gtid::Mariadb(MariadbGtid { domain: 0, server_id: 1, sequence: 95 });
    assert_eq!(history.fate(Timeline { epoch: 1, reset: 0 }, &gtid), Fate::Earlier);
    assert!(History::of(&[]).unwrap().is_none());
}

#[test]
fn a_hole_matters_when_it_was_then() {
    let pieces = [
        piece(1, 0, my("a1-3"), my("a4-6"), 100),
        piece(1, 0, my("a1-9"), my("a10-12"), 200),
        piece(1, 0, my("a1-12"), my("a13-15"), 300),
    ];
    let holed = history(&pieces);
    let within = |from: Option<u64>, to: Option<u64>| {
        let us = |ms: u64| ms * 1000;
        let wanted = Wanted { from_us: from.map(us), to_us: to.map(us), ..Wanted::default() };
        holed.missing(&wanted).map(ToString::to_string)
    };
    let hole = Some(my("a7-9").to_string());
    assert_eq!(within(None, None), hole);
    assert_eq!(
        [within(None, Some(150)), within(Some(150), None), within(Some(120), Some(130))],
        [hole.clone(), hole.clone(), hole]
    );
    assert_eq!(
        [within(None, Some(108)), within(Some(201), None), within(Some(250), Some(299))],
        [None, None, None]
    );
    assert_eq!(history(&pieces[1..]).missing(&Wanted::default()), None);
}

#[test]
fn a_time_of_which_nothing_is_archived_is_told() {
    let history = history(&[piece(1, 0, my("a1-3"), my("a4-6"), 5000)]);
    let lacks = |from: Option<u64>, to: Option<u64>| {
        let us = |ms: u64| ms * 1000;
        let wanted = Wanted { from_us: from.map(us), to_us: to.map(us), ..Wanted::default() };
        history.beyond(&wanted).len()
    };
    let asked =
        [(None, None), (Some(5000), Some(5009)), (Some(4000), None), (None, Some(7000)), (Some(7000), None)];
    assert_eq!(asked.map(|(from, to)| lacks(from, to)), [0, 0, 1, 1, 1]);
}

#[test]
fn the_cluster_that_is_there() {
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(the_only(all(&["shop"]), None), Ok("shop".into()));
    assert_eq!(the_only(all(&["shop"]), Some("shop")), Ok("shop".into()));
    assert!(the_only(all(&["shop", "test"]), None).unwrap_err().contains("of shop, test; say which"));
    assert_eq!(the_only(all(&[]), Some("shop")), Err("it has no archive of shop's binlog".into()));
    assert_eq!(the_only(all(&[]), None), Err("it has no archive of any binlog".into()));
}
