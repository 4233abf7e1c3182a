//! The leader's part of a rebuild: a source for each attempt, and the end.

use tracing::info;

use super::lead::Term;
use crate::decide::rebuild::{RebuildNext, next};
use crate::decide::seen::Observations;
use crate::state::{Change, ClusterState};

/// One thing, if there is one to do.
pub(super) async fn run(term: &Term<'_>, state: &ClusterState, seen: &Observations) -> Result<(), String> {
    let Some(next) = next(state, seen, term.lead.proposer.now_ms()) else { return Ok(()) };
    info!(?next, "rebuild");
    let change = match next {
        RebuildNext::Source { operation, attempt, source } => {
            Change::RebuildSource { operation, attempt, source }
        }
        RebuildNext::Failed { operation, attempt, why } => Change::RebuildFailed { operation, attempt, why },
        RebuildNext::End { operation, ending, why } => Change::EndRebuild { operation, ending, why },
    };
    term.lead.proposer.must(change).await
}
