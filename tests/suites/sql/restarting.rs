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
