//! Failovers of real servers that are cut off: right after a step is committed the leader's daemon is killed, or the
//! server that is to become the writer. Each is finished, superseded or undone, no acknowledged row is lost, and no two
//! servers are open at once.
//!
//! One cluster takes one step after the other. The program has to be a debug build: it stops itself exactly after a step
//! (`node/src/cut.rs`), which no build for use does.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_node::state::{OperationKind, StepName};
use baton_proto::control::StatusReply;
use baton_tests::cluster::{Cluster, ClusterOptions, OpenWatch, ReturnOfOldWriter};
use baton_tests::sandbox::{Dialect, Ledger, LedgerOptions, until};
use rustix::process::Signal;

/// For what has to come about at all.
const SOON: Duration = Duration::from_secs(20);
/// How long a failover that was cut off may take until another leader, or another candidate, has brought it to its end.
const FINISHED: Duration = Duration::from_secs(45);

/// Who dies at the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// The daemon that leads.
    Leader,
    /// The server that is to be the next writer.
    Target,
}

/// The steps after which something else has to go on than before: entries of their own, and the choice.
const MAIN_STEPS: &[StepName] = &[
    StepName::Begun,
    StepName::Proof,
    StepName::Applied,
    StepName::Granted,
    StepName::Open,
    StepName::Follow,
];

#[tokio::test]
async fn mysql_leader_dies_at_the_main_steps() -> Result<()> {
    cut_off_at(MAIN_STEPS, Dialect::MySql, Victim::Leader).await
}

#[tokio::test]
async fn mariadb_target_dies_at_the_main_steps() -> Result<()> {
    cut_off_at(MAIN_STEPS, Dialect::MariaDb, Victim::Target).await
}

#[tokio::test]
#[ignore = "a minute; script/test --full runs it"]
async fn mysql_leader_dies_at_every_step() -> Result<()> {
    cut_off_at(OperationKind::Failover.steps(), Dialect::MySql, Victim::Leader).await
}

#[tokio::test]
#[ignore = "a minute; script/test --full runs it"]
async fn mysql_target_dies_at_every_step() -> Result<()> {
    cut_off_at(OperationKind::Failover.steps(), Dialect::MySql, Victim::Target).await
}

#[tokio::test]
#[ignore = "a minute; script/test --full runs it"]
async fn mariadb_leader_dies_at_every_step() -> Result<()> {
    cut_off_at(OperationKind::Failover.steps(), Dialect::MariaDb, Victim::Leader).await
}

#[tokio::test]
#[ignore = "a minute; script/test --full runs it"]
async fn mariadb_target_dies_at_every_step() -> Result<()> {
    cut_off_at(OperationKind::Failover.steps(), Dialect::MariaDb, Victim::Target).await
}

/// A cluster, and who watches it.
struct Bench {
    cluster: Cluster,
    ledger: Ledger,
    watch: OpenWatch,
}

impl Bench {
    async fn begin(dialect: Dialect) -> Result<Self> {
        let cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
        // One session that pauses: between two of its rows a server dies without a tail that nobody else has.
        let options =
            LedgerOptions { sessions: 1, pace: Some(Duration::from_millis(50)), ..LedgerOptions::default() };
        let ledger = cluster.ledger(&[], options);
        let watch = OpenWatch::start(&cluster);
        Ok(Self { cluster, ledger, watch })
    }

    /// An acknowledged row, just now.
    async fn row(&self) -> Result<()> {
        let before = self.ledger.acknowledged();
        let more = async || Ok((self.ledger.acknowledged() > before).then_some(()));
        until("an acknowledged row", SOON, more).await.map_err(|error| self.cluster.explained(error))
    }

    async fn end(mut self, out: &[&str]) -> Result<()> {
        self.ledger.stop().await;
        self.cluster.post_check(&self.ledger, out).await?;
        self.watch.never_two()
    }
}

async fn cut_off_at(steps: &[StepName], dialect: Dialect, victim: Victim) -> Result<()> {
    let mut bench = Bench::begin(dialect).await?;
    for step in steps {
        let begun = std::time::Instant::now();
        let out =
            cut_off(&mut bench, *step, victim).await.with_context(|| format!("{victim:?} at {step}"))?;
        println!("{victim:?} at {step}: settled after {:.1} s", begun.elapsed().as_secs_f64());
        // Fewer than three servers are not what the next step is about.
        if !out.is_empty() {
            bench.end(&out).await?;
            bench = Bench::begin(dialect).await?;
        }
    }
    bench.end(&[]).await
}

/// Begins a failover, cuts it off, and waits until all is well again. Returns who is out then.
async fn cut_off(bench: &mut Bench, step: StepName, victim: Victim) -> Result<Vec<&'static str>> {
    let before = leader_elsewhere(&bench.cluster).await?;
    let named = |name: &str| bench.cluster.data_nodes().find(|node| *node == name);
    let (old, leader) = (named(&before.writer), named(&before.leader));
    let (old, leader) = (old.context("no writer")?, leader.context("no leader")?);
    bench.cluster.node(leader)?.stop_after(step)?;
    bench.row().await?;
    bench.cluster.server(old)?.kill(Signal::KILL)?;
    let stopped = bench.cluster.node(leader)?.stopped(SOON).await;
    stopped.map_err(|error| bench.cluster.explained(error))?;
    let mut struck = vec![old];
    match victim {
        Victim::Leader => bench.cluster.node_mut(leader)?.restart().await?,
        Victim::Target => {
            let target = target(&bench.cluster, &before)?;
            bench.cluster.server(target)?.kill(Signal::KILL)?;
            bench.cluster.node(leader)?.signal(Signal::CONT)?;
            bench.cluster.server_mut(target)?.wait_exit(SOON).await?;
            struck.push(target);
        }
    }
    bench.cluster.server_mut(old)?.wait_exit(SOON).await?;
    for server in &struck {
        bench.cluster.server_mut(server)?.start().await?;
    }
    let over = |status: &StatusReply| {
        status.epoch > before.epoch && status.writer_open && status.operation.is_empty()
    };
    let after = bench.cluster.reaches("the failover to be over", FINISHED, over).await?;
    bench.row().await?;
    let mut out = Vec::new();
    for server in struck {
        // Whoever died last may have been asked again, and be the writer.
        let writer = bench.cluster.ctl().status().await?.writer;
        if writer != server
            && let ReturnOfOldWriter::Quarantined(_) = bench.cluster.old_writer_returns(server).await?
        {
            out.push(server);
        }
    }
    let settled = bench.cluster.settled_without(&out).await?;
    ensure!(settled.epoch >= after.epoch, "an epoch went back: {settled:#?}");
    Ok(out)
}

/// The next writer if it is known, else the first that is as fit as the other.
fn target(cluster: &Cluster, before: &StatusReply) -> Result<&'static str> {
    cluster.data_nodes().find(|name| *name != before.writer).context("no other server")
}

/// All is well, and the leader is not on the writer's host, as in normal times.
async fn leader_elsewhere(cluster: &Cluster) -> Result<StatusReply> {
    cluster.settled().await?;
    cluster
        .reaches("a leader away from the writer", SOON, |s| !s.leader.is_empty() && s.leader != s.writer)
        .await
}
