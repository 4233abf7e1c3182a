//! MySQL sets: the server's text forms one by one, and the algebra against a plain set of GTIDs.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{MysqlSet, ServerUuid, Tsid};

const U1: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const U2: &str = "4d8b564f-03f4-4975-856a-0e65c3105328";

/// `1` and `2` after an `@` stand for the two UUIDs.
fn full(text: &str) -> String {
    text.replace("@1", U1).replace("@2", U2)
}

fn set(text: &str) -> MysqlSet {
    full(text).parse().unwrap()
}

#[test]
fn reads_what_the_server_reads_and_prints_its_form() {
    let cases = [
        ("", ""),
        (" \n\t", ""),
        (",", ""),
        (" , ,, ", ""),
        ("@1", ""),
        ("@1:tag_a", ""),
        ("@1:7-3", ""),
        ("@1:5-0", ""),
        ("@1:1-5", "@1:1-5"),
        ("@1:5-5", "@1:5"),
        ("@1:5", "@1:5"),
        ("@1:6-9:1-3:20", "@1:1-3:6-9:20"),
        ("@1:1-3:4-6", "@1:1-6"),
        ("@1:1-10:3-5:8-12", "@1:1-12"),
        ("@2:1,@1:1", "@1:1,@2:1"),
        ("@1:1-5,\n@2:1-9", "@1:1-5,@2:1-9"),
        ("@1:1-5,@2:1,@1:6", "@1:1-6,@2:1"),
        (" @1 : 1 - 5 : 7 , @2 : 1 ", "@1:1-5:7,@2:1"),
        (",@1:1-5,,", "@1:1-5"),
        ("@1:9223372036854775806", "@1:9223372036854775806"),
        ("@1:1-5:tag_a:1-3:7", "@1:1-5:tag_a:1-3:7"),
        ("@1:TAG_A:1-3", "@1:tag_a:1-3"),
        ("@1:b:1:a:2", "@1:a:2:b:1"),
        ("@1:a:1:b:1:a:2", "@1:a:1-2:b:1"),
        ("@1:a:1,@1:1-5", "@1:1-5:a:1"),
        ("@1 : _x9 : 1 , @2:1", "@1:_x9:1,@2:1"),
        ("@1:a234567890123456789012345678901b:1", "@1:a234567890123456789012345678901b:1"),
    ];
    for (text, printed) in cases {
        assert_eq!(set(text).to_string(), full(printed), "{text}");
    }
    assert_eq!(U1.to_uppercase().parse::<ServerUuid>().unwrap().to_string(), U1);
}

#[test]
fn refuses_and_names_the_piece() {
    let cases = [
        ("@1:", ""),
        ("@1:0", "0"),
        ("@1:0-5", "0-5"),
        ("@1:1-5:x-y", "x-y"),
        ("@1:1-", "1-"),
        ("@1:-5", "-5"),
        ("@1:1-2-3", "1-2-3"),
        ("@1:1 2", "1 2"),
        ("@1:+5", "+5"),
        ("@1:010", "010"),
        ("@1:0x10", "0x10"),
        ("@1:9223372036854775807", "9223372036854775807"),
        ("@1:99999999999999999999", "99999999999999999999"),
        ("@1:1-5 @2:1", "1-5 4d8b564f-03f4-4975-856a-0e65c3105328"),
        ("@1:tag-a:1", "tag-a"),
        ("@1:täg:1", "täg"),
        ("@1:a234567890123456789012345678901bc:1", "a234567890123456789012345678901bc"),
        ("+@1:1", "+3e11fa47-71ca-11e1-9e33-c80aa9429562"),
        ("3e11fa4771ca11e19e33c80aa9429562:1", "3e11fa4771ca11e19e33c80aa9429562"),
        ("@10:1", "3e11fa47-71ca-11e1-9e33-c80aa94295620"),
        ("@1:1,0-1-100", "0-1-100"),
        ("\u{a0}", "\u{a0}"),
    ];
    for (text, piece) in cases {
        let error = full(text).parse::<MysqlSet>().unwrap_err();
        assert_eq!(error.piece, piece, "{text}");
        assert!(
            error.to_string().starts_with(&format!("not a MySQL GTID set: found `{piece}` where ")),
            "{error}"
        );
    }
}

#[test]
fn a_long_piece_is_cut() {
    let error = "ä".repeat(1000).parse::<MysqlSet>().unwrap_err();
    assert_eq!(error.piece, "ä".repeat(80) + "…");
}

#[test]
fn tags_number_apart() {
    assert_eq!(set("@1:1-5:a:1-5").subtract(&set("@1:1-5")), set("@1:a:1-5"));
    assert!(!set("@1:1-5").contains(&set("@1:a:1")));
    assert_eq!(set("@1:1-5:a:1-5,@2:1").count(), 11);
    assert_eq!(set("@1:1:a:1,@2:1").uuids().map(|u| u.to_string()).collect::<Vec<_>>(), [U1, U2]);
}

#[test]
fn insert_keeps_to_numbers_that_exist() {
    let mut grown = MysqlSet::default();
    let tsid = Tsid::from(U1.parse::<ServerUuid>().unwrap());
    grown.insert(tsid.clone(), 4..=5);
    grown.insert(tsid.clone(), 0..=3);
    assert_eq!(grown, set("@1:1-5"));
    grown.insert(tsid.clone(), u64::MAX..=u64::MAX);
    grown.insert(tsid, 0..=0);
    assert_eq!(grown, set("@1:1-5"));
}

#[test]
fn count_stops_at_its_limit() {
    assert_eq!(set("@1:1-9223372036854775806:a:1-9223372036854775806:b:1-9").count(), u64::MAX);
}

#[test]
fn thousands_of_intervals_merge_in_one_pass() {
    let odd = |from: u64| {
        (from..400_000)
            .step_by(2)
            .fold(String::from(U1), |text, n| text + ":" + &n.to_string())
            .parse::<MysqlSet>()
    };
    let (odds, evens) = (odd(1).unwrap(), odd(2).unwrap());
    assert_eq!(odds.union(&evens), set("@1:1-399999"));
    assert!(odds.intersect(&evens).is_empty());
    assert_eq!(set("@1:1-399999").subtract(&odds), evens);
}

type Model = BTreeSet<(usize, u64)>;

const ORIGINS: [&str; 5] = [U1, "3e11fa47-71ca-11e1-9e33-c80aa9429562:a", U2, "@2:a", "@2:b_1"];

/// One entry per transaction, from the highest down, so that the parser has everything to sort and merge.
fn build(model: &Model) -> MysqlSet {
    let entries: Vec<_> = model.iter().rev().map(|(origin, n)| format!("{}:{n}", ORIGINS[*origin])).collect();
    set(&entries.join(","))
}

fn small_model() -> impl Strategy<Value = Model> {
    prop::collection::btree_set((0..ORIGINS.len(), 1..16_u64), 0..60)
}

proptest! {
    #[test]
    fn operations_agree_with_plain_sets(a in small_model(), b in small_model()) {
        let (x, y) = (build(&a), build(&b));
        prop_assert_eq!(x.count(), a.len() as u64);
        prop_assert_eq!(x.is_empty(), a.is_empty());
        prop_assert_eq!(x.union(&y), build(&(&a | &b)));
        prop_assert_eq!(x.intersect(&y), build(&(&a & &b)));
        prop_assert_eq!(x.subtract(&y), build(&(&a - &b)));
        prop_assert_eq!(x.contains(&y), a.is_superset(&b));
        prop_assert_eq!(x.contains(&y), y.subtract(&x).is_empty());
        prop_assert_eq!(x.subtract(&y).union(&x.intersect(&y)), x);
    }

    #[test]
    fn printing_and_reading_return_the_same(a in small_model()) {
        let x = build(&a);
        prop_assert_eq!(x.to_string().parse::<MysqlSet>().unwrap(), x.clone());
        prop_assert_eq!(x.to_string().to_uppercase().replace(':', " : ").replace(',', ",\n").parse::<MysqlSet>().unwrap(), x);
    }

    #[test]
    fn no_text_is_a_panic(text in "[0-9a-f:,\\-_ +é]{0,60}", tail in "\\PC{0,20}") {
        let _ = text.parse::<MysqlSet>();
        let _ = format!("{U1}:{text}{tail}").parse::<MysqlSet>();
    }
}
