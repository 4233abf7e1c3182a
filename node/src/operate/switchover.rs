//! Planned switchover: the writer is closed first, the rest follows. [`Change::Plan`] has begun it and leaves the epoch
//! alone; from [`Change::Revoke`] on, which comes once the writer is closed, it ends with a next epoch. Until that is
//! granted it can be taken back, by this leader or the next; from then on it is a failover like any other.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::action::{Acted, Action, Sets};
use super::failover::{self, end};
use super::journal::Journal;
use super::lead::Term;
use super::upkeep;
use crate::decide::seen::Observations;
use crate::decide::switchover::{LAG_AT_FREEZE, LAG_WITHIN, Measured, Wish, next_grant, preflight};
use crate::gtid::GtidSet;
use crate::guard::Frozen;
use crate::state::{
    Change, Ending, NodeName, Operation, Planned, Proof, ProofKind, Step, StepName, UnixMillis,
};

/// A plan that no leader has begun within this is taken back: whoever asked for it has gone.
const BEGINS_WITHIN_MS: UnixMillis = 5_000;
/// Reading what a server has.
const READ_WITHIN: Duration = Duration::from_millis(500);
/// What the close's answer may take beyond the close.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// Kept back of the longest pause for opening the old writer again.
const FOR_THE_UNDO: Duration = Duration::from_millis(60);
/// Taking a close back, one request; it may be a close that is begun anew.
const SETTLES_WITHIN: Duration = Duration::from_millis(3500);
/// How long this leader asks for that in one turn; the next turn goes on.
const UNDO_WITHIN: Duration = Duration::from_secs(10);
/// Pause before an unanswered request is repeated.
const AGAIN: Duration = Duration::from_millis(50);

/// The closed writer: nothing more comes to what it has.
struct Closed {
    set: GtidSet,
    proof: Proof,
}

/// Why it goes no further, and how far it had come.
struct Stopped {
    why: String,
    closed: Option<Closed>,
}

impl From<String> for Stopped {
    fn from(why: String) -> Self {
        Self { why, closed: None }
    }
}

/// Runs the switchover under way until it has ended.
///
/// # Errors
/// In words: leadership was lost, or the operation is no longer this one. The next leader, or the next turn, goes on.
pub(super) async fn run(term: &Term<'_>, operation: &Operation) -> Result<(), String> {
    let journal = Journal::new(operation.id.clone(), term.lead.proposer.clone());
    let ending = steps(term, operation, &journal).await;
    journal.finish().await;
    end(term, operation, ending?).await
}

async fn steps(term: &Term<'_>, operation: &Operation, journal: &Journal) -> Result<Ending, String> {
    let (Some(from), Some(to)) = (&operation.from_node, &operation.wanted) else {
        return Err("a switchover without a writer or a target".into());
    };
    let mut began = None;
    if operation.to.is_none() {
        let moved = match is_fresh(term, operation) {
            true => forward(term, operation, (from, to), &mut began, journal).await,
            false => Err(Stopped::from("its leader was lost before the next epoch was granted".to_owned())),
        };
        if let Err(stopped) = moved
            && undo(term, operation, from, stopped, journal).await? == Undone::NothingHappened
        {
            return Ok(Ending::Failed);
        }
    }
    let granted = term.state().operation.as_ref().filter(|o| o.id == operation.id).and_then(|o| o.to.clone());
    let (epoch, writer) = granted.ok_or("the operation is over")?;
    failover::opened(term, epoch).await?;
    let paused =
        began.map(|began: Instant| format!("; writes paused for {} ms", began.elapsed().as_millis()));
    let routed = format!("routed by every embedded router{}", paused.unwrap_or_default());
    journal.line(&writer, StepName::Route, routed);
    failover::followed(term, epoch, &writer, journal).await;
    Ok(if writer == *to { Ending::Done } else { Ending::Failed })
}

/// Whether nobody has done anything for it yet, and who asked is still there.
fn is_fresh(term: &Term<'_>, operation: &Operation) -> bool {
    let waited = term.lead.proposer.now_ms().saturating_sub(operation.started_ms);
    operation.steps.is_empty() && waited <= BEGINS_WITHIN_MS
}

/// Up to the grant. `began` is set to the moment at which the writer was asked to close.
async fn forward(
    term: &Term<'_>,
    operation: &Operation,
    (from, to): (&NodeName, &NodeName),
    began: &mut Option<Instant>,
    journal: &Journal,
) -> Result<(), Stopped> {
    // Committed, and not only written: a leader that finds it knows that this was begun.
    step(term, operation, StepName::Intent, format!("{from} to {to}: {}", operation.diagnosis)).await?;
    becomes_right(term, operation, (from, to)).await?;
    // From before the close: a server that was just closed does not look as an acker should.
    let seen = term.lead.table.snapshot(&term.state());
    step(term, operation, StepName::Freeze, format!("{from} is closed, new connections wait")).await?;
    let start = Instant::now();
    *began = Some(start);
    let planned = operation.planned.unwrap_or(Planned { max_pause_ms: 500, kill_blockers: false });
    let deadline = start + Duration::from_millis(planned.max_pause_ms).saturating_sub(FOR_THE_UNDO);
    let closed = close(term, operation, from, planned, deadline).await?;
    match catches_up(term, operation, (from, to), &closed, deadline).await {
        Ok(()) => {}
        Err(why) => return Err(Stopped { why, closed: Some(closed) }),
    }
    journal.line(to, StepName::Applied, format!("has what {from} has: {}", shortened(&closed.set)));
    match grant(term, operation, to, &closed, &seen, journal).await {
        Ok(()) => Ok(()),
        Err(why) => Err(Stopped { why, closed: Some(closed) }),
    }
}

async fn step(term: &Term<'_>, operation: &Operation, name: StepName, detail: String) -> Result<(), String> {
    info!(operation = %operation.id, step = %name, detail, "step");
    let proposer = &term.lead.proposer;
    let step = Step { at_ms: proposer.now_ms(), node: term.lead.me.clone(), name: name.to_string(), detail };
    proposer.must(Change::Journal { operation: operation.id.clone(), step }).await
}

/// Waits, bounded, until nothing speaks against it (a leader that has just come up has not heard everybody yet) and the
/// target has applied within moments what the writer has.
async fn becomes_right(
    term: &Term<'_>,
    operation: &Operation,
    (from, to): (&NodeName, &NodeName),
) -> Result<(), String> {
    let deadline = Instant::now() + LAG_WITHIN;
    loop {
        // A failover is due then, or commits wait for an acker that does not come: neither may wait for this.
        if term.writer_is_lost() || upkeep::must_degrade(term) {
            return Err("the writer, or its ackers, were lost before it was closed".into());
        }
        let why = match still_right(term, operation) {
            Ok(()) => match keeps_up(term, operation, from, to).await? {
                true => return Ok(()),
                false => format!(
                    "{to} lags: in {} s it was never within {} ms of {from}",
                    LAG_WITHIN.as_secs(),
                    LAG_AT_FREEZE.as_millis()
                ),
            },
            Err(why) => why,
        };
        if Instant::now() >= deadline {
            return Err(why);
        }
        term.still_leads().await?;
        let _or_look_again = timeout(AGAIN, term.lead.table.changed()).await;
    }
}

/// Whether the target has applied within moments what the writer has now.
async fn keeps_up(
    term: &Term<'_>,
    operation: &Operation,
    from: &NodeName,
    to: &NodeName,
) -> Result<bool, String> {
    let have = read(term, operation, from, READ_WITHIN).await?;
    let asked = Instant::now();
    let applied = act(term, operation, to, Action::WaitApplied(have.executed), LAG_AT_FREEZE * 4).await;
    Ok(applied == Some(Acted::Applied(true)) && asked.elapsed() <= LAG_AT_FREEZE)
}

/// The preflight once more, with what is known now.
fn still_right(term: &Term<'_>, operation: &Operation) -> Result<(), String> {
    let state = term.state();
    let seen = term.lead.table.snapshot(&state);
    let wish = Wish {
        to: operation.wanted.clone(),
        running: Some(operation.id.clone()),
        kill_blockers: operation.planned.is_some_and(|planned| planned.kill_blockers),
    };
    let found = preflight(&state, &seen, &wish, &Measured::default(), term.lead.proposer.now_ms());
    match found.why_refused() {
        Some(why) if found.is_refused() => Err(why),
        _ => Ok(()),
    }
}

/// Has the writer's own node close it. Where that does not come through in time, nothing has changed.
async fn close(
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

fn closed(from: &NodeName, set: GtidSet, detail: &str) -> Closed {
    Closed { set, proof: Proof { kind: ProofKind::Closed, detail: format!("{from}: {detail}") } }
}

/// The epoch is revoked while the target applies what the writer has; then both have the same, read from each.
async fn catches_up(
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

async fn revoke(term: &Term<'_>, operation: &Operation) -> Result<(), String> {
    let revoke = Change::Revoke { operation: operation.id.clone(), epoch: operation.from };
    term.lead.proposer.must(revoke).await
}

fn same(a: &GtidSet, b: &GtidSet) -> bool {
    a.contains(b).unwrap_or(false) && b.contains(a).unwrap_or(false)
}

/// The next epoch, in one commit. It is refused where the other one of the two servers has it already.
async fn grant(
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

/// What an undo came to.
#[derive(PartialEq, Eq)]
enum Undone {
    /// The writer is open under its epoch, as before.
    NothingHappened,
    /// A next epoch is granted.
    Granted,
}

/// Takes it back: a writer that is still open stays so, under its epoch; a closed one gets the next.
async fn undo(
    term: &Term<'_>,
    operation: &Operation,
    from: &NodeName,
    stopped: Stopped,
    journal: &Journal,
) -> Result<Undone, String> {
    warn!(operation = %operation.id, why = stopped.why, "the switchover is taken back");
    let state = term.state();
    let now = state.operation.as_ref().filter(|o| o.id == operation.id).ok_or("the operation is over")?;
    let line = || journal.line(&term.lead.me, StepName::Undo, stopped.why.clone());
    let closed = match stopped.closed {
        Some(closed) => Some(closed),
        // Of a closed writer whose leader was lost, the rules of a failover find out who has what.
        None if state.is_revoked(operation.from) => {
            line();
            failover::granted(term, now, journal).await?;
            return Ok(Undone::Granted);
        }
        None if now.is_frozen() => settle(term, operation, from).await?,
        None => None,
    };
    let Some(closed) = closed else {
        if !now.has_taken(StepName::Undo) {
            // Committed, so that routers lead there again.
            step(term, operation, StepName::Undo, stopped.why.clone()).await?;
        }
        return Ok(Undone::NothingHappened);
    };
    revoke(term, operation).await?;
    line();
    let seen = term.lead.table.snapshot(&term.state());
    grant(term, operation, from, &closed, &seen, journal).await?;
    Ok(Undone::Granted)
}

/// Sees to it that nothing closes the writer any more; what it has, if it is closed already.
async fn settle(term: &Term<'_>, operation: &Operation, from: &NodeName) -> Result<Option<Closed>, String> {
    let deadline = Instant::now() + UNDO_WITHIN;
    loop {
        let why = match act(term, operation, from, Action::Settle, SETTLES_WITHIN).await {
            Some(Acted::Frozen(Frozen::Open { .. })) => return Ok(None),
            Some(Acted::Frozen(Frozen::Closed { executed, detail })) => {
                return Ok(Some(closed(from, executed, &detail)));
            }
            Some(Acted::Frozen(Frozen::Unknown { why }) | Acted::Failed(why)) => why,
            _ => "its node does not answer".to_owned(),
        };
        // A failover takes this operation over.
        if term.writer_is_lost() || Instant::now() >= deadline {
            return Err(format!("{from} may be closed or open: {why}"));
        }
        term.still_leads().await?;
        sleep(AGAIN).await;
    }
}

async fn read(
    term: &Term<'_>,
    operation: &Operation,
    node: &NodeName,
    within: Duration,
) -> Result<Sets, String> {
    match act(term, operation, node, Action::ReadSets, within).await {
        Some(Acted::Sets(sets)) => Ok(sets),
        Some(Acted::Failed(why)) => Err(format!("{node}: {why}")),
        _ => Err(format!("{node} has not said within {} ms what it has", within.as_millis())),
    }
}

async fn act(
    term: &Term<'_>,
    operation: &Operation,
    node: &NodeName,
    action: Action,
    within: Duration,
) -> Option<Acted> {
    let order = term.order(operation.from, &operation.id);
    let asked = term.lead.hands.act(node.clone(), order, action, within);
    // What is on its way back comes within this as well.
    timeout(within + ANSWERS_WITHIN, asked).await.ok()?
}

/// A set as a line of the journal has it: nobody reads a long one there.
fn shortened(set: &GtidSet) -> String {
    const LENGTH: usize = 120;
    let text = set.to_string();
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
