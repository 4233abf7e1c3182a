//! The node's task: as soon as the group has agreed that the server beside it is quarantined, its extra transactions are
//! archived, and the group learns that they are.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Archiver, Extra};
use crate::operate::Proposer;
use crate::state::{Archive, Change, ClusterState, NodeName, OutReason};

/// After a failure it is tried again this much later; the state may change before.
const AGAIN: Duration = Duration::from_secs(10);
/// After a proposal that was not committed.
const SOON: Duration = Duration::from_secs(1);

/// Archives what the server beside this node alone has.
pub struct Keep {
    /// This node.
    pub me: NodeName,
    /// Writes the archives.
    pub archiver: Arc<dyn Archiver>,
    /// The replicated state, as applied here.
    pub states: watch::Receiver<Arc<ClusterState>>,
    /// Proposals in this node's name.
    pub proposer: Proposer,
}

impl Keep {
    /// Keeps for ever.
    pub async fn run(mut self) {
        loop {
            let state = Arc::clone(&self.states.borrow_and_update());
            let again = match due(&state, &self.me) {
                Some(extra) => self.turn(&state, &extra).await.err(),
                None => None,
            };
            match again {
                // News come all the time while a cluster is busy: what has just failed is not tried at once.
                Some(wait) => sleep(wait).await,
                None if self.states.changed().await.is_err() => return,
                None => {}
            }
        }
    }

    /// How much later to try again, if it failed.
    async fn turn(&self, state: &ClusterState, extra: &Extra) -> Result<(), Duration> {
        let change = match self.archiver.archive(extra).await {
            Ok(done) => {
                info!(gtids = %extra.gtids, path = done.path, "the extra transactions are archived");
                Change::Archived(Archive {
                    id: extra.id(),
                    node: self.me.clone(),
                    epoch: extra.epoch,
                    gtids: extra.gtids.clone(),
                    bytes: done.bytes,
                    path: done.path,
                    at_ms: done.at_ms,
                })
            }
            Err(error) => {
                let why = error.to_string();
                let said = state.quarantine(&self.me).and_then(|q| q.trouble.as_ref());
                if said.is_some_and(|said| why.starts_with(said.as_str())) {
                    return Err(AGAIN);
                }
                warn!(why, "the extra transactions cannot be archived");
                self.commit(Change::NotArchived { node: self.me.clone(), why }).await?;
                return Err(AGAIN);
            }
        };
        self.commit(change).await
    }

    async fn commit(&self, change: Change) -> Result<(), Duration> {
        self.proposer.must(change).await.map_err(|why| {
            info!(why, "not committed yet");
            SOON
        })
    }
}

/// What is to be archived now, if anything.
pub(super) fn due(state: &ClusterState, me: &NodeName) -> Option<Extra> {
    let out = state.out.get(me)?;
    let OutReason::Quarantine(quarantine) = &out.reason else { return None };
    let wanted = quarantine.archive.is_none();
    wanted.then(|| Extra {
        node: me.clone(),
        epoch: quarantine.epoch,
        gtids: quarantine.extra.clone(),
        since_ms: out.since_ms,
    })
}
