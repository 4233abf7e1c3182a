//! The way back: a writer that is still open stays so, a closed one gets the next epoch.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::super::action::{Acted, Action};
use super::super::failover;
use super::super::journal::Journal;
use super::super::lead::Term;
use super::ask::{AGAIN, act};
use super::sets::{closed, grant, revoke};
use super::{Closed, Stopped, step};
use crate::guard::Frozen;
use crate::state::{NodeName, Operation, StepName};

/// Taking a close back, one request; it may be a close that is begun anew.
const SETTLES_WITHIN: Duration = Duration::from_millis(3500);
/// How long this leader asks for that in one turn; the next turn goes on.
const UNDO_WITHIN: Duration = Duration::from_secs(10);

/// What an undo came to.
#[derive(PartialEq, Eq)]
pub(super) enum Undone {
    /// The writer is open under its epoch, as before.
    NothingHappened,
    /// A next epoch is granted.
    Granted,
}

/// Takes it back: a writer that is still open stays so, under its epoch; a closed one gets the next.
pub(super) async fn undo(
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
    // The pause goes on: a commit that there is already is not waited for again.
    if !term.state().is_revoked(operation.from) {
        revoke(term, operation).await?;
    }
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
        // By a commit of the way here that came late: the next turn grants.
        if term.state().is_revoked(operation.from) {
            return Err(format!("epoch {} has been revoked meanwhile", operation.from));
        }
        // A failover takes this operation over.
        if term.writer_is_lost() || Instant::now() >= deadline {
            return Err(format!("{from} may be closed or open: {why}"));
        }
        term.still_leads().await?;
        sleep(AGAIN).await;
    }
}
