//! Notices that make room for newer ones before everybody has been told of them: how many messages that costs whom.

use serde::{Deserialize, Serialize};

use super::alerts::{Alerts, SINKS_MAX};
use super::{Notice, Refusal};

/// The messages to one sink that were never sent, because their notices had to make room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold {
    /// How many, since somebody was first told anything. It never gets less.
    pub total: u64,
    /// Of how many the sink has been told that they were dropped.
    pub said: u64,
}

impl Alerts {
    /// How many messages to a sink were dropped, and it does not know it.
    pub fn unsaid(&self, sink: &str) -> u64 {
        self.untold.get(sink).map_or(0, |untold| untold.total.saturating_sub(untold.said))
    }

    /// A notice makes room, and each of these sinks was still to be told of it. Twice is as good as once.
    pub(super) fn make_room(&mut self, id: &str, sinks: &[String]) -> Result<(), Refusal> {
        let at = self.notices.iter().position(|notice| notice.id == id);
        let at = at.ok_or_else(|| Refusal::NoSuchNotice(id.to_owned()))?;
        self.remove(at);
        for sink in sinks {
            self.count(sink);
        }
        Ok(())
    }

    /// Removes the notice there.
    pub(super) fn remove(&mut self, at: usize) {
        let removed = self.notices.remove(at);
        self.dropped += u64::from(removed.is_some_and(|notice: Notice| !notice.is_over()));
    }

    /// A sink has been told of so many.
    pub(super) fn said(&mut self, sink: &str, count: u64) {
        if let Some(untold) = self.untold.get_mut(sink) {
            untold.said = untold.said.saturating_add(count).min(untold.total);
        }
    }

    fn count(&mut self, sink: &str) {
        if !self.untold.contains_key(sink) && self.untold.len() >= SINKS_MAX {
            // One that has heard of everything, which may be there no more, is forgotten first.
            let heard = self.untold.iter().find(|(_, untold)| untold.said == untold.total);
            let Some(heard) = heard.map(|(sink, _)| sink.clone()) else { return };
            self.untold.remove(&heard);
        }
        let untold = self.untold.entry(sink.to_owned()).or_default();
        untold.total = untold.total.saturating_add(1);
    }
}
