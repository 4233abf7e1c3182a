//! SIGHUP: all of a changed file counts, or nothing of it.

use std::fs;

use anyhow::{Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::{Dialect, until};
use rustix::process::Signal;

use crate::SOON;

#[tokio::test]
async fn all_or_none_of_a_file_is_reloaded() -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::new(Dialect::MariaDb)).await?;
    let sound = fs::read_to_string(cluster.config())?;

    // The file ends with its failover section.
    let live = "unreachable_after = \"3s\"\nautomatic = false";
    reload(&cluster, &sound, live, "reloaded", &["unreachable_after", "3s", "automatic"]).await?;
    cluster.reaches("automatic failover to be off", SOON, |status| status.automation == "manual").await?;

    let back = "automatic = true\n";
    let wrong = format!("{back}unreachable_afer = \"2s\"");
    reload(
        &cluster,
        &sound,
        &wrong,
        "ERROR",
        &["nothing changed", "failover.unreachable_afer", "baton.toml:"],
    )
    .await?;
    let late = format!("{back}[raft]\nheartbeat = \"80ms\"");
    reload(&cluster, &sound, &late, "ERROR", &["nothing changed", "raft.heartbeat", "restart"]).await?;
    ensure!(cluster.ctl().status().await?.automation == "manual", "something of it was taken over");

    reload(&cluster, &sound, back, "reloaded", &["automatic"]).await?;
    cluster.reaches("automatic failover to be on", SOON, |status| status.automation == "automatic").await?;
    let epoch = cluster.settled().await?.epoch;
    ensure!(epoch == 1, "a reload moved the writer");
    Ok(())
}

/// Gives all nodes the file with `section` in it, and waits until each has logged one line about it, with `mark` and all
/// of `words`.
async fn reload(cluster: &Cluster, sound: &str, section: &str, mark: &str, words: &[&str]) -> Result<()> {
    fs::write(cluster.config(), format!("{sound}\n{section}\n"))?;
    for node in cluster.nodes() {
        let before = fs::read_to_string(node.log())?.len();
        node.signal(Signal::HUP)?;
        let look = async || {
            let log = fs::read_to_string(node.log())?;
            let said = &log[before..];
            let lines: Vec<&str> = said.lines().filter(|line| line.contains(mark)).collect();
            ensure!(lines.len() == 1, "not one line with {mark}: {said}");
            for word in words {
                ensure!(lines[0].contains(word), "{word:?} is not in: {said}");
            }
            Ok(Some(()))
        };
        until(&format!("{} to log the reload", node.name()), SOON, look).await?;
    }
    Ok(())
}
