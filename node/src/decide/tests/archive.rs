//! Whose binlog is archived, and what is told of that.

use std::time::Duration;

use crate::decide::archive::{Archiving, alarms, next};
use crate::decide::sample::{Seen, managed, name};
use crate::state::{Change, ClusterState, Collector};

/// Both nodes have an archive in their file.
fn configured() -> (ClusterState, Seen) {
    let (state, mut seen) = managed();
    for node in ["db1", "db2"] {
        seen.report(node).archiving = Some(Archiving::default());
    }
    (state, seen)
}

fn collects(node: &str, turns: u32) -> Option<Collector> {
    Some(Collector { node: name(node), since_ms: 0, turns, may_leap: false })
}

/// `node turns leap`, `nobody`, or nothing.
fn decided(state: &ClusterState, seen: &Seen, now_ms: i64) -> Option<String> {
    let Change::Collect { node, turns, may_leap } = next(state, &seen.observations(), now_ms)? else {
        return Some("something else".into());
    };
    let leap = if may_leap { " leap" } else { "" };
    Some(node.map_or("nobody".to_owned(), |node| format!("{node} {turns}{leap}")))
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
fn who_gets_nowhere_gives_way_and_in_the_end_a_hole_is_left() {
    let (mut state, mut seen) = configured();
    state.collector = collects("db2", 0);
    let fails = |seen: &mut Seen, node: &str, ended| {
        seen.report(node).archiving = Some(Archiving { ended, error: "gone".into(), ..Archiving::default() });
    };
    fails(&mut seen, "db2", 2);
    assert_eq!(decided(&state, &seen, 60_000), None);
    assert_eq!(told(&state, &seen), ["ArchiveStalled: the archive of the binlog does not get on: db2: gone"]);
    fails(&mut seen, "db2", 3);
    assert_eq!(decided(&state, &seen, 1), Some("db1 1".into()));
    state.collector = collects("db1", 1);
    assert_eq!(decided(&state, &seen, 60_000), None, "db2 is the better one, and has just failed");
    fails(&mut seen, "db1", 3);
    assert_eq!(decided(&state, &seen, 1), Some("db2 2 leap".into()), "everybody had a turn");
    let works = Archiving { works: true, sent: 1, ..Archiving::default() };
    seen.report("db1").archiving = Some(works);
    seen.channel("db2").sql_running = false;
    assert_eq!(decided(&state, &seen, 1), Some("db1 0".into()), "it gets on, and the turns are forgotten");
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
    let hole = "ArchiveHole: the archive of the binlog lacks 0-1-4..9: nothing can be restored across that";
    assert_eq!(archiving(&state, Archiving { holes: "0-1-4..9".into(), ..Archiving::default() }), [hole]);
}
