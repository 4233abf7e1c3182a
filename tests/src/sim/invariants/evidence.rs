//! 9. Every automatic action stores its evidence, and every refusal its reason.

use super::{Invariant, Moment};

#[derive(Default)]
pub(super) struct Evidence;

impl Invariant for Evidence {
    fn name(&self) -> &'static str {
        "9 (evidence and reasons)"
    }

    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        if !moment.news {
            return Ok(());
        }
        let state = &moment.newest.0;
        let known = state.operation.iter().chain(state.history.iter().map(|f| &f.operation));
        for operation in known.filter(|o| o.from.0 > 0) {
            if operation.diagnosis.is_empty() || operation.evidence.is_empty() {
                return Err(format!("operation {:?} has no evidence", operation.id));
            }
            if operation.to.is_some() && operation.loss.is_none() {
                return Err(format!("operation {:?} says nothing about loss", operation.id));
            }
        }
        match state.decisions.iter().find(|d| d.why.is_empty()) {
            Some(decision) => Err(format!("{:?} has no reason", decision.what)),
            None => Ok(()),
        }
    }
}
