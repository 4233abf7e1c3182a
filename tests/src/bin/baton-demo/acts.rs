//! What is shown, act by act.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_proto::control::{HistoryReply, Operation, StatusReply};
use baton_tests::cluster::{Cluster, ClusterOptions, ReturnOfOldWriter, is_open};
use baton_tests::sandbox::{Dialect, Ledger, LedgerOptions, Outcome, until};
use batonctl::render;
use jiff::Timestamp;
use rustix::process::Signal;
use serde::Serialize;

use crate::paper::Paper;

const SOON: Duration = Duration::from_secs(10);

/// So gentle that in the moment of a fault often no commit is under way: a server that comes back with one of its own
/// stays out, and the return that the demo is to show is the usual one.
const SESSIONS: usize = 4;
const PACE: Duration = Duration::from_millis(100);
/// Rows to see acknowledged before a fault and after it.
const ROWS: usize = 60;

/// The whole demo.
#[derive(Debug)]
pub(crate) struct Play {
    dialect: Dialect,
    paper: Paper,
    cluster: Option<Cluster>,
    /// Nodes whose servers came back with transactions of their own.
    out: Vec<String>,
    told: Told,
}

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Told {
    faults: Vec<Fault>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<Skipped>,
}

/// A fault, and what the client had of it.
#[derive(Debug, Serialize)]
struct Fault {
    name: &'static str,
    outage_ms: u128,
    acknowledged: usize,
    found: usize,
    lost: usize,
    steps: Vec<Step>,
}

/// A line of the operation's journal.
#[derive(Debug, Serialize)]
struct Step {
    /// Milliseconds since the operation began.
    ms: i64,
    node: String,
    name: String,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Skipped {
    name: &'static str,
    reason: String,
}

impl Play {
    pub(crate) fn new(dialect: Dialect, paper: Paper) -> Self {
        Self { dialect, paper, cluster: None, out: Vec::new(), told: Told::default() }
    }

    /// The result as one JSON object.
    pub(crate) fn told(&self) -> String {
        // Names and numbers: this cannot fail.
        serde_json::to_string(&self.told).unwrap_or_default()
    }

    /// All acts.
    pub(crate) async fn run(&mut self) -> Result<()> {
        self.paper.title(&format!("Baton: a primary dies, a replica takes over ({})", self.dialect));
        let mut cluster = self.make().await?;
        self.faults(&mut cluster).await?;
        self.cluster = Some(cluster);
        self.sum_up();
        Ok(())
    }

    /// The last words.
    fn sum_up(&mut self) {
        let sum = |count: fn(&Fault) -> usize| self.told.faults.iter().map(count).sum::<usize>();
        let faults = match self.told.faults.len() {
            1 => "One fault".to_owned(),
            many => format!("{many} faults"),
        };
        let acknowledged = sum(|fault| fault.acknowledged);
        let (found, lost) = (sum(|fault| fault.found), sum(|fault| fault.lost));
        let sum = format!("{faults}: {acknowledged} rows acknowledged, {found} found, {lost} lost");
        self.paper.act(&sum);
    }

    async fn faults(&mut self, cluster: &mut Cluster) -> Result<()> {
        self.kill(cluster).await?;
        match cluster.can_cut() {
            Ok(()) => self.cut(cluster).await?,
            Err(reason) => {
                self.paper.act("Skipped: a primary's host is cut off from the network");
                self.paper.say(&reason);
                self.told.skipped.push(Skipped { name: "cut", reason });
            }
        }
        Ok(())
    }

    /// Act 1: the cluster.
    async fn make(&mut self) -> Result<Cluster> {
        let began = Instant::now();
        self.paper.act("Three hosts, three servers, three nodes");
        let cluster = Cluster::observing(ClusterOptions::new(self.dialect)).await?;
        let hosts = match cluster.can_cut() {
            Ok(()) => "Each host is a network namespace.",
            Err(_) => "Each host is a loopback address.",
        };
        self.paper.say(&format!(
            "{hosts} db2 and db3 replicate from db1, by GTID and semi-sync. The nodes came second and only watched, \
             until `batonctl adopt` gave them the cluster: db1 stayed open all the time."
        ));
        cluster.ctl().adopt("db1").await?;
        let status = cluster.settled().await?;
        self.status(&status);
        self.paper.figure("ready after", &format!("{:.1} s", began.elapsed().as_secs_f64()));
        Ok(cluster)
    }

    /// Act 2: the primary's server dies, and comes back.
    async fn kill(&mut self, cluster: &mut Cluster) -> Result<()> {
        let before = cluster.settled().await?;
        let old = before.writer.clone();
        let mut ledger = cluster.ledger(&[], load());
        more_writes(&ledger).await?;
        let pid = cluster.server(&old)?.pid().context("the primary does not run")?;
        self.paper.act(&format!("{old}'s server is killed: kill -9 {pid}"));
        self.paper.say(&format!(
            "{SESSIONS} sessions write through the nodes' routers (port 6446), a row every {} ms each.",
            PACE.as_millis()
        ));
        let killed = Instant::now();
        cluster.server(&old)?.kill(Signal::KILL)?;
        cluster.server_mut(&old)?.wait_exit(SOON).await?;
        let after = cluster.moved_from(&old).await?;
        more_writes(&ledger).await?;
        ledger.stop().await;
        self.outcome(cluster, "kill", &before, &after, &ledger, killed).await?;

        self.paper.act(&format!("{old}'s server is started again"));
        let started = Instant::now();
        cluster.server_mut(&old)?.start().await?;
        self.returned(cluster, &old, started).await
    }

    /// Act 3: the primary's host is cut off, and healed.
    async fn cut(&mut self, cluster: &mut Cluster) -> Result<()> {
        let before = cluster.ctl().status().await?;
        let old = before.writer.clone();
        let host = cluster.host(&old)?.clone();
        // The application does not live on the host that goes away.
        let mut ledger = cluster.ledger(&[&old], load());
        more_writes(&ledger).await?;
        self.paper.act(&format!("{old}'s host is cut off from the network"));
        self.paper.say(&format!(
            "{old} reaches no majority of the nodes, so its lease runs out: it closes itself. The others wait for \
             that, and only then open another server."
        ));
        let cut = Instant::now();
        host.cut().await?;
        let after = cluster.moved_from(&old).await?;
        let fenced = self.fenced(cluster, &old).await?;
        more_writes(&ledger).await?;
        ledger.stop().await;
        self.paper.say(fenced);
        self.outcome(cluster, "cut", &before, &after, &ledger, cut).await?;

        self.paper.act(&format!("{old}'s host is back"));
        let healed = Instant::now();
        host.heal().await?;
        if cluster.server_mut(&old)?.exited()?.is_some() {
            cluster.server_mut(&old)?.start().await?;
        }
        self.returned(cluster, &old, healed).await
    }

    /// How the server on a host that nobody reaches was kept from accepting writes.
    async fn fenced(&self, cluster: &mut Cluster, old: &str) -> Result<&'static str> {
        if cluster.server_mut(old)?.exited()?.is_some() {
            return Ok("Its keeper killed its server.");
        }
        ensure!(!is_open(cluster.server(old)?).await?, "{old} is still open");
        Ok("Its own node closed it.")
    }

    /// The journal of the failover, and what the client had of it.
    async fn outcome(
        &mut self,
        cluster: &Cluster,
        name: &'static str,
        before: &StatusReply,
        after: &StatusReply,
        ledger: &Ledger,
        since: Instant,
    ) -> Result<()> {
        let operation = cluster.operation_from(before.epoch).await?;
        self.paper.gap();
        let history = HistoryReply { operations: vec![operation.clone()] };
        self.paper.block(&render::history(&history, true, &self.paper.style()));
        let found = ledger.found(cluster.server(&after.writer)?).await?;
        let acknowledged = ledger.acknowledged();
        let fault = Fault {
            name,
            outage_ms: ledger.gap_after(since).as_millis(),
            acknowledged,
            found: acknowledged - found.lost.len(),
            lost: found.lost.len(),
            steps: steps(&operation),
        };
        self.paper.gap();
        self.paper.figure("writes out", &format!("{} ms, as the client measured", fault.outage_ms));
        let rows = format!("{} acknowledged, {} found, {} lost", fault.acknowledged, fault.found, fault.lost);
        self.paper.figure("rows", &rows);
        let unknown =
            ledger.writes().iter().filter(|write| matches!(write.outcome, Outcome::Unknown(_))).count();
        if unknown > 0 {
            let there = found.rows.saturating_sub(fault.found);
            self.paper.figure("", &format!("{unknown} never answered, of which {there} are there"));
        }
        ensure!(found.lost.is_empty(), "acknowledged rows are lost: {:?}", found.lost);
        self.told.faults.push(fault);
        Ok(())
    }

    /// What became of the old writer.
    async fn returned(&mut self, cluster: &Cluster, old: &str, since: Instant) -> Result<()> {
        match cluster.old_writer_returns(old).await? {
            ReturnOfOldWriter::Follows => {
                let status = self.settled(cluster).await?;
                let after = since.elapsed().as_secs_f64();
                self.paper.say(&format!(
                    "It has nothing that {} lacks, so it follows, and is an acker again after {after:.1} s.",
                    status.writer
                ));
                self.status(&status);
            }
            ReturnOfOldWriter::Quarantined(extra) => {
                self.paper.say(&format!(
                    "It has transactions that nobody else has and nobody was promised ({extra}): it stays out, and \
                     an operator decides."
                ));
                self.out.push(old.to_owned());
                let status = self.settled(cluster).await?;
                self.status(&status);
            }
        }
        Ok(())
    }

    /// Where every other server is out, the writer has nobody to wait for: that is as settled as it gets.
    async fn settled(&self, cluster: &Cluster) -> Result<StatusReply> {
        let out: Vec<&str> = self.out.iter().map(String::as_str).collect();
        if out.len() + 1 < cluster.servers().len() {
            return cluster.settled_without(&out).await;
        }
        let alone = |status: &StatusReply| status.writer_open && status.operation.is_empty();
        cluster.reaches("the writer to go on alone", SOON, alone).await
    }

    fn status(&mut self, status: &StatusReply) {
        self.paper.gap();
        self.paper.block(&render::status(status, Timestamp::now(), &self.paper.style()));
        self.paper.gap();
    }

    /// For `--keep`.
    ///
    /// # Errors
    /// When the script for looking around cannot be written.
    pub(crate) fn how_to_look_around(&mut self) -> Result<()> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let script = cluster.sandbox().root().join("batonctl");
        fs::write(&script, cluster.ctl().script())?;
        fs::set_permissions(&script, Permissions::from_mode(0o755))?;
        self.paper.act("Everything stays up until you press Ctrl-C");
        self.paper.say("In another terminal, as the same user:");
        self.paper.gap();
        self.paper.block(&format!("{} status", script.display()));
        self.paper.gap();
        self.paper.say("Also history, why, check, failover --force --reason test. The nodes' logs:");
        self.paper.gap();
        let logs: Vec<String> = cluster.nodes().iter().map(|node| node.log().display().to_string()).collect();
        self.paper.block(&logs.join("\n"));
        self.paper.gap();
        Ok(())
    }
}

fn steps(operation: &Operation) -> Vec<Step> {
    let step = |step: &baton_proto::control::Step| Step {
        ms: step.at_ms - operation.started_ms,
        node: step.node.clone(),
        name: step.name.clone(),
        detail: step.detail.clone(),
    };
    operation.steps.iter().map(step).collect()
}

fn load() -> LedgerOptions {
    LedgerOptions { sessions: SESSIONS, pace: Some(PACE), ..LedgerOptions::default() }
}

/// Waits for acknowledged writes.
async fn more_writes(ledger: &Ledger) -> Result<()> {
    let before = ledger.acknowledged();
    until("acknowledged writes", SOON, async || Ok((ledger.acknowledged() >= before + ROWS).then_some(())))
        .await
}
