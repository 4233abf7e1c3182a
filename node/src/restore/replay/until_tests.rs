#![allow(clippy::unwrap_used)]
use super::super::course::tests::{piece, set};
use super::*;
use crate::archive::coverage::Piece;
use crate::restore::testing::manifest;

#[test]
fn what_is_named_is_read_in_the_servers_terms() {
    let (my, maria) = (Dialect::Mysql, Dialect::Mariadb);
    let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    let before = |text: &str, dialect| Wanted::BeforeGtid(text.into()).read(dialect);
    assert_eq!(
        before(&format!("{uuid}:7"), my),
        Ok(Until::Before(GtidSet::parse_mysql(&format!("{uuid}:7")).unwrap()))
    );
    assert_eq!(before("0-1-7", maria), Ok(Until::Before(set("0-1-7..7"))));
    for (text, dialect) in [(format!("{uuid}:7-8"), my), ("0-1-7,1-1-3".into(), maria)] {
        assert!(before(&text, dialect).unwrap_err().contains("names more than one transaction"), "{text}");
    }
    assert!(before("0-1-7", my).unwrap_err().starts_with("--before-gtid: not a MySQL GTID set"));
    assert_eq!(Wanted::ToGtid("0-1-7".into()).read(maria), Ok(Until::To(set("0-1-7"))));
    assert!(Wanted::ToGtid(" ".into()).read(maria).unwrap_err().contains("names no transaction"));
}

fn fit(gtids: &str, until: &Until, since_ms: Option<u64>, pieces: &[Piece]) -> Fit {
    let mut manifest = manifest("a", None);
    manifest.server.dialect = Dialect::Mysql;
    (manifest.began_ms, manifest.ended_ms) = (1000, 2000);
    manifest.position.as_mut().unwrap().gtids = set(gtids).to_string();
    let line = Line::of(pieces, 0).unwrap().unwrap();
    fits(&manifest, until, &History { line: &line, pieces, since_ms }).unwrap()
}

#[test]
fn a_backup_has_to_lie_before_the_moment() {
    let pieces = [piece(1, "a1-3", "a4-7", 1500), piece(2, "a1-6", "b1-3", 3000)];
    let of = |gtids: &str, until| fit(gtids, &until, None, &pieces);
    assert_eq!(of("a1-6b1", Until::Latest), Fit::Yes);
    assert_eq!(of("a1-6b1", Until::Before(set("b1"))), Fit::Later);
    assert_eq!(of("a1-6b1", Until::Before(set("b2"))), Fit::Yes);
    assert_eq!(of("a1-6b1-2", Until::To(set("b1"))), Fit::Later);
    assert_eq!(of("a1-3", Until::To(set("a1-3"))), Fit::Yes, "that is where it stands");
    assert_eq!(of("a1-4", Until::Time(2_000_000)), Fit::Yes);
    assert_eq!(of("a1-4", Until::Time(1_999_999)), Fit::Later);
    let Fit::No(why) = of("a1-7", Until::Latest) else { panic!("a7 was lost") };
    assert!(why.ends_with("the cluster went on without a part of that"), "{why}");
    assert_eq!(of("a1-6b1-5", Until::Latest), Fit::Yes, "newer than all that is archived");
    let Fit::No(why) = fit("a1-3", &Until::Latest, Some(1001), &pieces) else { panic!("before a reset") };
    assert!(why.contains("begun anew since"));
}

#[test]
fn on_mariadb_a_backup_of_a_lost_writer_is_known_by_the_epoch_after_it() {
    // The first server had 104 and 105 when it was lost, and writes again in the third epoch.
    let pieces = [
        piece(1, "0-1-100", "0-1-101..105", 1),
        piece(2, "0-1-103", "0-2-104..110", 2),
        piece(3, "0-1-103,0-2-110", "0-1-111..115", 3),
    ];
    let line = Line::of(&pieces, 0).unwrap().unwrap();
    let history = History { line: &line, pieces: &pieces, since_ms: None };
    let fit = |epoch: u64, gtids: &str| {
        let mut manifest = manifest("a", None);
        manifest.epoch = epoch;
        manifest.position.as_mut().unwrap().gtids = gtids.into();
        fits(&manifest, &Until::Latest, &history).unwrap()
    };
    assert_eq!(fit(1, "0-1-103"), Fit::Yes);
    assert!(matches!(fit(1, "0-1-105"), Fit::No(_)));
    assert_eq!(fit(2, "0-2-106"), Fit::Yes);
    assert_eq!(fit(3, "0-1-112"), Fit::Yes);
}
