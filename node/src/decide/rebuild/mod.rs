//! Rebuilding a server: from which other one, what stands in the way, what the leader does next. Pure.

mod plan;

use std::cmp::Reverse;

use super::diagnose::{FRESH, RECEIVING_WITHIN};
use super::seen::Observations;
use crate::gtid::Dialect;
use crate::state::{
    ClusterState, Ending, NodeName, OperationId, OperationKind, Rebuild, RebuildPolicy, RebuildStep,
    UnixMillis,
};

pub use plan::{Plan, plan};

use plan::lacks_for_copy;

/// For how long the leader looks for a source, or waits for an acker to leave the list.
const SOURCE_WITHIN_MS: i64 = 600_000;
/// For how long a server whose data is whole may take until it streams.
const FOLLOW_WITHIN_MS: i64 = 600_000;
/// A target whose node has not been heard for so long is not waited for.
const UNHEARD_MS: i64 = 1_800_000;

/// What the leader does for a rebuild.
#[derive(Clone, Debug, PartialEq)]
pub enum RebuildNext {
    /// Begin one, as the policy has it.
    Begin {
        /// Of which server.
        node: NodeName,
        /// On whose word, for the history.
        by: String,
    },
    /// Give the present attempt a source.
    Source {
        /// Of which rebuild.
        operation: OperationId,
        /// Which attempt.
        attempt: u32,
        /// Which.
        source: NodeName,
    },
    /// End the present attempt.
    Failed {
        /// Of which rebuild.
        operation: OperationId,
        /// Which attempt.
        attempt: u32,
        /// Why.
        why: String,
    },
    /// It is over.
    End {
        /// Which.
        operation: OperationId,
        /// How.
        ending: Ending,
        /// Why, or what was done.
        why: String,
    },
}

/// A server that another one may be rebuilt from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuildSource {
    /// Whose.
    pub node: NodeName,
    /// It is the writer: only where there is nobody else.
    pub is_writer: bool,
}

/// The best source, or in words why there is none.
///
/// # Errors
/// Why there is none.
pub fn choose_source(
    state: &ClusterState,
    seen: &Observations,
    node: &NodeName,
    wanted: Option<&NodeName>,
    failed: &[NodeName],
) -> Result<RebuildSource, String> {
    let writer = state.live_grant().map(|g| &g.node).ok_or("there is no writer to compare with")?;
    let others = || state.data_nodes().map(|(n, _)| n).filter(|n| *n != node);
    let mut why_not = Vec::new();
    let mut fit: Vec<&NodeName> = Vec::new();
    for name in others() {
        match unfit(state, seen, node, name, writer) {
            Ok(()) => fit.push(name),
            Err(why) => why_not.push(format!("{name} {why}")),
        }
    }
    let replicas = fit.iter().filter(|n| **n != writer).count();
    if let Some(wanted) = wanted {
        fit.retain(|n| *n == wanted);
        if wanted == writer && replicas > 0 {
            return Err(format!("{writer} is the writer, and a replica can be the source; leave --from out"));
        }
    } else if replicas > 0 {
        fit.retain(|n| *n != writer);
    }
    let zone = |n: &NodeName| state.members.get(n).and_then(|m| m.zone.clone());
    // The best candidate for the next failover is spared, and so is the line between sites.
    fit.sort_by_key(|n| {
        let member = state.members.get(*n);
        let failed = failed.iter().filter(|f| f == n).count();
        (failed, Reverse(zone(n) == zone(node)), member.map_or(0, |m| m.priority), (*n).clone())
    });
    let Some(name) = fit.first() else {
        return Err(format!("no server can be the source: {}", why_not.join("; ")));
    };
    Ok(RebuildSource { node: (*name).clone(), is_writer: *name == writer })
}

/// Why `name` cannot be the source.
fn unfit(
    state: &ClusterState,
    seen: &Observations,
    target: &NodeName,
    name: &NodeName,
    writer: &NodeName,
) -> Result<(), String> {
    if state.out.contains_key(name) {
        return Err("is out".into());
    }
    let fresh = seen.pulse(name).filter(|(_, age)| *age <= FRESH);
    let own = seen.own(name).filter(|own| !own.is_gone());
    let (Some((pulse, age)), Some(own)) = (fresh, own) else { return Err("does not answer".into()) };
    let about = own.about.as_ref().ok_or("has not said yet what it is")?;
    if let Some(lacks) = lacks_for_copy(seen, name).filter(|_| about.dialect == Dialect::Mariadb) {
        return Err(lacks.to_owned());
    }
    if name != writer {
        let channel = pulse.channel.as_ref().ok_or("does not follow the writer")?;
        let source = state.members.get(writer).and_then(|m| m.server.as_deref());
        if Some(channel.source.as_str()) != source || !channel.sql_running {
            return Err("does not follow the writer".into());
        }
        if channel.delayed || !channel.is_receiving(age, RECEIVING_WITHIN) {
            return Err("does not receive from the writer".into());
        }
    }
    let target = seen.own(target).and_then(|own| own.about.as_ref());
    if let Some(target) = target.filter(|t| t.dialect != about.dialect || t.number != about.number) {
        return Err(format!("runs {}, the target {}", about.version, target.version));
    }
    Ok(())
}

/// What the leader does next for the rebuild under way; `None` while its target's node is at work.
pub fn next(state: &ClusterState, seen: &Observations, now_ms: UnixMillis) -> Option<RebuildNext> {
    if state.operation.is_some() {
        return None;
    }
    let Some(rebuild) = &state.rebuild else { return by_policy(state, seen) };
    let waits_ms = now_ms - rebuild.step_ms;
    let operation = rebuild.operation.id.clone();
    let end = |ending, why: String| Some(RebuildNext::End { operation: operation.clone(), ending, why });
    if state.grant.as_ref().is_some_and(|g| g.node == rebuild.node) {
        return end(Ending::Failed, format!("{} has become the writer", rebuild.node));
    }
    match rebuild.step {
        RebuildStep::Source => {
            // It leaves the list first, as soon as the others have all that it has acknowledged.
            let held = state.durability.is_lossless() && state.ackers.contains(&rebuild.node);
            let wanted = rebuild.wanted.as_ref();
            let why = match choose_source(state, seen, &rebuild.node, wanted, &rebuild.failed) {
                Ok(source) if !held => {
                    let attempt = rebuild.attempt;
                    return Some(RebuildNext::Source { operation, attempt, source: source.node });
                }
                Ok(_) => format!("{} is an acker and no other has all that it has", rebuild.node),
                Err(why) => why,
            };
            (waits_ms > SOURCE_WITHIN_MS).then(|| end(Ending::Failed, why)).flatten()
        }
        RebuildStep::Prepare | RebuildStep::Copy | RebuildStep::Start => {
            at_work(state, seen, rebuild, waits_ms)
        }
        RebuildStep::Follow => {
            let writer = state.live_grant().map(|g| &g.node)?;
            if streams(state, seen, &rebuild.node, writer) {
                return end(Ending::Done, format!("{} streams from {writer}", rebuild.node));
            }
            let why = || format!("{} has its data and does not stream; see `batonctl status`", rebuild.node);
            (waits_ms > FOLLOW_WITHIN_MS).then(|| end(Ending::Failed, why())).flatten()
        }
    }
}

/// A quarantined server that may be rebuilt without being asked for: the policy says so, and what it alone has is archived.
/// One whose rebuild has failed since is left to a person.
fn by_policy(state: &ClusterState, seen: &Observations) -> Option<RebuildNext> {
    if state.safety.live.rebuild != RebuildPolicy::Automatic {
        return None;
    }
    let may = |node: &&NodeName| {
        let quarantined = state.quarantine(node).is_some();
        quarantined && !was_tried(state, node) && plan(state, seen, node, None).refusals.is_empty()
    };
    let node = state.data_nodes().map(|(n, _)| n).find(may)?;
    Some(RebuildNext::Begin { node: node.clone(), by: "[rebuild] policy is automatic".to_owned() })
}

/// Whether a rebuild of a server has ended since it is out: the policy begins no other one.
pub fn was_tried(state: &ClusterState, node: &NodeName) -> bool {
    let Some(out) = state.out.get(node) else { return false };
    state.history.iter().any(|f| {
        f.operation.kind == OperationKind::Rebuild
            && f.operation.wanted.as_ref() == Some(node)
            && f.ended_ms >= out.since_ms
    })
}

fn at_work(
    state: &ClusterState,
    seen: &Observations,
    rebuild: &Rebuild,
    waits_ms: i64,
) -> Option<RebuildNext> {
    let operation = rebuild.operation.id.clone();
    let unheard = seen.of(&rebuild.node).is_none_or(|h| h.age > FRESH * 4);
    if unheard && waits_ms > UNHEARD_MS {
        let why = format!("{}'s node has not been heard for long", rebuild.node);
        return Some(RebuildNext::End { operation, ending: Ending::Failed, why });
    }
    // A writer is not burdened with a copy that a replica can give.
    let source = rebuild.source.as_ref()?;
    let copying = rebuild.step < RebuildStep::Start;
    let burdens = copying && state.is_writer(source);
    let other = choose_source(state, seen, &rebuild.node, None, &rebuild.failed).ok()?;
    (burdens && !other.is_writer).then(|| RebuildNext::Failed {
        operation,
        attempt: rebuild.attempt,
        why: format!("{source} has become the writer, and {} can be the source", other.node),
    })
}

fn streams(state: &ClusterState, seen: &Observations, node: &NodeName, writer: &NodeName) -> bool {
    let source = state.members.get(writer).and_then(|m| m.server.as_deref());
    seen.pulse(node).filter(|(_, age)| *age <= FRESH).is_some_and(|(pulse, age)| {
        pulse.channel.as_ref().is_some_and(|c| {
            Some(c.source.as_str()) == source
                && c.io_running
                && c.sql_running
                && c.is_receiving(age, RECEIVING_WITHIN)
        })
    })
}
