//! What is wanted now, handed to every instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::board::Board;
use super::desired::{Desired, desired};
use super::reconcile::{Keeper, Note, Order};
use crate::config::{Config, ProxysqlConfig};
use crate::consensus::Leadership;
use crate::decide::readers::reading;
use crate::decide::seen::Probe;
use crate::state::{ClusterState, Epoch, NodeName, UnixMillis};

/// Without a change of the state, readers are looked at this often.
const TICK: Duration = Duration::from_millis(250);
/// For how long after an opening a monitor may still act on what it heard of the old writer: the interval and the timeout of
/// its looks, 1 s and 0.5 s by default.
const SETTLES: Duration = Duration::from_millis(1500);
/// Repairs that wait to be put on record.
const NOTES: usize = 16;

/// Whether this node leads.
#[derive(Clone)]
pub struct Leading {
    /// By its own word, now.
    pub mine: Arc<dyn Fn() -> bool + Send + Sync>,
    /// By a majority's, bounded.
    pub confirmed: Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>,
}

/// Hands every instance what is wanted, on every node; only the leader's instances get anything.
pub struct Follow {
    /// What was agreed.
    pub states: watch::Receiver<Arc<ClusterState>>,
    /// Who leads.
    pub leadership: watch::Receiver<Leadership>,
    /// Whether this node does.
    pub leading: Leading,
    /// What all nodes see of each server.
    pub probed: Arc<dyn Fn() -> BTreeMap<NodeName, Probe> + Send + Sync>,
    /// The file as it was read last.
    pub file: watch::Receiver<Arc<Config>>,
    /// Where others read what came of it.
    pub board: Arc<Board>,
    /// Puts on record what was put right, and why.
    pub record: Arc<dyn Fn(String, String) -> BoxFuture<'static, ()> + Send + Sync>,
    /// The wall clock.
    pub now_ms: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
}

/// What is remembered between two turns.
struct News {
    state: Arc<ClusterState>,
    /// When that state came: a leader that was cut off hears of no new one, whatever its probes see.
    since: Instant,
    /// The newest epoch whose writer is open, and when this node heard of that.
    opened: Option<(Epoch, Instant)>,
    /// Who was read from a moment ago; a node that has just come to lead takes everybody for one.
    were: Option<BTreeSet<NodeName>>,
}

/// The instances that are looked after.
struct Instances {
    running: BTreeMap<String, (ProxysqlConfig, AbortHandle)>,
    tasks: JoinSet<()>,
    orders: watch::Sender<Order>,
    notes: mpsc::Sender<Note>,
}

impl Follow {
    /// Follows for ever.
    pub async fn run(mut self) {
        let (notes, mut noted) = mpsc::channel(NOTES);
        let state = self.states.borrow().clone();
        // Whoever was open before this began has been for long, for all that is known.
        let opened = open_epoch(&state).zip(Instant::now().checked_sub(SETTLES));
        let mut news = News { state, since: Instant::now(), opened, were: None };
        let orders = watch::Sender::new(Order { desired: None, since: news.since });
        let mut instances = Instances { running: BTreeMap::new(), tasks: JoinSet::new(), orders, notes };
        loop {
            instances.match_file(&self);
            let wanted = self.wanted(&mut news);
            instances.order(wanted, news.since);
            tokio::select! {
                changed = self.states.changed() => if changed.is_err() { return },
                changed = self.leadership.changed() => if changed.is_err() { return },
                changed = self.file.changed() => if changed.is_err() { return },
                Some((what, why)) = noted.recv() => {
                    crate::task::spawn((self.record)(what, why));
                }
                () = sleep(TICK) => {}
            }
        }
    }

    fn wanted(&mut self, news: &mut News) -> Option<Desired> {
        let state = self.states.borrow_and_update().clone();
        self.leadership.mark_unchanged();
        if !Arc::ptr_eq(&state, &news.state) {
            (news.state, news.since) = (Arc::clone(&state), Instant::now());
            let open = open_epoch(&state);
            if open.is_some() && open != news.opened.map(|(epoch, _)| epoch) {
                news.opened = open.map(|epoch| (epoch, news.since));
            }
        }
        if !(self.leading.mine)() {
            news.were = None;
            return None;
        }
        let before = news.were.take().unwrap_or_else(|| state.members.keys().cloned().collect());
        let reading = reading(&state, &(self.probed)(), &before);
        let wanted = desired(&state, &reading, news.settles());
        news.were = Some(reading.readers);
        wanted
    }
}

/// The epoch whose writer is open.
fn open_epoch(state: &ClusterState) -> Option<Epoch> {
    state.live_grant().filter(|grant| grant.opened_ms.is_some()).map(|grant| grant.epoch)
}

impl News {
    fn settles(&self) -> bool {
        self.opened.is_some_and(|(_, since)| since.elapsed() < SETTLES)
    }
}

impl Instances {
    /// What is wanted by now; the same again is no news.
    fn order(&self, desired: Option<Desired>, since: Instant) {
        self.orders.send_if_modified(|order| {
            if order.desired.as_deref() == desired.as_ref() {
                return false;
            }
            *order = Order { desired: desired.map(Arc::new), since };
            true
        });
    }

    /// Those that the file names, and no others.
    fn match_file(&mut self, follow: &Follow) {
        let proxies = follow.file.borrow().proxies.clone();
        self.running.retain(|name, (running, task)| {
            let stays = proxies.iter().any(|proxy| proxy == running);
            if !stays {
                task.abort();
                follow.board.remove(name);
            }
            stays
        });
        let mark = format!("baton {}", follow.file.borrow().cluster.name);
        for proxy in proxies {
            if self.running.contains_key(&proxy.name) {
                continue;
            }
            let keeper = Keeper {
                proxy: proxy.clone(),
                orders: self.orders.subscribe(),
                board: Arc::clone(&follow.board),
                leading: follow.leading.clone(),
                notes: self.notes.clone(),
                mark: mark.clone(),
                now_ms: Arc::clone(&follow.now_ms),
                reading: Arc::default(),
            };
            let task = self.tasks.spawn(keeper.run());
            self.running.insert(proxy.name.clone(), (proxy, task));
        }
    }
}
