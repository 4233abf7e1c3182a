//! `batonctl maintenance` and `batonctl restart`: a replica is out of the way before anybody works on it, no write waits for
//! it, and it comes back by itself.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use baton_proto::control::StatusReply;
use baton_tests::cluster::{Cluster, Layout};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, Ledger, LedgerOptions, Server, StallMeter, within};
use rustix::process::Signal;

use crate::{REFUSED, SOON, ctl, done, has, patient};

/// The longest wait of a write that a test lets pass, on a machine that does other things beside it.
const PAUSE: Duration = Duration::from_millis(1500);
/// A stop, a start, and the way back to being an acker: what `batonctl` itself waits for at most is longer.
const RESTART: Duration = Duration::from_secs(180);
/// The shortest maintenance, and the way back.
const ENDS: Duration = Duration::from_secs(100);
/// Leaving the list of ackers, or coming back to it, on such a machine.
const CHANGES: Duration = Duration::from_secs(40);

on_both!(
    replica_is_restarted_out_of_the_way,
    mysql_replica_is_restarted_out_of_the_way,
    mariadb_replica_is_restarted_out_of_the_way
);
on_both!(
    last_acker_is_given_up_on_purpose,
    mysql_last_acker_is_given_up_on_purpose,
    mariadb_last_acker_is_given_up_on_purpose
);

/// The writer moves first, and its server is restarted then.
#[tokio::test]
async fn mysql_writer_is_restarted_after_a_switchover() -> Result<()> {
    let cluster = Cluster::managed(patient(Dialect::MySql)).await?;
    let before = cluster.pre_flight().await?;
    let mut ledger = cluster.ledger(&[], light());
    writes_go_on(&cluster, &ledger).await?;
    let run = process_of(cluster.server(&before.writer)?).await?;
    let mut command = cluster.ctl().command(&["restart", &before.writer, "--switchover"]);
    let restarted = within("batonctl restart", RESTART, command.output()).await;
    let output = restarted.map_err(|error| cluster.explained(error))?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), cluster.explained(anyhow::anyhow!("{said}")));
    has(&said, &["server has been restarted"])?;
    ensure!(process_of(cluster.server(&before.writer)?).await? != run, "it is the same process");
    writes_go_on(&cluster, &ledger).await?;
    ledger.stop().await;
    let after = cluster.post_check(&ledger, &[]).await?;
    ensure!(after.epoch == before.epoch + 1 && after.writer != before.writer, "{after:#?}");
    Ok(())
}

/// The writer moves first; its maintenance ends by itself, and nobody says so.
#[tokio::test]
async fn mariadb_maintenance_of_the_writer_ends_by_itself() -> Result<()> {
    let cluster = Cluster::managed(patient(Dialect::MariaDb)).await?;
    let before = cluster.pre_flight().await?;
    let mut ledger = cluster.ledger(&[], light());
    writes_go_on(&cluster, &ledger).await?;
    let asked = ["maintenance", &before.writer, "--for", "1m", "--switchover"];
    let said = done(&cluster, &asked).await.map_err(|error| cluster.explained(error))?;
    has(&said, &["is in maintenance until"])?;
    let of_old = |status: &StatusReply| status.nodes.iter().find(|n| n.name == before.writer).cloned();
    let status = cluster.ctl().status().await?;
    ensure!(status.writer != before.writer && status.epoch == before.epoch + 1, "{status:#?}");
    ensure!(of_old(&status).is_some_and(|node| node.role == "out" && !node.candidate), "{status:#?}");
    let back = |status: &StatusReply| of_old(status).is_some_and(|node| node.acker && node.replicating);
    cluster.reaches("its maintenance to end", ENDS, back).await?;
    ledger.stop().await;
    cluster.post_check(&ledger, &[]).await?;
    Ok(())
}

async fn replica_is_restarted_out_of_the_way(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(patient(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let mut ledger = cluster.ledger(&[], light());
    writes_go_on(&cluster, &ledger).await?;
    let (code, said) = ctl(&cluster, &["maintenance", &before.writer, "--for", "1h"]).await?;
    ensure!(code == REFUSED, "{code}: {said}");
    has(&said, &["is the writer", "--switchover"])?;
    let (code, said) = ctl(&cluster, &["restart", &before.writer]).await?;
    ensure!(code == REFUSED, "{code}: {said}");
    let (code, said) = ctl(&cluster, &["maintenance", "db3", "--for", "1s"]).await?;
    ensure!(code != 0, "{said}");
    has(&said, &["1 minute"])?;

    let machine = StallMeter::start(cluster.folder())?;
    let began = Instant::now();
    let said = done(&cluster, &["maintenance", "db3", "--for", "1h", "--reason", "new disks"]).await?;
    has(&said, &["db3 is in maintenance until", "it is out"])?;
    let status = cluster.ctl().status().await?;
    let db3 = status.nodes.iter().find(|n| n.name == "db3").cloned().unwrap_or_default();
    ensure!(db3.role == "out" && db3.note.contains("new disks") && !db3.candidate, "{status:#?}");
    ensure!(status.durability == "lossless", "{status:#?}");
    let refused = cluster.ctl().switchover(&["--to", "db3"]).await?;
    ensure!(refused.findings.iter().any(|f| f.what == "is in maintenance"), "{refused:#?}");
    // What people do to it then costs no write anything.
    cluster.server("db3")?.kill(Signal::TERM)?;
    cluster.server_mut("db3")?.wait_exit(SOON).await?;
    writes_go_on(&cluster, &ledger).await?;
    cluster.server_mut("db3")?.start().await?;
    done(&cluster, &["maintenance", "db3", "--end"]).await?;
    let back =
        |status: &StatusReply| status.nodes.iter().any(|n| n.name == "db3" && n.acker && n.replicating);
    cluster.reaches("db3 to be an acker again", CHANGES, back).await?;

    let run = process_of(cluster.server("db2")?).await?;
    let mut command = cluster.ctl().command(&["restart", "db2"]);
    let restarted = within("batonctl restart", RESTART, command.output()).await;
    let output = restarted.map_err(|error| cluster.explained(error))?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), cluster.explained(anyhow::anyhow!("{said}")));
    has(&said, &["db2's server has been restarted"])?;
    ensure!(process_of(cluster.server("db2")?).await? != run, "it is the same process");
    writes_go_on(&cluster, &ledger).await?;
    no_write_waited(&cluster, &mut ledger, &machine, began).await?;
    cluster.settled().await?;
    let after = cluster.post_check(&ledger, &[]).await?;
    ensure!((after.epoch, &after.writer) == (before.epoch, &before.writer), "{after:#?}");
    Ok(())
}

async fn last_acker_is_given_up_on_purpose(dialect: Dialect) -> Result<()> {
    let cluster = Cluster::managed(patient(dialect).layout(Layout::TwoServersAndWitness)).await?;
    cluster.pre_flight().await?;
    let mut ledger = cluster.ledger(&[], light());
    writes_go_on(&cluster, &ledger).await?;
    let machine = StallMeter::start(cluster.folder())?;
    let began = Instant::now();
    done(&cluster, &["maintenance", "db2", "--for", "1h"]).await?;
    let status = cluster.ctl().status().await?;
    ensure!(status.durability_reason.contains("planned maintenance"), "{status:#?}");
    writes_go_on(&cluster, &ledger).await?;
    no_write_waited(&cluster, &mut ledger, &machine, began).await?;
    done(&cluster, &["maintenance", "db2", "--end"]).await?;
    let lossless = |status: &StatusReply| status.durability == "lossless";
    cluster.reaches("to be lossless again", CHANGES, lossless).await?;
    cluster.post_check(&ledger, &[]).await?;
    Ok(())
}

/// Ends the load: since `began` no write waited for longer than the machine itself stood still and [`PAUSE`].
async fn no_write_waited(
    cluster: &Cluster,
    ledger: &mut Ledger,
    machine: &StallMeter,
    began: Instant,
) -> Result<()> {
    ledger.stop().await;
    let pause = ledger.gap_after(began);
    let waited = || cluster.explained(anyhow::anyhow!("a write waited for {pause:?}"));
    ensure!(pause < PAUSE + machine.since(began), waited());
    Ok(())
}

/// A load that a replica catches up with on any machine: how quickly it does is not what these tests are about.
fn light() -> LedgerOptions {
    LedgerOptions { sessions: 1, ..LedgerOptions::default() }
}

/// The process that answers.
async fn process_of(server: &Server) -> Result<String> {
    let rows: Vec<String> = server.query("SELECT @@global.pid_file").await?;
    let path = rows.first().cloned().unwrap_or_default();
    Ok(std::fs::read_to_string(path)?)
}

async fn writes_go_on(cluster: &Cluster, ledger: &Ledger) -> Result<()> {
    cluster.writes_go_on(ledger, SOON).await
}
