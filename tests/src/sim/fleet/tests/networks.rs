//! Cuts and delays, and that a seed gives the same run every time.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::sql::{ManagedServer, Permit, SqlError};
use tokio::time::{Instant, sleep};

use super::{BOTH, BOUND, World};
use crate::sim::fleet::{Row, User, Written};

#[tokio::test(start_paused = true)]
async fn a_cut_holds_acknowledgements_up_and_a_stream_goes_on_behind_it() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        for replica in ["db2", "db3"] {
            world.links.cut(replica, "db1");
        }
        let commit = world.writing("db1", 1, BOUND);
        world.until_waiting("db1").await;
        world.until("it to arrive", async || world.has("db2", 1)).await;
        assert!(!commit.is_finished(), "the way there is open, the way back is cut");
        assert!(world.pulse("db2").await.replication.unwrap().io_running);
        world.links.mend();
        assert_eq!(commit.await.unwrap(), Written::Acknowledged);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_notices_a_cut_after_its_timeout_and_its_source_counts_it_on() {
    let world = World::lossless(Dialect::Mysql).await;
    world.links.cut("db1", "db2");
    world.links.cut("db2", "db1");
    sleep(Duration::from_secs(3)).await;
    assert!(world.pulse("db2").await.replication.unwrap().io_running, "says so all the same");
    sleep(Duration::from_secs(3)).await;
    let channel = world.pulse("db2").await.replication.unwrap();
    assert_eq!(
        (channel.io_running, channel.io_started, channel.last_io_error.unwrap().errno),
        (false, true, 2003)
    );
    assert_eq!(world.pulse("db1").await.semi_sync.ackers, 2, "nobody told the source");
    world.links.mend();
    world
        .until("the stream to stand again", async || world.pulse("db2").await.replication.unwrap().io_running)
        .await;
    assert_eq!(world.write("db1", 1).await, Written::Acknowledged);
    world.until("it to arrive", async || world.has("db2", 1)).await;
    assert_eq!(world.pulse("db1").await.semi_sync.ackers, 2);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_cut_off_is_unknown_and_committed() {
    let world = World::lossless(Dialect::Mysql).await;
    let client = world.fleet.client("app", &"db1".into(), User::Ordinary, BOUND).await.unwrap();
    world.links.cut("db1", "app");
    assert!(matches!(client.write(Row(1), BOUND).await, Written::Unknown(SqlError::TimedOut { .. })));
    assert!(world.has("db1", 1));
    let begun = Instant::now();
    let probe = world.fleet.remote("app", "db1:3306");
    assert!(matches!(probe.pulse().await, Err(SqlError::TimedOut { .. })));
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_cut_off_from_its_replicas_is_caught_up_with_later() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        world.own("db1").let_go(&Permit::unconditional()).await.unwrap();
        for replica in ["db2", "db3"] {
            world.links.cut("db1", replica);
            world.links.cut(replica, "db1");
        }
        for row in 0..50 {
            assert_eq!(world.write("db1", row).await, Written::Acknowledged);
        }
        world.links.mend();
        world.until("both to catch up", async || world.has("db2", 49) && world.has("db3", 49)).await;
        assert_eq!(world.fleet.rows("db2"), world.fleet.rows("db1"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_generation_rises_with_changes_alone() {
    let world = World::lossless(Dialect::Mysql).await;
    sleep(Duration::from_secs(1)).await;
    let own = world.own("db1");
    own.ping().await.unwrap();
    let still = world.fleet.generation();
    sleep(Duration::from_secs(5)).await;
    own.pulse().await.unwrap();
    assert_eq!(world.fleet.generation(), still);
    assert_eq!(world.write("db1", 1).await, Written::Acknowledged);
    let written = world.fleet.generation();
    world.fleet.freeze("db2");
    assert!(still < written && written < world.fleet.generation());
}

/// A run with faults in it, as text.
async fn run(dialect: Dialect) -> String {
    let world = World::lossless(dialect).await;
    for round in 0..5_u64 {
        let writes: Vec<_> =
            (0..20).map(|n| world.writing("db1", round * 100 + n, Duration::from_secs(1))).collect();
        match round {
            1 => world.fleet.kill("db2"),
            2 => world.fleet.freeze("db3"),
            3 => world.fleet.thaw("db3"),
            _ => {}
        }
        sleep(Duration::from_secs(2)).await;
        for write in writes {
            write.await.unwrap();
        }
    }
    let servers: Vec<_> = world.fleet.hosts().iter().map(|h| world.fleet.seen(h)).collect();
    format!("{:?} {servers:?}", world.fleet.acknowledged(0))
}

#[test]
fn a_seed_gives_the_same_run() {
    for dialect in BOTH {
        let again = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(run(dialect))
        };
        let first = again();
        assert!(first.len() > 1000);
        assert_eq!(first, again());
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_dies_in_the_middle_of_sending_leaves_nothing_received() {
    let world = World::with(Dialect::Mysql, |s| s.halves_percent = 100).await;
    world.own("db2").follow(&super::source("db1"), &Permit::unconditional()).await.unwrap();
    world.open("db1").await;
    let marker = async || world.pulse("db2").await.replication.unwrap().events_marker;
    let before = marker().await;
    let _commit = world.writing("db1", 1, BOUND);
    world.until("the beginning to arrive", async || marker().await > before).await;
    world.fleet.kill("db1");
    sleep(Duration::from_secs(1)).await;
    assert!(world.pulse("db2").await.received.is_empty());
    world.own("db2").forget_source(&Permit::unconditional()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_lost_its_power_counts_until_its_host_is_back() {
    let world = World::lossless(Dialect::Mysql).await;
    world.links.cut("db1", "db2");
    world.fleet.lose_power("db2");
    sleep(Duration::from_secs(30)).await;
    assert_eq!(world.pulse("db1").await.semi_sync.ackers, 2);
    world.links.mend();
    world.until("the reset", async || world.pulse("db1").await.semi_sync.ackers == 1).await;
}
