//! At no instant do two servers accept client writes (2), unless the older one's epoch was ended by a word or by starving:
//! it may then still write its binlog, and a starved one acknowledges nothing.
//!
//! Looked at twice: at the servers themselves, and at what they acknowledged under which epoch.

use std::collections::BTreeMap;

use baton_node::state::ProofKind;

use super::{Invariant, Moment};
use crate::sim::fleet::{Acknowledged, Host};

#[derive(Default)]
pub(super) struct OneWriter {
    /// The newest epoch under which anything was acknowledged, and where.
    newest: Option<(u64, Host)>,
    /// By what each epoch was ended.
    ended: BTreeMap<u64, ProofKind>,
}

impl OneWriter {
    fn note_proofs(&mut self, moment: &Moment<'_>) {
        let state = &moment.newest.0;
        let known = state.operation.iter().chain(state.history.iter().map(|f| &f.operation));
        let proofs = known.filter_map(|o| Some((o.from.0, o.proof.as_ref()?.kind)));
        self.ended.extend(proofs);
    }

    /// Servers that accept writes, without those that may.
    fn too_many<'a>(&self, moment: &'a Moment<'_>) -> Vec<&'a Host> {
        let excused = |host: &Host| {
            let epoch = moment.servers.get(host).map_or(0, |s| s.epoch);
            matches!(self.ended.get(&epoch), Some(ProofKind::Starved | ProofKind::Forced))
        };
        moment.accepting.iter().filter(|host| !excused(host)).collect()
    }

    /// One that was on its way when the ackers stopped was received by enough of them, and may be acknowledged late.
    fn may_be_late(&self, moment: &Moment<'_>, row: &Acknowledged, newest: &Host) -> bool {
        match self.ended.get(&row.epoch) {
            Some(ProofKind::Forced) => true,
            Some(ProofKind::Starved) => moment.fleet.rows_missing(newest, &[row.row]).is_empty(),
            _ => false,
        }
    }
}

impl Invariant for OneWriter {
    fn name(&self) -> &'static str {
        "2 (one writer)"
    }

    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        if moment.news {
            self.note_proofs(moment);
        }
        let open = self.too_many(moment);
        if open.len() > 1 {
            return Err(format!("{open:?} accept writes"));
        }
        for row in moment.acknowledged {
            match &self.newest {
                Some((epoch, host)) if row.epoch < *epoch && row.host != *host => {
                    if !self.may_be_late(moment, row, host) {
                        return Err(format!(
                            "{} acknowledged a row under epoch {}, {host} one under epoch {epoch} before",
                            row.host, row.epoch
                        ));
                    }
                }
                Some((epoch, _)) if row.epoch <= *epoch => {}
                _ => self.newest = Some((row.epoch, row.host.clone())),
            }
        }
        Ok(())
    }
}
