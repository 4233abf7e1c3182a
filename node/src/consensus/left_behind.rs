//! A node that a group was recovered without. It learns so from the first answer of a member of the newer generation, and
//! remembers it: it takes no part in any group any more, and nobody is the writer on its host. It runs on, so that its
//! guard keeps the server closed and whoever asks it is told what to do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tracing::{error, warn};

use super::formation::FormationStatus;
use super::group::Group;
use super::leadership::Leadership;
use super::store::StoreError;
use crate::state::NodeName;

/// The note's key.
pub(super) const KEY: &str = "group.left_behind";
/// In a refusal, beside its words.
const GENERATION: &str = "baton-generation";
/// How long the end of the consensus task is waited for.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Told of a newer generation of this node's group.
pub(super) type Newer = Arc<dyn Fn(u64) + Send + Sync>;

/// Which generation of the group this node was left behind by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// This node.
    pub node: NodeName,
    /// The one that goes on without it.
    pub generation: u64,
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{node} was left behind when the group was recovered (generation {}): it takes no part any more, and its \
             server stays closed; to bring it back stop baton-node there, move its state directory (paths.data) away, \
             start it, and run batonctl node add {node}",
            self.generation,
            node = self.node
        )
    }
}

/// A refusal that names the generation.
pub(super) fn of_newer_generation(words: String, generation: u64) -> Status {
    let mut status = Status::new(Code::FailedPrecondition, words);
    status.metadata_mut().insert(GENERATION, MetadataValue::from(generation));
    status
}

/// The newer generation that a refusal names.
pub(super) fn newer_generation(status: &Status) -> Option<u64> {
    status.metadata().get(GENERATION)?.to_str().ok()?.parse().ok()
}

impl Group {
    /// Whether the group goes on without this node.
    pub fn left_behind(&self) -> Option<LeftBehind> {
        self.0.left_behind.borrow().clone()
    }

    /// Resolves when it does.
    pub(super) async fn left(&self) {
        let mut left = self.0.left_behind.subscribe();
        if left.wait_for(Option::is_some).await.is_err() {
            std::future::pending().await
        }
    }

    /// What [`Group::is_left_behind`] is told by whoever talks to members. Does not keep the group alive.
    pub(super) fn generation_watch(&self) -> Newer {
        let group = Arc::downgrade(&self.0);
        Arc::new(move |generation| {
            if let Some(group) = group.upgrade() {
                Self(group).is_left_behind(generation);
            }
        })
    }

    /// A member of a newer generation has been heard. From here on this node grants nothing and names no writer; the rest
    /// follows behind.
    pub(super) fn is_left_behind(&self, generation: u64) {
        if self.binding().is_none_or(|mine| generation <= mine.generation) {
            return;
        }
        let left = LeftBehind { node: self.options().node.clone(), generation };
        if self.leave(left.clone()) {
            error!("{left}");
            let group = self.clone();
            crate::task::spawn(async move { group.leave_for_good(left).await });
        }
    }

    /// Goes by what an earlier process has learnt.
    pub(super) async fn recall_left_behind(&self) -> Result<(), StoreError> {
        let note = self.notes().get(KEY).await?;
        if let Some(left) = note.and_then(|note| serde_json::from_str::<LeftBehind>(&note).ok()) {
            self.leave(left);
        }
        Ok(())
    }

    /// Whether this is news.
    fn leave(&self, left: LeftBehind) -> bool {
        self.shared().leave_behind();
        let is_news = self.0.left_behind.send_if_modified(|known| {
            let is_news = known.is_none();
            known.get_or_insert_with(|| left.clone());
            is_news
        });
        self.tell_formation(FormationStatus::LeftBehind(left));
        self.tell_leadership(Leadership::default());
        is_news
    }

    async fn leave_for_good(&self, left: LeftBehind) {
        let note = serde_json::to_string(&left).unwrap_or_default();
        if let Err(error) = self.notes().put(KEY, &note).await {
            warn!(%error, "not noted; the next start learns it again");
        }
        if let Some(raft) = self.raft() {
            // A consensus task that hangs on its disk grants nothing all the same.
            let _ = tokio::time::timeout(SHUTDOWN, raft.shutdown()).await;
        }
    }
}
