//! What callers see of a set whose dialect they do not know.
#![allow(clippy::unwrap_used)]

use super::{Dialect, DialectMismatch, GtidSet};

const MYSQL: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:tag_a:7";

#[test]
fn serialised_with_the_dialect_in_front() {
    let cases = [
        (GtidSet::parse_mysql(MYSQL).unwrap(), format!(r#"{{"mysql":"{MYSQL}"}}"#)),
        (GtidSet::parse_mariadb_state("0-1-100,0-2-150").unwrap(), r#"{"mariadb":"0-1-100,0-2-150"}"#.into()),
        (GtidSet::empty(Dialect::Mariadb), r#"{"mariadb":""}"#.into()),
    ];
    for (set, json) in cases {
        assert_eq!(serde_json::to_string(&set).unwrap(), json);
        assert_eq!(serde_json::from_str::<GtidSet>(&json).unwrap(), set);
    }
    let error = serde_json::from_str::<GtidSet>(r#"{"mysql":"0-1-100"}"#).unwrap_err();
    assert!(error.to_string().contains("found `0-1-100`"), "{error}");
}

#[test]
fn a_loss_survives_being_stored() {
    let lost = |a: &str, b: &str| {
        let (a, b) = (GtidSet::parse_mariadb_state(a).unwrap(), GtidSet::parse_mariadb_pos(b).unwrap());
        a.subtract(&b).unwrap()
    };
    let lost = lost("0-1-105", "0-1-100");
    assert_eq!((lost.to_string().as_str(), lost.count()), ("0-1-101..105", 5));
    assert_eq!(serde_json::from_str::<GtidSet>(&serde_json::to_string(&lost).unwrap()).unwrap(), lost);
}

#[test]
fn dialects_do_not_mix_not_even_empty() {
    let (left, right) = (GtidSet::empty(Dialect::Mysql), GtidSet::empty(Dialect::Mariadb));
    let mismatch = DialectMismatch { left: Dialect::Mysql, right: Dialect::Mariadb };
    assert_eq!(left.union(&right), Err(mismatch));
    assert_eq!(left.subtract(&right), Err(mismatch));
    assert_eq!(left.intersect(&right), Err(mismatch));
    assert_eq!(left.contains(&right), Err(mismatch));
    assert!(mismatch.to_string().starts_with("a MySQL GTID set cannot be combined with a MariaDB one"));
}

#[test]
fn contains_and_subtract_take_their_arguments_in_this_order() {
    for (more, less) in [
        (GtidSet::parse_mysql(MYSQL), GtidSet::parse_mysql("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5")),
        (GtidSet::parse_mariadb_state("0-1-100,0-2-150"), GtidSet::parse_mariadb_pos("0-1-100")),
    ] {
        let (more, less) = (more.unwrap(), less.unwrap());
        assert!(more.contains(&less).unwrap() && !less.contains(&more).unwrap());
        assert!(less.subtract(&more).unwrap().is_empty() && !more.subtract(&less).unwrap().is_empty());
    }
}
