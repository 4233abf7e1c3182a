//! The steps of operations, by name: what journals say, and what the entries that move an operation on do. Whoever wants
//! to cut an operation off everywhere finds here where that is.

use std::fmt;

use super::{Change, OperationKind};

/// A step of an operation. A line of the journal has its name; so has an entry that changes the operation itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepName {
    /// [`Change::Begin`] is committed, and the epoch revoked; or [`Change::Plan`] is, and the epoch goes on.
    Begun,
    /// Why, as a line.
    Intent,
    /// The first proof is there.
    Proof,
    /// A switchover is about to close the writer, which is still open under its epoch; routers hold new connections.
    Freeze,
    /// [`Change::Revoke`] is committed: the writer is closed for a switchover, and its epoch is over.
    Revoked,
    /// A switchover is taken back: the writer stays where it is.
    Undo,
    /// An appointed switchover came to nothing.
    Refused,
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
    /// A rebuild has begun, and its leader looks for a source of the data.
    Source,
    /// Nothing stands in the way of a rebuild.
    Prepare,
    /// What the target of a rebuild had is gone from here on.
    Copy,
    /// The target of a rebuild has its copy.
    Start,
    /// [`Change::Ackers`] is committed: upkeep, when a server has come back and caught up, or has left.
    Listed,
    /// [`Change::Lossless`] is committed: upkeep, when the writer waits for its ackers again.
    Lossless,
}

impl StepName {
    /// What brings an old writer back, once it follows the new one: no operation, but cut off like one.
    pub const RETURN: &[Self] = &[Self::Listed, Self::Lossless];

    /// A switchover that is taken back before its writer is closed: it stays open, under its epoch.
    pub const LEFT_OPEN: &[Self] = &[Self::Begun, Self::Intent, Self::Freeze, Self::Undo, Self::Ended];

    /// One that is taken back once its writer is closed, which then gets the next epoch.
    pub const REOPENED: &[Self] = &[
        Self::Begun,
        Self::Intent,
        Self::Freeze,
        Self::Revoked,
        Self::Undo,
        Self::Granted,
        Self::Grant,
        Self::Open,
        Self::Route,
        Self::Follow,
        Self::Ended,
    ];

    /// As journals write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Intent => "intent",
            Self::Proof => "proof",
            Self::Freeze => "freeze",
            Self::Revoked => "revoked",
            Self::Undo => "undo",
            Self::Refused => "refused",
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
            Self::Source => "source",
            Self::Prepare => "prepare",
            Self::Copy => "copy",
            Self::Start => "start",
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

/// These steps, and those by which every move of the writer ends.
macro_rules! moves {
    ($($step:ident),*) => {
        &[
            $(StepName::$step,)*
            StepName::Granted,
            StepName::Grant,
            StepName::Open,
            StepName::Route,
            StepName::Follow,
            StepName::Ended,
        ]
    };
}

impl OperationKind {
    /// The steps that every operation of this kind takes, in their order. [`StepName::Held`] and [`StepName::CatchUp`]
    /// come only where a failover finds no candidate at first, [`StepName::Undo`] where a switchover is taken back.
    pub fn steps(self) -> &'static [StepName] {
        match self {
            Self::Failover => moves![Begun, Intent, Proof, Received, Applied],
            Self::Switchover => moves![Begun, Intent, Freeze, Revoked, Applied],
            Self::Rebuild => &[
                StepName::Source,
                StepName::Prepare,
                StepName::Copy,
                StepName::Start,
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
            Self::Begin(_) | Self::Plan(_) | Self::PlanAppointed(_) => StepName::Begun,
            Self::Revoke { .. } => StepName::Revoked,
            Self::Grant(_) => StepName::Granted,
            Self::Opened { .. } => StepName::Open,
            Self::End { .. } | Self::EndRebuild { .. } => StepName::Ended,
            Self::BeginRebuild(_) => StepName::Source,
            Self::RebuildStep(at) => at.step.name(),
            Self::Ackers { .. } => StepName::Listed,
            Self::Lossless { .. } => StepName::Lossless,
            _ => return None,
        };
        Some(step.as_str())
    }
}
