//! 7 and 10. Without faults a cluster comes to rest: one writer open under its grant, the others behind it or marked
//! unfit with what they alone have archived, and nothing under way.

use std::time::Duration;

use crate::sim::world::World;

/// How long that may take.
const WITHIN: Duration = Duration::from_secs(60);

/// Waits for it.
///
/// # Errors
/// What is missing still.
pub async fn comes_to_rest(world: &World) -> Result<(), String> {
    if world.until(WITHIN, |world| missing(world).is_none()).await {
        return Ok(());
    }
    let missing = missing(world).unwrap_or_default();
    Err(format!("invariants 7 and 10: {} s after the last fault: {missing}", WITHIN.as_secs()))
}

fn missing(world: &World) -> Option<String> {
    if let Some(node) = world.nodes.iter().find(|n| n.running().is_none()) {
        return Some(format!("{} does not run", node.name));
    }
    let (state, _) = world.newest();
    if let Some(operation) = &state.operation {
        return Some(format!("{} of epoch {} is under way", operation.diagnosis, operation.from));
    }
    let Some(grant) = state.live_grant().filter(|g| g.opened_ms.is_some()) else {
        return Some("nobody is the writer".into());
    };
    let writer = grant.node.as_str();
    let open = world.fleet.accepting_writes();
    if open != [writer] {
        return Some(format!("{writer} is the writer, open: {}", open.join(" ")));
    }
    for node in &world.nodes {
        let Some(quarantine) = state.quarantine(&node.name) else { continue };
        let kept = |id: &String| node.archives.has(id, &quarantine.extra);
        if !quarantine.archive.as_ref().is_some_and(kept) {
            return Some(format!("{} of {} are not archived", quarantine.extra, node.name));
        }
    }
    let mut fit = 0;
    for (node, _) in state.data_nodes().filter(|(n, _)| **n != grant.node && !state.out.contains_key(*n)) {
        fit += 1;
        let source = world.fleet.seen(node.as_str()).and_then(|s| s.source);
        if source.as_deref() != Some(writer) {
            return Some(format!("{node} follows {source:?}, not {writer}"));
        }
    }
    if fit > 0 && !state.durability.is_lossless() {
        return Some(format!("not lossless: {:?}", state.durability));
    }
    None
}
