//! Why Baton does what it does, or nothing. Pure.

use std::sync::Arc;

use baton_proto::control::{Decision, Reason, WhyReply};

use super::View;
use super::words::{badness, list, named, under_way, why_not_lossless};
use crate::decide::diagnosis::{Diagnosis, Trouble, Writer, WriterLost};
use crate::decide::holding::holds;
use crate::state::{ClusterState, Epoch, Operation};

/// How many of the latest decisions are told.
const DECISIONS: usize = 10;

/// The present: the diagnosis, what speaks for a failover now, what against it, and what was decided lately.
pub fn why_now(view: &View<'_>) -> WhyReply {
    let diagnosis = view.diagnosis();
    let (name, summary) = headline(view, &diagnosis);
    let mut reasons = Vec::new();
    match &diagnosis.writer {
        Writer::Lost(lost) => {
            reasons.extend(lost.evidence.iter().map(|e| reason("for", e)));
            reasons.extend(held_back(view).iter().map(|text| reason("against", text)));
        }
        Writer::Suspected(lost, against) => {
            reasons.extend(lost.evidence.iter().map(|e| reason("for", e)));
            reasons.extend(against.iter().map(|text| reason("against", text)));
        }
        Writer::Ending => {
            let evidence = view.state.operation.iter().flat_map(|o| &o.evidence);
            reasons.extend(evidence.map(|e| reason("for", e)));
        }
        Writer::None | Writer::Serving | Writer::Opening => {}
    }
    reasons.extend(facts(view, &diagnosis).iter().map(|text| reason("fact", text)));
    WhyReply { diagnosis: name, summary, reasons, decisions: decisions(view.state, None) }
}

/// The operation that ended `epoch`; `None` when none is on record.
pub fn why_ended(state: &ClusterState, epoch: Epoch, now_ms: i64) -> Option<WhyReply> {
    let finished = state.history.iter().rev().map(|f| &f.operation);
    let operation = state.operation.iter().chain(finished).find(|o| o.from == epoch)?;
    let mut reasons: Vec<Reason> = operation.evidence.iter().map(|e| reason("for", e)).collect();
    if let Some(word) = &operation.forced {
        reasons.push(reason("for", &format!("{} said so: {}", word.by, word.reason)));
    }
    if let Some(proof) = &operation.proof {
        reasons.push(reason("fact", &format!("proof that it can acknowledge nothing more: {proof}")));
    }
    if let Some(loss) = &operation.loss {
        reasons.push(reason("fact", &loss.to_string()));
    }
    Some(WhyReply {
        diagnosis: operation.diagnosis.clone(),
        summary: summary_of(operation, now_ms),
        reasons,
        decisions: decisions(state, Some(operation)),
    })
}

fn summary_of(operation: &Operation, now_ms: i64) -> String {
    let from = operation.from_node.as_ref().map(|n| format!(" of {n}")).unwrap_or_default();
    let outage = operation.outage_ms(now_ms);
    match (&operation.to, operation.opened_ms) {
        (Some((epoch, node)), Some(_)) if outage > 0 => {
            format!("epoch {}{from} ended, epoch {epoch} is {node}'s, open after {outage} ms", operation.from)
        }
        (Some((epoch, node)), _) => {
            format!("epoch {}{from} ended, epoch {epoch} is {node}'s", operation.from)
        }
        (None, _) => format!("epoch {}{from} ended", operation.from),
    }
}

fn headline(view: &View<'_>, diagnosis: &Diagnosis) -> (String, String) {
    let state = view.state;
    match &diagnosis.writer {
        Writer::Lost(lost) => (lost.kind.to_string(), of_lost(lost, "a failover is due")),
        Writer::Suspected(lost, _) => (suspicion(lost, diagnosis), of_lost(lost, "no failover")),
        Writer::Ending => {
            let name = state.operation.as_ref().map(|o| o.diagnosis.clone());
            (name.unwrap_or_else(|| "Ending".into()), under_way(state).unwrap_or_default())
        }
        Writer::Opening => {
            ("Opening".into(), under_way(state).unwrap_or_else(|| "the writer is being opened".into()))
        }
        Writer::None => {
            ("Observing".into(), "Baton watches and touches nothing; batonctl adopt changes that".into())
        }
        Writer::Serving => match diagnosis.troubles.iter().min_by_key(|t| badness(t)) {
            Some(trouble) => (trouble.name(), trouble.to_string()),
            None => ("Healthy".into(), serving(state)),
        },
    }
}

/// The name of what is suspected and held back.
fn suspicion(lost: &WriterLost, diagnosis: &Diagnosis) -> String {
    let held = |t: &&Trouble| matches!(t, Trouble::WriterUnreachableButReplicating { .. });
    diagnosis.troubles.iter().find(held).map_or_else(|| lost.kind.to_string(), Trouble::name)
}

fn of_lost(lost: &WriterLost, end: &str) -> String {
    match lost.evidence.first() {
        Some(first) => format!("{first}; {end}"),
        None => end.to_owned(),
    }
}

fn serving(state: &ClusterState) -> String {
    let Some(grant) = &state.grant else { return String::new() };
    match state.ackers.len() {
        0 => format!("{} is open", grant.node),
        _ => format!("{} is open and acked by {}", grant.node, list(&state.ackers)),
    }
}

/// What keeps a due failover from running.
pub(super) fn held_back(view: &View<'_>) -> Vec<String> {
    let mut held: Vec<String> = holds(view.state, view.now_ms).iter().map(ToString::to_string).collect();
    let (all, answer) = view.voters();
    if answer * 2 <= all {
        held.push(format!("{answer} of {all} voters answer, which is no majority"));
    }
    held
}

fn facts(view: &View<'_>, diagnosis: &Diagnosis) -> Vec<String> {
    let mut facts = Vec::new();
    let state = view.state;
    if let Some(grant) = state.grant.as_ref().filter(|_| view.is_managed()) {
        facts.push(format!("{} holds epoch {}", grant.node, grant.epoch));
        facts.push(match why_not_lossless(state) {
            None => format!("lossless, acked by {}", list(&state.ackers)),
            Some(why) => format!("not lossless: {why}"),
        });
        if let Some((epoch, left)) = view.seen.own(&grant.node).and_then(|o| o.guard.lease) {
            facts.push(format!(
                "its guard holds a lease of epoch {epoch} for another {} ms",
                left.as_millis()
            ));
        }
    }
    let mut troubles: Vec<_> = diagnosis.troubles.iter().collect();
    troubles.sort_by_key(|t| badness(t));
    facts.extend(troubles.into_iter().map(named));
    facts
}

/// The latest decisions, oldest first; those of an operation if one is given.
fn decisions(state: &ClusterState, of: Option<&Operation>) -> Vec<Decision> {
    let since = of.map_or(i64::MIN, Operation::lost_ms);
    let finished = of.and_then(|o| state.history.iter().find(|f| f.operation.id == o.id));
    let until = finished.map_or(i64::MAX, |f| f.ended_ms);
    let told = state.decisions.iter().filter(|d| (since..=until).contains(&d.at_ms));
    let mut newest: Vec<_> = told.rev().take(DECISIONS).collect();
    newest.reverse();
    let shown = |d: &Arc<crate::state::Decision>| Decision {
        at_ms: d.at_ms,
        what: d.what.clone(),
        why: d.why.clone(),
    };
    newest.into_iter().map(shown).collect()
}

fn reason(side: &str, text: &str) -> Reason {
    Reason { side: side.into(), text: text.into() }
}
