//! Threads, sources, relay logs. The same is asked of real servers in `suites/sql/moving.rs`.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::sql::{CloseOptions, ManagedServer, Permit, SqlError};
use tokio::time::sleep;

use super::{BOTH, BOUND, World, source};
use crate::sim::fleet::Written;
use crate::sim::fleet::threads::Thread;

#[tokio::test(start_paused = true)]
async fn a_writer_moves_and_nothing_is_lost() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        let permit = Permit::unconditional();
        for row in 0..20 {
            assert_eq!(world.write("db1", row).await, Written::Acknowledged);
        }
        let proof = world.own("db1").close(&CloseOptions::default()).await.unwrap();
        let new = world.own("db2");
        assert!(new.wait_applied(&proof.executed, BOUND).await.unwrap());
        new.forget_source(&permit).await.unwrap();
        new.forget_source(&permit).await.unwrap();
        new.set_acker(false, &permit).await.unwrap();
        world.own("db1").set_acker(true, &permit).await.unwrap();
        world.own("db1").stop_waiting(&permit).await.unwrap();
        world.own("db1").follow(&source("db2"), &permit).await.unwrap();
        world.open("db2").await;
        assert_eq!(world.write("db2", 100).await, Written::Acknowledged);
        world.own("db3").follow(&source("db2"), &permit).await.unwrap();
        let last = world.pulse("db2").await.executed;
        for replica in ["db1", "db3"] {
            // Its source side goes off before its applier could hang on it.
            if replica == "db1" {
                world
                    .until("the source side to be off", async || {
                        world.own("db1").let_go(&permit).await.unwrap();
                        !world.pulse("db1").await.semi_sync.source_active
                    })
                    .await;
            }
            assert!(world.own(replica).wait_applied(&last, BOUND).await.unwrap(), "{dialect} {replica}");
            assert_eq!(world.pulse(replica).await.executed, last);
            assert_eq!(world.fleet.rows(replica), world.fleet.rows("db2"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_rise_and_a_channel_is_described() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        let before = world.pulse("db2").await.replication.unwrap();
        sleep(Duration::from_millis(1100)).await;
        let channel = world.pulse("db2").await.replication.unwrap();
        assert!(channel.heartbeats > before.heartbeats && channel.heartbeats <= before.heartbeats + 3);
        assert!(
            channel.io_running && channel.sql_running && channel.auto_position && channel.events_marker > 0
        );
        assert_eq!((channel.source_id, channel.source_uuid.is_some()), (Some(1), dialect == Dialect::Mysql));
        let settings = world.own("db2").inventory().await.unwrap().settings;
        assert_eq!(settings.replica_net_timeout_s, 4);
    }
}

#[tokio::test(start_paused = true)]
async fn received_is_not_thrown_away_by_what_baton_does() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        let (permit, replica) = (Permit::unconditional(), world.own("db3"));
        world.fleet.at("db3", |m, at| m.stop_threads(at, Thread::Applier));
        assert_eq!(world.write("db1", 1).await, Written::Acknowledged);
        world.until("it to arrive", async || !world.pulse("db3").await.all_applied()).await;
        let received = world.pulse("db3").await.received;
        assert!(!replica.wait_applied(&received, BOUND).await.unwrap());
        assert!(matches!(replica.forget_source(&permit).await, Err(SqlError::Unsafe(_))));
        let stopped = replica.stop_receiver(&permit).await;
        assert_eq!(stopped.is_err(), dialect == Dialect::Mariadb, "{stopped:?}");
        assert_eq!(world.pulse("db3").await.received, received);
        replica.start_applier(&permit).await.unwrap();
        replica.start_receiver(&permit).await.unwrap();
        assert!(replica.wait_applied(&received, BOUND).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn mariadb_throws_away_what_it_received_when_a_thread_starts_from_a_standstill() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        world.fleet.at("db3", |m, at| m.stop_threads(at, Thread::Applier));
        assert_eq!(world.write("db1", 1).await, Written::Acknowledged);
        world.until("it to arrive", async || !world.pulse("db3").await.all_applied()).await;
        world.fleet.at("db3", |m, at| {
            m.stop_threads(at, Thread::Receiver);
            m.start_threads(at, Thread::Applier).unwrap();
        });
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.has("db3", 1), dialect == Dialect::Mysql);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_with_more_than_its_source_is_refused() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        let permit = Permit::unconditional();
        for replica in ["db2", "db3"] {
            world.own(replica).stop_receiver(&permit).await.unwrap();
        }
        let _commit = world.writing("db1", 1, BOUND);
        world.until_waiting("db1").await;
        world.fleet.kill("db1");
        world.fleet.start("db1");
        sleep(Duration::from_secs(2)).await;
        world.own("db2").forget_source(&permit).await.unwrap();
        world.own("db1").follow(&source("db2"), &permit).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let channel = world.pulse("db1").await.replication.unwrap();
        // MySQL looks at the source's own transactions alone; these are the replica's own.
        assert_eq!(channel.last_io_error.map(|e| e.errno), (dialect == Dialect::Mariadb).then_some(1236));
    }
}

#[tokio::test(start_paused = true)]
async fn a_locked_out_replica_says_why_and_comes_back() {
    let world = World::lossless(Dialect::Mysql).await;
    world.fleet.lock_out_replicas("db1", true);
    world.own("db2").set_acker(false, &Permit::unconditional()).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    let channel = world.pulse("db2").await.replication.unwrap();
    assert_eq!(
        (channel.last_io_error.unwrap().errno, channel.io_running, channel.io_started),
        (1045, false, true)
    );
    world.fleet.lock_out_replicas("db1", false);
    sleep(Duration::from_secs(3)).await;
    let channel = world.pulse("db2").await.replication.unwrap();
    assert!(channel.io_running && channel.last_io_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_asked_before_each_statement() {
    let world = World::lossless(Dialect::Mysql).await;
    let withdrawn = Permit::new(|| false);
    let own = world.own("db2");
    for refused in [
        own.stop_receiver(&withdrawn).await,
        own.set_acker(false, &withdrawn).await,
        own.follow(&source("db1"), &withdrawn).await,
        own.start_replication(&withdrawn).await,
    ] {
        assert!(matches!(refused, Err(SqlError::Superseded { .. })), "{refused:?}");
    }
    assert!(world.pulse("db2").await.replication.unwrap().io_running);
}
