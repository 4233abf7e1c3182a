//! MariaDB sets: text forms, differences one by one, and the algebra against histories that were really written.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{MariadbGtid, MariadbSet};

fn state(text: &str) -> MariadbSet {
    MariadbSet::parse_state(text).unwrap()
}

#[test]
fn reads_states_and_prints_them_with_the_last_gtid_last() {
    let cases = [
        ("", ""),
        (" \n", ""),
        ("0-1-100", "0-1-100"),
        ("0-1-160,0-2-150", "0-2-150,0-1-160"),
        (" 1-1-7 ,\n0-2-150", "0-2-150,1-1-7"),
        ("0-1-0", ""),
        ("4294967295-4294967295-18446744073709551614", "4294967295-4294967295-18446744073709551614"),
    ];
    for (text, printed) in cases {
        assert_eq!(state(text).to_string(), printed, "{text}");
    }
}

#[test]
fn refuses_and_names_the_piece() {
    for piece in
        ["", "0-1", "0-1-", "0-1-1-1", "a-1-1", "0-1--1", "0-1-+1", "4294967296-1-1", "0-4294967296-1"]
    {
        let error = MariadbSet::parse_state(&format!("7-7-7,{piece}")).unwrap_err();
        assert_eq!(error.piece, piece);
        assert!(
            error.to_string().starts_with(&format!("not a MariaDB GTID set: found `{piece}` where ")),
            "{error}"
        );
    }
    let too_high = "0-1-18446744073709551615";
    assert_eq!(MariadbSet::parse_state(too_high).unwrap_err().piece, too_high);
    assert_eq!(MariadbSet::parse_state("0-1-5,0-1-9").unwrap_err().piece, "0-1-9");
    assert_eq!(MariadbSet::parse_position("0-1-5,0-2-9").unwrap_err().piece, "0-2-9");
    assert_eq!(MariadbSet::parse_position("0-1-5..9").unwrap_err().piece, "0-1-5..9");
    for range in ["0-1-9..5", "0-1-0..5", "0-1-5..", "0-1-..5", "0-1-5...9"] {
        assert_eq!(range.parse::<MariadbSet>().unwrap_err().piece, range);
    }
}

#[test]
fn position_is_the_last_gtid_of_each_domain() {
    assert_eq!(state("0-1-100,0-2-150,1-1-7").position(), "0-2-150,1-1-7");
    assert_eq!(state("0-1-160,0-2-150").position(), "0-1-160");
    assert_eq!(state("").position(), "");
}

/// `a`, `b`, a − b as printed, its count, whether they diverge.
const DIFFERENCES: [(&str, &str, &str, u64, bool); 16] = [
    ("0-1-105", "0-1-100", "0-1-101..105", 5, false),
    ("0-1-101", "0-1-100", "0-1-101..101", 1, false),
    ("0-1-100", "0-1-105", "", 0, false),
    ("0-1-100,1-1-7", "0-1-100", "1-1-7", 7, false),
    // The next writer's epoch, unknown to a server that stayed behind: nothing before its fork point is lost.
    ("0-1-100,0-2-150", "0-1-100", "0-2-101..150", 50, false),
    ("0-1-100,0-2-150", "0-1-98", "0-1-99..100,0-2-101..150", 52, false),
    ("0-1-100,0-2-150", "0-1-100,0-2-140", "0-2-141..150", 10, false),
    // Back to the first server: sequence numbers once each, although both server ids are behind.
    ("0-2-150,0-1-160", "0-1-100", "0-2-101..150,0-1-151..160", 60, false),
    ("0-2-150,0-1-160", "0-1-100,0-2-145", "0-2-146..150,0-1-151..160", 15, false),
    // A fork: each side's own transactions start right after the last shared one, not after the other side's last.
    ("0-1-105", "0-1-100,0-2-108", "0-1-101..105", 5, true),
    ("0-1-100,0-2-108", "0-1-105", "0-2-101..108", 8, true),
    ("0-1-100,0-3-103,0-4-105", "0-1-100,0-2-108", "0-3-101..103,0-4-104..105", 5, true),
    ("0-1-100", "0-2-100", "0-1-100", 100, true),
    // Positions alone: no shared server id shows where they meet, nor that they parted.
    ("0-2-150", "0-1-100", "0-2-150", 150, false),
    // (A part from 1 on prints like a state.)
    ("0-2-150,0-1-160", "0-1-160", "0-2-150", 150, false),
    ("", "0-1-5", "", 0, false),
];

#[test]
fn differences_name_what_is_missing_once() {
    for (a, b, printed, count, diverges) in DIFFERENCES {
        let (x, y) = (state(a), state(b));
        let lost = x.subtract(&y);
        assert_eq!(lost.to_string(), printed, "{a} - {b}");
        assert_eq!(lost.count(), count, "{a} - {b}");
        assert_eq!(lost.to_string().parse::<MariadbSet>().unwrap(), lost, "{a} - {b}");
        assert_eq!((x.diverges(&y), y.diverges(&x)), (diverges, diverges), "{a} | {b}");
        assert_eq!(lost.is_empty(), y.contains(&x), "{a} - {b}");
    }
}

#[test]
fn a_part_with_a_gap_does_not_hold_the_gap() {
    let gap = state("0-1-100").union(&"0-1-151..160".parse().unwrap());
    assert_eq!(gap.to_string(), "0-1-1..100,0-1-151..160");
    assert!(!gap.contains(&state("0-1-160")));
    assert_eq!(state("0-1-160").subtract(&gap).to_string(), "0-1-101..150");
    assert_eq!(gap.union(&"0-1-101..150".parse().unwrap()), state("0-1-160"));
}

#[test]
fn received_is_applied_and_relay_log() {
    let position = MariadbSet::parse_position("0-2-155").unwrap();
    let received = state("0-1-100,0-2-150").union(&position);
    assert_eq!(received, state("0-1-100,0-2-155"));
    assert!(received.contains(&state("0-1-100,0-2-152")));
}

#[test]
fn a_replica_seeded_by_position_is_told_by_position_only() {
    let (seeded, source) = (state("0-1-170"), state("0-2-150,0-1-165"));
    assert!(!seeded.contains(&source));
    assert!(seeded.contains_position(&source));
    assert!(!source.contains_position(&seeded));
    assert!(!state("0-1-170").contains_position(&state("0-1-100,0-2-103,1-1-1")));
}

#[test]
fn advance_is_what_logging_does() {
    let mut set = MariadbSet::default();
    for (server_id, sequence) in [(1, 0), (1, 100), (2, 150), (2, 140)] {
        set.advance(MariadbGtid { domain: 0, server_id, sequence });
    }
    assert_eq!(set, state("0-1-100,0-2-150"));
}

/// `(domain, server id, sequence number)`.
type Model = BTreeSet<(u32, u32, u64)>;

/// Writers in turn, with how many transactions each. Sequence numbers go on after those before them.
fn write(history: &mut Model, domain: u32, turns: &[(u32, u64)], servers_from: u32) {
    for (server, len) in turns {
        let next = history.iter().filter(|(d, _, _)| *d == domain).count() as u64 + 1;
        history.extend((next..next + len).map(|n| (domain, server + servers_from, n)));
    }
}

fn binlog_state(history: &Model) -> MariadbSet {
    let mut set = MariadbSet::default();
    for (domain, server_id, sequence) in history {
        set.advance(MariadbGtid { domain: *domain, server_id: *server_id, sequence: *sequence });
    }
    set
}

fn turns() -> impl Strategy<Value = Vec<(u32, u64)>> {
    prop::collection::vec((1..4_u32, 1..6_u64), 0..5)
}

/// Two servers' histories over two domains: a common line in each, then each side's own, by server ids that have written
/// before or not, but none of them on both sides of the fork.
fn two_histories() -> impl Strategy<Value = (Model, Model)> {
    let own = || (turns(), any::<bool>());
    prop::collection::vec((turns(), own(), own()), 2).prop_map(|domains| {
        let (mut left, mut right) = (Model::new(), Model::new());
        for (domain, (common, (mut a, a_old), (mut b, b_old))) in domains.into_iter().enumerate() {
            let domain = domain as u32;
            // Server ids 1 and 2 go on writing at most on the left, 3 at most on the right; the others are new.
            a.iter_mut().for_each(|(server, _)| *server = if a_old { *server % 2 + 1 } else { *server + 10 });
            b.iter_mut().for_each(|(server, _)| *server = if b_old { 3 } else { *server + 20 });
            for (side, own) in [(&mut left, a), (&mut right, b)] {
                write(side, domain, &common, 0);
                write(side, domain, &own, 0);
            }
        }
        (left, right)
    })
}

fn domain_of(history: &Model, domain: u32) -> Model {
    history.iter().filter(|(d, _, _)| *d == domain).copied().collect()
}

proptest! {
    #[test]
    fn states_answer_as_the_histories_do((a, b) in two_histories()) {
        let (x, y) = (binlog_state(&a), binlog_state(&b));
        prop_assert_eq!(x.count(), a.len() as u64);
        prop_assert_eq!(x.contains(&y), a.is_superset(&b));
        prop_assert_eq!(x.contains_position(&y), a.is_superset(&b));

        let lost = x.subtract(&y);
        prop_assert_eq!(lost.is_empty(), a.is_subset(&b));
        prop_assert_eq!(lost.count(), (&a - &b).len() as u64);
        prop_assert_eq!(lost.union(&x.intersect(&y)), x.clone());
        prop_assert_eq!(x.intersect(&y), binlog_state(&(&a & &b)));
        prop_assert_eq!(x.intersect(&y), y.intersect(&x));
        prop_assert!(x.contains(&lost) && !lost.intersect(&y).count() > 0);
        for gtid in lost.last_gtids() {
            prop_assert!((&a - &b).contains(&(gtid.domain, gtid.server_id, gtid.sequence)), "{}", gtid);
        }

        let forked = (0..2).any(|domain| {
            let (a, b) = (domain_of(&a, domain), domain_of(&b, domain));
            !a.is_subset(&b) && !b.is_subset(&a) && !a.is_disjoint(&b)
        });
        prop_assert!(!forked || x.diverges(&y));
        let one_line = a.is_subset(&b) || b.is_subset(&a);
        prop_assert!(!(one_line && x.diverges(&y)));
    }

    #[test]
    fn printing_and_reading_return_the_same((a, b) in two_histories()) {
        let (x, y) = (binlog_state(&a), binlog_state(&b));
        for set in [x.clone(), x.subtract(&y), y.subtract(&x), x.union(&y), x.subtract(&y).union(&y.subtract(&x))] {
            prop_assert_eq!(set.to_string().parse::<MariadbSet>().unwrap(), set);
        }
        prop_assert_eq!(MariadbSet::parse_state(&x.to_string()).unwrap(), x.clone());
        let last: BTreeMap<u32, u64> = a.iter().map(|(d, _, n)| (*d, *n)).fold(BTreeMap::new(), |mut last, (d, n)| {
            let known = last.entry(d).or_insert(n);
            *known = n.max(*known);
            last
        });
        let named: BTreeMap<u32, u64> = x.last_gtids().map(|g| (g.domain, g.sequence)).collect();
        prop_assert_eq!(last, named);
    }

    /// Whatever was put together: a union holds its parts, a difference holds nothing of what was taken.
    #[test]
    fn laws_hold_for_parts_too((a, b) in two_histories(), (c, d) in two_histories()) {
        let (x, y) = (binlog_state(&a).subtract(&binlog_state(&b)), binlog_state(&c).subtract(&binlog_state(&d)));
        for (x, y) in [(&x, &y), (&binlog_state(&a), &y), (&x, &binlog_state(&c))] {
            let union = x.union(y);
            prop_assert!(union.contains(x) && union.contains(y));
            prop_assert!(union.count() <= x.count() + y.count());
            prop_assert_eq!(x.contains(y), y.subtract(x).is_empty());
            prop_assert!(x.contains(&x.subtract(y)));
            prop_assert!(x.contains(&x.intersect(y)) && y.contains(&x.intersect(y)));
            prop_assert!(x.subtract(y).union(y).contains(x));
            for set in [x.subtract(y), x.intersect(y), union] {
                prop_assert_eq!(set.to_string().parse::<MariadbSet>().unwrap(), set);
            }
        }
    }

    #[test]
    fn no_text_is_a_panic(text in "[0-9\\-., ]{0,40}", other in "\\PC{0,20}") {
        let _ = text.parse::<MariadbSet>();
        let _ = MariadbSet::parse_state(&other);
    }
}

#[test]
fn a_copy_has_what_is_up_to_its_position() {
    let state = |text: &str| MariadbSet::parse_state(text).unwrap();
    let position = MariadbSet::parse_position("0-2-150,7-1-3").unwrap();
    for (had, has) in [
        ("", "0-2-150,7-1-3"),
        ("0-1-100,0-2-120", "0-1-100,0-2-150,7-1-3"),
        ("0-1-100,0-2-180,7-1-9", "0-1-100,0-2-150,7-1-3"),
        ("0-1-100,0-2-170,0-3-200,5-1-1", "0-1-100,0-2-150,7-1-3"),
    ] {
        assert_eq!(state(had).up_to(&position).to_string(), has, "{had}");
    }
    assert!(state("0-1-9").up_to(&MariadbSet::default()).is_empty());
}
