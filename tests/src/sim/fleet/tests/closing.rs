//! Closing and opening. The same is asked of real servers in `suites/sql/closing.rs`.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::guard::Attach;
use baton_node::sql::{CloseOptions, ManagedServer, Permit, SqlError, Switch};
use tokio::time::{Instant, sleep};

use super::{BOTH, BOUND, World, source};
use crate::sim::fleet::{Disk, Row, User, Written};

#[tokio::test(start_paused = true)]
async fn a_closed_server_refuses_and_its_sessions_are_gone() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        let app = world.fleet.client("app", &"db1".into(), User::Ordinary, BOUND).await.unwrap();
        let proof = world.own("db1").close(&CloseOptions::default()).await.unwrap();
        assert_eq!((proof.sessions_killed.len(), proof.sessions_left.len()), (1, 0));
        assert!(proof.gaps(|_| true).is_empty());
        assert!(matches!(app.write(Row(1), BOUND).await, Written::Unknown(SqlError::Gone { .. })));
        assert!(matches!(world.write("db1", 2).await, Written::Failed(SqlError::ReadOnly { .. })));
        let root = world.fleet.client("db1", &"db1".into(), User::Privileged, Duration::from_millis(9)).await;
        let wrote = tokio::time::timeout(Duration::from_secs(1), root.unwrap().write(Row(3), BOUND)).await;
        assert_eq!(wrote.unwrap() == Written::Acknowledged, dialect == Dialect::Mariadb, "past read_only");
        assert!(world.fleet.accepting_writes().is_empty());
        world.own("db1").close(&CloseOptions::default()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_commit_bounds_the_close_and_writes_queue_behind_it() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        world.fleet.kill("db2");
        world.fleet.kill("db3");
        let _commit = world.writing("db1", 1, BOUND * 5);
        world.until_waiting("db1").await;
        let begun = Instant::now();
        let (own, options) = (world.own("db1"), CloseOptions::default());
        let behind = world.writing_after("db1", 2, Duration::from_millis(100));
        let (closed, ()) = tokio::join!(own.close(&options), async {
            sleep(Duration::from_millis(200)).await;
            assert_eq!(world.fleet.seen("db1").unwrap().commits, 1, "it queues");
        });
        assert_eq!(closed, Err(SqlError::LockWaitTimeout));
        assert!(begun.elapsed() >= Duration::from_secs(1) && begun.elapsed() < Duration::from_secs(2));
        assert_eq!(world.pulse("db1").await.switch, Switch::Open);
        assert!(!behind.is_finished());
        assert_eq!(world.fleet.seen("db1").unwrap().commits, 2, "it went on");
    }
}

#[tokio::test(start_paused = true)]
async fn locked_tables_bound_the_close_and_killing_the_blockers_helps() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        let client = world.fleet.client("app", &"db1".into(), User::Ordinary, BOUND).await.unwrap();
        client.lock_tables(true, BOUND).await.unwrap();
        let own = world.own("db1");
        assert_eq!(own.close(&CloseOptions::default()).await, Err(SqlError::LockWaitTimeout));
        let options = CloseOptions { kill_blockers: true, ..CloseOptions::default() };
        own.close(&options).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_bounds_every_call_and_says_so_when_a_close_may_still_come() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        let own = world.own("db1");
        own.warm_up().await.unwrap();
        own.pulse().await.unwrap();
        world.fleet.freeze("db1");
        let begun = Instant::now();
        assert!(matches!(own.pulse().await, Err(SqlError::TimedOut { .. })));
        assert!(own.close(&CloseOptions::default()).await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(world.fleet.accepting_writes().is_empty());
        let write = world.writing("db1", 1, BOUND);
        assert!(matches!(
            world.fleet.client("app", &"db1".into(), User::Ordinary, BOUND).await,
            Err(SqlError::TimedOut { .. })
        ));
        write.abort();
        world.fleet.thaw("db1");
        assert_eq!(world.write("db1", 2).await, Written::Acknowledged, "it is as open as before");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pin_ends_with_its_server_and_opens_no_replica() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        let permit = Permit::unconditional();
        let mut pin = world.fleet.socket("db2").attach().await.unwrap();
        assert!(matches!(pin.open(&permit).await, Err(SqlError::Unsafe(_))), "it has a source");
        world.own("db2").forget_source(&permit).await.unwrap();
        assert!(matches!(pin.open(&Permit::new(|| false)).await, Err(SqlError::Superseded { .. })));
        assert!(world.pulse("db2").await.switch.is_closed());
        assert_eq!(world.fleet.process("db2").unwrap().pid, pin.pid());
        let pid = pin.pid();
        world.fleet.kill("db2");
        world.fleet.exit_completed("db2", pid).await;
        assert!(pin.is_broken() && world.fleet.socket("db2").refuses().await);
        assert!(matches!(world.fleet.socket("db2").attach().await, Err(SqlError::Refused { .. })));
        world.fleet.start("db2");
        sleep(Duration::from_secs(2)).await;
        assert!(pin.open(&permit).await.is_err());
        assert_ne!(world.fleet.process("db2").unwrap().pid, pid);
    }
}

#[tokio::test(start_paused = true)]
async fn prepared_transactions_put_mysql_offline() {
    for dialect in BOTH {
        let world = World::lossless(dialect).await;
        let app = world.fleet.client("app", &"db1".into(), User::Ordinary, BOUND).await.unwrap();
        assert_eq!(app.xa_prepare(Row(1), BOUND).await, Written::Acknowledged);
        drop(app);
        let proof = world.own("db1").close(&CloseOptions::default()).await.unwrap();
        let mysql = dialect == Dialect::Mysql;
        assert_eq!((proof.xa_prepared, proof.offline, proof.xa_can_commit), (1, mysql, false));
        let late = world.fleet.client("app", &"db1".into(), User::Ordinary, BOUND).await;
        match late {
            Ok(client) => assert!(matches!(client.xa_commit(Row(1), BOUND).await, Written::Failed(_))),
            Err(_) => assert!(mysql),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_fails_writes_and_stops_nothing_else() {
    let world = World::lossless(Dialect::Mysql).await;
    world.fleet.set_disk("db1", Disk::Full);
    assert!(matches!(world.write("db1", 1).await, Written::Failed(SqlError::Other { errno: 1114, .. })));
    assert!(world.own("db1").prove_commit(BOUND).await.is_err());
    world.pulse("db1").await;
    world.fleet.set_disk("db1", Disk::Fine);
    world.own("db1").prove_commit(BOUND).await.unwrap();
    let refused = world.own("db1").follow(&source("db2"), &Permit::unconditional()).await;
    assert!(matches!(refused, Err(SqlError::Unsafe(_))), "an open server follows nobody");
}

#[tokio::test(start_paused = true)]
async fn connections_run_out() {
    let world = World::with(Dialect::Mysql, |s| s.max_connections = 3).await;
    let own = world.own("db1");
    own.pulse().await.unwrap();
    let mut clients = Vec::new();
    let last = loop {
        match world.fleet.client("app", &"db1".into(), User::Ordinary, BOUND).await {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!((last, clients.len()), (SqlError::TooManyConnections, 2));
    own.pulse().await.unwrap();
    clients.clear();
    sleep(Duration::from_millis(10)).await;
    own.close(&CloseOptions::default()).await.unwrap();
}
