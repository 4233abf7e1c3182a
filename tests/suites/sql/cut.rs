//! A replica whose source is out of reach.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use baton_node::sql::{ManagedServer, Permit};
use baton_tests::sandbox::{Dialect, Host, Hosts, Sandbox, SandboxOptions, StallMeter, replication, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::managed::Managed;

/// A failover waits for this.
const AT_ONCE: Duration = Duration::from_millis(500);
/// MariaDB's stopping receiver tries to log in to its source for a second, the least that can be set.
const AT_ONCE_MARIADB: Duration = Duration::from_millis(1500);
/// A receiver that waits for its source gives up after 4 s. With a STOP alone MySQL takes 42 s.
const IN_MID_LOGIN: Duration = Duration::from_secs(6);
const SOON: Duration = Duration::from_secs(10);
/// Where the source is that falls silent.
const SILENT_PORT: u16 = 3999;

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
    let machine = StallMeter::start(sandbox.root())?;
    sandbox.hosts()[0].cut().await?;
    let began = Instant::now();
    replica.sql.stop_receiver(&Permit::unconditional()).await?;
    let took = began.elapsed();
    let bound = if dialect == Dialect::MariaDb { AT_ONCE_MARIADB } else { AT_ONCE };
    ensure!(took < bound + machine.since(began), "stopped after {took:?}");
    let pulse = replica.sql.pulse().await?;
    ensure!(pulse.replication.is_some_and(|channel| !channel.io_started), "it runs on");
    ensure!(pulse.semi_sync.replica_enabled, "it would come back without acknowledging");
    Ok(())
}

/// The source's host is cut off while a receiver logs in there.
pub(crate) async fn receiver_stops_in_mid_login(dialect: Dialect) -> Result<()> {
    let sandbox =
        Sandbox::new(SandboxOptions { hosts: 2, servers: 2, ..SandboxOptions::new(dialect) }).await?;
    let servers = sandbox.servers().await?;
    let replica = Managed::new(&servers[1]).await?;
    replication::attach(&servers[0], &[&servers[1]], false).await?;
    let mut logins = falls_silent(&sandbox.hosts()[0], servers[0].address()).await?;
    let statements = match dialect {
        Dialect::MySql => [
            "STOP REPLICA".to_owned(),
            format!("CHANGE REPLICATION SOURCE TO SOURCE_PORT={SILENT_PORT}, SOURCE_SSL=0"),
            "START REPLICA".to_owned(),
        ],
        Dialect::MariaDb => [
            "STOP SLAVE".to_owned(),
            format!("CHANGE MASTER TO MASTER_PORT={SILENT_PORT}, MASTER_USE_GTID=slave_pos"),
            "START SLAVE".to_owned(),
        ],
    };
    servers[1].execute(statements.iter().map(String::as_str)).await?;
    ensure!(tokio::time::timeout(SOON, logins.recv()).await?.is_some(), "the receiver did not log in");

    let machine = StallMeter::start(sandbox.root())?;
    let began = Instant::now();
    // As in a failover, which gives each of its orders a bound and asks again.
    let stopped = async || Ok(replica.sql.stop_receiver(&Permit::unconditional()).await.ok());
    until("the receiver to stop", 5 * SOON, stopped).await?;
    let took = began.elapsed();
    eprintln!("{dialect:?}: stopped in mid-login after {took:?}");
    let pulse = replica.sql.pulse().await?;
    ensure!(pulse.replication.is_some_and(|channel| !channel.io_started), "it runs on");
    ensure!(took < IN_MID_LOGIN + machine.since(began), "stopped after {took:?}");
    Ok(())
}

/// A source that greets as a real one does and answers nothing after that. Tells of each login.
async fn falls_silent(host: &Host, real: SocketAddr) -> Result<mpsc::Receiver<()>> {
    let (tell, logins) = mpsc::channel(16);
    let address = SocketAddr::from((host.address(), SILENT_PORT));
    let listener = host.run(async move { Ok(TcpListener::bind(address).await?) }).await?;
    host.runtime().spawn(async move {
        // Whoever is let go of would be answered by an end.
        let mut kept = Vec::new();
        while let Ok((mut replica, _)) = listener.accept().await {
            let Ok(mut source) = TcpStream::connect(real).await else { return };
            let mut bytes = [0; 512];
            let Ok(greeting) = source.read(&mut bytes).await else { return };
            if replica.write_all(&bytes[..greeting]).await.is_ok() && replica.read(&mut bytes).await.is_ok() {
                // Nobody may want to know any more.
                let _ = tell.try_send(());
            }
            kept.push((replica, source));
        }
    });
    Ok(logins)
}
