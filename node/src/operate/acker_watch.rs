//! Clocks can stop with a paused machine, so a lease alone cannot bind a writer: an acker receives from it only while a
//! majority of the voters says that it still grants the writer's epoch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::action::Hands;
use crate::consensus::Group;
use crate::state::{ClusterState, Epoch, NodeName};

/// Rounds per lease: as often as the writer's guard asks.
const ROUNDS_PER_LEASE: u32 = 5;

/// What the voters say of the writer's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Word {
    /// Nothing yet, and the epoch is not known here for as long as a lease lasts.
    #[default]
    Unheard,
    /// A majority still grants it.
    Granted(Epoch),
    /// For `lease_ttl` no majority has said that it still grants it.
    Refused(Epoch),
}

/// Asks the voters, on behalf of the replica beside this node.
pub struct AckerWatch {
    /// This node.
    pub me: NodeName,
    /// The group.
    pub group: Group,
    /// The voters.
    pub hands: Arc<dyn Hands>,
    /// The replicated state, as applied here.
    pub states: watch::Receiver<Arc<ClusterState>>,
}

impl AckerWatch {
    /// Watches for ever, and tells what the voters say.
    pub async fn run(self, heard: watch::Sender<Word>) {
        let mut said: BTreeMap<NodeName, (Epoch, Instant)> = BTreeMap::new();
        // An epoch that has only just begun is not refused because nobody could be asked yet.
        let mut known_since: Option<(Epoch, Instant)> = None;
        loop {
            let state = self.states.borrow().clone();
            let ttl = state.safety.lease_ttl();
            let began = Instant::now();
            if let Some(epoch) = state.live_grant().filter(|g| g.node != self.me).map(|g| g.epoch) {
                self.round(epoch, ttl / ROUNDS_PER_LEASE, &mut said).await;
                let fresh =
                    said.iter().filter(|(_, (e, at))| *e == epoch && at.elapsed() < ttl).map(|(n, _)| n);
                let known = known_since.filter(|(e, _)| *e == epoch).unwrap_or((epoch, began));
                known_since = Some(known);
                let now = if self.group.membership().is_majority(fresh) {
                    Word::Granted(epoch)
                } else if known.1.elapsed() >= ttl {
                    Word::Refused(epoch)
                } else {
                    Word::Unheard
                };
                heard.send_if_modified(|word| std::mem::replace(word, now) != now);
            } else {
                // Nothing to receive from; whoever follows next asks first.
                known_since = None;
                heard.send_if_modified(|word| std::mem::take(word) != Word::Unheard);
            }
            sleep((ttl / ROUNDS_PER_LEASE).saturating_sub(began.elapsed()).max(Duration::from_millis(20)))
                .await;
        }
    }

    /// One question to every voter; an answer counts from before it was asked.
    async fn round(&self, epoch: Epoch, bound: Duration, said: &mut BTreeMap<NodeName, (Epoch, Instant)>) {
        let asked = Instant::now();
        let mut asking: FuturesUnordered<_> = self
            .group
            .membership()
            .voter_names()
            .into_iter()
            .map(|voter| {
                let question = self.hands.still_grants(voter.clone(), epoch);
                async move { (voter, question.await) }
            })
            .collect();
        let all = async {
            while let Some((voter, still)) = asking.next().await {
                if still == Some(true) {
                    said.insert(voter, (epoch, asked));
                }
            }
        };
        let _late_ones_are_asked_again = tokio::time::timeout(bound, all).await;
    }
}
