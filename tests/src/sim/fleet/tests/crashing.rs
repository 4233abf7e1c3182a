//! Ends and beginnings. The same is asked of real servers in `suites/sql/restarting.rs`; what an orderly stop does to a
//! waiting commit was tried by hand.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::sql::{ManagedServer, Permit, Switch};
use tokio::time::sleep;

use super::{BOTH, BOUND, World};
use crate::sim::fleet::{Disk, Written};

async fn waits_without_ackers(world: &World) -> tokio::task::JoinHandle<Written> {
    world.fleet.kill("db2");
    world.fleet.kill("db3");
    let commit = world.writing("db1", 1, BOUND);
    world.until_waiting("db1").await;
    commit
}

async fn started(world: &World, host: &str) {
    world.fleet.start(host);
    world.until("the server to start", async || world.fleet.seen(host).unwrap().up).await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_source_keeps_its_unacknowledged_tail_and_starts_closed() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        let commit = waits_without_ackers(&world).await;
        world.fleet.kill("db1");
        assert!(matches!(commit.await.unwrap(), Written::Unknown(_)));
        started(&world, "db1").await;
        assert!(world.has("db1", 1) && world.fleet.acknowledged(0).is_empty());
        let seen = world.pulse("db1").await;
        assert!(seen.switch.is_closed() && !seen.semi_sync.source_enabled && !seen.semi_sync.replica_enabled);
        assert!(seen.uptime < Duration::from_secs(2));
    }
}

#[tokio::test(start_paused = true)]
async fn mariadb_may_drop_the_tail() {
    let world = World::with(Dialect::Mariadb, |s| s.drops_tail = true).await;
    world.open("db1").await;
    let _commit = world.writing("db1", 1, BOUND);
    world.until_waiting("db1").await;
    let with = world.pulse("db1").await.executed;
    world.fleet.kill("db1");
    started(&world, "db1").await;
    assert!(!world.has("db1", 1) && world.pulse("db1").await.executed != with);
}

#[tokio::test(start_paused = true)]
async fn an_orderly_stop_answers_ok_on_mysql_alone() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        let commit = waits_without_ackers(&world).await;
        let pid = world.fleet.process("db1").unwrap().pid;
        world.fleet.terminate("db1");
        let wrote = commit.await.unwrap();
        assert_eq!(wrote == Written::Acknowledged, dialect == Dialect::Mysql, "{wrote:?}");
        assert_eq!(world.fleet.acknowledged(0).len(), usize::from(dialect == Dialect::Mysql));
        world.fleet.exit_completed("db1", pid).await;
        assert_eq!(world.fleet.process("db1"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn power_takes_what_was_not_on_disk() {
    let world = World::with(Dialect::Mysql, |s| s.sync_takes = Duration::from_millis(50)).await;
    world.open("db1").await;
    let commit = world.writing("db1", 1, BOUND);
    world.until("the commit to begin", async || world.fleet.seen("db1").unwrap().commits == 1).await;
    world.fleet.lose_power("db1");
    assert!(matches!(commit.await.unwrap(), Written::Unknown(_)));
    started(&world, "db1").await;
    assert!(!world.has("db1", 1), "it was in the kernel's memory alone");
    assert!(world.pulse("db1").await.executed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restarted_replica_has_its_relay_log_on_mysql_alone() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        world.fleet.set_apply_delay("db2", Duration::from_secs(3600));
        assert_eq!(world.write("db1", 1).await, Written::Acknowledged);
        world
            .until("it to arrive", async || {
                world.pulse("db2").await.received == world.pulse("db1").await.executed
            })
            .await;
        let all = world.pulse("db2").await.received;
        world.fleet.kill("db1");
        world.fleet.kill("db2");
        started(&world, "db2").await;
        world.fleet.set_apply_delay("db2", Duration::ZERO);
        let seen = world.pulse("db2").await;
        let kept = seen.received == all;
        assert_eq!(kept, dialect == Dialect::Mysql);
        let channel = seen.replication.unwrap();
        assert!(!channel.io_started && !channel.sql_running, "skip_replica_start");
        let permit = Permit::unconditional();
        if kept {
            assert!(world.own("db2").forget_source(&permit).await.is_err(), "forgets what is not applied");
            world.own("db2").start_applier(&permit).await.unwrap();
        } else {
            assert!(channel.retrieved.is_empty());
            started(&world, "db1").await;
            world.own("db2").start_replication(&permit).await.unwrap();
        }
        world.until("it to be applied", async || world.has("db2", 1)).await;
        assert!(world.own("db2").wait_applied(&all, BOUND).await.unwrap());
        world.own("db2").forget_source(&permit).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_on_a_stalled_disk_keeps_its_port_and_runs_no_more() {
    let world = World::lossless(Dialect::Mysql).await;
    let pid = world.fleet.process("db1").unwrap().pid;
    world.fleet.set_disk("db1", Disk::Stalled);
    world.fleet.kill("db1");
    world.fleet.exited("db1", pid).await;
    assert!(world.fleet.process("db1").unwrap().runs_no_more);
    assert!(!baton_node::guard::Attach::refuses(&world.fleet.socket("db1")).await);
    assert!(world.own("db1").pulse().await.is_err() && world.fleet.accepting_writes().is_empty());
    world.fleet.set_disk("db1", Disk::Fine);
    world.fleet.exit_completed("db1", pid).await;
    assert_eq!(world.fleet.process("db1"), None);
}

#[tokio::test(start_paused = true)]
async fn a_server_may_be_set_to_start_open_and_pids_are_not_mixed_up() {
    let world = World::with(Dialect::Mariadb, |s| s.boots = Switch::Open).await;
    assert_eq!(world.fleet.accepting_writes().len(), 3);
    let old = world.fleet.process("db1").unwrap();
    world.fleet.kill("db1");
    started(&world, "db1").await;
    assert!(!world.fleet.kill_process("db1", old.pid, old.start_ticks));
    sleep(Duration::from_secs(1)).await;
    let new = world.fleet.process("db1").unwrap();
    assert!(world.fleet.kill_process("db1", new.pid, new.start_ticks));
    assert_eq!(world.fleet.process("db1"), None);
}
