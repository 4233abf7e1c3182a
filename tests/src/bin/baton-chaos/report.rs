//! What a run of chaos comes to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::fault::Kind;

/// Counts of all episodes.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) episodes: u32,
    pub(crate) failed: u32,
    pub(crate) acknowledged: usize,
    pub(crate) epochs: u64,
    /// How often each fault struck, and the longest time without an acknowledged write of the episodes with it.
    faults: BTreeMap<Kind, (u32, Duration)>,
}

impl Report {
    pub(crate) fn count(&mut self, kind: Kind) {
        self.faults.entry(kind).or_default().0 += 1;
    }

    pub(crate) fn outage(&mut self, kinds: &[Kind], outage: Duration) {
        for kind in kinds {
            let longest = &mut self.faults.entry(*kind).or_default().1;
            *longest = outage.max(*longest);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<16} {:>7} {:>26}", "fault", "struck", "longest outage with it")?;
        for (kind, (count, outage)) in &self.faults {
            writeln!(f, "{:<16} {count:>7} {:>23} ms", format!("{kind:?}"), outage.as_millis())?;
        }
        let faults: u32 = self.faults.values().map(|(count, _)| count).sum();
        writeln!(
            f,
            "{} episodes, {faults} faults, {} epochs, {} rows acknowledged: {}",
            self.episodes,
            self.epochs,
            self.acknowledged,
            match self.failed {
                0 => "all held".to_owned(),
                failed => format!("{failed} FAILED"),
            }
        )
    }
}
