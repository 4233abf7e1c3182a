//! Semi-sync. The same is asked of real servers in `suites/sql/moving.rs` and `suites/sql/closing.rs`.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::sql::{CloseOptions, ManagedServer, Permit, SqlError};
use tokio::time::sleep;

use super::{BOTH, BOUND, World, source};
use crate::sim::fleet::{Disk, User, Written};

#[tokio::test(start_paused = true)]
async fn a_commit_is_acknowledged_only_when_an_acker_has_it() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        assert_eq!(world.write("db1", 1).await, Written::Acknowledged);
        let seen = |host: &str| world.fleet.seen(host).unwrap();
        assert!(seen("db2").received.contains(&seen("db1").executed).unwrap());
        for replica in ["db2", "db3"] {
            world.own(replica).stop_receiver(&Permit::unconditional()).await.unwrap();
        }
        let commit = world.writing("db1", 2, BOUND);
        world.until_waiting("db1").await;
        assert!(!world.has("db1", 2), "visible before it is acknowledged");
        world.own("db3").start_receiver(&Permit::unconditional()).await.unwrap();
        assert_eq!(commit.await.unwrap(), Written::Acknowledged);
        assert!(world.has("db1", 2));
        let told = world.fleet.acknowledged(0);
        assert_eq!(told.iter().map(|a| a.row.0).collect::<Vec<_>>(), [1, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_commit_counts_as_executed_on_mariadb_alone() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        world.fleet.kill("db2");
        world.fleet.kill("db3");
        let before = world.pulse("db1").await.executed;
        let _commit = world.writing("db1", 1, BOUND);
        world.until_waiting("db1").await;
        let counts = world.pulse("db1").await.executed != before;
        assert_eq!(counts, dialect == Dialect::Mariadb);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_from_a_stalled_disk() {
    let world = World::lossless(Dialect::Mysql).await;
    world.fleet.set_disk("db2", Disk::Stalled);
    world.fleet.set_disk("db3", Disk::Stalled);
    let commit = world.writing("db1", 1, BOUND);
    world.until_waiting("db1").await;
    sleep(Duration::from_secs(1)).await;
    assert!(!commit.is_finished());
    let (replica, permit) = (world.own("db3"), Permit::unconditional());
    let stopped = tokio::time::timeout(Duration::from_millis(500), replica.stop_receiver(&permit)).await;
    assert!(stopped.is_err(), "its thread hangs in the write");
    world.fleet.set_disk("db2", Disk::Fine);
    assert_eq!(commit.await.unwrap(), Written::Acknowledged);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_receives_nothing() {
    let world = World::lossless(Dialect::Mysql).await;
    world.fleet.set_disk("db2", Disk::Full);
    world.fleet.set_disk("db3", Disk::Full);
    let before = world.pulse("db2").await.received;
    let commit = world.writing("db1", 1, BOUND);
    world.until_waiting("db1").await;
    sleep(Duration::from_secs(1)).await;
    assert!(!commit.is_finished() && world.pulse("db2").await.received == before);
    world.fleet.set_disk("db3", Disk::Fine);
    assert_eq!(commit.await.unwrap(), Written::Acknowledged);
}

#[tokio::test(start_paused = true)]
async fn only_a_reachable_timeout_degrades_and_letting_go_answers_at_once() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        world.fleet.kill("db2");
        world.fleet.kill("db3");
        let commit = world.writing("db1", 1, Duration::from_secs(3600));
        sleep(Duration::from_secs(1800)).await;
        assert!(!commit.is_finished(), "degraded by itself");
        world.own("db1").let_go(&Permit::unconditional()).await.unwrap();
        assert_eq!(commit.await.unwrap(), Written::Acknowledged);
        assert_eq!(world.write("db1", 2).await, Written::Acknowledged);
        let mut pin = world.fleet.socket("db1").pin().await.unwrap();
        pin.wait_for(1, &Permit::unconditional()).await.unwrap();
        let _commit = world.writing("db1", 3, BOUND);
        world.until_waiting("db1").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_ordinary_timeout_is_reached() {
    let world = World::lossless(Dialect::Mysql).await;
    world.fleet.kill("db2");
    world.fleet.kill("db3");
    world.fleet.at("db1", |m, at| {
        if let Some(p) = m.process(at) {
            p.source.timeout_ms = 500;
        }
    });
    assert_eq!(world.write("db1", 1).await, Written::Acknowledged);
    assert!(!world.pulse("db1").await.semi_sync.source_active);
}

#[tokio::test(start_paused = true)]
async fn a_closed_server_that_nobody_waits_on_can_be_told_to_wait_no_more() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        let own = world.own("db1");
        let permit = Permit::unconditional();
        assert!(matches!(own.stop_waiting(&permit).await, Err(SqlError::Unsafe(_))), "open");
        own.close(&CloseOptions::default()).await.unwrap();
        for replica in ["db2", "db3"] {
            world.own(replica).stop_receiver(&permit).await.unwrap();
        }
        world
            .until("the source side to be off", async || {
                own.stop_waiting(&permit).await.unwrap();
                !world.pulse("db1").await.semi_sync.source_enabled
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_source_side_is_on_hangs_its_applier() {
    let world = World::lossless(Dialect::Mysql).await;
    let mut pin = world.fleet.socket("db3").pin().await.unwrap();
    pin.wait_for(1, &Permit::unconditional()).await.unwrap();
    assert_eq!(world.write("db1", 1).await, Written::Acknowledged);
    sleep(Duration::from_secs(10)).await;
    assert!(world.has("db2", 1) && !world.has("db3", 1));
    world.own("db3").let_go(&Permit::unconditional()).await.unwrap();
    world.until("the applier to go on", async || world.has("db3", 1)).await;
}

#[tokio::test(start_paused = true)]
async fn killing_a_waiting_session_ends_its_wait_on_mariadb_alone() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        world.fleet.kill("db2");
        world.fleet.kill("db3");
        let commit = world.writing("db1", 1, BOUND);
        world.until_waiting("db1").await;
        world.fleet.kill_clients("db1");
        assert!(matches!(commit.await.unwrap(), Written::Unknown(SqlError::Gone { .. })));
        assert_eq!(world.has("db1", 1), dialect == Dialect::Mariadb);
        let options = CloseOptions { kill_sessions: false, ..CloseOptions::default() };
        let closed = world.own("db1").close(&options).await;
        assert_eq!(closed.is_ok(), dialect == Dialect::Mariadb, "{closed:?}");
        assert!(world.fleet.acknowledged(0).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn two_ackers_are_waited_for_where_two_are_asked_for() {
    let world = World::lossless(Dialect::Mysql).await;
    let mut pin = world.fleet.socket("db1").pin().await.unwrap();
    pin.wait_for(2, &Permit::unconditional()).await.unwrap();
    world.own("db3").stop_receiver(&Permit::unconditional()).await.unwrap();
    let commit = world.writing("db1", 1, BOUND);
    world.until_waiting("db1").await;
    sleep(Duration::from_secs(1)).await;
    assert!(!commit.is_finished());
    world.own("db3").follow(&source("db1"), &Permit::unconditional()).await.unwrap();
    assert_eq!(commit.await.unwrap(), Written::Acknowledged);
    let client = world.fleet.client("db1", &"db1".into(), User::Privileged, BOUND).await.unwrap();
    assert_eq!(client.read(&[crate::sim::fleet::Row(1)], BOUND).await.unwrap().len(), 1);
}
