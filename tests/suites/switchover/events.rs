//! Events follow the writer, planned and unplanned: those that ran at the last writer run at the new one under their own
//! definers, those that rested rest, and none runs twice.

use std::time::Duration;

use anyhow::{Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::{Dialect, Server, until};
use rustix::process::Signal;

use super::plan::what_is_planned_is_sent;
use super::{MAX_PAUSE, SOON, switchover};

/// The record is looked at every 5 s.
const RECORDED: Duration = Duration::from_secs(30);

pub(super) async fn events_follow_the_writer(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::observing(ClusterOptions::patient(dialect)).await?;
    for name in ["db1", "db2", "db3"] {
        let node = cluster.node_mut(name)?;
        node.set("server.events", "true");
        node.restart().await?;
    }
    cluster.reaches("a leader after the restarts", RECORDED, |status| !status.leader.is_empty()).await?;
    cluster.ctl().adopt("db1").await.map_err(|error| cluster.explained(error))?;
    cluster.settled().await?;
    let primary = cluster.server("db1")?;
    primary
        .execute([
            "CREATE TABLE app.ticks (at INT AUTO_INCREMENT PRIMARY KEY, server INT)",
            "CREATE USER 'owner'@'localhost' IDENTIFIED BY 'x'",
            "GRANT ALL ON app.* TO 'owner'@'localhost'",
            "CREATE DEFINER='owner'@'localhost' EVENT app.ticking ON SCHEDULE EVERY 1 SECOND \
             DO INSERT INTO app.ticks (server) VALUES (@@global.server_id)",
            "CREATE EVENT app.resting ON SCHEDULE EVERY 1 SECOND DISABLE DO INSERT INTO app.ticks VALUES (-1, -1)",
        ])
        .await?;
    ticks_at(&cluster, "db1").await?;
    recorded(&cluster).await?;

    what_is_planned_is_sent(&cluster, &[&["--to", "db2"], &MAX_PAUSE[..]].concat()).await?;
    ticks_at(&cluster, "db2").await?;
    recorded(&cluster).await?;
    cluster.settled().await?;

    cluster.server("db2")?.kill(Signal::KILL)?;
    cluster.server_mut("db2")?.wait_exit(SOON).await?;
    let after = cluster.moved_from("db2").await?;
    ticks_at(&cluster, &after.writer).await?;
    let wrong: Vec<i64> =
        cluster.server(&after.writer)?.query("SELECT server FROM app.ticks WHERE server < 0").await?;
    ensure!(wrong.is_empty(), "the event that rested has run");
    Ok(())
}

/// The one event runs there, under its definer, and the other rests.
async fn ticks_at(cluster: &Cluster, name: &str) -> Result<()> {
    let server = cluster.server(name)?;
    let ticks = async || {
        let found: Vec<(String, String, String)> = server
            .query("SELECT EVENT_NAME, STATUS, DEFINER FROM information_schema.EVENTS ORDER BY 1 DESC")
            .await?;
        let runs = found.first().is_some_and(|(event, status, definer)| {
            event == "ticking" && status == "ENABLED" && definer == "owner@localhost"
        });
        let rests = found.last().is_some_and(|(event, status, _)| event == "resting" && status != "ENABLED");
        Ok((runs && rests && ticked(server).await?).then_some(()))
    };
    until(&format!("events to run at {name}"), RECORDED, ticks)
        .await
        .map_err(|error| cluster.explained(error))
}

/// Whether the latest row was written by this server's own event.
async fn ticked(server: &Server) -> Result<bool> {
    let sql = "SELECT server = @@global.server_id FROM app.ticks ORDER BY at DESC LIMIT 1";
    Ok(server.query::<bool>(sql).await? == [true])
}

/// The group knows which events run at the writer.
async fn recorded(cluster: &Cluster) -> Result<()> {
    let known = async || {
        let plan = switchover(cluster, &["--dry-run"]).await?;
        Ok(plan.findings.iter().any(|f| f.what == "events that follow the writer: app.ticking").then_some(()))
    };
    until("the record of the events", RECORDED, known).await.map_err(|error| cluster.explained(error))
}
