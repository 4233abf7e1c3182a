//! Invariants 3 and 6: A server is opened only as the writer of the newest epoch, once, and that only after the epoch before
//! it was revoked, with its proof in the log. So a server that returns is closed, and whatever closed a writer, it stays so.

use std::collections::BTreeSet;

use super::{Invariant, Moment};

#[derive(Default)]
pub(super) struct OpenedByGrant {
    /// Epochs under which a server was opened.
    used: BTreeSet<u64>,
}

impl Invariant for OpenedByGrant {
    fn name(&self) -> &'static str {
        "3 (opened by its grant, after the revocation and its proof)"
    }

    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let state = &moment.newest.0;
        for host in moment.opened {
            let Some(grant) = &state.grant else { continue };
            if grant.node.as_str() != host {
                return Err(format!("{host} was opened, epoch {} is {}'s", grant.epoch, grant.node));
            }
            let epoch = moment.servers.get(host).map_or(0, |s| s.epoch);
            if epoch > 0 && !self.used.insert(epoch) {
                return Err(format!("{host} was opened a second time under epoch {epoch}"));
            }
        }
        if !moment.news {
            return Ok(());
        }
        let known = state.operation.iter().chain(state.history.iter().map(|f| &f.operation));
        let mut unproven = known.filter(|o| o.to.is_some() && o.from.0 > 0 && o.proof.is_none());
        match unproven.next() {
            Some(o) => Err(format!("epoch {} was followed without a proof", o.from)),
            None => Ok(()),
        }
    }
}
