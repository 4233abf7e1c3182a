//! Durability is a committed fact, not a guess about what the server does.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::UnixMillis;
use crate::gtid::GtidSet;

/// What an acknowledged write can survive.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Durability {
    /// Baton has promised nothing yet.
    #[default]
    Unknown,
    /// Every acknowledged write is at `wait_count` ackers too.
    Lossless {
        /// Since when.
        since_ms: UnixMillis,
    },
    /// A write may be on the writer alone.
    Degraded {
        /// Since when.
        since_ms: UnixMillis,
        /// Why.
        reason: DegradeReason,
        /// The writer's set read while its commits still waited, or all that it had when its epoch began: a server
        /// that lacks any of it is not promoted without the policy for loss.
        upto: Option<GtidSet>,
        /// Whether the guard may let the server go on without ackers.
        may_let_go: bool,
        /// Index in the log of the entry that degraded, or of the newest since that took an acker off; a guard lets go only for an entry later than the one it last made the server wait under.
        index: u64,
    },
}

/// Why the cluster is not lossless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DegradeReason {
    /// A new epoch whose ackers have not acknowledged yet.
    NewEpoch,
    /// No acker's server lives.
    NoAcker,
    /// The ackers have been unreachable for `degrade_after`.
    AckersUnreachable,
    /// Asked for by an operator.
    Planned,
}

impl fmt::Display for DegradeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewEpoch => "new epoch, waiting for an acker",
            Self::NoAcker => "no acker's server is running",
            Self::AckersUnreachable => "the ackers cannot be reached",
            Self::Planned => "planned maintenance of the last acker",
        })
    }
}

impl Durability {
    /// Whether every acknowledged write is at the ackers.
    pub fn is_lossless(&self) -> bool {
        matches!(self, Self::Lossless { .. })
    }

    /// The index of the entry that lets the writer go on without ackers, if one stands.
    pub fn let_go_index(&self) -> Option<u64> {
        match self {
            Self::Degraded { may_let_go: true, index, .. } => Some(*index),
            _ => None,
        }
    }

    /// The set that a candidate must have whatever the epoch.
    pub fn upto(&self) -> Option<&GtidSet> {
        match self {
            Self::Degraded { upto, .. } => upto.as_ref(),
            _ => None,
        }
    }
}
