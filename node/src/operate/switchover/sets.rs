//! The writer is closed, the target has what it has, the next epoch is committed.

use tokio::time::{Instant, timeout_at};

use super::super::action::{Acted, Action};
use super::super::journal::Journal;
use super::super::lead::Term;
use super::Closed;
use super::ask::{ANSWERS_WITHIN, act, read};
use crate::decide::seen::Observations;
use crate::decide::switchover::next_grant;
use crate::gtid::GtidSet;
use crate::guard::Frozen;
use crate::state::{Change, NodeName, Operation, Planned, Proof, ProofKind, StepName};

/// Has the writer's own node close it. Where that does not come through in time, nothing has changed.
pub(super) async fn close(
    term: &Term<'_>,
    operation: &Operation,
    from: &NodeName,
    planned: Planned,
    deadline: Instant,
) -> Result<Closed, String> {
    let within = deadline.saturating_duration_since(Instant::now());
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let freeze = Action::Freeze { within_ms, kill_blockers: planned.kill_blockers };
    match act(term, operation, from, freeze, within + ANSWERS_WITHIN).await {
        Some(Acted::Frozen(Frozen::Closed { executed, detail })) => Ok(closed(from, executed, &detail)),
        Some(Acted::Frozen(Frozen::Open { why } | Frozen::Unknown { why })) => {
            Err(format!("{from} could not be closed within {within_ms} ms: {why}"))
        }
        Some(Acted::Failed(why)) => Err(format!("{from} could not be closed: {why}")),
        _ => Err(format!("{from}'s node has not said whether it is closed")),
    }
}

pub(super) fn closed(from: &NodeName, set: GtidSet, detail: &str) -> Closed {
    Closed { set, proof: Proof { kind: ProofKind::Closed, detail: format!("{from}: {detail}") } }
}

/// The epoch is revoked while the target applies what the writer has; then both have the same, read from each. Writes pause
/// meanwhile: it ends at the deadline, whoever has not answered by then, and with an answer still on its way.
pub(super) async fn catches_up(
    term: &Term<'_>,
    operation: &Operation,
    (from, to): (&NodeName, &NodeName),
    closed: &Closed,
    deadline: Instant,
) -> Result<(), String> {
    let same = have_the_same(term, operation, (from, to), closed, deadline);
    match timeout_at(deadline, same).await {
        Ok(same) => same,
        Err(_) if term.state().is_revoked(operation.from) => {
            Err(format!("{to} has not said in time that it has what {from} has"))
        }
        Err(_) => Err(format!("a majority has not agreed in time that epoch {} ends", operation.from)),
    }
}

async fn have_the_same(
    term: &Term<'_>,
    operation: &Operation,
    (from, to): (&NodeName, &NodeName),
    closed: &Closed,
    deadline: Instant,
) -> Result<(), String> {
    let left = || deadline.saturating_duration_since(Instant::now());
    let (revoked, again, applied) = tokio::join!(
        revoke(term, operation),
        read(term, operation, from, left()),
        act(term, operation, to, Action::WaitApplied(closed.set.clone()), left()),
    );
    revoked?;
    let again = again?;
    if !again.closed || !same(&again.executed, &closed.set) {
        return Err(format!("{from} has {} now, and had {}", again.executed, closed.set));
    }
    if applied != Some(Acted::Applied(true)) {
        return Err(format!("{to} has not applied in time what {from} has: {applied:?}"));
    }
    let of_target = read(term, operation, to, left()).await?;
    if !same(&of_target.executed, &closed.set) {
        return Err(format!("{to} has {}, and {from} {}", of_target.executed, closed.set));
    }
    if left().is_zero() { Err("the writes have paused for long enough".into()) } else { Ok(()) }
}

pub(super) async fn revoke(term: &Term<'_>, operation: &Operation) -> Result<(), String> {
    let revoke = Change::Revoke { operation: operation.id.clone(), epoch: operation.from };
    term.lead.proposer.must(revoke).await
}

fn same(a: &GtidSet, b: &GtidSet) -> bool {
    a.contains(b).unwrap_or(false) && b.contains(a).unwrap_or(false)
}

/// The next epoch, in one commit. It is refused where the other one of the two servers has it already.
pub(super) async fn grant(
    term: &Term<'_>,
    operation: &Operation,
    to: &NodeName,
    closed: &Closed,
    seen: &Observations,
    journal: &Journal,
) -> Result<(), String> {
    let state = term.state();
    let next = next_grant(&state, seen, operation, to, &closed.set, closed.proof.clone());
    let ackers: Vec<String> = next.ackers.iter().map(ToString::to_string).collect();
    term.lead.proposer.must(Change::Grant(next)).await?;
    let epoch = term.state().epoch();
    let detail = format!("epoch {epoch} is {to}'s; ackers: {}", ackers.join(", "));
    journal.line(&term.lead.me, StepName::Grant, detail);
    Ok(())
}

/// A set as a line of the journal has it: nobody reads a long one there.
pub(super) fn shortened(set: &GtidSet) -> String {
    const LENGTH: usize = 120;
    let text = set.to_string();
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
