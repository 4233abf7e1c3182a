//! The safety protocol on real servers, both dialects: faults in which the old writer is there and cannot be asked.
//!
//! A second ledger writes straight to the old writer all the time, past every router: whatever that server acknowledges
//! has to be on the new one, and once the new one is open it acknowledges nothing.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions, ReturnOfOldWriter};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, Ledger, LedgerOptions, Outcome, until};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(10);
/// The longest write outage that a test lets pass, on a machine that does other things beside it.
const OUTAGE: Duration = Duration::from_secs(10);

on_both!(server_hangs, mysql_server_hangs, mariadb_server_hangs);
on_both!(writer_is_starved, mysql_writer_is_starved, mariadb_writer_is_starved);

/// The writer's server is stopped (SIGSTOP): connections are still taken by the kernel, and nothing is answered. Another
/// takes over; when the old one goes on it is closed or killed before it acknowledges anything.
async fn server_hangs(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let old = before.writer.clone();
    let ledger = cluster.ledger(&[], LedgerOptions::default());
    let mut direct = straight_to(&cluster, &old)?;
    writes_go_on(&cluster, &ledger).await?;
    writes_go_on(&cluster, &direct).await?;

    let stopped = Instant::now();
    cluster.server(&old)?.kill(Signal::STOP)?;
    let silent = Instant::now();
    let after = cluster.moved_from(&old).await?;
    ensure!(after.epoch == before.epoch + 1, "one failover: {} after {}", after.epoch, before.epoch);
    // It may be killed already: its lease has ended, or is about to.
    if cluster.server_mut(&old)?.exited()?.is_none() {
        cluster.server(&old)?.kill(Signal::CONT)?;
    }
    writes_go_on(&cluster, &ledger).await?;
    is_closed_or_gone(&mut cluster, &old).await?;
    direct.stop().await;
    acknowledged_nothing_since(&direct, silent)?;

    let operation = cluster.operation_from(before.epoch).await?;
    let hung = operation.steps.iter().any(|s| s.name == "intent" && s.detail.starts_with("WriterHung"));
    ensure!(hung, "{operation:#?}");
    let outage = ledger.gap_after(stopped);
    eprintln!("{dialect:?}: hung, writes were out {} ms; {}", outage.as_millis(), operation.proof);
    ensure!(outage < OUTAGE + cluster.stood_still(stopped), "writes were out for {outage:?}: {operation:#?}");
    all_is_well(&mut cluster, &old, ledger, &direct).await
}

/// Daemon and keeper beside the writer stand still, so nobody closes it and nobody kills it, and it answers. An operator
/// moves the write role: the ackers' promise never to receive from that epoch again is the proof. The old writer stays
/// open until its keeper goes on, and acknowledges nothing.
async fn writer_is_starved(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let old = before.writer.clone();
    let apart = |status: &baton_proto::control::StatusReply| {
        !status.leader.is_empty() && status.leader != status.writer
    };
    cluster.reaches("the leader to leave the writer's host", SOON, apart).await?;
    let mut direct = straight_to(&cluster, &old)?;
    writes_go_on(&cluster, &direct).await?;

    let node = cluster.node(&old)?;
    node.signal(Signal::STOP)?;
    node.signal_keeper(Signal::STOP)?;
    let to = cluster.data_nodes().find(|name| *name != old).unwrap();
    let asked = cluster.ctl().force_failover(to, "starving is tested").await;
    let moved = match asked {
        Ok(_) => cluster.moved_from(&old).await,
        Err(error) => Err(error),
    };
    let opened = Instant::now();
    let open = baton_tests::cluster::is_open(cluster.server(&old)?).await;
    // Whatever came of it: what stands still would outlive the test.
    let node = cluster.node(&old)?;
    let acknowledged = direct.acknowledged();
    let still_starved = until("a second of silence", SOON, async || {
        Ok((opened.elapsed() > Duration::from_secs(1)).then_some(()))
    });
    still_starved.await?;
    let later = direct.acknowledged();
    node.signal_keeper(Signal::CONT)?;
    node.signal(Signal::CONT)?;
    let after = moved.map_err(|error| cluster.explained(error))?;
    // Where it is wanted it goes only if that one received as much as the other.
    ensure!(after.epoch == before.epoch + 1, "{after:#?}");
    ensure!(open?, "the old writer was to stand open, or the proof shows nothing");
    ensure!(later == acknowledged, "{} writes were acknowledged by the old writer", later - acknowledged);
    let operation = cluster.operation_from(before.epoch).await?;
    ensure!(operation.proof.starts_with("starved"), "{operation:#?}");

    let ledger = cluster.ledger(&[], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;
    is_closed_or_gone(&mut cluster, &old).await?;
    direct.stop().await;
    acknowledged_nothing_since(&direct, opened)?;
    all_is_well(&mut cluster, &old, ledger, &direct).await
}

/// Writes straight to the server of a node, past the routers. What is not answered for two seconds is unknown.
fn straight_to(cluster: &Cluster, name: &str) -> Result<Ledger> {
    let (client, address) = (cluster.sandbox().client(), cluster.server(name)?.address());
    let timeout = Duration::from_secs(2);
    let options = LedgerOptions {
        sessions: 2,
        pace: Some(Duration::from_millis(5)),
        connect_timeout: timeout,
        write_timeout: timeout,
        ..LedgerOptions::default()
    };
    Ok(Ledger::start(client, &[address], options))
}

fn acknowledged_nothing_since(direct: &Ledger, moment: Instant) -> Result<()> {
    let late: Vec<_> = direct
        .writes()
        .into_iter()
        .filter(|write| write.outcome == Outcome::Acknowledged && write.sent > moment)
        .collect();
    ensure!(late.is_empty(), "the old writer acknowledged {} writes: {late:?}", late.len());
    Ok(())
}

/// The old writer's server is closed, or was killed.
async fn is_closed_or_gone(cluster: &mut Cluster, old: &str) -> Result<()> {
    let deadline = Instant::now() + SOON;
    loop {
        if cluster.server_mut(old)?.exited()?.is_some() {
            return Ok(());
        }
        if matches!(baton_tests::cluster::is_open(cluster.server(old)?).await, Ok(false)) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{old} is still open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The old server is back, and both ledgers' acknowledged rows are on every server that is not out.
async fn all_is_well(cluster: &mut Cluster, old: &str, mut ledger: Ledger, direct: &Ledger) -> Result<()> {
    if cluster.server_mut(old)?.exited()?.is_some() {
        cluster.server_mut(old)?.start().await?;
    }
    let out = match cluster.old_writer_returns(old).await? {
        ReturnOfOldWriter::Follows => Vec::new(),
        ReturnOfOldWriter::Quarantined(_) => vec![old],
    };
    ledger.stop().await;
    let status = cluster.post_check(&ledger, &out).await?;
    let found = direct.found(cluster.server(&status.writer)?).await?;
    ensure!(found.lost.is_empty() && found.doubled == 0, "written straight to the old writer: {found:?}");
    Ok(())
}

/// Waits for more acknowledged writes.
async fn writes_go_on(cluster: &Cluster, ledger: &Ledger) -> Result<()> {
    cluster.writes_go_on(ledger, SOON).await
}
