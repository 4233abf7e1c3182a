//! From what was agreed and what was seen to what is wrong. Pure.

use std::time::Duration;

use super::diagnosis::{Diagnosis, LostKind, Trouble, Writer, WriterLost};
use super::seen::{Heard, NoAnswer, Observations, OwnServer, Pulse};
use crate::state::{ClusterState, Grant, NodeName, OnClosedByHand, OutReason, Phase, Quarantine};

/// Replicas get a heartbeat every half second; two missed ones mean that nothing arrives.
pub const RECEIVING_WITHIN: Duration = Duration::from_millis(1000);
/// A node sends a report several times a second; one older than this says nothing about now.
pub const FRESH: Duration = Duration::from_millis(1000);
/// From grant to open; a healthy guard needs a few hundred milliseconds.
pub const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// For how long a writer that takes connections may commit nothing before it counts as lost.
pub const CANNOT_WRITE_FOR: Duration = Duration::from_secs(10);
/// Lag worth a warning.
const LAGGING: Duration = Duration::from_secs(10);

/// How long some conditions have lasted, counted by the leader since it leads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lasting {
    /// Granted and not open.
    pub unopened: Duration,
    /// Closed by hand.
    pub closed_by_hand: Duration,
    /// This node has been the leader: for no longer has it heard anybody.
    pub leading: Duration,
}

/// What the cluster's condition is now.
pub fn diagnose(state: &ClusterState, seen: &Observations, lasting: Lasting) -> Diagnosis {
    let mut troubles = Vec::new();
    let writer = match (&state.grant, state.phase) {
        (Some(grant), Phase::Managed) if state.is_revoked(grant.epoch) => Writer::Ending,
        (Some(grant), Phase::Managed) => writer(state, grant, seen, lasting, &mut troubles),
        _ => Writer::None,
    };
    super::troubles::collect(state, seen, &writer, &mut troubles);
    Diagnosis { writer, troubles }
}

fn writer(
    state: &ClusterState,
    grant: &Grant,
    seen: &Observations,
    lasting: Lasting,
    troubles: &mut Vec<Trouble>,
) -> Writer {
    if let Some(lost) = told_by_its_node(state, grant, seen, lasting, troubles) {
        return Writer::Lost(lost);
    }
    if let Some(lost) = closed_without_its_node(state, grant, seen, lasting) {
        return Writer::Lost(lost);
    }
    match unreachable(state, grant, seen) {
        Some((lost, receiving)) if receiving.is_empty() => return Writer::Lost(lost),
        Some((lost, receiving)) => {
            let against =
                receiving.iter().map(|r| format!("{r} still receives from {}", grant.node)).collect();
            troubles.push(Trouble::WriterUnreachableButReplicating { replicas: receiving });
            return Writer::Suspected(lost, against);
        }
        None => {}
    }
    if grant.opened_ms.is_none() && !opened_unreported(grant, seen) {
        if lasting.unopened >= OPEN_WITHIN {
            let why = seen.own(&grant.node).and_then(|o| o.guard.trouble.clone());
            let evidence =
                why.unwrap_or_else(|| format!("not open {} s after its grant", OPEN_WITHIN.as_secs()));
            return Writer::Lost(WriterLost { kind: LostKind::WriterNeverOpened, evidence: vec![evidence] });
        }
        return Writer::Opening;
    }
    if grant.opened_ms.is_none() { Writer::Opening } else { Writer::Serving }
}

/// Its guard says that it is open under this grant, and only the commit that says so is missing: no reason to move it.
fn opened_unreported(grant: &Grant, seen: &Observations) -> bool {
    let heard = seen.of(&grant.node).filter(|h| h.age <= FRESH);
    let own = heard.and_then(|h| Some((h, h.report.own.as_ref()?)));
    own.is_some_and(|(h, own)| {
        own.guard.opened == grant.epoch && fresh_pulse(h, own).is_some_and(|pulse| pulse.open)
    })
}

/// What the node beside the server knows at once.
fn told_by_its_node(
    state: &ClusterState,
    grant: &Grant,
    seen: &Observations,
    lasting: Lasting,
    troubles: &mut Vec<Trouble>,
) -> Option<WriterLost> {
    let heard = seen.of(&grant.node).filter(|h| h.age <= FRESH)?;
    let own = heard.report.own.as_ref()?;
    let lost =
        |kind, what: String| Some(WriterLost { kind, evidence: vec![format!("{}: {what}", grant.node)] });
    if own.is_gone() {
        return lost(LostKind::WriterCrashed, "the server's process exited and its port refuses".into());
    }
    if own.guard.opened == grant.epoch && own.guard.restarted {
        return lost(LostKind::WriterRestarted, "the server was restarted; it boots closed".into());
    }
    // Under this epoch the guard opens it no more, also where it never came to open it.
    if own.guard.closed == grant.epoch {
        return lost(LostKind::WriterSelfClosed, "its guard closed it: no lease".into());
    }
    // Whatever closed it, and also in an adopted cluster, whose guard never opened it: it does not stay so for ever.
    if grant.opened_ms.is_some() && fresh_pulse(heard, own).is_some_and(|p| !p.open) {
        let live = &state.safety.live;
        let left_alone = Duration::from_millis(live.closed_by_hand_ms);
        if live.on_closed_by_hand != OnClosedByHand::Leave && lasting.closed_by_hand >= left_alone {
            return lost(LostKind::WriterClosedByHand, "read_only was set by somebody else".into());
        }
        troubles.push(Trouble::WriterClosedByHand(grant.node.clone()));
        return None;
    }
    let tried = heard.report.tried.as_ref()?;
    // Its own word alone: others may have an answer on a connection that they keep. So it takes twice as long.
    if let Some(why) = tried.hung(unreachable_after(state) * 2) {
        return lost(LostKind::WriterHung, why);
    }
    let (why, lasts) = tried.cannot_write()?;
    if lasts >= CANNOT_WRITE_FOR {
        return lost(LostKind::WriterCannotWrite, format!("{why}, for {} s", lasts.as_secs()));
    }
    troubles.push(Trouble::WriterCannotWrite(grant.node.clone(), why));
    None
}

/// A majority of the voters finds it closed, and its own node, which alone could open it again, is not there for longer
/// than a lease. Whoever closed it, that node with its last breath or a person, nobody is left to wait for. A leader that
/// has led for less than that has not had the time to hear the node, or has probes from before the opening.
fn closed_without_its_node(
    state: &ClusterState,
    grant: &Grant,
    seen: &Observations,
    lasting: Lasting,
) -> Option<WriterLost> {
    let limit = state.safety.lease_ttl().max(FRESH);
    let there = |h: &Heard| h.age <= limit;
    if grant.opened_ms.is_none() || lasting.leading <= limit || seen.of(&grant.node).is_some_and(there) {
        return None;
    }
    let finds_it_closed = |voter: &&NodeName| {
        let heard = seen.of(voter).filter(|h| h.age <= FRESH);
        heard.and_then(|h| Some((h, h.report.probes.get(&grant.node)?))).is_some_and(|(h, probe)| {
            probe.error.is_none() && h.age + probe.silent_for <= FRESH && probe.open == Some(false)
        })
    };
    let others = state.members.keys().filter(|v| **v != grant.node);
    let closed: Vec<&str> = others.filter(finds_it_closed).map(NodeName::as_str).collect();
    (closed.len() > state.members.len() / 2).then(|| WriterLost {
        kind: LostKind::WriterSelfClosed,
        evidence: vec![
            format!("{} find {}'s server closed", closed.join(", "), grant.node),
            format!("{}'s node does not answer", grant.node),
        ],
    })
}

fn unreachable_after(state: &ClusterState) -> Duration {
    Duration::from_millis(state.safety.live.unreachable_after_ms)
}

/// A pulse young enough to speak for the present.
pub(super) fn fresh_pulse<'a>(heard: &Heard, own: &'a OwnServer) -> Option<&'a Pulse> {
    own.pulse.as_ref().filter(|_| heard.age + own.pulse_age <= FRESH)
}

/// A server that its own node cannot use, in words.
pub(super) fn unusable(error: &NoAnswer) -> String {
    let verb = if error.refused { "cannot be used" } else { "does not answer" };
    format!("its server {verb}: {}", error.what)
}

/// A majority of the voters has no answer, each by its own probe; the writer's own node does not count. Returns the
/// replicas that still receive, which forbid a failover.
fn unreachable(
    state: &ClusterState,
    grant: &Grant,
    seen: &Observations,
) -> Option<(WriterLost, Vec<NodeName>)> {
    let limit = unreachable_after(state);
    let mut evidence = Vec::new();
    for voter in state.members.keys().filter(|v| **v != grant.node) {
        let heard = seen.of(voter).filter(|h| h.age <= FRESH);
        // A server that is there to say no is not unreachable.
        let there =
            |h: &&Heard| h.report.probes.get(&grant.node).and_then(|p| p.error).is_some_and(|e| e.answered());
        let silence = heard.filter(|h| !there(h)).and_then(|_| seen.silence(voter, &grant.node));
        if let Some(silence) = silence.filter(|s| *s >= limit) {
            let ms = silence.as_millis();
            evidence.push(format!("{voter}: no answer from {}'s server for {ms} ms", grant.node));
        }
    }
    if evidence.len() <= state.members.len() / 2 {
        return None;
    }
    let receiving = receiving_from(state, grant, seen);
    if receiving.is_empty() {
        evidence.push("no replica receives from it".into());
    }
    // Its own node is there and finds the same: it is the server and not the way to it.
    let hung = seen.tried(&grant.node).and_then(|tried| tried.hung(Duration::ZERO));
    let kind = if hung.is_some() { LostKind::WriterHung } else { LostKind::WriterUnreachable };
    evidence.extend(hung.map(|why| format!("{}: {why}", grant.node)));
    Some((WriterLost { kind, evidence }, receiving))
}

/// Replicas whose count of heartbeats or events has risen within two heartbeats.
fn receiving_from(state: &ClusterState, grant: &Grant, seen: &Observations) -> Vec<NodeName> {
    let source = state.members.get(&grant.node).and_then(|m| m.server.as_deref());
    let receives = |node: &NodeName| {
        seen.pulse(node).is_some_and(|(pulse, age)| {
            pulse.channel.as_ref().is_some_and(|channel| {
                Some(channel.source.as_str()) == source && channel.is_receiving(age, RECEIVING_WITHIN)
            })
        })
    };
    state.data_nodes().map(|(n, _)| n).filter(|n| **n != grant.node && receives(n)).cloned().collect()
}

/// Whether a server is wrong enough that `batonctl status` names it; see [`super::troubles`].
pub fn lagging(behind: Option<Duration>) -> Option<Duration> {
    behind.filter(|b| *b >= LAGGING)
}

/// Why a server is out, in words.
pub fn out_in_words(reason: &OutReason) -> String {
    match reason {
        OutReason::Quarantine(quarantine) => quarantine_in_words(quarantine),
        OutReason::Maintenance => "maintenance".to_owned(),
        OutReason::Rebuild => "its data is being replaced: batonctl rebuild".to_owned(),
    }
}

fn quarantine_in_words(quarantine: &Quarantine) -> String {
    let kept = match quarantine {
        Quarantine { archive: Some(id), .. } => format!("archived as {id}"),
        Quarantine { trouble: Some(why), .. } => format!("NOT archived: {why}"),
        _ => "not archived yet".to_owned(),
    };
    let released = if quarantine.released.is_some() { ", released" } else { "" };
    format!("quarantined, {} that the writer lacks, {kept}{released}", quarantine.extra.amount())
}
