//! Planned switchover: the writer is closed first, the rest follows. [`Change::Plan`] has begun it and leaves the epoch
//! alone; from [`Change::Revoke`] on, which comes once the writer is closed, it ends with a next epoch. Until that is
//! granted it can be taken back, by this leader or the next; from then on it is a failover like any other.

pub(super) mod appointed;
mod ask;
mod foretell;
mod leave;
mod measure;
mod ready;
mod sets;
mod undo;

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use self::ask::act;
pub(super) use self::foretell::foretold;
pub use self::foretell::{Foretell, foretell};
use self::leave::routers_leave;
pub use self::measure::measure;
use self::ready::becomes_right;
use self::sets::{catches_up, close, grant, shortened};
use self::undo::{Undone, undo};
use super::action::{Acted, Action};
use super::failover::{self, end};
use super::hooks::before_close;
use super::journal::Journal;
use super::lead::Term;
use crate::gtid::GtidSet;
use crate::state::{Change, Ending, NodeName, Operation, Planned, Proof, Step, StepName, UnixMillis};

/// A plan that no leader has begun within this is taken back: whoever asked for it has gone.
const BEGINS_WITHIN_MS: UnixMillis = 5_000;
/// How long every ProxySQL that answers may take to let new writes wait, and old ones finish: they would fail at a closed
/// server. It takes some 20 ms; one that was found not to answer is not waited for.
const DRAINED_WITHIN: Duration = Duration::from_millis(150);
/// How long the target may take to begin a new binlog file, before anything pauses.
const ROTATED_WITHIN: Duration = Duration::from_secs(2);
/// Kept back of the longest pause for opening the old writer again.
const FOR_THE_UNDO: Duration = Duration::from_millis(60);

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
    let paused = paused.unwrap_or_default();
    tokio::join!(
        failover::routed(term, epoch, &writer, &paused, journal),
        failover::followed(term, epoch, &writer, journal)
    );
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
    before_close(term, operation).await?;
    rotate_binlog(term, operation, to).await;
    becomes_right(term, operation, (from, to)).await?;
    // From before the close: a server that was just closed does not look as an acker should.
    let seen = term.lead.table.snapshot(&term.state());
    step(term, operation, StepName::Freeze, format!("{from} is closed, new connections wait")).await?;
    let start = Instant::now();
    *began = Some(start);
    let planned = operation.planned.unwrap_or(Planned { max_pause_ms: 500, kill_blockers: false });
    let deadline = start + Duration::from_millis(planned.max_pause_ms).saturating_sub(FOR_THE_UNDO);
    // Half of what is left of the pause stays for the rest.
    let drained_within = DRAINED_WITHIN.min(deadline.saturating_duration_since(start) / 2);
    let (drained, late) = tokio::join!(
        term.lead.routing.drained(from, drained_within),
        routers_leave(term, operation, deadline)
    );
    if drained.of > 0 {
        journal.line(from, StepName::Freeze, format!("new writes wait at {drained} ProxySQL"));
    }
    if !late.is_empty() {
        journal.line(from, StepName::Freeze, format!("sessions are still led to it by {}", late.join(", ")));
    }
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

/// What does not come of it costs the pause some milliseconds, and stops nothing.
async fn rotate_binlog(term: &Term<'_>, operation: &Operation, to: &NodeName) {
    let rotated = act(term, operation, to, Action::RotateBinlog, ROTATED_WITHIN).await;
    if rotated != Some(Acted::Done) {
        warn!(operation = %operation.id, node = %to, ?rotated, "no new binlog file was begun");
    }
}

async fn step(term: &Term<'_>, operation: &Operation, name: StepName, detail: String) -> Result<(), String> {
    info!(operation = %operation.id, step = %name, detail, "step");
    let proposer = &term.lead.proposer;
    let step = Step { at_ms: proposer.now_ms(), node: term.lead.me.clone(), name: name.to_string(), detail };
    proposer.must(Change::Journal { operation: operation.id.clone(), step }).await
}
