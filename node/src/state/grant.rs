//! The right to be the writer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Durability, Epoch, Loss, NodeName, OperationId, Proof, UnixMillis};

/// "The baton": one epoch, one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Only rises.
    pub epoch: Epoch,
    /// The node whose server may be open.
    pub node: NodeName,
    /// When it was committed.
    pub since_ms: UnixMillis,
    /// Adopted while open and not yet under a lease: its end cannot be waited for.
    pub unleased: bool,
    /// When its guard reported the server open; `None` before.
    pub opened_ms: Option<UnixMillis>,
    /// Index of the first entry in this epoch that began a pause: since then its lease may have no end.
    #[serde(default)]
    pub paused_at: Option<u64>,
}

/// The grant of the next epoch, the last step of every operation that moves the writer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextGrant {
    /// The operation this belongs to.
    pub operation: OperationId,
    /// The epoch that has been revoked.
    pub from: Epoch,
    /// Who becomes the writer under the next one.
    pub node: NodeName,
    /// Why the old writer can acknowledge nothing more.
    pub proof: Proof,
    /// What is lost, computed.
    pub loss: Loss,
    /// What may be promised at the beginning.
    pub durability: Durability,
    /// The new writer's ackers.
    pub ackers: BTreeSet<NodeName>,
}
