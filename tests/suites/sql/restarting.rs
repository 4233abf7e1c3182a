//! A replica that crashed with events received and not applied, and whose source is gone.

use anyhow::{Result, ensure};
use baton_node::sql::{Address, ManagedServer, Permit, Pinned, SqlServer, Switch};
use baton_tests::sandbox::{Dialect, Hosts, Sandbox, SandboxOptions, until};
use mysql_async::prelude::Queryable;
use rustix::process::Signal;

use super::managed::{BOUND, Managed, SOON, connector, insert, opened};

/// MySQL has them in its relay log and applies them; MariaDB has forgotten them and takes them from the source again.
pub(crate) async fn restarts_with_a_relay_log(dialect: Dialect) -> Result<()> {
    let options =
        SandboxOptions { hosts: 2, servers: 2, kind: Some(Hosts::Loopback), ..SandboxOptions::new(dialect) };
    let sandbox = Sandbox::new(options).await?;
    let mut servers = sandbox.servers().await?;
    let permit = Permit::unconditional();
    let everything = {
        let (source, replica) = (Managed::new(&servers[0]).await?, Managed::new(&servers[1]).await?);
        replica.sql.set_acker(true, &permit).await?;
        replica.sql.follow(&source.as_source(), &permit).await?;
        opened(&source).await?;
        let mut client = source.client().await?;
        client.query_drop(insert(1, 1)).await?;
        ensure!(replica.sql.wait_applied(&source.sql.executed().await?, SOON).await?);
        let stop =
            if dialect == Dialect::MySql { "STOP REPLICA SQL_THREAD" } else { "STOP SLAVE SQL_THREAD" };
        replica.server.execute([stop]).await?;
        client.query_drop(insert(1, 2)).await?;
        let everything = source.sql.executed().await?;
        until("the event to arrive", SOON, async || {
            Ok(replica.sql.received().await?.contains(&everything)?.then_some(()))
        })
        .await?;
        everything
    };
    for server in &mut servers {
        server.kill(Signal::KILL)?;
        server.wait_exit(SOON).await?;
    }
    servers[1].start().await?;
    let connector = connector(Address::Socket(servers[1].socket()));
    let replica = SqlServer::new(&connector);
    let kept = replica.received().await?.contains(&everything)?;
    ensure!(kept == (dialect == Dialect::MySql), "received after a restart: {kept}");
    if kept {
        ensure!(replica.forget_source(&permit).await.is_err(), "forgets what is not applied");
        replica.start_applier(&permit).await?;
    } else {
        servers[0].start().await?;
        replica.start_replication(&permit).await?;
    }
    ensure!(replica.wait_applied(&everything, SOON).await? || !kept, "not applied");
    until("everything to be applied", SOON, async || {
        Ok(replica.executed().await?.contains(&everything)?.then_some(()))
    })
    .await?;
    replica.forget_source(&permit).await?;
    let mut pin =
        Pinned::connect(&connector, &servers[1].socket(), servers[1].host().folder(), BOUND).await?;
    let after = pin.open(&permit, BOUND).await?;
    ensure!(after.switch == Switch::Open && after.executed == everything, "{after:?}");
    Ok(())
}

/// A commit that waits for an acker that is not there: what an orderly stop tells its client, and that the transaction
/// is there after a crash.
pub(crate) async fn ends_with_a_waiting_commit(dialect: Dialect) -> Result<()> {
    let options =
        SandboxOptions { hosts: 1, servers: 1, kind: Some(Hosts::Loopback), ..SandboxOptions::new(dialect) };
    let sandbox = Sandbox::new(options).await?;
    let mut servers = sandbox.servers().await?;
    for (signal, row) in [(Signal::TERM, 1), (Signal::KILL, 2)] {
        let (before, commit) = {
            let server = Managed::new(&servers[0]).await?;
            let before = server.sql.executed().await?.count();
            let mut pin = server.pin().await?;
            pin.make_source_wait(1, &Permit::unconditional(), BOUND).await?;
            pin.open(&Permit::unconditional(), BOUND).await?;
            let mut client = server.client().await?;
            let commit = tokio::spawn(async move { client.query_drop(insert(1, row)).await });
            until("the commit to wait", SOON, async || {
                Ok((server.sql.pulse().await?.semi_sync.waiting_sessions == 1).then_some(()))
            })
            .await?;
            (before, commit)
        };
        servers[0].kill(signal)?;
        servers[0].wait_exit(SOON).await?;
        let told_ok = tokio::time::timeout(SOON, commit).await??.is_ok();
        let expected = signal == Signal::TERM && dialect == Dialect::MySql;
        ensure!(told_ok == expected, "{signal:?}: the client was told OK: {told_ok}");
        servers[0].start().await?;
        let connector = connector(Address::Socket(servers[0].socket()));
        let seen = SqlServer::new(&connector).pulse().await?;
        ensure!(seen.switch.is_closed() && !seen.semi_sync.source_enabled, "{seen:?}");
        ensure!(seen.executed.count() == before + 1, "{signal:?}: {before} and one more: {}", seen.executed);
    }
    Ok(())
}
