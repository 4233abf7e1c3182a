//! Whose binlog is archived, and what is told of that.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::decide::archive::{Archiving, alarms, next};
use crate::decide::sample::{Seen, managed, name, set};
use crate::state::{Backup, Change, ClusterState, Collector};

/// Both nodes have an archive in their file.
fn configured() -> (ClusterState, Seen) {
    let (state, mut seen) = managed();
    for node in ["db1", "db2"] {
        seen.report(node).archiving = Some(Archiving::default());
    }
    (state, seen)
}

fn collects(node: &str, turns: u32) -> Option<Collector> {
    let lacking = BTreeSet::new();
    Some(Collector { node: name(node), since_ms: 0, turns, lacking, lacking_since_ms: 0, may_leap: false })
}

/// `node turns leap`, `nobody`, or nothing.
fn decided(state: &ClusterState, seen: &Seen, now_ms: i64) -> Option<String> {
    said(next(state, &seen.observations(), Duration::from_secs(60), now_ms)?)
}

fn said(change: Change) -> Option<String> {
    let Change::Collect { node, turns, lacking, may_leap } = change else {
        return Some("something else".into());
    };
    let leap = if may_leap { " leap" } else { "" };
    let lack: String = lacking.iter().map(|node| format!(" -{node}")).collect();
    Some(node.map_or("nobody".to_owned(), |node| format!("{node} {turns}{lack}{leap}")))
}

fn told(state: &ClusterState, seen: &Seen) -> Vec<String> {
    alarms(state, &seen.observations()).iter().map(|t| format!("{}: {t}", t.name())).collect()
}

#[test]
fn a_replica_and_the_writer_only_while_there_is_none() {
    let (mut state, mut seen) = managed();
    assert_eq!(decided(&state, &seen, 1), None, "nobody wants one");
    state.collector = collects("db2", 0);
    assert_eq!(decided(&state, &seen, 1), Some("nobody".into()), "nobody does any more");
    let (mut state, mut with) = configured();
    assert_eq!(decided(&state, &with, 1), Some("db2 0".into()));
    state.collector = collects("db2", 0);
    assert_eq!(decided(&state, &with, 60_000), None, "it goes on");
    with.channel("db2").sql_running = false;
    assert_eq!(decided(&state, &with, 1), Some("db1 0".into()), "no replica can be read");
    state.collector = collects("db1", 0);
    assert_eq!(decided(&state, &with, 60_000), None);
    seen = configured().1;
    assert_eq!(decided(&state, &seen, 9_000), None, "not to and fro");
    assert_eq!(decided(&state, &seen, 10_000), Some("db2 0".into()));
    seen.report("db2").archiving = None;
    assert_eq!(decided(&state, &seen, 60_000), None, "db2 has no archive in its file");
}

#[test]
fn a_new_leader_waits_for_the_first_reports() {
    let (mut state, mut seen) = configured();
    state.collector = collects("db2", 0);
    let after = |seen: &Seen, secs| {
        next(&state, &seen.observations(), Duration::from_secs(secs), 60_000).and_then(said)
    };
    assert_eq!(after(&Seen(Vec::new()), 0), None, "nobody has said anything yet");
    seen.silent("db2");
    assert_eq!(after(&seen, 9), None, "the leader's own report is there alone");
    assert_eq!(after(&seen, 10), Some("db1 0".into()));
    assert_eq!(after(&configured().1, 0), None, "everybody was heard, and db2 goes on");
}

#[test]
fn who_cannot_send_what_is_missing_gives_way_and_in_the_end_a_hole_is_left() {
    let (mut state, mut seen) = configured();
    state.collector = collects("db2", 0);
    let fails = |seen: &mut Seen, node: &str, ended| {
        let said = Archiving { ended, lacks: true, error: "gone".into(), ..Archiving::default() };
        seen.report(node).archiving = Some(said);
    };
    let lacks = |state: &mut ClusterState, node: &str, turns, lacking: &[&str]| {
        let lacking = lacking.iter().map(|node| name(node)).collect();
        state.collector = Some(Collector { lacking, ..collects(node, turns).unwrap() });
    };
    fails(&mut seen, "db2", 2);
    assert_eq!(decided(&state, &seen, 60_000), None);
    assert_eq!(told(&state, &seen), ["ArchiveStalled: the archive of the binlog does not get on: db2: gone"]);
    fails(&mut seen, "db2", 3);
    assert_eq!(decided(&state, &seen, 1), None, "that was said before its turn");
    assert_eq!(decided(&state, &seen, 10_000), Some("db1 1 -db2".into()));
    lacks(&mut state, "db1", 1, &["db2"]);
    assert_eq!(decided(&state, &seen, 60_000), None, "db2 is the better one, and has just failed");
    fails(&mut seen, "db1", 3);
    assert_eq!(decided(&state, &seen, 10_000), Some("db2 2 -db1 -db2 leap".into()), "nobody has it");
    let works = Archiving { works: true, sent: 1, ..Archiving::default() };
    seen.report("db1").archiving = Some(works);
    seen.channel("db2").sql_running = false;
    assert_eq!(
        decided(&state, &seen, 599_999),
        Some("db1 1".into()),
        "it gets on, and nobody lacks anything"
    );
    lacks(&mut state, "db1", 1, &[]);
    assert_eq!(decided(&state, &seen, 599_999), None, "whoever failed is not asked again at once");
    assert_eq!(decided(&state, &seen, 600_000), Some("db1 0".into()));
}

/// It may have what the other lacks: it was away for seconds, perhaps, while the other was asked.
#[test]
fn no_hole_is_left_while_a_server_is_away_that_may_have_what_is_missing() {
    let (mut state, mut seen) = configured();
    let lacking = BTreeSet::from([name("db2")]);
    state.collector = Some(Collector { lacking, lacking_since_ms: 5_000, ..collects("db2", 0).unwrap() });
    let lacks = Archiving { ended: 3, lacks: true, error: "gone".into(), ..Archiving::default() };
    seen.report("db2").archiving = Some(lacks);
    seen.last_heard("db1", Duration::from_secs(600));
    assert_eq!(decided(&state, &seen, 604_999), None);
    assert_eq!(decided(&state, &seen, 605_000), Some("db2 1 -db2 leap".into()));
    seen.last_heard("db1", Duration::from_secs(599));
    assert_eq!(decided(&state, &seen, 605_000), None, "it was there meanwhile, and may be again");
    seen.last_heard("db1", Duration::ZERO);
    seen.own("db1").pulse_age = Duration::from_secs(599);
    assert_eq!(decided(&state, &seen, 605_000), None, "its server was");
    seen.own("db1").pulse_age = Duration::from_secs(600);
    assert_eq!(decided(&state, &seen, 605_000), Some("db2 1 -db2 leap".into()));
    seen.silent("db1");
    assert_eq!(
        decided(&state, &seen, 605_000),
        None,
        "this leader has not heard of it, and leads for a minute"
    );
    let later = next(&state, &seen.observations(), Duration::from_secs(600), 605_000);
    assert_eq!(later.and_then(said), Some("db2 1 -db2 leap".into()));
    let (_, mut back) = configured();
    back.report("db2").archiving = seen.report("db2").archiving.clone();
    assert_eq!(decided(&state, &back, 604_999), Some("db1 1 -db2".into()), "it is there again, and is asked");
}

#[test]
fn one_that_may_leave_a_hole_may_until_something_is_in_the_store_behind_it() {
    let (mut state, mut seen) = configured();
    state.collector = Some(Collector { may_leap: true, ..collects("db2", 2).unwrap() });
    let idle = Archiving { works: true, ..Archiving::default() };
    seen.report("db2").archiving = Some(idle.clone());
    assert_eq!(decided(&state, &seen, 60_000), None, "nothing was committed since");
    seen.report("db2").archiving = Some(Archiving { sent: 1, ..idle });
    assert_eq!(decided(&state, &seen, 60_000), Some("db2 2".into()));
    assert_eq!(decided(&state, &seen, 600_000), Some("db2 0".into()));
}

#[test]
fn who_cannot_reach_the_store_gives_way_until_each_has_tried() {
    let (mut state, mut seen) = configured();
    state.collector = collects("db2", 0);
    let uploads_fail =
        |failed| Archiving { works: true, failed, error: "away".into(), ..Archiving::default() };
    seen.report("db2").archiving = Some(Archiving { behind: 1, ..uploads_fail(4) });
    assert_eq!(decided(&state, &seen, 60_000), None);
    seen.report("db2").archiving = Some(uploads_fail(5));
    assert_eq!(decided(&state, &seen, 9_999), None);
    assert_eq!(decided(&state, &seen, 10_000), Some("db1 1".into()));
    state.collector = collects("db1", 1);
    seen.report("db1").archiving = Some(uploads_fail(5));
    assert_eq!(decided(&state, &seen, 10_000), Some("db2 2".into()));
    state.collector = collects("db2", 2);
    assert_eq!(decided(&state, &seen, 599_999), None, "the store is away from all");
    assert_eq!(decided(&state, &seen, 600_000), Some("db1 3".into()), "another may reach it meanwhile");
    seen.last_heard("db2", Duration::from_secs(5));
    assert_eq!(decided(&state, &seen, 10_000), Some("db1 2".into()), "what it said last is no news");
}

#[test]
fn an_outage_of_the_store_leaves_no_hole_however_long_it_lasts() {
    let (mut state, mut seen) = configured();
    state.collector = collects("db2", 0);
    let away = Archiving { ended: 3, error: "store disk: away".into(), ..Archiving::default() };
    for node in ["db1", "db2"] {
        seen.report(node).archiving = Some(away.clone());
    }
    for turns in 1..20 {
        let decided = decided(&state, &seen, 10_000).unwrap();
        let node = if turns % 2 == 1 { "db1" } else { "db2" };
        assert_eq!(decided, format!("{node} {turns}"));
        state.collector = collects(node, turns);
    }
    // One server that lacks it, twice, is not all of them.
    state.collector =
        Some(Collector { lacking: BTreeSet::from([name("db2")]), ..collects("db2", 3).unwrap() });
    seen.report("db2").archiving = Some(Archiving { lacks: true, ..away });
    assert_eq!(decided(&state, &seen, 10_000), Some("db1 4 -db2".into()));
}

#[test]
fn what_is_wrong_is_told() {
    let (mut state, mut seen) = configured();
    let mut archiving = |state: &ClusterState, archiving: Archiving| {
        seen.report("db2").archiving = Some(archiving);
        told(state, &seen)
    };
    state.collector = collects("db2", 0);
    assert_eq!(archiving(&state, Archiving { failed: 1, lag_ms: 59_999, ..Archiving::default() }), [""; 0]);
    let failed = Archiving { failed: 2, error: "store disk: full".into(), ..Archiving::default() };
    let stalled = "ArchiveStalled: the archive of the binlog does not get on: db2";
    let said = format!("{stalled}: 2 uploads failed, one after the other: store disk: full");
    assert_eq!(archiving(&state, failed), [said]);
    let lag_ms = u64::try_from(Duration::from_secs(60).as_millis()).unwrap();
    let said = format!("{stalled}: what was committed 60 s ago is not in the store; 7 transactions wait");
    assert_eq!(archiving(&state, Archiving { lag_ms, behind: 7, ..Archiving::default() }), [said]);
    let waits = "3 MiB are free".to_owned();
    assert_eq!(
        archiving(&state, Archiving { waits, ..Archiving::default() }),
        [format!("{stalled}: 3 MiB are free")]
    );
    let aside = archiving(&state, Archiving { aside: 2, ..Archiving::default() });
    assert!(
        aside[0]
            .starts_with(&format!("{stalled}: 2 segments that waited in paths.data/binlog cannot be read"))
    );
    let hole = "ArchiveHole: the archive of the binlog lacks 0-1-4..9: nothing can be restored across that";
    assert_eq!(archiving(&state, Archiving { holes: "0-1-4..9".into(), ..Archiving::default() }), [hole]);
}

#[test]
fn that_nobody_can_be_read_is_told_also_of_whom_it_was_the_turn() {
    let (mut state, mut seen) = configured();
    state.collector = collects("db2", 0);
    seen.last_heard("db2", Duration::from_secs(5));
    assert_eq!(told(&state, &seen), [""; 0], "db1 can be");
    seen.own("db1").pulse = None;
    let told = told(&state, &seen);
    assert!(told[0].contains("no server can be read"), "{told:?}");
}

#[test]
fn a_hole_that_every_kept_backup_has_is_told_no_more() {
    let (mut state, mut seen) = configured();
    state.collector = collects("db2", 0);
    let mut is_told = |holes: &str, backups: &[(&str, &str)]| {
        seen.report("db2").archiving = Some(Archiving { holes: holes.into(), ..Archiving::default() });
        let backup = |(store, gtids): &(&str, &str)| Backup {
            gtids: (*gtids).into(),
            stores: store.split_terminator(' ').map(str::to_owned).collect(),
            ..Backup::default()
        };
        let named = backups.iter().enumerate().map(|(number, one)| (number.to_string(), backup(one)));
        state.backups.catalogue = named.collect();
        !told(&state, &seen).is_empty()
    };
    let (hole, without, with) =
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:4-9", set("1-8").to_string(), set("1-9").to_string());
    assert!(is_told(hole, &[]), "there is no backup");
    assert!(is_told(hole, &[("disk", &with), ("disk", &without)]), "an older one can be restored");
    assert!(is_told(hole, &[("disk", "")]), "what it has is not known");
    assert!(!is_told(hole, &[("disk", &with), ("", &without)]), "an older one is in no store any more");
    assert!(is_told("0-1-4..9", &[("disk", "0-2-8")]));
    assert!(!is_told("0-1-4..9", &[("disk", "0-2-9,1-1-1")]));
}
