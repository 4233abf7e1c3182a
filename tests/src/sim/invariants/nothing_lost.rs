//! 4. A write acknowledged to a client while the cluster was `lossless` is present on every later writer.

use super::{Invariant, Moment};
use crate::sim::fleet::Row;

#[derive(Default)]
pub(super) struct NothingLost {
    /// Acknowledged while the group had committed `lossless`.
    promised: Vec<Row>,
    lossless: Option<u64>,
    /// The epoch whose writer was looked at.
    checked: u64,
}

impl NothingLost {
    /// The rows that were promised.
    fn missing(&self, moment: &Moment<'_>, host: &str) -> Result<(), String> {
        let missing = moment.fleet.rows_missing(host, &self.promised);
        match missing.first() {
            Some(row) => {
                Err(format!("{host} lacks {} acknowledged rows, the first is {row:?}", missing.len()))
            }
            None => Ok(()),
        }
    }
}

impl Invariant for NothingLost {
    fn name(&self) -> &'static str {
        "4 (nothing acknowledged is lost)"
    }

    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let state = &moment.newest.0;
        // A writer that has not heard of its revocation goes on, and so does the promise.
        let lossless = state.grant.as_ref().filter(|_| state.durability.is_lossless()).map(|g| g.epoch.0);
        // Only what was acknowledged between two looks that both found it lossless: the entry that degrades is committed
        // before the writer goes on.
        let still = self.lossless.is_some() && self.lossless == lossless;
        for row in moment.acknowledged {
            if still && Some(row.epoch) == lossless {
                self.promised.push(row.row);
            }
        }
        self.lossless = lossless;
        let Some(grant) = state.grant.as_ref() else { return Ok(()) };
        let host = grant.node.to_string();
        if grant.epoch.0 > self.checked && moment.accepting.contains(&host) {
            self.checked = grant.epoch.0;
            self.missing(moment, &host)?;
        }
        Ok(())
    }
}
