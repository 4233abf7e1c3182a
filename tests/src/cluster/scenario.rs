//! One fault on one cluster, from the check before it to the check after it: what every scenario does around its fault.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_proto::control::StatusReply;
use jiff::Timestamp;
use tokio::time::sleep;

use super::checks::ADMITTED;
use super::told::{self, Told};
use super::{Cluster, ClusterOptions, DirectWriters, ReturnOfOldWriter};
use crate::sandbox::{Ledger, LedgerOptions, Outcome, Write, until};

/// How long writes may take to come again on a machine that does other things beside the test.
const WRITES: Duration = Duration::from_secs(30);
/// How long a node that was struck may take to be a replica again, or out.
const SETTLES: Duration = Duration::from_secs(45);
/// Acknowledged rows that show that writes go on.
const ROWS: usize = 50;
/// How often a cluster in which nothing should happen is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How many operations of a cluster are read: more than any scenario makes.
const OPERATIONS: u32 = 50;

/// A cluster under load, with a client that writes straight to each server besides.
#[derive(Debug)]
pub struct Scenario {
    /// The cluster.
    pub cluster: Cluster,
    /// Its status before the fault: `db1` is the writer.
    pub before: StatusReply,
    /// The application's writes, through the routers.
    pub ledger: Ledger,
    direct: DirectWriters,
    name: &'static str,
    fault: Instant,
    told: Option<Told>,
}

impl Scenario {
    /// A cluster that is well and under load. The application uses the routers of all hosts but those in `avoid`, which
    /// the fault will take.
    ///
    /// # Errors
    /// What is not as it should be before the fault.
    pub async fn begin(name: &'static str, mut options: ClusterOptions, avoid: &[&str]) -> Result<Self> {
        options.sections.push_str(told::SECTION);
        let cluster = Cluster::managed(options).await?;
        let before = cluster.pre_flight().await?;
        let ledger = cluster.ledger(avoid, LedgerOptions::default());
        let direct = DirectWriters::start(&cluster);
        let scenario = Self { cluster, before, ledger, direct, name, fault: Instant::now(), told: None };
        scenario.writes_go_on().await?;
        Ok(scenario)
    }

    /// Notes what people have to be told of what happens from now on, each of it, and what they may be told besides: everything else is a
    /// false alarm at the end.
    pub fn tells(&mut self, must: &'static [&'static str], may: &[&[&'static str]]) {
        let since_ms = Timestamp::now().as_millisecond();
        self.told = Some(Told { must, may: may.concat(), since_ms });
    }

    /// Notes that the fault comes now.
    pub fn fault(&mut self) {
        self.fault = Instant::now();
    }

    /// The longest write outage since the fault, until now.
    pub fn outage(&self) -> Duration {
        self.ledger.gap_after(self.fault)
    }

    /// Waits for more acknowledged writes.
    ///
    /// # Errors
    /// When none come.
    pub async fn writes_go_on(&self) -> Result<()> {
        let before = self.ledger.acknowledged();
        let more = async || Ok((self.ledger.acknowledged() >= before + ROWS).then_some(()));
        until("more acknowledged writes", WRITES, more).await.map_err(|error| self.cluster.explained(error))
    }

    /// The writer moves away from the node that held it, and writes go on after an outage of less than `bound`.
    ///
    /// # Errors
    /// When it stays, or takes longer.
    pub async fn moves(&self, bound: Duration) -> Result<StatusReply> {
        let after = self.cluster.moved_later(&self.before.writer, bound).await?;
        self.writes_go_on().await?;
        self.ends_within(bound)?;
        ensure!(after.epoch > self.before.epoch, "another writer under the same epoch: {after:#?}");
        Ok(after)
    }

    /// The writer stays where it is, under the same epoch, for as long as `watched`; the longest write outage is less
    /// than `bound`.
    ///
    /// # Errors
    /// When it moves, or writes are out for longer.
    pub async fn stays(&self, watched: Duration, bound: Duration) -> Result<()> {
        let until = self.fault + watched;
        while Instant::now() < until {
            let status = self.cluster.ctl().status().await.map_err(|error| self.cluster.explained(error))?;
            ensure!(
                status.epoch == self.before.epoch,
                self.cluster.explained(anyhow::anyhow!("it moved: {status:#?}"))
            );
            sleep(LOOK).await;
        }
        self.writes_go_on().await?;
        self.ends_within(bound)
    }

    /// The write outage since the fault is over, and was shorter than `bound`, and what the machine stood still besides.
    ///
    /// # Errors
    /// When it was longer.
    pub fn ends_within(&self, bound: Duration) -> Result<()> {
        let outage = self.outage();
        let stood_still = self.cluster.stood_still(self.fault);
        println!("{}: writes were out for {} ms", self.name, outage.as_millis());
        if !stood_still.is_zero() {
            println!("{}: the machine itself stood still for {} ms", self.name, stood_still.as_millis());
        }
        ensure!(
            outage < bound + stood_still,
            self.cluster.explained(anyhow::anyhow!("writes were out for {outage:?}, more than {bound:?}"))
        );
        Ok(())
    }

    /// Waits until the present diagnosis is one of this name, as `batonctl why` tells it.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn is_diagnosed(&self, name: &str, bound: Duration) -> Result<()> {
        let look = async || {
            let why = self.cluster.ctl().why().await?;
            ensure!(why.diagnosis == name, "it is {}: {}", why.diagnosis, why.summary);
            Ok(Some(()))
        };
        until("the diagnosis", bound, look).await.map_err(|error| self.cluster.explained(error))
    }

    /// Waits until Baton has judged the server of a node that lost its role. What does not run of the node is started
    /// meanwhile, as systemd does, also when Baton ends it late. Returns the node if it is out.
    ///
    /// # Errors
    /// When it does not start, or is not judged as it should be.
    pub async fn comes_back(&mut self, name: &'static str) -> Result<Option<&'static str>> {
        let deadline = Instant::now() + SETTLES;
        loop {
            if self.cluster.server_mut(name)?.exited()?.is_some() {
                self.cluster.server_mut(name)?.start().await?;
            }
            if !self.cluster.node_mut(name)?.runs()? {
                self.cluster.node_mut(name)?.start()?;
            }
            let status = self.cluster.ctl().status().await;
            let judged = status.is_ok_and(|status| {
                let node = status.nodes.into_iter().find(|node| node.name == name);
                // One that is out may still be open for the seconds in which its commits hold up the close.
                node.is_some_and(|node| {
                    let judged =
                        node.role == "out" || node.role == "replica" && node.replicating && node.acker;
                    judged && !node.open
                })
            });
            let late = Instant::now() > deadline;
            if judged || late {
                match self.cluster.old_writer_returns(name).await {
                    Ok(ReturnOfOldWriter::Follows) => return Ok(None),
                    Ok(ReturnOfOldWriter::Quarantined(extra)) => {
                        println!("{}: {name} is out, it alone has {extra}", self.name);
                        return Ok(Some(name));
                    }
                    // It was judged while its keeper was about to end it: what it has is asked once it is back.
                    Err(error)
                        if !late
                            && !format!("{error:#}").contains(ADMITTED)
                            && !self.cluster.server(name)?.answers().await => {}
                    Err(error) => return Err(error),
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until the client that writes straight to this node's server has given up a write since the fault: what was
    /// acknowledged to it before is told by then.
    ///
    /// # Errors
    /// When it has not in time.
    pub async fn gives_up_on(&self, name: &str) -> Result<()> {
        let (_, ledger) = self.direct.ledgers().find(|(node, _)| *node == name).context("no such node")?;
        let given_up = async || {
            let writes = ledger.writes();
            let lost = |write: &Write| write.ended > self.fault && write.outcome != Outcome::Acknowledged;
            Ok(writes.iter().any(lost).then_some(()))
        };
        until("its direct client to give up", WRITES, given_up).await
    }

    /// Ends the direct clients, for a comparison of data between servers.
    pub async fn stop_direct(&mut self) {
        self.direct.stop().await;
    }

    /// The checks at the end: roles, replication, no acknowledged row lost (of the application's and of the direct
    /// clients'), never two writers. Nodes in `out` may be out.
    ///
    /// # Errors
    /// What is not as it should be.
    pub async fn ends(mut self, out: impl IntoIterator<Item = &'static str>) -> Result<()> {
        let out: Vec<_> = out.into_iter().collect();
        self.writes_go_on().await?;
        if let Some(told) = &self.told {
            told.holds(self.cluster.folder()).await.map_err(|error| self.cluster.explained(error))?;
        }
        self.ledger.stop().await;
        self.direct.stop().await;
        let after = self.cluster.post_check(&self.ledger, &out).await?;
        for (name, ledger) in self.direct.ledgers() {
            let checked = self.cluster.rows_are_right(&after.writer, ledger).await;
            checked.with_context(|| format!("rows that were written straight to {name}"))?;
        }
        // The last one may still be repointing replicas, and is told of once it is over.
        let told = async || {
            let operations = self.cluster.ctl().history(OPERATIONS).await?;
            let whole =
                after.epoch == self.before.epoch || operations.iter().any(|o| o.to_epoch == after.epoch);
            Ok(whole.then_some(operations))
        };
        let operations = until("the history of the present epoch", WRITES, told).await?;
        self.direct
            .one_after_the_other(&self.before.writer, self.before.epoch, &operations)
            .map_err(|error| self.cluster.explained(error))
    }
}
