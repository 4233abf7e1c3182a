#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{advance, timeout};

use super::*;
use crate::decide::seen::{GuardSeen, OwnServer, Process};
use crate::observe::fake;
use crate::observe::pulse::{Receiving, convert};
use crate::state::{Epoch, Grant, Member};

fn db1() -> NodeName {
    NodeName::from("db1")
}

fn numbered(serial: u64) -> Report {
    Report { serial, ..Report::default() }
}

fn own(process: Process, ackers: u32, open: bool) -> Option<OwnServer> {
    let mut pulse = convert(&fake::writer(), &mut Receiving::default(), Instant::now());
    (pulse.ackers, pulse.open) = (ackers, open);
    Some(OwnServer {
        process,
        pulse: Some(pulse),
        pulse_age: Duration::from_millis(100),
        error: None,
        guard: GuardSeen::default(),
        about: None,
    })
}

fn with_ackers(serial: u64, ackers: u32, open: bool) -> Report {
    Report { serial, own: own(Process::Running { pid: 7 }, ackers, open), ..Report::default() }
}

fn managed() -> ClusterState {
    let grant = Grant {
        epoch: Epoch(1),
        node: db1(),
        since_ms: 0,
        unleased: false,
        opened_ms: Some(0),
        paused_at: None,
    };
    let members = ["db1", "db2"].map(|n| (NodeName::from(n), Member::default()));
    let mut state = ClusterState::default();
    (state.grant, state.members) = (Some(grant), members.into());
    state
}

async fn has_changed(table: &Table) -> bool {
    timeout(Duration::from_millis(1), table.changed()).await.is_ok()
}

fn serial(table: &Table) -> u64 {
    table.snapshot(&ClusterState::default()).of(&db1()).unwrap().report.serial
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn an_older_report_is_dropped() {
    let table = Table::default();
    assert!(table.take(db1(), numbered(5)));
    assert!(!table.take(db1(), numbered(5)));
    assert!(!table.take(db1(), numbered(4)));
    assert!(table.take(db1(), numbered(6)));
    assert_eq!(serial(&table), 6);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_sender_with_an_older_clock_is_heard_after_a_while() {
    let table = Table::default();
    table.take(db1(), numbered(5000));
    advance(LATE - ms(1)).await;
    assert!(!table.take(db1(), numbered(10)));
    advance(ms(1)).await;
    assert!(table.take(db1(), numbered(11)));
    assert!(table.take(db1(), numbered(12)));
}

#[tokio::test(start_paused = true)]
async fn reports_grow_old() {
    let table = Table::default();
    table.take(db1(), numbered(1));
    advance(ms(700)).await;
    assert_eq!(table.snapshot(&managed()).of(&db1()).unwrap().age, ms(700));
}

#[tokio::test(start_paused = true)]
async fn a_server_is_gone_since_its_own_process_is() {
    let table = Table::default();
    let mut serial = 0;
    let mut says = |process| {
        serial += 1;
        table.take(db1(), Report { serial, own: own(process, 1, false), ..Report::default() });
        table.snapshot(&managed()).gone_for.get(&db1()).copied()
    };
    assert_eq!(says(Process::Running { pid: 7 }), None);
    advance(ms(200)).await;
    assert_eq!(says(Process::Gone { pid: 7 }), Some(ms(0)));
    advance(ms(200)).await;
    assert_eq!(says(Process::Gone { pid: 7 }), Some(ms(200)));
    advance(ms(200)).await;
    assert_eq!(says(Process::Gone { pid: 8 }), Some(ms(0)), "another one ran meanwhile");
    advance(FRESH - ms(1)).await;
    assert_eq!(says(Process::Gone { pid: 8 }), Some(FRESH - ms(1)));
    advance(FRESH).await;
    assert_eq!(says(Process::Gone { pid: 8 }), Some(ms(0)), "what ran meanwhile nobody said");
    assert_eq!(says(Process::Running { pid: 8 }), None);
    assert_eq!(says(Process::Gone { pid: 8 }), Some(ms(0)), "it was started again");
}

#[tokio::test(start_paused = true)]
async fn only_what_matters_wakes() {
    let table = Table::default();
    table.take(db1(), with_ackers(1, 1, true));
    assert!(has_changed(&table).await, "the first report");
    table.take(db1(), with_ackers(2, 1, true));
    assert!(!has_changed(&table).await, "nothing new");
    table.take(db1(), Report { serial: 3, own: own(Process::Gone { pid: 7 }, 1, true), ..Report::default() });
    assert!(has_changed(&table).await, "the process is gone");
    table.take(db1(), Report { serial: 2, ..Report::default() });
    assert!(!has_changed(&table).await, "a late one");
    advance(FRESH).await;
    table.take(db1(), Report { serial: 4, own: own(Process::Gone { pid: 7 }, 1, true), ..Report::default() });
    assert!(has_changed(&table).await, "heard again after a silence");
}

#[tokio::test(start_paused = true)]
async fn a_fresh_leader_knows_nothing() {
    let table = Table::default();
    table.take(db1(), numbered(9));
    table.clear();
    assert!(table.snapshot(&managed()).of(&db1()).is_none());
    assert!(table.take(db1(), numbered(1)));
}

#[tokio::test(start_paused = true)]
async fn who_is_no_member_is_forgotten() {
    let table = Table::default();
    table.take(NodeName::from("db9"), numbered(1));
    assert!(table.snapshot(&managed()).of(&NodeName::from("db9")).is_none());
    assert_eq!(table.held().reports.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shortage_of_ackers_lasts_from_look_to_look() {
    let (table, state) = (Table::default(), managed());
    table.take(db1(), with_ackers(1, 0, true));
    assert_eq!(table.snapshot(&state).acker_short_for, Some(ms(100)), "as old as the pulse");
    advance(ms(500)).await;
    table.take(db1(), with_ackers(2, 0, true));
    assert_eq!(table.snapshot(&state).acker_short_for, Some(ms(600)));
    table.clear();
    assert_eq!(table.snapshot(&state).acker_short_for, None);
}

#[tokio::test(start_paused = true)]
async fn everybody_who_waits_is_woken() {
    let table = Arc::new(Table::default());
    let mut waiting = JoinSet::new();
    for _ in 0..2 {
        let table = Arc::clone(&table);
        waiting.spawn(async move { table.changed().await });
    }
    tokio::task::yield_now().await;
    table.take(db1(), numbered(1));
    let all = timeout(ms(10), waiting.join_all()).await;
    assert!(all.is_ok());
}
