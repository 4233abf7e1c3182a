//! One cluster, a few faults, and what has to hold at the end.

use std::time::Duration;

use anyhow::{Context, Result};
use baton_tests::cluster::{ClusterOptions, Layout, Scenario};
use baton_tests::sandbox::{Dialect, Disk};
use rand::Rng;
use tokio::time::sleep;

use crate::fault::{Fault, undo_all};
use crate::report::Report;

/// Faults of one episode.
const FAULTS: std::ops::RangeInclusive<u32> = 2..=5;
/// Between two faults, so that some come while the one before is being dealt with and some when all is well again.
const BETWEEN_MS: std::ops::Range<u64> = 0..6000;
/// A writer that a person closed is opened again within the time of an episode.
const CLOSED_BY_HAND: &str = "closed_by_hand_for = \"3s\"";
/// How long the cluster may take to be well again after the last fault is undone.
const SETTLES: Duration = Duration::from_secs(90);

/// Runs one episode.
pub(crate) async fn run(dialect: Dialect, random: &mut impl Rng, report: &mut Report) -> Result<()> {
    let layout = if random.random() { Layout::ThreeServers } else { Layout::TwoServersAndWitness };
    let has_disk = Disk::available().is_ok();
    let failover = vec![CLOSED_BY_HAND.to_owned()];
    let options = ClusterOptions { has_disk, failover, ..ClusterOptions::new(dialect).layout(layout) };
    let mut scenario = Scenario::begin("chaos", options, &[]).await?;
    scenario.fault();
    let mut struck = Vec::new();
    for _ in 0..random.random_range(FAULTS) {
        let fault = Fault::draw(random, &scenario.cluster).context("a cluster without nodes")?;
        println!("  {:?} on {} for {} ms", fault.kind, fault.node, fault.lasts.as_millis());
        // What it would strike may be gone already by the fault before; then it is no fault.
        if fault.strike(&mut scenario.cluster).await.is_ok() {
            report.count(fault.kind);
            struck.push(fault.kind);
        }
        sleep(fault.lasts).await;
        if random.random() {
            undo_all(&mut scenario.cluster).await?;
        }
        sleep(Duration::from_millis(random.random_range(BETWEEN_MS))).await;
    }
    undo_all(&mut scenario.cluster).await?;
    let out = settled(&mut scenario).await?;
    report.outage(&struck, scenario.outage());
    report.acknowledged += scenario.ledger.acknowledged();
    let after = scenario.cluster.ctl().status().await?;
    report.epochs += after.epoch - scenario.before.epoch;
    scenario.ends(out).await
}

/// Waits until an open writer takes writes and every other server follows it or is out, and says which are out. A server
/// that ended meanwhile (its keeper may end it after the faults are over) is started again, as systemd would.
async fn settled(scenario: &mut Scenario) -> Result<Vec<&'static str>> {
    let deadline = tokio::time::Instant::now() + SETTLES;
    loop {
        undo_all(&mut scenario.cluster).await?;
        let status = scenario.cluster.ctl().status().await;
        let judged = status.as_ref().is_ok_and(|status| {
            status.writer_open
                && status.operation.is_empty()
                && status.nodes.iter().all(|node| match node.role.as_str() {
                    "writer" | "witness" | "out" => node.node_answers,
                    "replica" => node.replicating && node.acker,
                    _ => false,
                })
        });
        if judged && let Ok(status) = status {
            let out = |name: &str| status.nodes.iter().any(|node| node.name == name && node.role == "out");
            return Ok(scenario.cluster.data_nodes().filter(|name| out(name)).collect());
        }
        if tokio::time::Instant::now() > deadline {
            let last = format!("not well again {SETTLES:?} after the last fault: {status:#?}");
            return Err(scenario.cluster.explained(anyhow::anyhow!(last)));
        }
        sleep(Duration::from_millis(200)).await;
    }
}
