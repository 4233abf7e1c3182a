//! What a cluster with a serving writer still needs. Pure; one thing at a time, the most urgent first.

use std::collections::BTreeSet;
use std::time::Duration;

use super::diagnose::{FRESH, RECEIVING_WITHIN};
use super::seen::{Observations, Pulse};
use crate::gtid::GtidSet;
use crate::state::{ClusterState, DegradeReason, Durability, Grant, NodeName, WithoutAckers};

/// A replica becomes an acker only while it is at most this far behind: an acker that lags far serves no promotion.
const ACKER_BEHIND: Duration = Duration::from_secs(5);

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
    /// Let the writer go on without ackers.
    Degrade(DegradeReason),
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
    /// Hand the group's leadership to a node that is not the writer's.
    MoveLeadership(NodeName),
}

/// The most urgent upkeep, if any.
pub fn upkeep(state: &ClusterState, seen: &Observations, leader: &NodeName) -> Option<Upkeep> {
    let grant = state.live_grant()?;
    degrade(state, grant, seen)
        .or_else(|| quarantine(state, grant, seen))
        .or_else(|| ackers(state, grant, seen))
        .or_else(|| regain(state, seen))
        .or_else(|| leadership(state, grant, seen, leader))
}

/// Fewer ackers than a commit waits for: at once when their servers are known dead, else after `degrade_after`.
fn degrade(state: &ClusterState, grant: &Grant, seen: &Observations) -> Option<Upkeep> {
    if state.durability.let_go_index().is_some() || state.safety.without_ackers == WithoutAckers::Block {
        return None;
    }
    // Nothing waits before the guard has opened, or in an adopted cluster before the first acker.
    grant.opened_ms?;
    if matches!(state.durability, Durability::Unknown) {
        return None;
    }
    let wanted = state.safety.wait_count as usize;
    let dead = |a: &&NodeName| seen.own(a).is_some_and(super::seen::OwnServer::is_gone);
    if state.ackers.iter().filter(|a| !dead(a)).count() < wanted {
        return Some(Upkeep::Degrade(DegradeReason::NoAcker));
    }
    let limit = Duration::from_millis(state.safety.degrade_after_ms);
    seen.acker_short_for
        .filter(|short| *short >= limit)
        .map(|_| Upkeep::Degrade(DegradeReason::AckersUnreachable))
}

/// A closed server that does not replicate from the writer and has more than it.
fn quarantine(state: &ClusterState, grant: &Grant, seen: &Observations) -> Option<Upkeep> {
    let (writer, writer_age) = seen.pulse(&grant.node)?;
    for (node, _) in state.data_nodes().filter(|(n, _)| **n != grant.node && !state.out.contains_key(*n)) {
        let Some((pulse, age)) = seen.pulse(node) else { continue };
        // The writer's set must be the younger of the two, or what it committed meanwhile would look errant.
        if age > FRESH || writer_age > age || follows(state, grant, pulse) {
            continue;
        }
        let extra = pulse.executed.subtract(&writer.executed).ok()?;
        if !extra.is_empty() {
            return Some(Upkeep::Quarantine { node: node.clone(), extra });
        }
    }
    None
}

fn ackers(state: &ClusterState, grant: &Grant, seen: &Observations) -> Option<Upkeep> {
    let (writer, _) = seen.pulse(&grant.node)?;
    for (node, _) in state.data_nodes() {
        if *node == grant.node || state.ackers.contains(node) || state.out.contains_key(node) {
            continue;
        }
        if can_ack(state, grant, seen, node) {
            let mut ackers = state.ackers.clone();
            ackers.insert(node.clone());
            return Some(Upkeep::Ackers {
                ackers,
                why: format!("{node} follows {} and has caught up", grant.node),
            });
        }
    }
    // Off the list only when another acker has all that the lost one may have acknowledged.
    let gone = state.ackers.iter().find(|a| is_lost(seen, a))?;
    let others = state.ackers.iter().filter(|a| *a != gone);
    let covers = |a: &NodeName| {
        seen.pulse(a).is_some_and(|(p, age)| age <= FRESH && p.acks && holds(&p.received, &writer.executed))
    };
    if others.clone().filter(|a| covers(a)).count() < state.safety.wait_count as usize {
        return None;
    }
    let ackers = others.cloned().collect();
    Some(Upkeep::Ackers { ackers, why: format!("{gone}'s server is down; the others have all that it had") })
}

/// The server of a listed acker is known not to run, or it has forgotten its source.
fn is_lost(seen: &Observations, node: &NodeName) -> bool {
    seen.own(node).is_some_and(super::seen::OwnServer::is_gone)
}

/// Whether a replica may be counted on: it receives from the writer, applies, and has caught up.
fn can_ack(state: &ClusterState, grant: &Grant, seen: &Observations, node: &NodeName) -> bool {
    let Some((pulse, age)) = seen.pulse(node) else { return false };
    let safe =
        seen.own(node).and_then(|o| o.about.as_ref()).is_some_and(|a| !a.findings.iter().any(|f| f.error));
    let Some(channel) = &pulse.channel else { return false };
    safe && age <= FRESH
        && follows(state, grant, pulse)
        && channel.io_running
        && channel.sql_running
        && channel.is_receiving(age, RECEIVING_WITHIN)
        && channel.behind.is_some_and(|b| b <= ACKER_BEHIND)
}

fn regain(state: &ClusterState, seen: &Observations) -> Option<Upkeep> {
    let after = match &state.durability {
        Durability::Lossless { .. } => return None,
        Durability::Degraded { index, .. } => *index,
        Durability::Unknown => 0,
    };
    state.live_grant()?.opened_ms?;
    let acking = |a: &&NodeName| {
        seen.pulse(a).is_some_and(|(p, age)| {
            let channel = p.channel.as_ref();
            age <= FRESH
                && p.acks
                && channel.is_some_and(|c| c.io_running && c.is_receiving(age, RECEIVING_WITHIN))
        })
    };
    let enough = state.ackers.iter().filter(acking).count() >= state.safety.wait_count as usize;
    enough.then_some(Upkeep::RegainLossless { after })
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

fn follows(state: &ClusterState, grant: &Grant, pulse: &Pulse) -> bool {
    let source = state.members.get(&grant.node).and_then(|m| m.server.as_deref());
    pulse.channel.as_ref().is_some_and(|c| Some(c.source.as_str()) == source)
}

fn holds(a: &GtidSet, b: &GtidSet) -> bool {
    a.contains(b).unwrap_or(false)
}
