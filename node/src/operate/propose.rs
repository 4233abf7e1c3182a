//! Proposing changes to the group: ids and time are put on here.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::consensus::{Group, ProposeError};
use crate::guard::{NotCommitted, Propose};
use crate::state::{Change, Command, CommandId, NodeName, Outcome, UnixMillis};

/// How long a change may take to be committed before whoever asked looks again.
const WITHIN: Duration = Duration::from_secs(3);

/// Proposes changes in this node's name.
#[derive(Clone)]
pub struct Proposer {
    group: Group,
    me: NodeName,
    draw_id: Arc<dyn Fn() -> String + Send + Sync>,
    now: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
}

impl Proposer {
    /// `draw_id` draws ids that never repeat; `now` is the wall clock.
    pub fn new(
        group: Group,
        me: NodeName,
        draw_id: Arc<dyn Fn() -> String + Send + Sync>,
        now: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    ) -> Self {
        Self { group, me, draw_id, now }
    }

    /// The wall clock, for journals.
    pub fn now_ms(&self) -> UnixMillis {
        (self.now)()
    }

    /// Draws an id.
    pub fn draw_id(&self) -> String {
        (self.draw_id)()
    }

    /// Commits a change.
    ///
    /// # Errors
    /// In words; the change may or may not have been committed then.
    pub async fn change(&self, change: Change) -> Result<Outcome, String> {
        self.once(change).await.map_err(|e| e.to_string())
    }

    async fn once(&self, change: Change) -> Result<Outcome, ProposeError> {
        let id = CommandId(format!("{}-{}", self.me, self.draw_id()));
        let command = Command { id, by: self.me.clone(), at_ms: self.now_ms(), change };
        self.group.propose(command, WITHIN).await
    }

    /// Commits a change that must not be refused.
    ///
    /// # Errors
    /// In words: the refusal, or why nothing is known of it.
    pub async fn must(&self, change: Change) -> Result<(), String> {
        self.change(change).await?.into_result().map_err(|refusal| refusal.to_string())
    }
}

impl Propose for Proposer {
    fn propose(&self, change: Change) -> BoxFuture<'_, Result<Outcome, NotCommitted>> {
        Box::pin(async move {
            self.once(change).await.map_err(|error| NotCommitted {
                never: !matches!(error, ProposeError::Unknown { .. }),
                why: error.to_string(),
            })
        })
    }
}
