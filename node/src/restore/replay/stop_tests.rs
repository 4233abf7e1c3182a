#![allow(clippy::unwrap_used)]
use super::super::course::course;
use super::super::course::tests::{piece, set};
use super::*;

/// Segments with a transaction each second, from the time that their pieces begin with.
struct Made(Vec<Piece>);

impl Read for Made {
    async fn transactions(&self, piece: usize) -> Result<Vec<Seen>, String> {
        let span = &self.0.get(piece).unwrap().span;
        let mut rest = span.added.clone();
        let mut all = Vec::new();
        while !rest.is_empty() {
            let first = first_of(&rest);
            let at_us = (span.first_ms + 1000 * all.len() as u64) * 1000;
            all.push(Seen { gtid: first.to_string(), numbers: first.numbers(), at_us });
            rest = rest.subtract(&first).unwrap();
        }
        Ok(all)
    }
}

fn first_of(set: &GtidSet) -> GtidSet {
    let GtidSet::Mysql(mysql) = set else { panic!("MySQL's only") };
    let (tsid, numbers) = mysql.iter().next().unwrap();
    let mut one = crate::gtid::MysqlSet::default();
    one.insert(tsid.clone(), *numbers.start()..=*numbers.start());
    GtidSet::Mysql(one)
}

/// What is replayed, the last of it and the first that is not, in short.
async fn stopped(until: &Until) -> (GtidSet, Option<String>, Option<String>) {
    // 100 s: a4 to a6; 110 s: a7 to a9, and b1 at 120 s.
    let mut pieces = vec![
        piece(1, "a1-3", "a4-6", 100_000),
        piece(1, "a1-6", "a7-9", 110_000),
        piece(2, "a1-9", "b1", 120_000),
    ];
    for piece in &mut pieces {
        piece.span.last_ms = piece.span.first_ms + 1000 * (piece.span.transactions - 1);
    }
    let line = Line::of(&pieces, 0).unwrap().unwrap();
    let base = set("a1-3");
    let found = course(&pieces, &line, &base).unwrap();
    let stop = stop(&pieces, &found, &base, until, &Made(pieces.clone())).await.unwrap();
    let mut takes = base.clone();
    for item in &stop.items {
        takes = takes.union(&item.take).unwrap();
    }
    assert_eq!(takes, stop.goal);
    let name =
        |seen: Option<Seen>| seen.map(|seen| seen.gtid.replace("aaaaaaaa-71ca-11e1-9e33-c80aa9429562:", "a"));
    (stop.goal, name(stop.last), name(stop.first_not))
}

#[tokio::test]
async fn it_ends_where_it_was_told_to() {
    let a = |text: &str| Some(text.to_owned());
    let b1 = Some("bbbbbbbb-71ca-11e1-9e33-c80aa9429562:1".to_owned());
    assert_eq!(stopped(&Until::Latest).await, (set("a1-9b1"), b1.clone(), None));
    assert_eq!(stopped(&Until::To(set("a8"))).await, (set("a1-8"), a("a8"), a("a9")));
    assert_eq!(stopped(&Until::To(set("a5:9"))).await, (set("a1-9"), a("a9"), b1.clone()));
    assert_eq!(stopped(&Until::To(set("a1-3"))).await, (set("a1-3"), None, a("a4")));
    assert_eq!(stopped(&Until::Before(set("a8"))).await, (set("a1-7"), a("a7"), a("a8")));
    assert_eq!(stopped(&Until::Before(set("a7"))).await, (set("a1-6"), a("a6"), a("a7")));
    assert_eq!(stopped(&Until::Before(set("a4"))).await, (set("a1-3"), None, a("a4")));
}

#[tokio::test]
async fn a_time_is_a_place_between_two_transactions() {
    let at = |ms: i64| Until::Time(ms * 1000);
    let ends = async |ms| stopped(&at(ms)).await.0;
    assert_eq!(ends(99_999).await, set("a1-3"));
    assert_eq!(ends(100_000).await, set("a1-4"), "what was committed at that very time is there");
    assert_eq!(ends(101_999).await, set("a1-5"));
    assert_eq!(ends(105_000).await, set("a1-6"));
    assert_eq!(ends(111_000).await, set("a1-8"));
    assert_eq!(ends(119_000).await, set("a1-9"));
    assert_eq!(ends(900_000).await, set("a1-9b1"));
}
