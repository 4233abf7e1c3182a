//! Hooks that nothing waits for: each node sees what was agreed, and runs its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::super::propose::Proposer;
use super::Hooks;
use crate::consensus::Leadership;
use crate::decide::hooks::{Event, Hook, Point, events};
use crate::state::{Change, ClusterState, NodeName, OperationId};

/// Hooks that may wait for their turn; a move has a handful.
const WAITING: usize = 64;

/// Runs this node's hooks as the moves that they are for come about. One at a time, in the order of events: what an
/// earlier one set up is there for a later one. Each is run once by a node that stays up; one that restarts in the middle
/// of a move, or begins to lead then, runs those of that move again.
pub struct HookWatch {
    /// What runs them.
    pub hooks: Hooks,
    /// The replicated state, as applied here.
    pub states: watch::Receiver<Arc<ClusterState>>,
    /// Who leads.
    pub leadership: watch::Receiver<Leadership>,
    /// Proposals in this node's name.
    pub proposer: Proposer,
}

impl HookWatch {
    /// Runs until the states end.
    pub async fn run(self) {
        let (queue, waiting) = mpsc::channel(WAITING);
        let Self { hooks, states, leadership, proposer } = self;
        tokio::join!(watch(&hooks, states, leadership, queue), work(&hooks, waiting, &proposer));
    }
}

async fn watch(
    hooks: &Hooks,
    mut states: watch::Receiver<Arc<ClusterState>>,
    mut leadership: watch::Receiver<Leadership>,
    queue: mpsc::Sender<(Hook, Event)>,
) {
    // From when there are hooks: of what was over by then, nothing is run.
    let mut seen = None;
    loop {
        let state = states.borrow_and_update().clone();
        let leads = leadership.borrow_and_update().mine;
        let configured = (hooks.source)();
        if configured.is_empty() {
            seen = None;
        } else {
            let seen = seen.get_or_insert_with(|| Seen::before(&state));
            for due in seen.due(&state, &configured, &hooks.me, leads) {
                if let Err(error) = queue.try_send(due) {
                    warn!(%error, "too many hooks wait; this one is not run");
                }
            }
        }
        tokio::select! {
            changed = states.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}

async fn work(hooks: &Hooks, mut waiting: mpsc::Receiver<(Hook, Event)>, proposer: &Proposer) {
    while let Some((hook, event)) = waiting.recv().await {
        match hooks.run(&hook, &event).await {
            Ok(said) => info!(operation = %event.operation, point = %event.point, said, "hook"),
            Err(why) => {
                warn!(operation = %event.operation, point = %event.point, why, "a hook failed");
                let what = format!("hook {} {} at {}", hook.name, event.point, hooks.me);
                // For people alone, and the log has it.
                let _lost = proposer.change(Change::Decided { what, why }).await;
            }
        }
    }
}

/// What has been run already, or is not to be.
#[derive(Default)]
struct Seen {
    ran: BTreeSet<(OperationId, Point, String)>,
    /// Of moves that are over: nothing more is run for them.
    over: BTreeSet<(OperationId, Point)>,
}

impl Seen {
    /// At the start: moves that are over have had their hooks.
    fn before(state: &ClusterState) -> Self {
        let mut seen = Self::default();
        seen.due(state, &[], &NodeName::default(), false);
        seen
    }

    fn due(
        &mut self,
        state: &ClusterState,
        hooks: &[Hook],
        me: &NodeName,
        leads: bool,
    ) -> Vec<(Hook, Event)> {
        let events = events(state);
        let known: BTreeSet<OperationId> = events.iter().map(|(event, _)| event.operation.clone()).collect();
        self.ran.retain(|(operation, ..)| known.contains(operation));
        self.over.retain(|(operation, _)| known.contains(operation));
        let mut due = Vec::new();
        for (event, is_over) in events {
            let which = (event.operation.clone(), event.point);
            if self.over.contains(&which) {
                continue;
            }
            let mine =
                |hook: &&Hook| hook.is_for(event.point, event.planned) && hook.is_mine(&event, me, leads);
            for hook in hooks.iter().filter(mine) {
                if self.ran.insert((which.0.clone(), which.1, hook.name.clone())) {
                    due.push((hook.clone(), event.clone()));
                }
            }
            if is_over {
                self.over.insert(which);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::decide::hooks::{Place, When};
    use crate::decide::sample::{managed, name};
    use crate::state::{Ending, Epoch, Finished, Operation, OperationKind};

    fn hook(called: &str, on: Place) -> Hook {
        Hook {
            name: called.into(),
            at: Point::AfterOpen,
            when: When::Any,
            on,
            command: vec!["/bin/true".into()],
            timeout: Duration::from_secs(1),
        }
    }

    /// The move to db2 is open there.
    fn opened() -> ClusterState {
        let mut state = managed().0;
        let mut operation = Operation::of(OperationKind::Failover, Epoch(1), name("db1"));
        (operation.to, operation.opened_ms) = (Some((Epoch(2), name("db2"))), Some(5));
        operation.id = OperationId("7f".into());
        state.operation = Some(operation);
        state
    }

    fn over(mut state: ClusterState) -> ClusterState {
        let operation = state.operation.take().unwrap();
        state.history.push_back(Finished { operation, ended_ms: 9, ending: Ending::Done }.into());
        state
    }

    fn names(due: &[(Hook, Event)]) -> Vec<&str> {
        due.iter().map(|(hook, _)| hook.name.as_str()).collect()
    }

    #[test]
    fn each_is_due_once_on_its_own_node() {
        let hooks =
            [hook("new", Place::NewWriter), hook("old", Place::OldWriter), hook("lead", Place::Leader)];
        let mut seen = Seen::before(&managed().0);
        assert_eq!(names(&seen.due(&opened(), &hooks, &name("db2"), false)), ["new"]);
        assert!(seen.due(&opened(), &hooks, &name("db2"), false).is_empty(), "once");
        assert_eq!(names(&seen.due(&opened(), &hooks, &name("db2"), true)), ["lead"], "leads from now on");
        assert!(seen.due(&over(opened()), &hooks, &name("db2"), true).is_empty());
    }

    #[test]
    fn a_move_that_began_and_ended_between_two_looks_has_its_hooks() {
        let hooks = [hook("new", Place::NewWriter)];
        let mut seen = Seen::before(&managed().0);
        assert_eq!(names(&seen.due(&over(opened()), &hooks, &name("db2"), false)), ["new"]);
        assert!(seen.due(&over(opened()), &hooks, &name("db2"), false).is_empty(), "once");
    }

    #[test]
    fn what_was_over_before_is_not_run_again_whoever_leads_or_whatever_is_configured_later() {
        let mut seen = Seen::before(&over(opened()));
        let hooks = [hook("lead", Place::Leader), hook("new", Place::NewWriter)];
        assert!(seen.due(&over(opened()), &hooks, &name("db2"), true).is_empty());
        let mut restarted = Seen::before(&opened());
        assert_eq!(names(&restarted.due(&opened(), &hooks, &name("db2"), false)), ["new"], "under way");
    }
}
