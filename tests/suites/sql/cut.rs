//! A replica whose source is out of reach.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use baton_node::sql::{ManagedServer, Permit};
use baton_tests::sandbox::{Dialect, Hosts, Sandbox, SandboxOptions, replication};

use super::managed::Managed;

/// A failover waits for this.
const AT_ONCE: Duration = Duration::from_millis(500);
/// MariaDB's stopping receiver tries to log in to its source for a second, the least that can be set.
const AT_ONCE_MARIADB: Duration = Duration::from_millis(1500);

/// The receiver of an acker stops at once, although the source's host has been cut off.
pub(crate) async fn receiver_stops_without_its_source(dialect: Dialect) -> Result<()> {
    if let Err(reason) = Hosts::available() {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let sandbox =
        Sandbox::new(SandboxOptions { hosts: 2, servers: 2, ..SandboxOptions::new(dialect) }).await?;
    let servers = sandbox.servers().await?;
    let replica = Managed::new(&servers[1]).await?;
    replication::attach(&servers[0], &[&servers[1]], true).await?;
    ensure!(replica.sql.pulse().await?.semi_sync.replica_acking, "no acker");
    sandbox.hosts()[0].cut().await?;
    let began = Instant::now();
    replica.sql.stop_receiver(&Permit::unconditional()).await?;
    let bound = if dialect == Dialect::MariaDb { AT_ONCE_MARIADB } else { AT_ONCE };
    ensure!(began.elapsed() < bound, "stopped after {:?}", began.elapsed());
    let pulse = replica.sql.pulse().await?;
    ensure!(pulse.replication.is_some_and(|channel| !channel.io_started), "it runs on");
    ensure!(pulse.semi_sync.replica_enabled, "it would come back without acknowledging");
    Ok(())
}
