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
/// With a STOP alone MySQL takes 42 s, and never ends in the middle of a TLS handshake. What waits is killed and, a moment later,
/// its connection ended.
const IN_MID_LOGIN: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(10);
/// Where the first source is that falls silent.
const SILENT_PORT: u16 = 3990;
/// Whatever it says first, its login.
const ANYTHING: &[u8] = b"\0";
/// The beginning of a TLS handshake, and what a client says in it next.
const TLS_HELLO: &[u8] = b"\x16\x03\x01";
const TLS_KEY: &[u8] = b"\x14\x03\x03\0\x01\x01";
/// What a receiver of either dialect asks once it is logged in.
const FIRST_QUESTION: &[u8] = b"SELECT UNIX_TIMESTAMP()";

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

/// The source's host is cut off while a receiver logs in there, at each point of it.
pub(crate) async fn receiver_stops_in_mid_login(dialect: Dialect) -> Result<()> {
    let sandbox =
        Sandbox::new(SandboxOptions { hosts: 2, servers: 2, ..SandboxOptions::new(dialect) }).await?;
    let servers = sandbox.servers().await?;
    let replica = Managed::new(&servers[1]).await?;
    replication::attach(&servers[0], &[&servers[1]], false).await?;
    let cases: &[_] = match dialect {
        Dialect::MySql => &[(ANYTHING, 0), (FIRST_QUESTION, 0), (ANYTHING, 1), (TLS_HELLO, 1), (TLS_KEY, 1)],
        Dialect::MariaDb => &[(ANYTHING, 0), (FIRST_QUESTION, 0)],
    };
    for (port, (at, tls)) in (SILENT_PORT..).zip(cases) {
        let mut silent = falls_silent(&sandbox.hosts()[0], servers[0].address(), port, at).await?;
        servers[1].execute(leads_to(dialect, port, *tls).iter().map(String::as_str)).await?;
        ensure!(tokio::time::timeout(SOON, silent.recv()).await?.is_some(), "the receiver did not log in");
        stops_in_time(&sandbox, &replica, port).await?;
    }
    Ok(())
}

fn leads_to(dialect: Dialect, port: u16, tls: u8) -> [String; 3] {
    match dialect {
        Dialect::MySql => [
            "STOP REPLICA".to_owned(),
            format!("CHANGE REPLICATION SOURCE TO SOURCE_PORT={port}, SOURCE_SSL={tls}"),
            "START REPLICA".to_owned(),
        ],
        Dialect::MariaDb => [
            "STOP SLAVE".to_owned(),
            format!("CHANGE MASTER TO MASTER_PORT={port}, MASTER_USE_GTID=slave_pos"),
            "START SLAVE".to_owned(),
        ],
    }
}

async fn stops_in_time(sandbox: &Sandbox, replica: &Managed<'_>, port: u16) -> Result<()> {
    let machine = StallMeter::start(sandbox.root())?;
    let began = Instant::now();
    // As in a failover, which gives each of its orders a bound and asks again.
    let stopped = async || Ok(replica.sql.stop_receiver(&Permit::unconditional()).await.ok());
    until("the receiver to stop", 5 * SOON, stopped).await?;
    let took = began.elapsed();
    eprintln!("the source at {port} fell silent: stopped after {took:?}");
    let pulse = replica.sql.pulse().await?;
    ensure!(pulse.replication.is_some_and(|channel| !channel.io_started), "it runs on");
    ensure!(took < IN_MID_LOGIN + machine.since(began), "stopped after {took:?}");
    Ok(())
}

/// A source that answers as a real one until a replica sends these words, and never after that. Tells of each time.
async fn falls_silent(
    host: &Host,
    real: SocketAddr,
    port: u16,
    at: &'static [u8],
) -> Result<mpsc::Receiver<()>> {
    let (tell, told) = mpsc::channel(16);
    let address = SocketAddr::from((host.address(), port));
    let listener = host.run(async move { Ok(TcpListener::bind(address).await?) }).await?;
    host.runtime().spawn(async move {
        while let Ok((replica, _)) = listener.accept().await {
            tokio::spawn(speaks_until(replica, real, at, tell.clone()));
        }
    });
    Ok(told)
}

async fn speaks_until(replica: TcpStream, real: SocketAddr, at: &'static [u8], tell: mpsc::Sender<()>) {
    let Ok(source) = TcpStream::connect(real).await else { return };
    let ((mut asks, mut hears), (mut answers, mut is_asked)) = (replica.into_split(), source.into_split());
    let answering = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut answers, &mut hears).await;
        // Whoever is let go of would be answered by an end.
        (answers, hears)
    });
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = asks.read(&mut bytes).await {
        if bytes[..length].windows(at.len()).any(|words| words == at) {
            let _ = tell.try_send(());
            // Nothing is passed on any more, and no connection ends.
            std::future::pending::<()>().await;
        }
        if is_asked.write_all(&bytes[..length]).await.is_err() {
            break;
        }
    }
    answering.abort();
}
