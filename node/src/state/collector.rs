//! Whose server is read for the archive of the binlog.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::apply::member;
use super::{ClusterState, NodeName, Refusal, UnixMillis};

/// The node that archives. Another that still does for a while does no harm: what both bring to a store is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collector {
    /// Which.
    pub node: NodeName,
    /// Since when.
    pub since_ms: UnixMillis,
    /// How often in a row it was another one's turn because reading came to nothing, for whatever reason.
    pub turns: u32,
    /// Whose servers could not send what the archive lacks, since it last got on.
    #[serde(default)]
    pub lacking: BTreeSet<NodeName>,
    /// Since when some server could not, without any getting on; 0 while none is known.
    #[serde(default)]
    pub lacking_since_ms: UnixMillis,
    /// It may leave a hole where its server cannot send what is missing: no other could either.
    pub may_leap: bool,
}

/// It is that one's turn, or nobody's.
pub(super) fn appoint(
    state: &mut ClusterState,
    at_ms: UnixMillis,
    node: Option<&NodeName>,
    turns: u32,
    lacking: &BTreeSet<NodeName>,
    may_leap: bool,
) -> Result<(), Refusal> {
    let Some(node) = node else {
        state.collector = None;
        return Ok(());
    };
    if member(state, node)?.server.is_none() {
        return Err(Refusal::Witness(node.clone()));
    }
    let before = state.collector.as_ref();
    let since_ms = before.filter(|now| now.node == *node).map_or(at_ms, |now| now.since_ms);
    let lacking_since_ms = match before.filter(|now| now.lacking_since_ms > 0) {
        _ if lacking.is_empty() => 0,
        Some(before) => before.lacking_since_ms,
        None => at_ms,
    };
    let (node, lacking) = (node.clone(), lacking.clone());
    state.collector = Some(Collector { node, since_ms, turns, lacking, lacking_since_ms, may_leap });
    Ok(())
}
