//! The leader's part of a rebuild: a source for each attempt, and the end.

use tracing::info;

use super::lead::Term;
use crate::decide::rebuild::{RebuildNext, next};
use crate::decide::seen::Observations;
use crate::state::{BeginRebuild, Change, ClusterState, OperationId};

/// One thing, if there is one to do.
pub(super) async fn run(term: &Term<'_>, state: &ClusterState, seen: &Observations) -> Result<(), String> {
    let Some(next) = next(state, seen, term.lead.proposer.now_ms()) else { return Ok(()) };
    info!(?next, "rebuild");
    let change = match next {
        RebuildNext::Begin { node, by } => Change::BeginRebuild(BeginRebuild {
            operation: OperationId(term.lead.proposer.draw_id()),
            epoch: state.epoch(),
            node,
            from: None,
            by,
        }),
        RebuildNext::Source { operation, attempt, source } => {
            Change::RebuildSource { operation, attempt, source }
        }
        RebuildNext::Failed { operation, attempt, why } => Change::RebuildFailed { operation, attempt, why },
        RebuildNext::End { operation, ending, why } => Change::EndRebuild { operation, ending, why },
    };
    term.lead.proposer.must(change).await
}
