//! The steps of operations, by name: what journals say, and what the entries that move an operation on do. Whoever wants
//! to cut an operation off everywhere finds here where that is.

use std::fmt;

use super::{Change, OperationKind};

/// A step of an operation. A line of the journal has its name; so has an entry that changes the operation itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepName {
    /// [`Change::Begin`] is committed: the epoch is revoked.
    Begun,
    /// Why, as a line.
    Intent,
    /// The first proof is there.
    Proof,
    /// Nobody can be promoted now.
    Held,
    /// The best candidate has fetched what it lacked, or has not.
    CatchUp,
    /// All were read, and one was chosen.
    Received,
    /// The chosen one has applied what it received, or has not.
    Applied,
    /// [`Change::Grant`] is committed.
    Granted,
    /// What was granted, as a line.
    Grant,
    /// [`Change::Opened`] is committed: the new writer is open.
    Open,
    /// Every router has the new address.
    Route,
    /// A replica follows the new writer.
    Follow,
    /// [`Change::End`] is committed.
    Ended,
    /// [`Change::Ackers`] is committed: upkeep, when a server has come back and caught up, or has left.
    Listed,
    /// [`Change::Lossless`] is committed: upkeep, when the writer waits for its ackers again.
    Lossless,
}

impl StepName {
    /// What brings an old writer back, once it follows the new one: no operation, but cut off like one.
    pub const RETURN: &[Self] = &[Self::Listed, Self::Lossless];

    /// As journals write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Intent => "intent",
            Self::Proof => "proof",
            Self::Held => "held",
            Self::CatchUp => "catch up",
            Self::Received => "received",
            Self::Applied => "applied",
            Self::Granted => "granted",
            Self::Grant => "grant",
            Self::Open => "open",
            Self::Route => "route",
            Self::Follow => "follow",
            Self::Ended => "ended",
            Self::Listed => "listed",
            Self::Lossless => "lossless",
        }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl OperationKind {
    /// The steps that every operation of this kind takes, in their order. [`StepName::Held`] and [`StepName::CatchUp`]
    /// come only where a failover finds no candidate at first.
    pub fn steps(self) -> &'static [StepName] {
        match self {
            Self::Failover => &[
                StepName::Begun,
                StepName::Intent,
                StepName::Proof,
                StepName::Received,
                StepName::Applied,
                StepName::Granted,
                StepName::Grant,
                StepName::Open,
                StepName::Route,
                StepName::Follow,
                StepName::Ended,
            ],
            // One entry each: there is nothing in between.
            Self::Adopt | Self::Release => &[],
        }
    }
}

impl Change {
    /// The step that this entry is, if it is one.
    pub fn step(&self) -> Option<&str> {
        let step = match self {
            Self::Journal { step, .. } => return Some(&step.name),
            Self::Begin(_) => StepName::Begun,
            Self::Grant(_) => StepName::Granted,
            Self::Opened { .. } => StepName::Open,
            Self::End { .. } => StepName::Ended,
            Self::Ackers { .. } => StepName::Listed,
            Self::Lossless { .. } => StepName::Lossless,
            _ => return None,
        };
        Some(step.as_str())
    }
}
