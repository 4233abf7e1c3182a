//! The handle on the group: opened once per daemon, cloned into every room that needs it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use baton_proto::peer::Sender;
use openraft::RaftMetrics;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::formation::FormationStatus;
use super::leadership::Leadership;
use super::left_behind::LeftBehind;
use super::network::Network;
use super::options::GroupOptions;
use super::store::{Applied, Binding, Medium, MembershipView, Notes, Shared, Store, StoreError};
use super::ticking::Ticking;
use super::types::{Raft, TypeConfig};
use super::wire;
use crate::peers::Peers;
use crate::state::ClusterState;

/// How long the end of the consensus task is waited for.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Why the group cannot be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store belongs to another cluster.
    #[error(
        "the store {path} belongs to cluster {theirs:?}, the configuration says {mine:?}: correct the name, or give this cluster a state directory of its own"
    )]
    OtherCluster {
        /// The file.
        path: String,
        /// Cluster in the configuration.
        mine: String,
        /// Cluster in the store.
        theirs: String,
    },
    /// Heartbeat and election times do not fit together.
    #[error("the times of elections do not fit together: {0}")]
    Pace(String),
    /// openraft would not start.
    #[error(
        "consensus cannot start from the store {path}: {detail}; remove this node and add it again (batonctl node remove, batonctl node add)"
    )]
    Consensus {
        /// The file.
        path: String,
        /// What it said.
        detail: String,
    },
}

pub(super) struct Inner {
    options: GroupOptions,
    store: Store,
    shared: Arc<Shared>,
    binding: watch::Sender<Option<Binding>>,
    raft: OnceLock<Raft>,
    starting: Mutex<()>,
    changing: Arc<Mutex<()>>,
    leadership: watch::Sender<Leadership>,
    pub(super) ticking: Ticking,
    formation: watch::Sender<FormationStatus>,
    stopped: watch::Sender<Option<String>>,
    stopping: CancellationToken,
    pub(super) left_behind: watch::Sender<Option<LeftBehind>>,
}

/// This node's part in the group. Clones share it. It runs until [`Group::shutdown`].
#[derive(Clone)]
pub struct Group(pub(super) Arc<Inner>);

impl Group {
    /// Opens the store and takes part in the group that it belongs to; forms or joins one in the background if
    /// the store is blank ([`Group::formation`]).
    ///
    /// # Errors
    /// [`OpenError`] names what is wrong and the mend. Nothing has been changed then.
    pub async fn open(options: GroupOptions) -> Result<Self, OpenError> {
        options.raft_config()?;
        let store = open_store(&options).await?;
        let binding = store.binding().await?;
        if let Some(other) = binding.as_ref().filter(|binding| binding.cluster != options.cluster) {
            store.close().await;
            return Err(OpenError::OtherCluster {
                path: store.path().display().to_string(),
                mine: options.cluster,
                theirs: other.cluster.clone(),
            });
        }
        let shared = Arc::new(Shared::new(options.since_boot.clone()));
        let group = Self(Arc::new(Inner {
            options,
            store,
            shared,
            binding: watch::Sender::new(binding.clone()),
            raft: OnceLock::new(),
            starting: Mutex::default(),
            changing: Arc::default(),
            leadership: watch::Sender::new(Leadership::default()),
            ticking: Ticking::default(),
            formation: watch::Sender::new(FormationStatus::Starting),
            stopped: watch::Sender::new(None),
            stopping: CancellationToken::new(),
            left_behind: watch::Sender::new(None),
        }));
        group.recall_left_behind().await?;
        if let Some(binding) = binding {
            group.start(&binding).await?;
        }
        crate::task::spawn(group.clone().form());
        Ok(group)
    }

    /// The replicated state as this node has applied it, and every change of it.
    pub fn states(&self) -> watch::Receiver<Arc<Applied>> {
        self.0.shared.states()
    }

    /// Runs `work` on the applied state and the newest membership; `None` while a snapshot is being installed or
    /// after consensus stopped, when nothing may be granted.
    ///
    /// Granting and applying exclude each other: what is applied becomes visible wholly before or wholly after
    /// `work`, to everybody. It was on disk before, so a restart never takes it back. `work` must not block: a
    /// lock is held.
    pub fn with_applied<T>(&self, work: impl FnOnce(&ClusterState, &MembershipView) -> T) -> Option<T> {
        self.0.shared.with_applied(work)
    }

    /// Who leads, and every change of it.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.subscribe()
    }

    /// The newest membership in this node's log, applied or not.
    pub fn membership(&self) -> Arc<MembershipView> {
        self.0.shared.membership()
    }

    /// The same, and every change of it.
    pub fn memberships(&self) -> watch::Receiver<Arc<MembershipView>> {
        self.0.shared.memberships()
    }

    /// How far this node is with having a group at all.
    pub fn formation(&self) -> watch::Receiver<FormationStatus> {
        self.0.formation.subscribe()
    }

    /// The group this node's store belongs to, once it does.
    pub fn binding(&self) -> Option<Binding> {
        self.0.binding.borrow().clone()
    }

    /// Small durable facts of other rooms.
    pub fn notes(&self) -> Notes {
        self.0.store.notes()
    }

    /// Who this node is, for every request to a peer.
    pub fn sender(&self) -> Sender {
        let options = &self.0.options;
        wire::sender(&options.cluster, &options.node, self.0.binding.borrow().as_ref())
    }

    /// Waits until consensus has stopped on this node, and answers why. A daemon must then end: it takes no
    /// further part, and what it shows grows old.
    pub async fn stopped(&self) -> String {
        let mut stopped = self.0.stopped.subscribe();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the group was closed".into(),
        }
    }

    /// Ends this node's part: consensus first, then the store. Hand the leadership over before, if it is here.
    pub async fn shutdown(&self) {
        self.0.stopping.cancel();
        self.stop_because("it was shut down".into());
        if let Some(raft) = self.0.raft.get() {
            // A consensus task that hangs on its disk must not keep the daemon from ending.
            let _ = tokio::time::timeout(SHUTDOWN, raft.shutdown()).await;
        }
        self.0.store.close().await;
    }

    /// Binds the blank store to a group and starts to take part in it. Answers the binding that stands.
    pub(super) async fn bind(
        &self,
        binding: Binding,
        note: Option<(&'static str, String)>,
    ) -> Result<Binding, OpenError> {
        let bound = self.0.store.bind(binding, note).await?;
        self.start(&bound).await?;
        self.0.binding.send_replace(Some(bound.clone()));
        Ok(bound)
    }

    async fn start(&self, binding: &Binding) -> Result<(), OpenError> {
        let _starting = self.0.starting.lock().await;
        if self.0.raft.get().is_some() {
            return Ok(());
        }
        let options = &self.0.options;
        let (log, machine) = self.0.store.load(self.0.shared.clone()).await?;
        if self.left_behind().is_some() {
            // What it had applied is shown; it takes no part in any group.
            return Ok(());
        }
        let sender = wire::sender(&options.cluster, &options.node, Some(binding));
        let newer = self.generation_watch();
        let network = Network { peers: options.peers.clone(), sender, newer };
        let config = Arc::new(options.raft_config()?);
        let raft = Raft::new(binding.raft_id, config, network, log, machine);
        let raft = raft.await.map_err(|e| OpenError::Consensus {
            path: self.0.store.path().display().to_string(),
            detail: e.to_string(),
        })?;
        crate::task::spawn(self.clone().keep_time(raft.clone()));
        crate::task::spawn(self.clone().follow(raft.clone()));
        self.0.raft.get_or_init(|| raft);
        Ok(())
    }

    pub(super) fn raft(&self) -> Option<Raft> {
        self.0.raft.get().cloned()
    }

    pub(super) fn options(&self) -> &GroupOptions {
        &self.0.options
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn peers(&self) -> &Peers {
        &self.0.options.peers
    }

    pub(super) fn changing(&self) -> &Arc<Mutex<()>> {
        &self.0.changing
    }

    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    pub(super) fn tell_formation(&self, status: FormationStatus) {
        self.0.formation.send_if_modified(|current| {
            let changed = *current != status;
            *current = status;
            changed
        });
    }

    pub(super) fn tell_leadership(&self, leadership: Leadership) {
        let leadership = if self.left_behind().is_none() { leadership } else { Leadership::default() };
        self.0.leadership.send_if_modified(|current| {
            let changed = *current != leadership;
            *current = leadership;
            changed
        });
    }

    pub(super) fn stop_because(&self, reason: String) {
        if self.left_behind().is_some() && !self.stopping().is_cancelled() {
            // Consensus has stopped for good; the node stays, for the sake of the server beside it.
            return;
        }
        self.0.shared.withhold();
        self.tell_leadership(Leadership::default());
        self.0.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            stopped.get_or_insert(reason);
            first
        });
    }

    /// Drops connections to nodes that are neither members nor configured.
    pub(super) fn keep_links(&self, metrics: &RaftMetrics<TypeConfig>) {
        self.peers().retain(|name| {
            self.0.options.address_of(name).is_some()
                || metrics.membership_config.nodes().any(|(_, member)| member.name == *name)
        });
    }
}

async fn open_store(options: &GroupOptions) -> Result<Store, OpenError> {
    let (machine_id, store_id) = (options.machine_id.clone(), (options.draw_id)());
    let path = match &options.store {
        Medium::File(path) => path.clone(),
        #[cfg(feature = "simulation")]
        Medium::Memory(disk) => return Ok(Store::open_on(disk, &machine_id, &store_id)?),
    };
    let shown = path.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(&path, &machine_id, &store_id)).await;
    match opened {
        Ok(store) => Ok(store?),
        Err(e) => Err(StoreError::CannotOpen { path: shown, detail: e.to_string() }.into()),
    }
}
