//! From a configuration to a running node.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::claim::Claim;
use super::ports::{GroupApplied, Keeper, Socket, StoreNotes, states_only};
use super::reports::ToLeader;
use super::servers::Servers;
use super::serving::{OwnView, Serving, own_view};
use super::settings::formation;
use super::watchdog::{self, Turns, Watched};
use super::{names, routes};
use crate::config::{Config, Loaded, digest, fence_command};
use crate::consensus::{Group, GroupOptions, OpenError, Pace};
use crate::decide::diagnose::Lasting;
use crate::decide::seen::GuardSeen;
use crate::guard::clock::RealClock;
use crate::guard::keeper::{Client, ClientError, SpawnOptions, connect_or_spawn};
use crate::guard::{Applied, Guard, GuardHandle, GuardPorts, HandedOver, Voter};
use crate::identity::{Identity, IdentityError};
use crate::observe::{
    OwnHandle, OwnSetup, OwnTrial, OwnWatch, Prober, Reporter, ReporterSetup, Table, TrialHandle, TrialSetup,
};
use crate::operate::attend::Remote;
use crate::operate::{AckerWatch, Actor, Attend, Granting, Hands, Lead, Net, Proposer, ReceiverStop};
use crate::peers::{Dialer, Peers};
use crate::route::{Router, RouterError, RouterOptions, Routes};
use crate::serve::settings::live;
use crate::sql::{Address, ManagedServer, SqlServer};
use crate::state::{ClusterState, HardFence, Live, NodeName};

/// How long the parts may take to end on a stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Closing a server has its own, shorter bounds.
const STEP_DOWN_WITHIN: Duration = Duration::from_secs(10);
/// How long the voters may take to grant a lease for the next process: less than an ordinary one.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(1);

/// How soon a keeper that did not take something is told again.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// Why a node cannot start. Nothing was changed.
#[derive(Debug, Error)]
pub enum StartError {
    /// Certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The group's store.
    #[error(transparent)]
    Group(#[from] OpenError),
    /// The keeper.
    #[error("no keeper, so no server could be ended when its lease ends: {0}")]
    Keeper(#[from] ClientError),
    /// The router's ports.
    #[error(transparent)]
    Router(#[from] RouterError),
    /// A directory.
    #[error("{key}: {path} cannot be used: {source}; it must be a directory that Baton may write")]
    Directory {
        /// The configuration's name for it.
        key: &'static str,
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another daemon's.
    #[error(
        "paths.run: another baton-node runs in {path}: stop it first, or give this one its own paths and ports"
    )]
    RunTaken {
        /// Which.
        path: String,
    },
    /// A port of Baton's own.
    #[error(
        "{key}: {address} cannot be listened on: {source}; choose an address of this host that is free, or end what \
         has it (another baton-node?)"
    )]
    Listen {
        /// The configuration's name for it.
        key: &'static str,
        /// Which.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Anything else, in words that name the mend.
    #[error("{0}")]
    Other(String),
}

/// A running node.
pub struct Daemon {
    stop: CancellationToken,
    reloader: Reloader,
    group: Group,
    /// Of a data node.
    guard: Option<GuardHandle>,
    /// Resolves with the reason when a part has ended that the node cannot do without.
    fatal: mpsc::Receiver<String>,
    _claim: Claim,
    tasks: tokio::task::JoinSet<()>,
}

/// Ends the writer's epoch on this node on demand.
pub struct Steps(Option<GuardHandle>);

impl Steps {
    /// Closes the server beside this node, if it is the writer: the node is to be stopped for good.
    pub async fn down(&self) {
        let Some(guard) = &self.0 else { return };
        match guard.step_down(STEP_DOWN_WITHIN).await {
            Ok(()) => info!("the server is closed: this node is to be stopped"),
            Err(why) => warn!(why, "the server could not be closed; the keeper ends it with its lease"),
        }
    }
}

/// Takes over what a new file may change at run time.
#[derive(Clone)]
pub struct Reloader {
    live: watch::Sender<Live>,
    file: watch::Sender<Arc<Config>>,
}

impl Reloader {
    /// From now on these values count; on the leader they become the group's. Replicated ones are compared with the group's.
    pub fn reload(&self, config: &Config) {
        self.live.send_replace(live(config));
        self.file.send_replace(Arc::new(config.clone()));
    }
}

/// What the parts share.
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) me: NodeName,
    pub(super) group: Group,
    pub(super) peers: Arc<Peers>,
    pub(super) states: watch::Receiver<Arc<ClusterState>>,
    pub(super) servers: Arc<Servers>,
    pub(super) remote: Remote,
    pub(super) table: Arc<Table>,
    pub(super) voter: Arc<Voter>,
    pub(super) proposer: Proposer,
    pub(super) news: Arc<Notify>,
    pub(super) live: watch::Sender<Live>,
    /// The file as it was read last.
    pub(super) file: watch::Sender<Arc<Config>>,
    pub(super) lasting: watch::Sender<Lasting>,
}

/// The parts that only a data node has.
pub(super) struct Beside {
    pub(super) server: Arc<dyn ManagedServer>,
    pub(super) own: OwnHandle,
    pub(super) trial: TrialHandle,
    pub(super) actor: Arc<Actor>,
    pub(super) stop: Arc<ReceiverStop>,
    /// Told why the server does not follow the writer.
    pub(super) follows: watch::Sender<Option<String>>,
}

impl Daemon {
    /// Starts every part. `program` is this binary, for the keeper.
    ///
    /// # Errors
    /// [`StartError`] names what is wrong and the mend.
    pub async fn start(loaded: &Loaded, program: &Path) -> Result<Self, StartError> {
        let config = Arc::new(loaded.config.clone());
        let identity = identity(&config, &loaded.me.name)?;
        let me = NodeName::from(loaded.me.name.as_str());
        let listener = listen_on("node.peer", &loaded.me.peer.to_string()).await?;
        let control_only = match config.control.listen {
            Some(address) => Some(listen_on("control.listen", &address.to_string()).await?),
            None => None,
        };
        let http = listen_on("http.listen", &config.http.listen.to_string()).await?;
        let router = config.router.enabled.then(|| bind_router(&config)).transpose()?;
        let claim = folders(&config)?;
        // Before the store, which is the last that can fail: a node without a keeper must not take part.
        let keeper = match loaded.me.is_witness() {
            true => None,
            false => Some(connect_or_spawn(&keeper_of(&config, &me, program)).await?),
        };
        let shared = match Self::share(&config, &me, &identity).await {
            Ok(shared) => shared,
            Err(error) => {
                if let Some(keeper) = keeper {
                    // One that holds a server refuses, and goes on.
                    let _ = keeper.stop().await;
                }
                return Err(error);
            }
        };
        let (fatal_sender, fatal) = mpsc::channel(4);
        let mut daemon = Self {
            stop: CancellationToken::new(),
            reloader: Reloader { live: shared.live.clone(), file: shared.file.clone() },
            group: shared.group.clone(),
            guard: None,
            fatal,
            _claim: claim,
            tasks: tokio::task::JoinSet::new(),
        };
        let prober = Arc::new(Prober::new(shared.remote.clone(), Arc::clone(&shared.news)));
        let beside = match keeper {
            Some(client) => Some(daemon.beside(&shared, loaded, client, &fatal_sender).await?),
            None => None,
        };
        let own = own_view(&shared, &prober, beside.as_ref());
        let reports = Turns::default();
        let mut loops = vec![reports.watched("reports")];
        if let Some(guard) = daemon.guard.clone() {
            loops.push(Watched { name: "guard", turned: Arc::new(move || guard.turned()) });
        }
        daemon.tasks.spawn(watchdog::run(loops));
        daemon.observe(&shared, &prober, Arc::clone(&own), reports);
        let net = Net {
            me: me.clone(),
            group: shared.group.clone(),
            peers: Arc::clone(&shared.peers),
            voter: Arc::clone(&shared.voter),
            actor: beside.as_ref().map(|b| Arc::clone(&b.actor)),
            remote: shared.remote.clone(),
        };
        daemon.operate(&shared, &net, beside.as_ref());
        let serving = Serving { shared: &shared, own, stop: &daemon.stop, fatal: &fatal_sender };
        let actor = beside.as_ref().map(|b| Arc::clone(&b.actor));
        serving.peers(&mut daemon.tasks, &identity, listener, actor);
        if let Some(listener) = control_only {
            serving.control(&mut daemon.tasks, &identity, listener);
        }
        serving.http(&mut daemon.tasks, http, router.as_ref().map(Router::counters));
        if let Some(router) = router {
            daemon.route(&shared, router, &prober);
        }
        daemon.watch_group(&fatal_sender);
        Ok(daemon)
    }

    async fn share(
        config: &Arc<Config>,
        me: &NodeName,
        identity: &Arc<Identity>,
    ) -> Result<Shared, StartError> {
        let tls = Arc::clone(identity);
        let nodes: Vec<(NodeName, String)> =
            config.nodes.iter().map(|n| (n.name.as_str().into(), n.peer.to_string())).collect();
        let dialer = Dialer::Tls(Arc::new(move |peer: &NodeName| tls.client_tls(peer.as_str())));
        let peers = Arc::new(Peers::new(dialer).with_configured(nodes.clone()));
        let draw_id: Arc<dyn Fn() -> String + Send + Sync> =
            Arc::new(|| format!("{:016x}", rand::random::<u64>()));
        let now = Arc::new(|| Timestamp::now().as_millisecond());
        let group = Group::open(GroupOptions {
            cluster: config.cluster.name.clone(),
            node: me.clone(),
            nodes,
            config_digest: format!("{:016x}", digest(config)),
            version: env!("CARGO_PKG_VERSION").into(),
            store: config.paths.data.join("group.db"),
            machine_id: machine_id(),
            peers: Arc::clone(&peers),
            pace: Pace {
                heartbeat: config.raft.heartbeat,
                election_min: config.raft.election_min,
                election_max: config.raft.election_max,
            },
            formation: formation(config, me, Arc::clone(&draw_id)),
            draw_id: Arc::clone(&draw_id),
        })
        .await?;
        let applied: Arc<dyn Applied> = Arc::new(GroupApplied(group.clone()));
        let notes = Arc::new(StoreNotes(group.notes()));
        let voter = Voter::new(Arc::new(RealClock), applied, notes).await.map_err(StartError::Other)?;
        let is_witness = config.node(me.as_str()).is_none_or(crate::config::NodeConfig::is_witness);
        let servers = Arc::new(Servers::new(config, is_witness).map_err(StartError::Other)?);
        Ok(Shared {
            me: me.clone(),
            states: states_only(&group),
            peers,
            remote: servers.remote(),
            servers,
            table: Arc::default(),
            voter: Arc::new(voter),
            proposer: Proposer::new(group.clone(), me.clone(), draw_id, now),
            news: Arc::default(),
            live: watch::Sender::new(live(config)),
            file: watch::Sender::new(Arc::clone(config)),
            lasting: watch::Sender::new(Lasting::default()),
            config: Arc::clone(config),
            group,
        })
    }

    /// The guard, and what looks after the server for it.
    async fn beside(
        &mut self,
        shared: &Shared,
        loaded: &Loaded,
        client: Client,
        fatal: &mpsc::Sender<String>,
    ) -> Result<Beside, StartError> {
        let config = &shared.config;
        let local = shared.servers.connector(Address::Socket(config.server.socket.clone()));
        let server: Arc<dyn ManagedServer> = Arc::new(SqlServer::new(&local));
        let nudge = Arc::new(Notify::new());
        let (guard, handle) = Guard::new(GuardPorts {
            me: shared.me.clone(),
            clock: Arc::new(RealClock),
            notes: Arc::new(StoreNotes(shared.group.notes())),
            voters: Arc::new(Net {
                me: shared.me.clone(),
                group: shared.group.clone(),
                peers: Arc::clone(&shared.peers),
                voter: Arc::clone(&shared.voter),
                actor: None,
                remote: shared.remote.clone(),
            }),
            applied: Arc::new(GroupApplied(shared.group.clone())),
            attach: Arc::new(Socket {
                connector: local,
                socket: config.server.socket.clone(),
                private: config.paths.run.clone(),
                address: loaded.me.server.as_ref().map(ToString::to_string).unwrap_or_default(),
            }),
            server: Arc::clone(&server),
            keeper: Arc::new(Keeper(client.clone())),
            states: shared.states.clone(),
            propose: Arc::new(shared.proposer.clone()),
            nudge: Arc::clone(&nudge),
            accepts: shared.servers.accepts(),
            events: config.server.events,
        })
        .await
        .map_err(StartError::Other)?;
        self.tasks.spawn(tell_hard_fence(shared.states.clone(), client, shared.me.clone()));
        let over = fatal.clone();
        self.tasks.spawn(async move {
            let why = guard.run().await;
            let _stopping = over.send(why.to_owned()).await;
        });
        self.guard = Some(handle.clone());
        let seen = handle.clone();
        let (follows, follow_trouble) = watch::channel(None::<String>);
        let guard_seen = move || {
            let view = seen.seen();
            let trouble = view.trouble.clone().or_else(|| follow_trouble.borrow().clone());
            GuardSeen { trouble, ..view }
        };
        let (watch, own) = OwnWatch::new(OwnSetup {
            server: Arc::clone(&server),
            process: handle.process(),
            guard: Arc::new(guard_seen),
            accepts: shared.servers.accepts(),
            nudge,
            news: Arc::clone(&shared.news),
        });
        self.tasks.spawn(watch.run());
        let (holds, states) = (handle.clone(), shared.states.clone());
        let (trying, trial) = OwnTrial::new(TrialSetup {
            server: Arc::clone(&server),
            own: own.clone(),
            may_write: Arc::new(move || {
                let state = states.borrow();
                let ttl = state.safety.lease_ttl();
                let renewed = holds.seen().lease.is_some_and(|(_, left)| left * 2 > ttl);
                renewed && state.durability.is_lossless()
            }),
        });
        self.tasks.spawn(trying.run());
        let notes = Arc::new(StoreNotes(shared.group.notes()));
        let stop = Arc::new(ReceiverStop::load(notes).await.map_err(StartError::Other)?);
        let actor = Actor::new(Arc::clone(&server), handle.clone(), shared.states.clone(), Arc::clone(&stop));
        let actor = Arc::new(actor.with_sources(shared.servers.source_at()));
        Ok(Beside { server, own, trial, actor, stop, follows })
    }

    /// Probes, and reports to whoever leads.
    fn observe(&mut self, shared: &Shared, prober: &Arc<Prober>, own: OwnView, turns: Turns) {
        let (mut states, probing) = (shared.states.clone(), Arc::clone(prober));
        self.tasks.spawn(async move {
            loop {
                let servers: BTreeMap<NodeName, String> = states
                    .borrow_and_update()
                    .data_nodes()
                    .filter_map(|(n, m)| Some((n.clone(), m.server.clone()?)))
                    .collect();
                probing.follow(&servers);
                if states.changed().await.is_err() {
                    return;
                }
            }
        });
        let nudge = Arc::new(Notify::new());
        let reporter = Reporter::new(ReporterSetup {
            see: Arc::new(move || {
                turns.turn();
                own()
            }),
            sink: Arc::new(ToLeader {
                me: shared.me.clone(),
                group: shared.group.clone(),
                peers: Arc::clone(&shared.peers),
                table: Arc::clone(&shared.table),
            }),
            news: Arc::clone(&shared.news),
            nudge: Arc::clone(&nudge),
            first_serial: u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(1),
        });
        self.tasks.spawn(reporter.run());
        let mut leadership = shared.group.leadership();
        self.tasks.spawn(async move {
            while leadership.changed().await.is_ok() {
                nudge.notify_one();
            }
        });
    }

    /// Leads when it falls to this node, and attends to its own server.
    fn operate(&mut self, shared: &Shared, net: &Net, beside: Option<&Beside>) {
        let hands: Arc<dyn Hands> = Arc::new(net.clone());
        let lead = Lead {
            me: shared.me.clone(),
            group: shared.group.clone(),
            table: Arc::clone(&shared.table),
            hands: Arc::clone(&hands),
            proposer: shared.proposer.clone(),
            live: shared.live.subscribe(),
            lasting: shared.lasting.clone(),
        };
        self.tasks.spawn(lead.run());
        let Some(beside) = beside else { return };
        let (granted, still) = watch::channel(Granting::Unknown);
        let watching = AckerWatch {
            me: shared.me.clone(),
            group: shared.group.clone(),
            hands,
            states: shared.states.clone(),
        };
        self.tasks.spawn(watching.run(granted));
        let attend = Attend {
            me: shared.me.clone(),
            server: Arc::clone(&beside.server),
            remote: shared.remote.clone(),
            source_at: shared.servers.source_at(),
            states: shared.states.clone(),
            granted: still,
            stop: Arc::clone(&beside.stop),
            tuned: None,
            trouble: beside.follows.clone(),
        };
        self.tasks.spawn(attend.run());
    }

    fn route(&mut self, shared: &Shared, router: Router, prober: &Arc<Prober>) {
        let (sender, routes) = watch::channel(Routes::default());
        let prober = Arc::clone(prober);
        let probed = Arc::new(move || prober.now());
        self.tasks.spawn(routes::follow(shared.states.clone(), probed, names::by_this_host(), sender));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            router.serve(routes, stop).await;
        });
    }

    fn watch_group(&mut self, fatal: &mpsc::Sender<String>) {
        let (group, over) = (self.group.clone(), fatal.clone());
        self.tasks.spawn(async move {
            let why = group.stopped().await;
            let _stopping = over.send(format!("consensus has stopped: {why}")).await;
        });
        let mut formation = self.group.formation();
        self.tasks.spawn(async move {
            loop {
                info!(status = %*formation.borrow_and_update(), "group");
                if formation.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// Runs until `stop` is asked for or a part that the node cannot do without has ended; then ends the others.
    ///
    /// # Errors
    /// The reason, when it was not asked to stop. The process must then end: systemd starts it closed.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), String> {
        let why = tokio::select! {
            () = stop => None,
            why = self.fatal.recv() => why,
        };
        if let (None, Some(guard)) = (&why, &self.guard) {
            hand_over(guard).await;
        }
        self.stop.cancel();
        if tokio::time::timeout(STOP_WITHIN, self.group.shutdown()).await.is_err() {
            warn!("the group's store did not close in time");
        }
        self.tasks.shutdown().await;
        why.map_or(Ok(()), Err)
    }

    /// Takes over, while the node runs, what a new file may change.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Ends the writer's epoch here.
    pub fn steps(&self) -> Steps {
        Steps(self.guard.clone())
    }

    /// The group, for tests.
    pub fn group(&self) -> &Group {
        &self.group
    }
}

/// A planned restart refuses no write: the keeper holds the server open until the next process is there.
async fn hand_over(guard: &GuardHandle) {
    match guard.hand_over(HAND_OVER_WITHIN).await {
        Ok(HandedOver::Nothing) => {}
        Ok(HandedOver::Paused) => info!("paused: the server stays open until the next start"),
        Ok(HandedOver::For(left)) => {
            info!(seconds = left.as_secs(), "handed the lease over: the server stays open for so long");
        }
        Err(why) => warn!(why, "no lease to hand over: the server ends with the present one"),
    }
}

fn identity(config: &Config, node: &str) -> Result<Arc<Identity>, StartError> {
    let identity = Identity::load(&config.tls, &config.cluster.name, node, Timestamp::now())?;
    for warning in identity.warnings() {
        warn!("{warning}");
    }
    Ok(Arc::new(identity))
}

async fn listen_on(key: &'static str, address: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen {
        key,
        address: address.to_owned(),
        source,
    })
}

/// Makes the folders that are not there, and takes the one for running.
fn folders(config: &Config) -> Result<Claim, StartError> {
    let unusable = |key, path: &Path| {
        let path = path.display().to_string();
        move |source| StartError::Directory { key, path, source }
    };
    let paths = &config.paths;
    for (key, path) in [("paths.data", &paths.data), ("paths.run", &paths.run)] {
        DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(unusable(key, path))?;
    }
    let taken = || StartError::RunTaken { path: paths.run.display().to_string() };
    Claim::take(&paths.run).map_err(unusable("paths.run", &paths.run))?.ok_or_else(taken)
}

fn bind_router(config: &Config) -> Result<Router, RouterError> {
    let settings = &config.router;
    let mut options = RouterOptions::new(settings.writer_listen, settings.reader_listen);
    options.hold_for = settings.hold_for;
    options.held_max = settings.held_max as usize;
    Router::bind(options)
}

fn keeper_of(config: &Config, me: &NodeName, program: &Path) -> SpawnOptions {
    let mut options = SpawnOptions::new(config.paths.run.clone(), program.to_owned());
    if let Some(command) = config.failover.hard_fence.command(me.as_str()) {
        options.arguments.push("--hard-fence".into());
        options.arguments.extend(command.into_iter().map(Into::into));
    }
    options
}

fn command(fence: &HardFence, me: &NodeName) -> Option<Vec<String>> {
    match fence {
        HardFence::Sigkill => None,
        HardFence::Command(words) => Some(fence_command(words, me.as_str())),
    }
}

/// The keeper was started with the file's hard fence; what counts is the group's. Told again until it has taken it.
async fn tell_hard_fence(mut states: watch::Receiver<Arc<ClusterState>>, keeper: Client, me: NodeName) {
    let mut told = None;
    loop {
        let wanted = states.borrow_and_update().clone();
        let wanted = wanted.cluster.is_some().then(|| command(&wanted.safety.hard_fence, &me));
        if wanted.is_some() && wanted != told {
            match keeper.set_hard_fence(wanted.clone().flatten()).await {
                Ok(_) => told = wanted,
                Err(error) => warn!(%error, "the keeper has not taken the hard fence"),
            }
            if tokio::time::timeout(TELL_AGAIN, states.changed()).await.is_ok_and(|changed| changed.is_err())
            {
                return;
            }
        } else if states.changed().await.is_err() {
            return;
        }
    }
}

/// Binds the store to this machine. A container without one counts as the machine it is on.
fn machine_id() -> String {
    std::fs::read_to_string("/etc/machine-id").map(|id| id.trim().to_owned()).unwrap_or_default()
}
