//! The operation that moves the writer, its journal, and what became of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ClusterState, Epoch, NodeName, OperationId, Planned, StepName, UnixMillis};
use crate::gtid::GtidSet;

/// What kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// The writer was lost, or an operator said so.
    Failover,
    /// An operator moved a healthy writer.
    Switchover,
    /// An existing writer was taken into care.
    Adopt,
    /// The cluster was given back to its people.
    Release,
    /// A server got its data anew from another one.
    Rebuild,
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failover => "failover",
            Self::Switchover => "switchover",
            Self::Adopt => "adopt",
            Self::Release => "release",
            Self::Rebuild => "rebuild",
        })
    }
}

/// Begins a failover. The entry that carries it is the revocation of `epoch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// The operation's name.
    pub operation: OperationId,
    /// The epoch to end.
    pub epoch: Epoch,
    /// The diagnosis, by name.
    pub diagnosis: String,
    /// What was seen, and by whom.
    pub evidence: Vec<String>,
    /// An operator's word, where one gave it.
    pub forced: Option<Forced>,
    /// Where an operator wants the writer.
    pub wanted: Option<NodeName>,
    /// What the writer was last seen to have committed, by anybody; a later leader may have been told less.
    #[serde(default)]
    pub last_seen: Option<GtidSet>,
}

/// An operator's word in the place of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Why an old writer can acknowledge nothing more, and who found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The kind.
    pub kind: ProofKind,
    /// In words.
    pub detail: String,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind, self.detail)
    }
}

/// Kinds of proof, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofKind {
    /// Closed, read back, sessions gone.
    Closed,
    /// The process exited and its port refuses.
    Gone,
    /// Too few ackers still receive from it.
    Starved,
    /// Its lease has run out at a majority of the voters.
    Expired,
    /// The power fence reported success.
    Stonith,
    /// An operator said so.
    Forced,
}

impl fmt::Display for ProofKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Gone => "gone",
            Self::Starved => "starved",
            Self::Expired => "expired",
            Self::Stonith => "stonith",
            Self::Forced => "forced",
        })
    }
}

/// What a failover lost, computed from the sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Loss {
    /// Every acknowledged write was waited for, and these ackers answered with all they had.
    None {
        /// The ackers.
        proven_by: Vec<NodeName>,
    },
    /// Not lossless at the time, but the new writer has all that the old one was last seen with.
    NoneSeen,
    /// The old writer was last seen with these, and the new one lacks them.
    Ranges(GtidSet),
    /// Nothing is known of what the old writer had.
    Unknown,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None { proven_by } if proven_by.is_empty() => f.write_str("nothing lost"),
            Self::None { proven_by } => {
                let names: Vec<_> = proven_by.iter().map(NodeName::as_str).collect();
                write!(f, "nothing lost, proven by {}", names.join(", "))
            }
            Self::NoneSeen => f.write_str("nothing lost of what was last seen"),
            Self::Ranges(set) => write!(f, "{} lost: {set}", set.amount()),
            Self::Unknown => f.write_str("loss unknown: the old writer's set was never seen"),
        }
    }
}

/// One line of an operation's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When it happened.
    pub at_ms: UnixMillis,
    /// At which node.
    pub node: NodeName,
    /// A short fixed name, for histograms: a [`super::StepName`].
    pub name: String,
    /// In words.
    pub detail: String,
}

/// An operation under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its name.
    pub id: OperationId,
    /// What it is.
    pub kind: OperationKind,
    /// The epoch that it ends.
    pub from: Epoch,
    /// Who held that epoch.
    pub from_node: Option<NodeName>,
    /// When it began.
    pub started_ms: UnixMillis,
    /// The diagnosis that began it.
    pub diagnosis: String,
    /// What was seen, and by whom.
    pub evidence: Vec<String>,
    /// An operator's word.
    pub forced: Option<Forced>,
    /// Where an operator wants the writer.
    pub wanted: Option<NodeName>,
    /// What the old writer was last seen to have committed when this began.
    #[serde(default)]
    pub last_seen: Option<GtidSet>,
    /// Begun by a recovery by hand: what the group that lost its majority agreed on last may never have come here.
    #[serde(default)]
    pub recovered: Option<Recovered>,
    /// What was planned, of a switchover.
    #[serde(default)]
    pub planned: Option<Planned>,
    /// The proof, once the next epoch is granted.
    pub proof: Option<Proof>,
    /// What was lost, once the next epoch is granted.
    pub loss: Option<Loss>,
    /// The next epoch and its node, once granted.
    pub to: Option<(Epoch, NodeName)>,
    /// When the new writer was reported open.
    pub opened_ms: Option<UnixMillis>,
    /// The journal.
    pub steps: Vec<Step>,
}

impl Operation {
    /// One that ends `from`, held by `from_node`, with nothing known yet.
    pub fn of(kind: OperationKind, from: Epoch, from_node: NodeName) -> Self {
        Self {
            from_node: Some(from_node),
            ..super::apply::new_operation(&OperationId::default(), kind, from, 0, String::new())
        }
    }

    /// Whether this one is still under way in `state`, and the next epoch is not granted yet.
    pub fn waits_for_grant_in(&self, state: &ClusterState) -> bool {
        state.operation.as_ref().is_some_and(|o| o.id == self.id && o.to.is_none())
    }

    /// Whether a step of this name is in the journal.
    pub fn has_taken(&self, step: StepName) -> bool {
        self.steps.iter().any(|s| s.name == step.as_str())
    }

    /// When the writer was lost: the journal may hold what was seen before the leader began.
    pub fn lost_ms(&self) -> UnixMillis {
        self.steps.iter().map(|s| s.at_ms).fold(self.started_ms, UnixMillis::min)
    }

    /// Milliseconds without an open writer, so far if it is not over; 0 for operations that close none.
    pub fn outage_ms(&self, now_ms: UnixMillis) -> u64 {
        let at = |name: StepName| self.steps.iter().find(|s| s.name == name.as_str()).map(|s| s.at_ms);
        let (since, until) = match self.kind {
            OperationKind::Failover => (Some(self.lost_ms()), self.opened_ms),
            // Whether the writer was closed then or held up by the attempt.
            OperationKind::Switchover if self.to.is_none() => (at(StepName::Freeze), at(StepName::Undo)),
            OperationKind::Switchover => (at(StepName::Freeze), self.opened_ms),
            OperationKind::Adopt | OperationKind::Release | OperationKind::Rebuild => (None, None),
        };
        since.map_or(0, |since| u64::try_from(until.unwrap_or(now_ms) - since).unwrap_or(0))
    }

    /// Whether the writer is about to be closed, or is closed, for a switchover whose next epoch is not granted yet.
    pub fn is_frozen(&self) -> bool {
        let begun = self.has_taken(StepName::Freeze) && !self.has_taken(StepName::Undo);
        self.kind == OperationKind::Switchover && self.to.is_none() && begun
    }
}

/// What an operator said when a group was started anew without its majority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// Acknowledged writes may be lost, whatever the policy for loss is.
    pub accepts_loss: bool,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It did what it was for.
    Done,
    /// The candidate was lost after its grant, or an operator's word came before it; the next operation took over.
    Superseded,
    /// It could not do what it was for.
    Failed,
    /// An operator ended it.
    Cancelled,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// A finished operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// What it was.
    pub operation: Operation,
    /// When it ended.
    pub ended_ms: UnixMillis,
    /// How.
    pub ending: Ending,
}
