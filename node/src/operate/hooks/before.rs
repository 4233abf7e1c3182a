//! Hooks that a switchover waits for, before it closes the writer.

use std::time::Duration;

use tokio::time::timeout;
use tracing::info;

use super::super::action::{Acted, Action};
use super::super::lead::Term;
use super::super::upkeep;
use crate::decide::hooks::{Event, Hook, Place, Point, before_close as about};
use crate::state::{NodeName, Operation};

/// What an answer may take beyond the hook's own bound.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// Without news, whether the writer is lost meanwhile is looked at this often.
const TICK: Duration = Duration::from_millis(100);

/// Runs them, one after the other in the order of the file. Nothing has been closed yet.
///
/// # Errors
/// Which one says no, or that the writer was lost meanwhile.
pub(in super::super) async fn before_close(term: &Term<'_>, operation: &Operation) -> Result<(), String> {
    let hooks = (term.lead.hooks.source)();
    let event = about(&term.state(), operation);
    for hook in hooks.iter().filter(|hook| hook.is_for(Point::BeforeClose, true)) {
        let said = tokio::select! {
            said = run(term, operation, hook, &event) => said?,
            () = may_not_wait(term) => {
                return Err(format!("the writer, or its ackers, were lost while hook {} ran", hook.name));
            }
        };
        info!(operation = %operation.id, said, "hook");
        term.still_leads().await?;
    }
    Ok(())
}

async fn run(term: &Term<'_>, operation: &Operation, hook: &Hook, event: &Event) -> Result<String, String> {
    let place: Option<&NodeName> = match hook.on {
        Place::Leader => return term.lead.hooks.run(hook, event).await,
        Place::OldWriter => event.from.as_ref(),
        Place::NewWriter => event.to.as_ref(),
    };
    let node = place.ok_or_else(|| format!("hook {} has no node to run on", hook.name))?;
    let order = term.order(operation.from, &operation.id);
    let action = Action::Hook { name: hook.name.clone(), event: Box::new(event.clone()) };
    match term.lead.hands.act(node.clone(), order, action, hook.timeout + ANSWERS_WITHIN).await {
        Some(Acted::Done) => Ok(format!("hook {} ended with status 0 on {node}", hook.name)),
        Some(Acted::Failed(why)) => Err(format!("{node}: {why}")),
        _ => Err(format!("{node} has not said what became of hook {}", hook.name)),
    }
}

/// Returns once a failover is due, or commits wait for an acker that does not come: neither may wait for a hook.
async fn may_not_wait(term: &Term<'_>) {
    while !(term.writer_is_lost() || upkeep::must_degrade(term)) {
        let _or_look_again = timeout(TICK, term.lead.table.changed()).await;
    }
}
