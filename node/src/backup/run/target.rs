//! The stores that a backup goes to, all at once: it is read and compressed once.

use std::io;

use tokio::task::JoinHandle;
use tracing::warn;

use super::spec::RunSpec;
use crate::backup::manifest::{backup_prefix, cluster_prefix, stream_prefix};
use crate::backup::pipeline::{Part, PartSink};
use crate::backup::store::{Queue, Store, Uploader, channel};

/// A store that is written to.
pub(super) struct Target {
    store: Store,
    is_required: bool,
    upload: JoinHandle<Result<usize, String>>,
}

/// What became of one.
pub(super) struct Settled {
    pub(super) store: Store,
    pub(super) is_required: bool,
    /// How many objects it has.
    pub(super) sent: Result<usize, String>,
}

/// Sends each part to every store that still takes any. The slowest sets the pace.
pub(super) struct Tee(Vec<(Queue, bool)>);

impl PartSink for Tee {
    fn part(&mut self, part: Part) -> io::Result<()> {
        let mut is_refused = false;
        self.0.retain_mut(|(queue, is_required)| {
            let is_taken = queue.part(part.clone()).is_ok();
            is_refused |= !is_taken && *is_required;
            is_taken
        });
        if is_refused || self.0.is_empty() { Err(io::Error::other("a store takes no more")) } else { Ok(()) }
    }
}

/// Opens every store. An id is used once: what an earlier try left under it is not mixed with this.
pub(super) async fn open(spec: &RunSpec) -> Result<(Tee, Vec<Target>), String> {
    let (cluster, backup) = (&spec.about.cluster, &spec.about.backup);
    let mut stores = Vec::new();
    for place in &spec.stores {
        let store = place.open()?;
        // One backup at a time in the cluster: an upload that is under way there was left, or is not wanted any more.
        if let Err(error) = store.abort_all(&cluster_prefix(cluster)).await {
            warn!(store = store.name(), %error, "uploads that were left could not be taken back");
        }
        let found = store.list(&backup_prefix(cluster, backup)).await;
        match found {
            Ok(items) if items.is_empty() => {}
            Ok(_) => {
                return Err(format!("store {}: there is something under {backup} already", store.name()));
            }
            Err(error) if place.required => return Err(error.to_string()),
            // It is tried all the same: its failure is told with the others'.
            Err(_) => {}
        }
        stores.push((store, place.required));
    }
    let prefix = stream_prefix(cluster, backup);
    let (mut branches, mut targets) = (Vec::new(), Vec::new());
    for (store, is_required) in stores {
        let (queue, parts) = channel();
        let uploader = Uploader::new(store.clone(), &prefix, spec.limits().part_bytes, spec.parts_at_once);
        let upload = tokio::spawn(async move {
            let sent = uploader.run(parts).await.map_err(|e| e.to_string())?;
            Ok(sent.unwrap_or_default() as usize)
        });
        branches.push((queue, is_required));
        targets.push(Target { store, is_required, upload });
    }
    Ok((Tee(branches), targets))
}

/// Waits for every upload: each has ended, or was taken back.
pub(super) async fn settle(targets: Vec<Target>) -> Vec<Settled> {
    let mut settled = Vec::new();
    for Target { store, is_required, upload } in targets {
        let sent = upload.await.unwrap_or_else(|e| Err(format!("an upload ended: {e}")));
        settled.push(Settled { store, is_required, sent });
    }
    settled
}
