//! How the cluster is. Pure.

mod node;
mod warnings;

use std::sync::Arc;

use baton_proto::control::{Appointment, LastFailover, StatusReply};

use super::View;
use super::rebuild::rebuild_status;
use super::words::{under_way, why_not_lossless};
use crate::decide::diagnosis::{Diagnosis, Writer};
use crate::state::{Ending, NodeName, OperationKind};

/// The last step of an operation that cannot go on for now has this name.
pub const HELD: &str = "held";

/// Where a leadership's number holds the protocol's term; below it is the leader's id.
const TERM: u32 = 32;

/// The whole answer.
pub fn status(view: &View<'_>) -> StatusReply {
    let state = view.state;
    let diagnosis = view.diagnosis();
    let writer = writer(view);
    let writer_open = writer.is_some_and(|w| node::is_open(view, w));
    let serving = writer_open && !matches!(diagnosis.writer, Writer::Lost(_) | Writer::Ending);
    let warnings = warnings::warnings(view, &diagnosis);
    let (durability, durability_reason) = durability(view, serving);
    let (voters, answering) = view.voters();
    let mut nodes: Vec<_> = state
        .members
        .iter()
        .map(|(name, member)| node::node(view, &diagnosis, writer, name, member))
        .collect();
    nodes.extend(state.left_behind.iter().map(|(name, member)| node::left_behind(view, name, member)));
    nodes.extend(view.followers.values().map(|follower| node::follower(view, follower)));
    nodes.sort_by_key(|n| n.role == "witness");
    StatusReply {
        cluster: view.cluster.to_owned(),
        phase: if view.is_managed() { "managed" } else { "observing" }.into(),
        epoch: state.epoch().0,
        durability: durability.into(),
        durability_reason,
        automation: automation(view).into(),
        writer: writer.map(ToString::to_string).unwrap_or_default(),
        writer_open,
        nodes,
        leader: view.leader().map(ToString::to_string).unwrap_or_default(),
        term: view.leadership.term >> TERM,
        voters: small(voters),
        voters_answering: small(answering),
        last_failover: last_failover(view),
        health: health(view, serving, &diagnosis, &warnings).into(),
        warnings,
        operation: under_way(state).unwrap_or_default(),
        answered_by: view.me.to_string(),
        rebuild: rebuild_status(state, view.seen),
        appointment: state.appointment.as_ref().map(|appointment| Appointment {
            at_ms: appointment.at_ms,
            to: appointment.to.as_ref().map(ToString::to_string).unwrap_or_default(),
            by: appointment.by.clone(),
        }),
        paused_until_ms: view.pause().map_or(0, |p| p.until_ms),
        muted_until_ms: muted_until(view),
    }
}

/// Who holds the write role; before adoption the one server that is open.
fn writer<'a>(view: &View<'a>) -> Option<&'a NodeName> {
    if view.is_managed() {
        return view.state.grant.as_ref().map(|g| &g.node);
    }
    let mut open = view.state.data_nodes().map(|(n, _)| n).filter(|n| node::is_open(view, n));
    match (open.next(), open.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

fn durability(view: &View<'_>, serving: bool) -> (&'static str, String) {
    if !view.is_managed() || !serving {
        return ("none", String::new());
    }
    match why_not_lossless(view.state) {
        None => ("lossless", String::new()),
        Some(why) => ("degraded", why),
    }
}

fn automation(view: &View<'_>) -> &'static str {
    let last = view.state.operation.as_ref().and_then(|o| o.steps.last());
    if !view.is_managed() {
        ""
    } else if view.pause().is_some() {
        "paused"
    } else if last.is_some_and(|step| step.name == HELD) {
        "held"
    } else if view.state.safety.live.automatic {
        "automatic"
    } else {
        "manual"
    }
}

/// When people are told again what happens; 0 where they are told now.
fn muted_until(view: &View<'_>) -> i64 {
    let mute = view.state.alerts.mute.as_ref().filter(|m| view.now_ms < m.until_ms);
    mute.map_or(0, |m| m.until_ms)
}

fn health(view: &View<'_>, serving: bool, diagnosis: &Diagnosis, warnings: &[String]) -> &'static str {
    let replaced = matches!(diagnosis.writer, Writer::Lost(_) | Writer::Ending | Writer::Opening);
    let open = serving || view.state.data_nodes().any(|(n, _)| node::is_open(view, n));
    // Replicas that still receive from a writer nobody else reaches show that it lives.
    let lives = open || matches!(diagnosis.writer, Writer::Suspected(..));
    // Without a leader only this node has looked: before adoption it may not know the servers yet.
    let unseen = view.without_leader.is_some() && !view.is_managed();
    if !serving && !unseen && (replaced || !lives) {
        return "no_writer";
    }
    let degraded = view.without_leader.is_some()
        || !warnings.is_empty()
        || (view.is_managed() && why_not_lossless(view.state).is_some());
    if degraded { "degraded" } else { "healthy" }
}

fn last_failover(view: &View<'_>) -> Option<LastFailover> {
    let done = |f: &&Arc<crate::state::Finished>| {
        f.operation.kind == OperationKind::Failover && f.ending == Ending::Done
    };
    let last = view.state.history.iter().rev().find(done)?;
    let operation = &last.operation;
    Some(LastFailover {
        at_ms: operation.lost_ms(),
        outage_ms: operation.outage_ms(last.ended_ms),
        from: operation.from_node.as_ref().map(ToString::to_string).unwrap_or_default(),
        to: operation.to.as_ref().map(|(_, node)| node.to_string()).unwrap_or_default(),
    })
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
