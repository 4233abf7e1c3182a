//! What a cluster with a serving writer still needs. Pure; one thing at a time, the most urgent first.

use std::collections::BTreeSet;
use std::time::Duration;

use super::diagnose::{FRESH, RECEIVING_WITHIN};
use super::leaving;
use super::seen::{Channel, Observations, OwnServer, Pulse};
use super::troubles::is_open;
use super::vouched::{is_vouched_for, vouch};
use crate::gtid::GtidSet;
use crate::state::{ClusterState, DegradeReason, Durability, Grant, NodeName, UnixMillis, WithoutAckers};

/// A replica becomes an acker only while it is at most this far behind, unless there are too few: an acker that lags far
/// serves no promotion.
const ACKER_BEHIND: Duration = Duration::from_secs(5);

/// How many transactions an acker may still have to receive when it is counted on. The two sets are up to two seconds
/// apart, in which a busy writer commits some thousands.
const ACKER_LACKS: u64 = 10_000;
/// The same by the word of its own node, which compares the two at the same moment: commits wait while it receives those.
const ACKER_LACKS_NOW: u64 = 2_000;

/// One thing to do for a healthy writer.
#[derive(Clone, Debug, PartialEq)]
pub enum Upkeep {
    /// Commit another list of ackers.
    Ackers {
        /// The whole new list.
        ackers: BTreeSet<NodeName>,
        /// Why.
        why: String,
    },
    /// Put on record that an acker has, in this run of its server, all that it ever acknowledged.
    Vouch {
        /// Whose.
        node: NodeName,
        /// When the run began.
        began_ms: UnixMillis,
    },
    /// Let the writer go on without ackers.
    Degrade(DegradeReason),
    /// A server in maintenance acknowledges nothing more, and is out.
    StandAside(NodeName),
    /// Make the writer wait, see one commit acknowledged, commit `lossless`.
    RegainLossless {
        /// Index of the `Degraded` entry that this would end; 0 when nothing has been promised yet.
        after: u64,
    },
    /// Take a server out that has transactions which the writer lacks.
    Quarantine {
        /// Whose.
        node: NodeName,
        /// Which.
        extra: GtidSet,
    },
    /// Close a server over SQL that is open and belongs to nobody any more: the group was recovered without its node.
    CloseLeftBehind(NodeName),
    /// The writer has everything by now that a quarantined server has.
    TakeBack(NodeName),
    /// Hand the group's leadership to a node that is not the writer's.
    MoveLeadership(NodeName),
}

/// The most urgent upkeep, if any.
pub fn upkeep(state: &ClusterState, seen: &Observations, leader: &NodeName) -> Option<Upkeep> {
    let grant = state.live_grant()?;
    degrade(state, grant, seen)
        .or_else(|| left_behind(state, seen))
        .or_else(|| quarantine(state, grant, seen))
        .or_else(|| vouch(state, grant, seen))
        .or_else(|| maintain(state, grant, seen))
        .or_else(|| ackers(state, grant, seen))
        .or_else(|| regain(state, seen))
        .or_else(|| leadership(state, grant, seen, leader))
}

/// What is next where the commits that [`Upkeep::RegainLossless`] holds up are not to be held up again yet.
pub fn beside_regaining(state: &ClusterState, seen: &Observations, leader: &NodeName) -> Option<Upkeep> {
    leadership(state, state.live_grant()?, seen, leader)
}

/// Fewer ackers than a commit waits for: at once when their servers are known dead, else after `degrade_after`.
fn degrade(state: &ClusterState, grant: &Grant, seen: &Observations) -> Option<Upkeep> {
    if state.safety.without_ackers == WithoutAckers::Block {
        return None;
    }
    // Let go already, unless the server has been made to wait again since and lost its ackers before `lossless` stood.
    let waits_since = seen.own(&grant.node).map_or(0, |own| own.guard.waits_since);
    if state.durability.let_go_index().is_some_and(|index| waits_since < index) {
        return None;
    }
    // Nothing waits before the guard has opened.
    grant.opened_ms?;
    let wanted = state.safety.wait_count as usize;
    if matches!(state.durability, Durability::Unknown) {
        // Nor in an adopted cluster before the first acker. But a trial that failed leaves the writer waiting.
        let waits = fresh(seen, &grant.node).is_some_and(|p| p.waits);
        if !waits || state.ackers.len() < wanted {
            return None;
        }
    } else if state.ackers.iter().filter(|a| !is_gone(seen, a)).count() < wanted {
        return Some(Upkeep::Degrade(DegradeReason::NoAcker));
    }
    let limit = Duration::from_millis(state.safety.degrade_after_ms);
    seen.acker_short_for
        .filter(|short| *short >= limit)
        .map(|_| Upkeep::Degrade(DegradeReason::AckersUnreachable))
}

fn left_behind(state: &ClusterState, seen: &Observations) -> Option<Upkeep> {
    state.left_behind.keys().find(|node| is_open(seen, node)).cloned().map(Upkeep::CloseLeftBehind)
}

/// A closed server that does not replicate from the writer and has more than it; or, in quarantine, more than was known
/// of, or nothing more that the writer lacks: somebody brought it to the writer under the same names.
fn quarantine(state: &ClusterState, grant: &Grant, seen: &Observations) -> Option<Upkeep> {
    let (writer, writer_age) = seen.pulse(&grant.node)?;
    // An acker may alone have an acknowledged write while lossless; it leaves the list first.
    let held = |n: &NodeName| state.durability.is_lossless() && state.ackers.contains(n);
    let known = |n: &NodeName| state.quarantine(n).map(|q| &q.extra);
    let judged = |n: &&NodeName| {
        **n != grant.node
            && state.rebuild_of(n).is_none()
            && (!state.out.contains_key(*n) || known(n).is_some())
    };
    for node in state.data_nodes().map(|(n, _)| n).filter(judged).filter(|n| !held(n)) {
        // The writer's set must be the younger of the two, or what it committed meanwhile would look errant.
        let Some((pulse, age)) = seen.pulse_by(node, writer_age) else { continue };
        if age > FRESH || follows(state, grant, pulse) {
            continue;
        }
        let Ok(extra) = pulse.executed.subtract(&writer.executed) else { continue };
        match known(node) {
            Some(_) if extra.is_empty() && holds(&writer.executed, &pulse.received) => {
                return Some(Upkeep::TakeBack(node.clone()));
            }
            Some(known) if holds(known, &extra) => {}
            None if extra.is_empty() => {}
            _ => return Some(Upkeep::Quarantine { node: node.clone(), extra }),
        }
    }
    None
}

/// A server in maintenance is out as soon as nobody counts on it. The last acker leaves by being given up on purpose, with
/// what was acknowledged until then on record; by a policy that never gives up it stays one until it goes.
fn maintain(state: &ClusterState, grant: &Grant, seen: &Observations) -> Option<Upkeep> {
    let nodes = state.maintenance.keys().filter(|n| **n != grant.node && !state.out.contains_key(*n));
    for node in nodes {
        let listed = state.ackers.contains(node);
        if listed && state.durability.is_lossless() {
            if !state.leaves_ackers(node) && state.safety.without_ackers == WithoutAckers::Degrade {
                return Some(Upkeep::Degrade(DegradeReason::Planned));
            }
            continue;
        }
        // Its receiver was stopped to make sure that it acknowledges nothing more: it goes on receiving as an ordinary
        // replica before it is left alone.
        let channel = fresh(seen, node).filter(|p| !p.open).and_then(|p| Some((p, p.channel.as_ref()?)));
        let still = channel.is_some_and(|(p, c)| p.acks || !(c.io_running || c.io_error.is_some()));
        if listed || !still {
            return Some(Upkeep::StandAside(node.clone()));
        }
    }
    None
}

fn ackers(state: &ClusterState, grant: &Grant, seen: &Observations) -> Option<Upkeep> {
    let (writer, _) = seen.pulse(&grant.node).filter(|(_, age)| *age <= FRESH)?;
    for (node, _) in state.data_nodes() {
        let apart = state.out.contains_key(node) || state.in_maintenance(node);
        if *node == grant.node || state.ackers.contains(node) || apart {
            continue;
        }
        // One that may not become the writer would only keep what the others then lack.
        if !state.leaves_ackers(node) && can_ack(state, grant, seen, node, writer) {
            let mut ackers = state.ackers.clone();
            ackers.insert(node.clone());
            return Some(Upkeep::Ackers {
                ackers,
                why: format!("{node} follows {} and has caught up", grant.node),
            });
        }
    }
    let (ackers, why) = leaving::shorter(state, grant, seen)?;
    Some(Upkeep::Ackers { ackers, why })
}

/// Whether a replica may be counted on: it receives from the writer, applies, and has caught up.
fn can_ack(
    state: &ClusterState,
    grant: &Grant,
    seen: &Observations,
    node: &NodeName,
    writer: &Pulse,
) -> bool {
    let (Some(pulse), Some((_, age))) = (fresh(seen, node), seen.pulse(node)) else { return false };
    let safe =
        seen.own(node).and_then(|o| o.about.as_ref()).is_some_and(|a| !a.findings.iter().any(|f| f.error));
    let Some(channel) = &pulse.channel else { return false };
    safe && is_vouched_for(state, seen, node)
        && !channel.delayed
        && is_near(pulse, writer)
        && follows(state, grant, pulse)
        && channel.io_running
        && channel.sql_running
        && channel.is_receiving(age, RECEIVING_WITHIN)
        && channel.behind.is_some_and(|b| b <= ACKER_BEHIND || acks_are_short(state, grant, seen))
}

/// Whether fewer listed ackers acknowledge than a commit waits for. A replica that receives everything is one then, also
/// where it applies slower than the writer commits: what it acknowledges is safe, however long a promotion would take.
fn acks_are_short(state: &ClusterState, grant: &Grant, seen: &Observations) -> bool {
    let acks = |a: &&NodeName| fresh(seen, a).is_some_and(|p| p.acks && follows(state, grant, p));
    state.ackers.iter().filter(acks).count() < state.safety.wait_count as usize
}

fn regain(state: &ClusterState, seen: &Observations) -> Option<Upkeep> {
    let after = match &state.durability {
        Durability::Lossless { .. } => return None,
        Durability::Degraded { index, .. } => *index,
        Durability::Unknown => 0,
    };
    let grant = state.live_grant()?;
    grant.opened_ms?;
    let writer = fresh(seen, &grant.node)?;
    let acking = |a: &&NodeName| {
        let Some((pulse, (_, age))) = fresh(seen, a).zip(seen.pulse(a)) else { return false };
        let receives = |c: &Channel| c.io_running && c.is_receiving(age, RECEIVING_WITHIN);
        pulse.acks
            && pulse.channel.as_ref().is_some_and(receives)
            && follows(state, grant, pulse)
            && match seen.own(a).and_then(|own| own.guard.lacks) {
                Some(lacks) => lacks <= ACKER_LACKS_NOW,
                None => is_near(pulse, writer),
            }
    };
    let acking = state.ackers.iter().filter(acking).count();
    let enough = acking >= state.safety.wait_count as usize;
    (enough && only_listed(state, grant, seen, writer, acking)).then_some(Upkeep::RegainLossless { after })
}

/// Whether no server off the list can acknowledge: a write that it alone has would be taken for one that the list has.
fn only_listed(
    state: &ClusterState,
    grant: &Grant,
    seen: &Observations,
    writer: &Pulse,
    acking: usize,
) -> bool {
    let acks = |n: &NodeName| match fresh(seen, n) {
        None if is_gone(seen, n) => Some(false),
        pulse => pulse.map(|p| p.acks),
    };
    let unlisted =
        state.data_nodes().map(|(n, _)| n).filter(|n| **n != grant.node && !state.ackers.contains(*n));
    let unlisted: Vec<Option<bool>> = unlisted.map(acks).collect();
    // Of one that is not heard, the writer's own count tells whether it may be connected.
    !unlisted.contains(&Some(true)) && (!unlisted.contains(&None) || writer.ackers as usize <= acking)
}

/// Whether what a replica still has to receive is little: a writer that waits for a replica far behind stands still until
/// that one has received everything. The server's own estimate of lag does not count what has not been received.
fn is_near(pulse: &Pulse, writer: &Pulse) -> bool {
    writer.executed.subtract(&pulse.received).is_ok_and(|missing| missing.count() <= ACKER_LACKS)
}

/// Leadership lives away from the writer, so that losing the writer's host costs no election.
fn leadership(state: &ClusterState, grant: &Grant, seen: &Observations, leader: &NodeName) -> Option<Upkeep> {
    if grant.node != *leader || state.operation.is_some() {
        return None;
    }
    let answers = |n: &&NodeName| seen.of(n).is_some_and(|h| h.age <= FRESH);
    // A witness first: it is the writer's host after no failover.
    let mut others: Vec<&NodeName> =
        state.members.keys().filter(|n| **n != grant.node).filter(answers).collect();
    others.sort_by_key(|n| state.members.get(*n).is_some_and(|m| m.server.is_some()));
    others.first().map(|n| Upkeep::MoveLeadership((*n).clone()))
}

fn is_gone(seen: &Observations, node: &NodeName) -> bool {
    seen.own(node).is_some_and(OwnServer::is_gone)
}

/// What a server says about the present; nothing once it is gone, however young its last word is.
pub(super) fn fresh<'a>(seen: &'a Observations, node: &NodeName) -> Option<&'a Pulse> {
    let pulse = seen.pulse(node).filter(|(_, age)| *age <= FRESH && !is_gone(seen, node));
    pulse.map(|(pulse, _)| pulse)
}

pub(super) fn follows(state: &ClusterState, grant: &Grant, pulse: &Pulse) -> bool {
    let source = state.members.get(&grant.node).and_then(|m| m.server.as_deref());
    pulse.channel.as_ref().is_some_and(|c| Some(c.source.as_str()) == source)
}

pub(super) fn holds(a: &GtidSet, b: &GtidSet) -> bool {
    a.contains(b).unwrap_or(false)
}
