//! Operations as stories: what happened, how it stands, and what comes next. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::decide::rebuild::was_tried;
use crate::state::{
    ClusterState, Durability, Ending, Finished, NodeName, Operation, OperationKind, OutReason, Phase,
    ProofKind, Quarantine, RebuildPolicy, Severity, StepName, Story, Tone, UnixMillis,
};

/// A failover that has opened its writer within this is told of once, with its outcome.
pub const OUTCOME_WITHIN: Duration = Duration::from_millis(600);

/// How an operation stands. `None` while it is too early to tell.
pub fn story(
    state: &ClusterState,
    operation: &Operation,
    finished: Option<&Finished>,
    now_ms: UnixMillis,
) -> Option<(Severity, Story)> {
    let ending = finished.map(|f| f.ending);
    let (severity, mut story) = match operation.kind {
        OperationKind::Failover => failover(state, operation, ending, now_ms)?,
        OperationKind::Switchover => switchover(state, operation, ending)?,
        OperationKind::Rebuild => rebuild(operation, ending)?,
        OperationKind::Adopt => (Severity::Info, told(Tone::Good, adopted(operation), Vec::new())),
        OperationKind::Release => (Severity::Warning, told(Tone::Uneasy, released(operation), Vec::new())),
    };
    story.operation = operation.id.clone();
    story.kind = Some(operation.kind);
    let moves = matches!(operation.kind, OperationKind::Failover | OperationKind::Switchover);
    let waits = moves && moved_here(state, operation) && !state.durability.is_lossless();
    story.over = finished.is_some() && !waits;
    Some((severity, story))
}

fn told(tone: Tone, title: String, facts: Vec<String>) -> Story {
    Story { tone, title, facts, ..Story::default() }
}

/// Whether the writer of now is the one of this operation.
fn moved_here(state: &ClusterState, operation: &Operation) -> bool {
    let to = operation.to.as_ref().map(|(epoch, _)| *epoch);
    state.phase == Phase::Managed && to.is_some() && to == state.live_grant().map(|g| g.epoch)
}

fn failover(
    state: &ClusterState,
    operation: &Operation,
    ending: Option<Ending>,
    now_ms: UnixMillis,
) -> Option<(Severity, Story)> {
    let from = name(operation.from_node.as_ref());
    let mut facts = why(operation);
    let Some(_) = operation.opened_ms else {
        let early = now_ms.saturating_sub(operation.started_ms) < OUTCOME_WITHIN.as_millis() as i64;
        let story = match ending {
            None if early => return None,
            None => {
                facts.push(next_step(operation));
                told(Tone::Bad, format!("no writer: {from} is lost, a failover runs"), facts)
            }
            Some(Ending::Superseded) => {
                facts.push("The next failover goes on from here.".into());
                told(Tone::Bad, format!("no writer: the failover away from {from} found no end"), facts)
            }
            Some(ending) => told(Tone::Bad, format!("the failover away from {from}: {ending}"), facts),
        };
        return Some((Severity::Critical, story));
    };
    let to = name(operation.to.as_ref().map(|(_, node)| node));
    let moved =
        if from == to { format!("{to} writes again") } else { format!("writer moved {from} → {to}") };
    let out = seconds(operation.outage_ms(now_ms));
    facts.extend(
        operation.proof.as_ref().map(|proof| format!("Proof that {from} can write no more: {proof}.")),
    );
    facts.push(durability(state, operation));
    facts.extend(what_comes_next(state, operation));
    let lost = operation.loss.as_ref().map_or_else(|| "loss unknown".into(), short_loss);
    let title = format!("{moved}, writes were out {out}, {lost}");
    Some((Severity::Critical, told(tone(state, operation), title, facts)))
}

fn switchover(
    state: &ClusterState,
    operation: &Operation,
    ending: Option<Ending>,
) -> Option<(Severity, Story)> {
    let from = name(operation.from_node.as_ref());
    let mut facts = vec![operation.diagnosis.clone()];
    let pause = seconds(operation.outage_ms(operation.started_ms));
    if let (Some((epoch, to)), Some(_)) = (&operation.to, operation.opened_ms) {
        facts.push(format!("Epoch {epoch}. {}", durability(state, operation)));
        let title = format!("writer moved {from} → {to} as planned, writes paused {pause}, nothing lost");
        return Some((Severity::Info, told(tone(state, operation), title, facts)));
    }
    let ending = ending?;
    facts.extend(
        operation.steps.iter().rfind(|s| s.name == StepName::Undo.as_str()).map(|s| s.detail.clone()),
    );
    let title = format!("switchover away from {from}: {ending}; {from} is still the writer");
    Some((Severity::Warning, told(Tone::Uneasy, title, facts)))
}

fn rebuild(operation: &Operation, ending: Option<Ending>) -> Option<(Severity, Story)> {
    let node = name(operation.wanted.as_ref());
    let facts: Vec<String> = operation.steps.last().map(|s| s.detail.clone()).into_iter().collect();
    Some(match ending {
        None => {
            let source = operation.from_node.as_ref().map(|n| format!(" from {n}")).unwrap_or_default();
            (Severity::Info, told(Tone::Uneasy, format!("{node} is being rebuilt{source}"), Vec::new()))
        }
        Some(Ending::Done) => (
            Severity::Info,
            told(Tone::Good, format!("{node} is rebuilt and follows the writer"), Vec::new()),
        ),
        Some(ending) => {
            (Severity::Warning, told(Tone::Uneasy, format!("rebuild of {node}: {ending}"), facts))
        }
    })
}

fn adopted(operation: &Operation) -> String {
    format!("adopted: {} is the writer, Baton is in charge", name(operation.to.as_ref().map(|(_, n)| n)))
}

fn released(operation: &Operation) -> String {
    let word = operation.forced.as_ref().map(|w| format!(" ({}: {})", w.by, w.reason)).unwrap_or_default();
    format!("released: Baton watches and touches nothing{word}")
}

/// The diagnosis and who saw it, with the moment.
fn why(operation: &Operation) -> Vec<String> {
    let at = clock(operation.lost_ms());
    let word = operation.forced.as_ref().map(|w| format!("Forced by {}: {}.", w.by, w.reason));
    let evidence = operation.evidence.iter().take(3).map(|e| sentence(e));
    let first = format!("{} at {at}, epoch {}.", operation.diagnosis, operation.from);
    std::iter::once(first).chain(evidence).chain(word).collect()
}

/// What happens next, from what was done last.
fn next_step(operation: &Operation) -> String {
    if let Some((epoch, to)) = &operation.to {
        return format!("Next: {to} opens under epoch {epoch}.");
    }
    let held = operation.steps.last().filter(|s| s.name == StepName::Held.as_str());
    match held {
        Some(step) => format!("Held: {}. See batonctl why.", step.detail),
        None if operation.has_taken(StepName::Proof) => "Next: the most complete replica is chosen.".into(),
        None => "Next: proof that it can write no more; then the most complete replica is chosen.".into(),
    }
}

fn durability(state: &ClusterState, operation: &Operation) -> String {
    match &state.durability {
        _ if !moved_here(state, operation) => "The writer has moved on since.".into(),
        Durability::Lossless { since_ms } => {
            let ackers: Vec<_> = state.ackers.iter().map(NodeName::as_str).collect();
            format!("LOSSLESS since {} (acked by {}).", clock(*since_ms), ackers.join(", "))
        }
        Durability::Degraded { reason, .. } => format!("Now NOT LOSSLESS: {reason}."),
        Durability::Unknown => "Now NOT LOSSLESS: no acker has acknowledged a commit yet.".into(),
    }
}

/// What happens next, after a failover has opened the writer: with the promise, and with the one that was lost. `None` when
/// nothing is left to happen, or when another operation has the word.
fn what_comes_next(state: &ClusterState, operation: &Operation) -> Option<String> {
    let (_, writer) = operation.to.as_ref().filter(|_| moved_here(state, operation))?;
    let lossless = (!state.durability.is_lossless()).then(|| until_lossless(state, writer));
    let old = operation.from_node.as_ref().filter(|old| *old != writer && state.members.contains_key(*old));
    // One that acknowledges is back.
    let old = old
        .filter(|old| !state.ackers.contains(*old))
        .map(|old| of_old_writer(state, operation, old, writer));
    let all: Vec<String> = lossless.into_iter().chain(old).collect();
    (!all.is_empty()).then(|| sentence(&format!("Next: {}", all.join("; "))))
}

/// What the promise waits for: replicas that have caught up, or servers that are out and have to be in again for that.
fn until_lossless(state: &ClusterState, writer: &NodeName) -> String {
    let wanted = state.safety.wait_count as usize;
    let others = || {
        state.data_nodes().filter(|(node, member)| *node != writer && !member.excluded).map(|(node, _)| node)
    };
    let fit = others().filter(|node| !state.out.contains_key(*node)).count();
    let what = match (fit >= wanted, wanted, others().count()) {
        (true, ..=1, _) => "a replica has caught up".to_owned(),
        (true, ..) => format!("{wanted} replicas have caught up"),
        (false, _, all) if all < wanted => "there are more replicas".to_owned(),
        (false, ..) => {
            let out: Vec<&str> =
                others().filter(|node| state.out.contains_key(*node)).map(NodeName::as_str).collect();
            format!("more replicas are in again (out: {})", out.join(", "))
        }
    };
    format!("the cluster is NOT LOSSLESS until {what}")
}

/// What becomes of the server that was the writer.
fn of_old_writer(state: &ClusterState, operation: &Operation, old: &NodeName, writer: &NodeName) -> String {
    if let Some(rebuild) = state.rebuild_of(old) {
        let source = rebuild.source.as_ref().map(|source| format!(" from {source}")).unwrap_or_default();
        return format!("{old} is being rebuilt{source} and follows {writer} then");
    }
    match state.out.get(old).map(|out| &out.reason) {
        Some(OutReason::Quarantine(quarantine)) => of_quarantined(state, old, quarantine),
        Some(OutReason::Rebuild) => {
            format!("{old} stays closed, because its data is not whole: `batonctl rebuild {old}`")
        }
        Some(OutReason::Maintenance) => format!("{old} is in maintenance and follows {writer} after that"),
        None => {
            let then = match operation.proof.as_ref().map(|proof| proof.kind) {
                Some(ProofKind::Gone | ProofKind::Stonith) => {
                    format!("when {old} comes back, it starts closed and follows {writer} by itself")
                }
                Some(ProofKind::Closed) => format!("{old} is closed and follows {writer} by itself"),
                _ => format!("{old} is being fenced off, and follows {writer} by itself when it is back"),
            };
            format!("{then}, unless it has transactions that {writer} lacks")
        }
    }
}

/// It waits, closed, for what a person or the policy for rebuilds says.
fn of_quarantined(state: &ClusterState, node: &NodeName, quarantine: &Quarantine) -> String {
    let closed = format!("{node} stays closed, in quarantine: it alone has {}", quarantine.extra.amount());
    match quarantine {
        Quarantine { archive: Some(_), .. } => {
            format!("{closed} (`batonctl quarantine show {node}`), and {}", of_rebuild(state, node))
        }
        Quarantine { released: Some(_), .. } => {
            format!("{closed}, given up, and {}", of_rebuild(state, node))
        }
        Quarantine { trouble: Some(why), .. } => {
            format!("{closed}, NOT archived yet (`batonctl quarantine list`): {why}")
        }
        _ => format!("{closed}, to be archived first (`batonctl quarantine list`)"),
    }
}

/// What its rebuild waits for, once that may discard what the server alone has.
fn of_rebuild(state: &ClusterState, node: &NodeName) -> String {
    match state.safety.live.rebuild {
        RebuildPolicy::Never => "is not rebuilt, because [rebuild] policy is never".to_owned(),
        RebuildPolicy::Automatic if !was_tried(state, node) => "Baton rebuilds it by itself".to_owned(),
        RebuildPolicy::Automatic => {
            format!("a rebuild of it has ended without success: `batonctl rebuild {node}` begins anew")
        }
        RebuildPolicy::Approve => format!("waits for its rebuild to be approved: `batonctl rebuild {node}`"),
    }
}

fn tone(state: &ClusterState, operation: &Operation) -> Tone {
    use crate::state::Loss;
    match operation.loss {
        Some(Loss::Ranges(_) | Loss::Unknown) => Tone::Bad,
        _ if state.durability.is_lossless() || !moved_here(state, operation) => Tone::Good,
        _ if operation.kind == OperationKind::Switchover => Tone::Uneasy,
        _ => Tone::Bad,
    }
}

fn short_loss(loss: &crate::state::Loss) -> String {
    use crate::state::Loss;
    match loss {
        Loss::None { .. } => "nothing lost".into(),
        other => other.to_string(),
    }
}

fn name(node: Option<&NodeName>) -> String {
    node.map_or_else(|| "?".to_owned(), ToString::to_string)
}

/// "0.3 s"
fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1000.0)
}

/// "03:12:44 UTC"
pub fn clock(at_ms: UnixMillis) -> String {
    Timestamp::from_millisecond(at_ms).unwrap_or_default().strftime("%H:%M:%S UTC").to_string()
}

fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}
