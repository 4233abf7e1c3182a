//! `batonctl config`: the group runs by what was applied, and names the nodes whose file differs.

use std::fs;

use anyhow::{Result, ensure};
use baton_tests::cluster::Cluster;
use baton_tests::sandbox::{Dialect, until};
use rustix::process::Signal;

use crate::{REFUSED, SOON, ctl, done, has, patient};

/// The lease becomes longer, then shorter, under way: the writer stays, and every node comes to run by it.
#[tokio::test]
async fn settings_change_while_the_writer_stays_open() -> Result<()> {
    let cluster = Cluster::managed(patient(Dialect::MariaDb)).await?;
    let before = cluster.pre_flight().await?;
    let sound = fs::read_to_string(cluster.config())?;
    let file = cluster.config().display().to_string();
    for (old, new) in [("4s", "10s"), ("10s", "2500ms")] {
        let text = sound.replace("lease_ttl = \"4s\"", &format!("lease_ttl = \"{new}\""));
        fs::write(cluster.config(), &text)?;
        let shown = done(&cluster, &["config", "apply", &file, "--dry-run"]).await?;
        has(&shown, &["would change", "failover.lease_ttl", &format!("\"{old}\""), &format!("→ \"{new}\"")])?;
        let shown = done(&cluster, &["config", "show"]).await?;
        has(&shown, &[&format!("\"{old}\"")])?;
        let shown = done(&cluster, &["config", "apply", &file]).await?;
        has(&shown, &["changed", "failover.lease_ttl"])?;

        // The nodes still have the old file in mind.
        check_says(&cluster, "differs from what the group agreed on: failover.lease_ttl", true).await?;
        for node in cluster.nodes() {
            node.signal(Signal::HUP)?;
        }
        check_says(&cluster, "differs from what the group agreed on", false).await?;
        let longer = std::time::Duration::from_secs(4).as_millis() as u64;
        if new == "10s" {
            let holds = cluster.reaches("a longer lease", SOON, |status| {
                status.nodes.iter().any(|node| node.lease_left_ms > longer)
            });
            holds.await?;
        }
    }
    let after = cluster.settled().await?;
    ensure!(after.epoch == before.epoch && after.writer == before.writer, "{after:#?}");

    // What an acknowledged write has survived rests on this one.
    fs::write(
        cluster.config(),
        sound.replace("lease_ttl = \"4s\"", "lease_ttl = \"2500ms\"\nwait_count = 2"),
    )?;
    let (code, said) = ctl(&cluster, &["config", "apply", &file]).await?;
    ensure!(code == REFUSED, "{code}: {said}");
    has(&said, &["batonctl release"])
}

async fn check_says(cluster: &Cluster, words: &str, wanted: bool) -> Result<()> {
    let look = async || {
        let found = cluster.ctl().check().await?.findings;
        let said = found.iter().any(|finding| finding.what.contains(words));
        ensure!(said == wanted, "{found:#?}");
        Ok(Some(()))
    };
    until(&format!("check to say ({wanted}): {words}"), SOON, look).await.map_err(|e| cluster.explained(e))
}
