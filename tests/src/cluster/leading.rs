//! A leader on the writer's host, which hands the leadership on within a tenth of a second.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use baton_proto::control::StatusReply;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::{Cluster, Node};

/// About every second election is won by the writer's node.
const TRIES: usize = 20;
/// How long an election may take on a busy machine, and a node to be back.
const ELECTED: Duration = Duration::from_secs(10);
/// Between two looks at the logs: much less than the time for which the writer's node leads.
const LOOK: Duration = Duration::from_millis(1);

/// A daemon that is stopped, until this is dropped.
struct Stopped<'a>(&'a Node);

impl<'a> Stopped<'a> {
    fn stop(node: &'a Node) -> Result<Self> {
        node.signal(Signal::STOP)?;
        Ok(Self(node))
    }

    /// It stays stopped.
    fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        // It may be gone, and then there is nothing to continue.
        let _ = self.0.signal(Signal::CONT);
    }
}

impl Cluster {
    /// Returns in a moment in which the writer's node leads the group, with its daemon stopped (SIGSTOP) so that it
    /// cannot hand the leadership on. Its lease runs, and so does an election: end the host at once.
    ///
    /// It is brought about by stopping the leader's daemon for an election, again and again until the writer's node
    /// wins.
    ///
    /// # Errors
    /// When it has not won in many tries.
    pub async fn stop_leader_beside_writer(&self, writer: &str) -> Result<()> {
        let away = |status: &StatusReply| {
            let led = !status.leader.is_empty() && status.leader != writer;
            led && status.voters_answering == status.voters
        };
        for _ in 0..TRIES {
            let before = self.reaches("all to vote, and the leader to be away", ELECTED, away).await?;
            let writers = self.node(writer)?;
            let others: Vec<&Node> =
                self.nodes().iter().filter(|node| node.name() != before.leader).collect();
            let marks = others.iter().map(|node| told(node)).collect::<Result<Vec<_>>>()?;
            let old = Stopped::stop(self.node(&before.leader)?)?;
            let deadline = Instant::now() + ELECTED;
            let elected = loop {
                let mut new = others.iter().zip(&marks).filter(|(node, mark)| leads(node, **mark));
                if let Some((node, _)) = new.next() {
                    break *node;
                }
                if Instant::now() > deadline {
                    bail!("nobody leads within {ELECTED:?} after {} was stopped", before.leader);
                }
                sleep(LOOK).await;
            };
            if elected.name() == writer {
                let stopped = Stopped::stop(writers)?;
                let mark = others.iter().position(|node| node.name() == writer).map_or(0, |at| marks[at]);
                if leads(writers, mark) {
                    drop(old);
                    stopped.leave();
                    return Ok(());
                }
            }
        }
        bail!("{writer}'s node was not caught leading in {TRIES} elections")
    }
}

/// How long a node's log is.
fn told(node: &Node) -> Result<usize> {
    let log = fs::metadata(node.log()).with_context(|| format!("no log of {}", node.name()))?;
    Ok(usize::try_from(log.len())?)
}

/// Whether a node says that it leads, in what its log says after the `mark`, and not that it hands this on.
fn leads(node: &Node, mark: usize) -> bool {
    let log = fs::read(node.log()).unwrap_or_default();
    let new = String::from_utf8_lossy(log.get(mark..).unwrap_or_default()).into_owned();
    let after = new.rfind("INFO leading ").map(|at| &new[at..]);
    after.is_some_and(|after| {
        !after.contains("handing the leadership over") && !after.contains("no longer leading")
    })
}
