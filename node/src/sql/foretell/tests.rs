//! What each dialect is told, as golden text; that it is what is sent, the suite of switchovers shows on real servers.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::gtid::GtidSet;
use crate::sql::fields::Fields;
use crate::sql::status::{Replication, SemiSync, Switch};

fn mysql() -> Capabilities {
    let variables = [
        ("gtid_executed", ""),
        ("replica_net_timeout", "60"),
        ("rpl_semi_sync_source_enabled", "ON"),
        ("rpl_semi_sync_replica_enabled", "ON"),
    ];
    Capabilities::from_answers("9.7.4", &Fields::of(&variables)).unwrap()
}

fn old_mysql() -> Capabilities {
    let variables = [
        ("gtid_executed", ""),
        ("slave_net_timeout", "60"),
        ("rpl_semi_sync_master_enabled", "ON"),
        ("rpl_semi_sync_slave_enabled", "ON"),
    ];
    Capabilities::from_answers("8.0.25", &Fields::of(&variables)).unwrap()
}

fn mariadb() -> Capabilities {
    let variables = [
        ("gtid_slave_pos", ""),
        ("slave_net_timeout", "60"),
        ("rpl_semi_sync_master_enabled", "ON"),
        ("rpl_semi_sync_slave_enabled", "ON"),
    ];
    Capabilities::from_answers("10.11.19-MariaDB", &Fields::of(&variables)).unwrap()
}

fn empty(caps: &Capabilities) -> GtidSet {
    match caps.dialect {
        crate::gtid::Dialect::Mysql => GtidSet::parse_mysql("").unwrap(),
        crate::gtid::Dialect::Mariadb => GtidSet::parse_mariadb_state("").unwrap(),
    }
}

/// The open writer, whose replica side has never been on.
fn writer(caps: &Capabilities) -> Pulse {
    let semi_sync = SemiSync { sync_relay_log: 10_000, ..SemiSync::default() };
    Pulse {
        switch: Switch::Open,
        offline_mode: false,
        executed: empty(caps),
        received: empty(caps),
        replication: None,
        semi_sync,
        uptime: Duration::ZERO,
        threads_connected: 1,
    }
}

/// One that follows it and acknowledges.
fn replica(caps: &Capabilities) -> Pulse {
    let channel = Replication {
        source_host: "10.0.0.1".into(),
        source_port: 3306,
        source_uuid: None,
        source_id: None,
        io_running: true,
        io_started: true,
        sql_running: true,
        last_io_error: None,
        last_sql_error: None,
        seconds_behind: Some(0),
        heartbeats: 1,
        events_marker: 1,
        retrieved: empty(caps),
        delay: Duration::ZERO,
        auto_position: true,
        channels: 1,
    };
    let semi_sync =
        SemiSync { sync_relay_log: 1, replica_enabled: true, replica_acking: true, ..SemiSync::default() };
    Pulse { switch: Switch::ClosedToAll, replication: Some(channel), semi_sync, ..writer(caps) }
}

/// A whole switchover of three servers.
fn text(caps: &Capabilities) -> String {
    let source = Source {
        host: "10.0.0.2".into(),
        port: 3306,
        user: "repl".into(),
        password: "s3cret".to_owned().into(),
        tls: None,
    };
    let event = EventSeen {
        schema: "app".into(),
        name: "tick".into(),
        definer: "owner@%".into(),
        time_zone: "SYSTEM".into(),
        ..EventSeen::default()
    };
    let plain = CloseOptions::default();
    let kills = CloseOptions { kill_blockers: true, ..CloseOptions::default() };
    let (old, new) = (writer(caps), replica(caps));
    let steps = [
        ("rotate", &new, vec![Call::RotateBinlog]),
        ("close", &old, vec![Call::Close(&plain)]),
        ("close, killing", &old, vec![Call::Close(&kills)]),
        ("apply", &new, vec![Call::WaitApplied("<what db1 has once it is closed>")]),
        ("rest", &old, vec![Call::StopWaiting]),
        ("open", &new, vec![Call::ForgetSource, Call::MakeSourceWait(1), Call::Open]),
        ("event", &new, vec![Call::EnableEvent(&event)]),
        ("the old writer follows", &old, vec![Call::SetAcker(true), Call::Follow(&source)]),
        ("another follows", &new, vec![Call::SetAcker(true), Call::Follow(&source)]),
        ("prove", &new, vec![Call::MakeSourceWait(1), Call::ProveCommit]),
    ];
    let mut text = String::new();
    for (step, seen, calls) in steps {
        text += &format!("# {step}\n");
        for call in calls {
            text += &statements(caps, seen, call)
                .unwrap()
                .iter()
                .map(|line| format!("{line}\n"))
                .collect::<String>();
        }
    }
    assert!(!text.contains("s3cret"), "{text}");
    text
}

#[test]
fn mysql_is_told_in_its_own_words() {
    insta::assert_snapshot!("mysql", text(&mysql()));
}

#[test]
fn an_old_mysql_has_the_old_names() {
    insta::assert_snapshot!("old_mysql", text(&old_mysql()));
}

#[test]
fn mariadb_is_told_in_its_own_words() {
    insta::assert_snapshot!("mariadb", text(&mariadb()));
}

#[test]
fn what_is_different_about_a_server_shows() {
    let mut caps = mariadb();
    caps.closes_to_all = true;
    let options = CloseOptions::default();
    let close = Call::Close(&options);
    assert!(statements(&caps, &writer(&caps), close).unwrap()[0].contains("read_only=NO_LOCK_NO_ADMIN"));
    let caps = mysql();
    let offline = Pulse { offline_mode: true, ..replica(&caps) };
    assert_eq!(statements(&caps, &offline, Call::Open).unwrap()[0], "SET GLOBAL offline_mode=OFF;");
    let mut stands = replica(&caps);
    let channel = stands.replication.as_mut().unwrap();
    (channel.sql_running, channel.io_started) = (false, false);
    let source =
        Source { host: "h".into(), port: 1, user: "u".into(), password: "p".to_owned().into(), tls: None };
    let follows = statements(&caps, &stands, Call::Follow(&source)).unwrap();
    assert_eq!(follows[1], "START REPLICA SQL_THREAD;", "{follows:?}");
    let leaves = statements(&caps, &replica(&caps), Call::SetAcker(false)).unwrap();
    assert_eq!(leaves[0], "SET GLOBAL rpl_semi_sync_replica_enabled=OFF;");
    assert_eq!(leaves[1..], ["STOP REPLICA IO_THREAD;", "START REPLICA IO_THREAD;"]);
    let event = EventSeen { name: "x`;\nDROP".into(), ..EventSeen::default() };
    let named = statements(&caps, &replica(&caps), Call::EnableEvent(&event)).unwrap();
    assert!(named.len() == 2 && named[1].contains("`x``; DROP`"), "{named:?}");
    let bare = Capabilities { source: None, replica: None, ..mysql() };
    assert!(statements(&bare, &writer(&bare), Call::MakeSourceWait(1)).is_err(), "the mend is in the error");
}
