//! From a configuration to a running node.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::alerts::{self, listeners};
use super::assembly::{Assembly, BesideParts, Parts};
use super::claim::Claim;
use super::ports::{Keeper, Socket};
use super::routes::Probed;
use super::servers::Servers;
use super::serving::Serving;
use super::settings::formation;
use super::watchdog::{self, Watched};
use super::{backups, declared, names, proxies, readers, routes};
use crate::alert::Listeners;
use crate::config::{Config, Loaded, digest, fence_command, read_page_token};
use crate::consensus::{Group, GroupOptions, Medium, OpenError, Pace, since_boot};
use crate::decide::readers::Reading;
use crate::guard::GuardHandle;
use crate::guard::clock::RealClock;
use crate::guard::keeper::{Client, ClientError, SpawnOptions, connect_or_spawn};
use crate::identity::{Identity, IdentityError};
use crate::operate::{ArchiveParts, BackupParts, RebuildParts, Tools, Unit};
use crate::peers::{Dialer, Peers};
use crate::quarantine::BinlogArchiver;
use crate::route::{Leaving, Router, RouterError, RouterOptions};
use crate::serve::Callers;
use crate::serve::settings::{backup_plan, config_differs, live};
use crate::sql::{Address, BinlogReader, SqlServer};
use crate::state::{BackupPlan, ClusterState, HardFence, Live, NodeName};

/// How long the parts may take to end on a stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Closing a server has its own, shorter bounds.
const STEP_DOWN_WITHIN: Duration = Duration::from_secs(10);

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
        "{key}: {address} cannot be listened on: {source}; {}", mend(source.kind())
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
    /// The file as it was read last.
    file: watch::Sender<Arc<Config>>,
    listeners: watch::Sender<Listeners>,
    node: Assembly,
    _claim: Claim,
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
    backups: watch::Sender<Option<BackupPlan>>,
    file: watch::Sender<Arc<Config>>,
    listeners: watch::Sender<Listeners>,
}

impl Reloader {
    /// From now on these values count; on the leader they become the group's. Replicated ones are compared with the group's.
    pub fn reload(&self, config: &Config) {
        self.live.send_replace(live(config));
        self.backups.send_replace(backup_plan(config));
        self.file.send_replace(Arc::new(config.clone()));
        alerts::renew(&self.listeners, config);
    }
}

impl Daemon {
    /// Starts every part. `program` is this binary, for the keeper.
    ///
    /// # Errors
    /// [`StartError`] names what is wrong and the mend.
    pub async fn start(loaded: &Loaded, program: &Path) -> Result<Self, StartError> {
        let config = Arc::new(loaded.config.clone());
        let identity = identity(&config, &loaded.me.name)?;
        let listeners = watch::Sender::new(listeners(&config)?);
        let me = NodeName::from(loaded.me.name.as_str());
        let listener = listen_on("node.peer", &loaded.me.peer.to_string()).await?;
        let control_only = match config.control.listen {
            Some(address) => Some(listen_on("control.listen", &address.to_string()).await?),
            None => None,
        };
        let http = listen_on("http.listen", &config.http.listen.to_string()).await?;
        let page_token = page_token(&config)?;
        let router = config.router.enabled.then(|| bind_router(&config)).transpose()?;
        let claim = folders(&config)?;
        // Before the store, which is the last that can fail: a node without a keeper must not take part.
        let keeper = match loaded.me.is_witness() {
            true => None,
            false => Some(connect_or_spawn(&keeper_of(&config, &me, program)).await?),
        };
        let file = watch::Sender::new(Arc::clone(&config));
        let beside = keeper.clone().map(|keeper| (keeper, program));
        let parts = parts(&file, loaded, &identity, listeners.subscribe(), beside);
        let node = match parts {
            Ok(parts) => {
                let leaving = router.as_ref().map(Router::leaving).unwrap_or_default();
                Assembly::start(Parts { leaving, ..parts }).await
            }
            Err(error) => Err(error),
        };
        let node = match node {
            Ok(node) => node,
            Err(error) => {
                if let Some(keeper) = keeper {
                    // One that holds a server refuses, and goes on.
                    let _ = keeper.stop().await;
                }
                return Err(error);
            }
        };
        let mut daemon = Self { stop: CancellationToken::new(), file, listeners, node, _claim: claim };
        if let Some(keeper) = keeper {
            daemon.node.tasks.spawn(tell_hard_fence(daemon.node.states.clone(), keeper, me));
        }
        daemon.watch_loops();
        proxies::follow(&mut daemon.node, daemon.file.subscribe());
        daemon.serve(&identity, listener, control_only, (http, page_token), router);
        Ok(daemon)
    }

    fn watch_loops(&mut self) {
        let mut loops = vec![self.node.reports.watched("reports")];
        if let Some(guard) = self.node.guard.clone() {
            loops.push(Watched { name: "guard", turned: Arc::new(move || guard.turned()) });
        }
        self.node.tasks.spawn(watchdog::run(loops));
    }

    fn serve(
        &mut self,
        identity: &Identity,
        listener: TcpListener,
        control_only: Option<TcpListener>,
        (http, page_token): (TcpListener, Option<SecretString>),
        router: Option<Router>,
    ) {
        let serving = Serving { identity, stop: self.stop.clone() };
        serving.peers(&mut self.node, listener);
        if let Some(listener) = control_only {
            serving.control(&mut self.node, listener);
        }
        let readings = self.read();
        let counters = router.as_ref().map(Router::counters);
        serving.http(&mut self.node, http, counters, readings.clone(), page_token);
        if let Some(router) = router {
            self.route(router, readings);
        }
    }

    /// Which servers this node would read from.
    fn read(&mut self) -> watch::Receiver<Reading> {
        let (sender, readings) = watch::channel(Reading::default());
        self.node.tasks.spawn(readers::follow(self.node.states.clone(), self.probed(), sender));
        readings
    }

    fn probed(&self) -> Probed {
        let prober = Arc::clone(&self.node.prober);
        Arc::new(move || prober.now())
    }

    fn route(&mut self, router: Router, readings: watch::Receiver<Reading>) {
        let sender = router.leaving().routes();
        let routes = sender.subscribe();
        let states = self.node.states.clone();
        let probed = self.probed();
        self.node.tasks.spawn(routes::follow(states, readings, probed, names::by_this_host(), sender));
        let stop = self.stop.clone();
        self.node.tasks.spawn(async move {
            router.serve(routes, stop).await;
        });
    }

    /// Runs until `stop` is asked for or a part that the node cannot do without has ended; then ends the others.
    ///
    /// # Errors
    /// The reason, when it was not asked to stop. The process must then end: systemd starts it closed.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), String> {
        let why = tokio::select! {
            () = stop => None,
            why = self.node.ended() => Some(why),
        };
        if why.is_none() {
            self.node.hand_over().await;
        }
        self.stop.cancel();
        if tokio::time::timeout(STOP_WITHIN, self.node.group.shutdown()).await.is_err() {
            warn!("the group's store did not close in time");
        }
        self.node.tasks.shutdown().await;
        why.map_or(Ok(()), Err)
    }

    /// Takes over, while the node runs, what a new file may change.
    pub fn reloader(&self) -> Reloader {
        let (live, backups) = (self.node.live.clone(), self.node.backups.clone());
        Reloader { live, backups, file: self.file.clone(), listeners: self.listeners.clone() }
    }

    /// Ends the writer's epoch here.
    pub fn steps(&self) -> Steps {
        Steps(self.node.guard.clone())
    }

    /// The group, for tests.
    pub fn group(&self) -> &Group {
        self.node.group()
    }
}

/// The real parts of a node.
fn parts(
    file: &watch::Sender<Arc<Config>>,
    loaded: &Loaded,
    identity: &Arc<Identity>,
    listeners: watch::Receiver<Listeners>,
    beside: Option<(Client, &Path)>,
) -> Result<Parts, StartError> {
    let (config, me) = (&*file.borrow(), NodeName::from(loaded.me.name.as_str()));
    let is_witness = config.node(me.as_str()).is_none_or(crate::config::NodeConfig::is_witness);
    let replicates = !is_witness || !config.replicas.is_empty();
    let servers = Arc::new(Servers::new(config, replicates).map_err(StartError::Other)?);
    let (of_hooks, of_replicas, file) = (file.subscribe(), file.subscribe(), file.subscribe());
    let expires = identity.expires();
    Ok(Parts {
        certificate_left: Arc::new(move || expires.duration_since(Timestamp::now()).try_into().ok()),
        listeners,
        leaving: Leaving::default(),
        group: group_of(config, &me, identity),
        clock: Arc::new(RealClock),
        now: Arc::new(|| Timestamp::now().as_millisecond()),
        live: live(config),
        backups: backup_plan(config),
        remote: servers.remote(),
        config_differs: Arc::new(move |state| config_differs(&file.borrow(), state)),
        callers: Callers::Certificates,
        hooks: Arc::new(move || declared::hooks(&of_hooks.borrow())),
        declared: Arc::new(move || declared::replicas(&of_replicas.borrow())),
        source_at: servers.source_at(),
        by_router: config.router.enabled.then(|| servers.by_router(config.router.writer_listen)),
        beside: beside.map(|(keeper, program)| beside_of(config, loaded, &servers, keeper, program)),
    })
}

fn group_of(config: &Arc<Config>, me: &NodeName, identity: &Arc<Identity>) -> GroupOptions {
    let tls = Arc::clone(identity);
    let nodes: Vec<(NodeName, String)> =
        config.nodes.iter().map(|n| (n.name.as_str().into(), n.peer.to_string())).collect();
    let dialer = Dialer::Tls(Arc::new(move |peer: &NodeName| tls.client_tls(peer.as_str())));
    let draw_id: Arc<dyn Fn() -> String + Send + Sync> =
        Arc::new(|| format!("{:016x}", rand::random::<u64>()));
    GroupOptions {
        cluster: config.cluster.name.clone(),
        node: me.clone(),
        peers: Arc::new(Peers::new(dialer).with_configured(nodes.clone())),
        nodes,
        config_digest: format!("{:016x}", digest(config)),
        version: env!("CARGO_PKG_VERSION").into(),
        store: Medium::File(config.paths.data.join("group.db")),
        since_boot: Arc::new(since_boot),
        machine_id: machine_id(),
        pace: Pace {
            heartbeat: config.raft.heartbeat,
            election_min: config.raft.election_min,
            election_max: config.raft.election_max,
        },
        formation: formation(config, me, Arc::clone(&draw_id)),
        draw_id,
    }
}

fn beside_of(
    config: &Config,
    loaded: &Loaded,
    servers: &Arc<Servers>,
    keeper: Client,
    program: &Path,
) -> BesideParts {
    let for_node = |words: Vec<String>| fence_command(&words, &loaded.me.name);
    let local = servers.connector(Address::Socket(config.server.socket.clone()));
    BesideParts {
        archiver: Arc::new(BinlogArchiver::new(
            BinlogReader::new(local.clone()),
            config.paths.data.join("quarantine"),
            program.to_owned(),
            Arc::new(|| Timestamp::now().as_millisecond()),
        )),
        server: Arc::new(SqlServer::new(&local)),
        attach: Arc::new(Socket {
            connector: local.clone(),
            socket: config.server.socket.clone(),
            private: config.paths.run.clone(),
            address: loaded.me.server.as_ref().map(ToString::to_string).unwrap_or_default(),
        }),
        keeper: Arc::new(Keeper(keeper)),
        source_at: servers.source_at(),
        source_login: Some(servers.source_login()),
        accepts: servers.accepts(),
        events: config.server.events,
        backup: Some(BackupParts {
            program: program.to_owned(),
            connector: local.clone(),
            settings: backups::settings(config).map(Arc::new),
        }),
        archive: Some(ArchiveParts {
            program: program.to_owned(),
            settings: backups::archive(config).map(Arc::new),
        }),
        rebuild: Some(RebuildParts {
            donor_at: servers.donor_at(),
            unit: Unit {
                start: config.rebuild.start.clone().map(for_node),
                stop: config.rebuild.stop.clone().map(for_node),
            },
            rehearsal: config.server.allow_rehearsal,
            tools: Tools {
                configured: config.rebuild.mariadb_backup.clone(),
                path: std::env::var_os("PATH").unwrap_or_default(),
            },
            account: servers.local(&config.server.socket),
            run: config.paths.run.clone(),
            data: config.paths.data.clone(),
        }),
    }
}

fn identity(config: &Config, node: &str) -> Result<Arc<Identity>, StartError> {
    let identity = Identity::load(&config.tls, &config.cluster.name, node, Timestamp::now())?;
    for warning in identity.warnings() {
        warn!("{warning}");
    }
    Ok(Arc::new(identity))
}

/// Of an address that cannot be listened on.
fn mend(why: ErrorKind) -> &'static str {
    match why {
        ErrorKind::AddrNotAvailable => {
            "it is not an address of this host: correct it, or start the node whose address this host has (--node)"
        }
        _ => "choose an address of this host that is free, or end what has it (another baton-node?)",
    }
}

async fn listen_on(key: &'static str, address: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen {
        key,
        address: address.to_owned(),
        source,
    })
}

/// Makes the folders that are not there, and takes the one for running.
pub(super) fn folders(config: &Config) -> Result<Claim, StartError> {
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

fn page_token(config: &Config) -> Result<Option<SecretString>, StartError> {
    let token = config.http.token_file.as_deref().map(read_page_token).transpose();
    token.map_err(|why| StartError::Other(format!("http.token_file: {why}")))
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
pub(super) fn machine_id() -> String {
    std::fs::read_to_string("/etc/machine-id").map(|id| id.trim().to_owned()).unwrap_or_default()
}
