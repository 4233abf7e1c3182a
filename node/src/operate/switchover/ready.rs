//! What has to be true right before the writer is closed.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::action::{Acted, Action};
use super::super::lead::Term;
use super::super::upkeep;
use super::ask::{AGAIN, act, read};
use crate::decide::switchover::{LAG_AT_FREEZE, LAG_WITHIN, Measured, Wish, preflight};
use crate::state::{NodeName, Operation};

/// Reading what a server has.
const READ_WITHIN: Duration = Duration::from_millis(500);

/// Waits, bounded, until nothing speaks against it (a leader that has just come up has not heard everybody yet) and the
/// target has applied within moments what the writer has.
pub(super) async fn becomes_right(
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
