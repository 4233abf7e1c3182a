//! The only replica is away: the writer goes on alone, and after its own death as well; back from a busy time, the replica
//! catches up before it acknowledges, and then acknowledges.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions, Layout};
use baton_tests::sandbox::{Dialect, LedgerOptions, Server, until};
use rustix::process::Signal;

use super::{GAP, SOON, fault};

/// More than a replica may lack without catching up first.
const MISSED: usize = 3_000;
/// For so many writes, and for a replica to receive and apply them.
const CAUGHT_UP: Duration = Duration::from_secs(90);
/// From the first connection that a writer accepts after its death until it is open; how long it should be stands in
/// docs/benchmarks.md.
const REOPENED: Duration = Duration::from_secs(2);

fault!(replica_was_away: both mysql_replica_catches_up_first, mariadb_replica_catches_up_first);

async fn replica_was_away(name: &'static str, dialect: Dialect) -> Result<()> {
    let options = ClusterOptions::patient(dialect).layout(Layout::TwoServersAndWitness);
    let mut cluster = Cluster::managed(options).await?;
    let before = cluster.pre_flight().await?;
    ensure!(before.writer == "db1", "{before:#?}");
    cluster.server("db2")?.kill(Signal::KILL)?;
    cluster.server_mut("db2")?.wait_exit(SOON).await?;

    let busy = LedgerOptions { pace: None, ..LedgerOptions::default() };
    let mut ledger = cluster.ledger(&["app1"], busy);
    let missed = async || Ok((ledger.acknowledged() >= MISSED).then_some(()));
    until("writes that the replica misses", CAUGHT_UP, missed).await.map_err(|e| cluster.explained(e))?;
    cluster.server_mut("db2")?.start().await?;
    let started = Instant::now();

    let server = cluster.server("db2")?;
    let seldom = async || {
        let (events, acks) = (synced(server).await?, acknowledges(server).await?);
        ensure!(!acks || events == 1, "it acknowledges, and syncs after {events} events");
        Ok((events > 1).then_some(()))
    };
    until("the replica to sync seldom", SOON, seldom).await.map_err(|e| cluster.explained(e))?;
    let after = cluster.reaches("lossless again", CAUGHT_UP, |s| s.durability == "lossless").await?;
    ensure!(after.epoch == before.epoch, "{after:#?}");
    println!("{name}: lossless again after {} ms", started.elapsed().as_millis());
    ensure!(
        synced(server).await? == 1 && acknowledges(server).await?,
        "it acknowledges what is not on its disk"
    );
    ledger.stop().await;
    cluster.post_check(&ledger, &[]).await?;
    writer_goes_on_alone(&mut cluster, before.epoch).await
}

/// The only replica's server dies: no session is cut. Then the writer's own dies, with nobody to take over: the same server
/// is opened again, under the next epoch, once it accepts connections.
async fn writer_goes_on_alone(cluster: &mut Cluster, epoch: u64) -> Result<()> {
    let mut ledger = cluster.ledger(&["app1"], LedgerOptions::default());
    cluster.writes_go_on(&ledger, SOON).await?;
    let killed = Instant::now();
    cluster.server("db2")?.kill(Signal::KILL)?;
    cluster.server_mut("db2")?.wait_exit(SOON).await?;
    cluster.reaches("the writer to go on alone", SOON, |s| s.durability == "degraded").await?;
    cluster.writes_go_on(&ledger, SOON).await?;
    let gap = ledger.gap_after(killed);
    ensure!(
        gap < GAP + cluster.stood_still(killed),
        cluster.explained(anyhow::anyhow!("without its replica writes paused for {gap:?}"))
    );
    ledger.no_session_was_cut()?;

    cluster.server("db1")?.kill(Signal::KILL)?;
    cluster.server_mut("db1")?.wait_exit(SOON).await?;
    cluster.server_mut("db1")?.start().await?;
    let accepts = Instant::now();
    let again =
        cluster.reaches("the same server to be open", SOON, |s| s.writer_open && s.epoch > epoch).await?;
    let after = accepts.elapsed();
    ensure!(after < REOPENED + cluster.stood_still(accepts), "it was open again after {after:?}");
    ensure!(again.writer == "db1" && again.epoch == epoch + 1, "{again:#?}");
    cluster.writes_go_on(&ledger, SOON).await?;
    ledger.stop().await;
    let operation = cluster.operation_from(epoch).await?;
    ensure!(operation.kind == "reopen" && operation.loss.starts_with("nothing lost"), "{operation:#?}");
    let found = ledger.found(cluster.server("db1")?).await?;
    ensure!(found.lost.is_empty() && found.doubled == 0, "{found:?}");
    Ok(())
}

async fn synced(server: &Server) -> Result<u32> {
    let rows: Vec<u32> = server.query("SELECT @@GLOBAL.sync_relay_log").await?;
    rows.first().copied().context("no answer")
}

async fn acknowledges(server: &Server) -> Result<bool> {
    let variable = match server.dialect() {
        Dialect::MySql => "rpl_semi_sync_replica_enabled",
        Dialect::MariaDb => "rpl_semi_sync_slave_enabled",
    };
    let rows: Vec<bool> = server.query(&format!("SELECT @@GLOBAL.{variable}")).await?;
    rows.first().copied().context("no answer")
}
