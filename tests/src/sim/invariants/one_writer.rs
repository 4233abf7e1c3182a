//! 2. At no instant do two servers accept client writes, unless the older one's epoch was ended by a word or by starving.
//!
//! Looked at twice: at the servers themselves, and at what they acknowledged under which epoch.

use baton_node::state::ProofKind;

use super::{Invariant, Moment};

#[derive(Default)]
pub(super) struct OneWriter {
    /// The newest epoch under which anything was acknowledged, and where.
    newest: Option<(u64, String)>,
}

impl Invariant for OneWriter {
    fn name(&self) -> &'static str {
        "2 (one writer)"
    }

    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let state = &moment.newest.0;
        let under_way = state.operation.iter().chain(state.history.iter().map(|f| &f.operation));
        let excused = under_way
            .filter_map(|o| o.proof.as_ref())
            .any(|p| matches!(p.kind, ProofKind::Forced | ProofKind::Starved));
        if excused {
            return Ok(());
        }
        if moment.accepting.len() > 1 {
            return Err(format!("{} accept writes", moment.accepting.join(" and ")));
        }
        for row in moment.acknowledged {
            match &self.newest {
                Some((epoch, host)) if row.epoch < *epoch && row.host != *host => {
                    return Err(format!(
                        "{} acknowledged a row under epoch {}, {host} one under epoch {epoch} before",
                        row.host, row.epoch
                    ));
                }
                Some((epoch, _)) if row.epoch <= *epoch => {}
                _ => self.newest = Some((row.epoch, row.host.clone())),
            }
        }
        Ok(())
    }
}
