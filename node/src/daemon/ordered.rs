//! What operators ask of a node: the control service, and a restart that refuses no write.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use super::assembly::Assembly;
use crate::guard::HandedOver;
use crate::serve::Control;

/// How long the voters may take to grant a lease for the next process: less than an ordinary one.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(1);

impl Assembly {
    /// What answers operators.
    pub fn control_service(&self) -> Control {
        let (table, states) = (Arc::clone(&self.table), self.states.clone());
        let lasting = self.lasting.subscribe();
        let (ids, clock) = (self.proposer.clone(), self.proposer.clone());
        Control {
            group: self.group.clone(),
            peers: Arc::clone(&self.peers),
            me: self.me.clone(),
            cluster: self.cluster.clone(),
            callers: self.callers,
            seen: Arc::new(move || table.snapshot(&states.borrow())),
            own: Arc::clone(&self.own),
            archiver: self.archiver.clone(),
            listeners: self.listeners.clone(),
            routing: Arc::clone(&self.routing),
            hands: Arc::new(self.net()),
            hooks: Arc::clone(&self.hooks.source),
            by_router: self.by_router.clone(),
            followers: self.followers.subscribe(),
            lasting: Arc::new(move || *lasting.borrow()),
            new_id: Arc::new(move || ids.draw_id()),
            now: Arc::new(move || Timestamp::from_millisecond(clock.now_ms()).unwrap_or_default()),
        }
    }

    /// A planned restart refuses no write: the keeper holds the server open until the next process is there.
    pub async fn hand_over(&self) {
        let Some(guard) = &self.guard else { return };
        match guard.hand_over(HAND_OVER_WITHIN).await {
            Ok(HandedOver::Nothing) => {}
            Ok(HandedOver::Paused) => info!("paused: the server stays open until the next start"),
            Ok(HandedOver::For(left)) => {
                info!(seconds = left.as_secs(), "handed the lease over: the server stays open for so long");
            }
            Err(why) => warn!(why, "no lease to hand over: the server ends with the present one"),
        }
    }
}
