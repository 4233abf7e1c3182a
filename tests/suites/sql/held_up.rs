//! An applier that waits for a client's lock.

use std::time::Duration;

use anyhow::{Result, ensure};
use baton_node::sql::{ManagedServer, Permit};
use baton_tests::sandbox::{Dialect, Hosts, Sandbox, SandboxOptions, until};
use mysql_async::prelude::Queryable;

use super::managed::{Managed, SOON, insert, opened};

/// So long nothing is applied: long enough for the applier to have come to the lock.
const HELD_UP: Duration = Duration::from_millis(500);

/// A table's lock and a row's hold the applier up until the session that has it is ended; otherwise nobody is.
pub(crate) async fn applier_is_freed(dialect: Dialect) -> Result<()> {
    let options =
        SandboxOptions { hosts: 2, servers: 2, kind: Some(Hosts::Loopback), ..SandboxOptions::new(dialect) };
    let sandbox = Sandbox::new(options).await?;
    let servers = sandbox.servers().await?;
    let permit = Permit::unconditional();
    let (source, replica) = (Managed::new(&servers[0]).await?, Managed::new(&servers[1]).await?);
    replica.sql.follow(&source.as_source(), &permit).await?;
    opened(&source).await?;
    let mut client = source.client().await?;
    client.query_drop(insert(1, 1)).await?;
    ensure!(replica.sql.wait_applied(&source.sql.executed().await?, SOON).await?, "not applied");

    let row_lock = [
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "BEGIN",
        "SELECT * FROM app.writes WHERE client = 1 AND seq = 1",
    ];
    let table_lock = ["LOCK TABLES app.writes READ"];
    let change = "UPDATE app.writes SET at_us = at_us + 1 WHERE client = 1 AND seq = 1";
    // In this order: for a tenth of a second MySQL shows a wait for a row's lock that is over.
    for lock in [&table_lock[..], &row_lock[..]] {
        let mut locker = replica.server.connect().await?;
        for statement in lock {
            locker.query_drop(*statement).await?;
        }
        let free = replica.sql.free_applier(&permit).await?;
        ensure!(free.is_empty(), "ended though nothing waits: {free:?}");
        client.query_drop(change).await?;
        let wanted = source.sql.executed().await?;
        ensure!(!replica.sql.wait_applied(&wanted, HELD_UP).await?, "{lock:?} holds nothing up");
        let refused = replica.sql.free_applier(&Permit::new(|| false)).await;
        ensure!(refused.is_err(), "{refused:?}");
        until("the applier to wait for the lock", SOON, async || {
            let ended = replica.sql.free_applier(&permit).await?;
            Ok(ended.iter().any(|session| session.id == u64::from(locker.id())).then_some(()))
        })
        .await?;
        ensure!(replica.sql.wait_applied(&wanted, SOON).await?, "not applied after {lock:?} ended");
        ensure!(locker.query_drop("DO 0").await.is_err(), "the session that held the lock goes on");
    }
    Ok(())
}
