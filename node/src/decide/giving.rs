//! Whether the server beside a node may be copied for another node, now. Pure.

use crate::state::{ClusterState, Epoch, NodeName, OperationId, RebuildStep};

/// What another node asks a copy for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who asks, by its certificate.
    pub by: NodeName,
    /// For which rebuild.
    pub operation: OperationId,
    /// For which attempt.
    pub attempt: u32,
    /// The newest epoch that the asking node has applied.
    pub epoch: Epoch,
}

/// Whether `me` gives its server's data: only for what the group has committed, and as long as that stands.
///
/// # Errors
/// In words, why not.
pub fn may_give(state: &ClusterState, me: &NodeName, asked: &Asked) -> Result<(), String> {
    let rebuild = state.rebuild_of(&asked.by).filter(|r| r.operation.id == asked.operation);
    let rebuild = rebuild.ok_or_else(|| format!("the group knows of no such rebuild of {}", asked.by))?;
    if rebuild.attempt != asked.attempt || rebuild.step != RebuildStep::Prepare {
        return Err(format!("the rebuild of {} has moved on", asked.by));
    }
    if rebuild.source.as_ref() != Some(me) {
        return Err(format!("{me} is not the source of the rebuild of {}", asked.by));
    }
    if state.grant.as_ref().is_some_and(|g| g.node == asked.by) || !state.out.contains_key(&asked.by) {
        return Err(format!("{} is not out", asked.by));
    }
    if asked.epoch < state.epoch() {
        return Err(format!("{} has yet to hear of epoch {}", asked.by, state.epoch()));
    }
    Ok(())
}
