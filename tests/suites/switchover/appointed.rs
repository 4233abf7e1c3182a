//! `batonctl switchover --at`: cancelled, carried out by a leader that nobody has asked, and refused with the reason.

use std::time::Duration;

use anyhow::{Result, ensure};
use baton_proto::control::{StatusReply, SwitchoverReply};
use baton_tests::cluster::{Cluster, ClusterOptions, OpenWatch};
use baton_tests::sandbox::{Dialect, LedgerOptions, until};
use mysql_async::prelude::Queryable;

use super::{MAX_PAUSE, SOON, leader_elsewhere, switchover, writes_go_on};

/// From an appointment to its time, so that a leader can be lost in between.
const SOON_ENOUGH: &str = "8s";
/// Its time, for as long as what stands in the way is waited for, and a busy machine.
const OVER: Duration = Duration::from_secs(45);

pub(super) async fn appointment_is_carried_out_by_another_leader(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::patient(dialect)).await?;
    let before = leader_elsewhere(&cluster).await?;
    let watch = OpenWatch::start(&cluster);
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;
    let to = cluster.data_nodes().find(|name| *name != before.writer && *name != before.leader).unwrap();
    cancelled(&cluster, to).await?;

    let appointed =
        appointed(&cluster, &[&["--to", to, "--at", SOON_ENOUGH], &MAX_PAUSE[..]].concat()).await?;
    cluster.node_mut(&before.leader)?.restart().await?;
    let moved = |status: &StatusReply| status.writer == to && status.writer_open;
    let after = cluster.reaches("the appointed switchover to be done", OVER, moved).await?;
    ensure!(after.appointment.is_none() && after.epoch == before.epoch + 1, "{after:#?}");
    let done = cluster.operation_from(before.epoch).await?;
    ensure!(done.id == appointed.id || done.reason.contains("appointed by"), "{done:#?}");
    writes_go_on(&cluster, &ledger).await?;
    cluster.settled().await?;

    refused_at_its_time(&cluster, to, &before.writer).await?;
    writes_go_on(&cluster, &ledger).await?;
    ledger.stop().await;
    cluster.post_check(&ledger, &[]).await?;
    watch.never_two()
}

/// Asks again where the target lags for a moment, as it does on a busy machine.
async fn appointed(cluster: &Cluster, arguments: &[&str]) -> Result<SwitchoverReply> {
    let ask = async || {
        let reply = switchover(cluster, arguments).await?;
        ensure!(reply.appointed_ms > 0 && !reply.tried, "{reply:#?}");
        Ok(Some(reply))
    };
    until("an appointment", SOON, ask).await.map_err(|error| cluster.explained(error))
}

async fn cancelled(cluster: &Cluster, to: &str) -> Result<()> {
    let appointed = appointed(cluster, &["--to", to, "--at", "2h"]).await?;
    let status = cluster.ctl().status().await?;
    let shown = status.appointment.unwrap_or_default();
    ensure!((shown.at_ms, shown.to.as_str()) == (appointed.appointed_ms, to), "{shown:?} {appointed:#?}");
    let second = cluster.ctl().switchover(&["--at", "3h"]).await;
    ensure!(second.is_err_and(|error| format!("{error:#}").contains("appointed already")), "there are two");
    cluster.ctl().done(&["switchover", "--cancel"]).await?;
    ensure!(cluster.ctl().status().await?.appointment.is_none(), "it is still there");
    let kept = cluster.ctl().history(1).await?;
    ensure!(kept.iter().any(|o| o.kind == "switchover" && o.outcome == "cancelled"), "{kept:#?}");
    Ok(())
}

/// The target falls behind meanwhile.
async fn refused_at_its_time(cluster: &Cluster, writer: &str, to: &str) -> Result<()> {
    let mut holder = cluster.server(to)?.connect().await?;
    appointed(cluster, &["--to", to, "--at", "3s"]).await?;
    holder.query_drop("LOCK TABLES app.writes READ").await?;
    let over = |status: &StatusReply| status.appointment.is_none();
    let refused = cluster.reaches("the appointment to be refused", OVER, over).await;
    holder.query_drop("UNLOCK TABLES").await?;
    ensure!(refused?.writer == writer, "the writer moved");
    let kept = cluster.ctl().history(1).await?;
    let why = |o: &baton_proto::control::Operation| {
        o.steps.iter().any(|s| s.name == "refused" && s.detail.contains(to))
    };
    ensure!(kept.iter().any(|o| o.outcome == "failed" && why(o)), "{kept:#?}");
    Ok(())
}
