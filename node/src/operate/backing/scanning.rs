//! What lies in this node's stores and is not listed.

use tracing::warn;

use super::BackupRunner;
use super::making::listed;
use crate::backup::scan::{ScanSpec, Scanned};
use crate::backup::settings::Settings;
use crate::state::{BACKUPS_LISTED, Backup, BackupTask, Change};

/// So many go into one entry of the log: each may have a long set of GTIDs.
const AT_ONCE: usize = 20;
/// Of what is none, so many are named to people; the node's log has all.
const NAMED: usize = 5;

impl BackupRunner {
    pub(super) fn scan_spec(&self, settings: &Settings) -> ScanSpec {
        let state = self.states.borrow();
        let known = state
            .backups
            .catalogue
            .iter()
            .map(|(id, listed)| (id.clone(), (listed.manifest_blake3.clone(), listed.stores.clone())));
        ScanSpec {
            cluster: self.cluster.clone(),
            stores: settings.stores.clone(),
            known: known.collect(),
            most: BACKUPS_LISTED.saturating_sub(state.backups.catalogue.len()),
        }
    }

    /// Has the group list them. What ends the task.
    pub(super) async fn found(&self, task: &BackupTask, scanned: Scanned) -> Change {
        for fault in &scanned.faults {
            warn!(task = %task.id, fault, "this is no backup");
        }
        let note = in_words(&scanned);
        let mut found: Vec<(String, Backup)> = Vec::new();
        for one in scanned.found {
            let id = one.manifest.backup.clone();
            found.push((id, listed(one.manifest, one.manifest_blake3, one.stores)));
        }
        for some in found.chunks(AT_ONCE) {
            self.say(task, Change::BackupsFound { task: task.id.clone(), found: some.to_vec() }).await;
        }
        Change::BackupsScanned { task: task.id.clone(), note }
    }
}

/// "3 found that were not listed; 1 is none: store disk: 20260101T000000Z-db2: …"
fn in_words(scanned: &Scanned) -> String {
    let mut words = match scanned.found.len() {
        0 => "nothing was found that is not listed".to_owned(),
        count => format!(
            "{count} found that were not listed, or not as one of that store; new ones are pinned, and `batonctl backup unpin ID` \
             hands one to the stores' rules"
        ),
    };
    if scanned.passed_over > 0 {
        words += &format!("; {} older ones stay in the stores alone", scanned.passed_over);
    }
    let faults = scanned.faults.len();
    if faults > 0 {
        let named: Vec<_> = scanned.faults.iter().take(NAMED).map(String::as_str).collect();
        words += &format!("; {faults} cannot be listed: {}", named.join("; "));
        if faults > NAMED {
            words += &format!("; and {} more, which the node's log has", faults - NAMED);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_in_words() {
        let mut scanned = Scanned::default();
        assert_eq!(in_words(&scanned), "nothing was found that is not listed");
        scanned.passed_over = 3;
        scanned.faults = (1..=7).map(|number| format!("store disk: b{number}: it is damaged")).collect();
        let words = in_words(&scanned);
        assert!(
            words.contains("; 3 older ones stay in the stores alone; 7 cannot be listed: store disk: b1: it")
        );
        assert!(
            words.ends_with("store disk: b5: it is damaged; and 2 more, which the node's log has"),
            "{words}"
        );
    }
}
