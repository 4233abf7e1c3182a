//! The journal of an operation. Lines that gate nothing are committed in order, behind the operation's back.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::info;

use super::propose::Proposer;
use crate::state::{Change, NodeName, OperationId, Step, StepName, UnixMillis};

/// Lines that may wait for their commit; a failover writes about a dozen.
const WAITING: usize = 64;

/// How long the end of an operation waits for its last lines.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

/// Writes the journal of one operation.
pub(super) struct Journal {
    operation: OperationId,
    proposer: Proposer,
    lines: mpsc::Sender<Step>,
    writer: tokio::task::JoinHandle<()>,
}

impl Journal {
    pub(super) fn new(operation: OperationId, proposer: Proposer) -> Self {
        let (lines, mut waiting) = mpsc::channel::<Step>(WAITING);
        let (id, by) = (operation.clone(), proposer.clone());
        let writer = crate::task::spawn(async move {
            while let Some(step) = waiting.recv().await {
                // A line that is lost is lost to people only; the steps that matter are commits of their own.
                let _lost = by.change(Change::Journal { operation: id.clone(), step }).await;
            }
        });
        Self { operation, proposer, lines, writer }
    }

    /// A line about now.
    pub(super) fn line(&self, node: &NodeName, name: StepName, detail: impl Into<String>) {
        self.line_at(self.proposer.now_ms(), node, name, detail);
    }

    /// A line about an earlier moment.
    pub(super) fn line_at(
        &self,
        at_ms: UnixMillis,
        node: &NodeName,
        name: StepName,
        detail: impl Into<String>,
    ) {
        let detail = detail.into();
        info!(operation = %self.operation, %node, step = %name, detail, "step");
        let step = Step { at_ms, node: node.clone(), name: name.to_string(), detail };
        let _full_or_over = self.lines.try_send(step);
    }

    /// Waits until every line is committed. Lines that a group without a majority does not take are not waited for.
    pub(super) async fn finish(self) {
        drop(self.lines);
        let _ended = timeout(FINISH_WITHIN, self.writer).await;
    }
}
