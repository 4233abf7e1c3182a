//! One of Baton's nodes: the daemon's own assembly on this world's parts. systemd starts a daemon that has ended anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_node::consensus::{Group, GroupOptions, Medium, MemoryDisk, Pace};
use baton_node::daemon::{Assembly, BesideParts, Parts};
use baton_node::guard::KeeperPort;
use baton_node::operate::Proposer;
use baton_node::operate::attend::{Remote, SourceAt};
use baton_node::peers::Peers;
use baton_node::serve::Callers;
use baton_node::sql::{ManagedServer, Source};
use baton_node::state::{Change, Cluster, Command, CommandId, Member, NodeName, Safety};
use baton_node::task::Scope;
use tokio::time::sleep;

use super::archives::Archives;
use super::clock::HostClock;
use super::draw::Draw;
use super::keeper::Keeper;
use super::net::Net;
use super::process::{self, Plug};
use super::trace::Trace;
use crate::sim::fleet::Fleet;

/// systemd's RestartSec.
const STARTS_AGAIN: Duration = Duration::from_millis(500);

/// What all nodes are configured with.
pub struct Plan {
    /// Every node, the first one forms the group; with a server or without.
    pub nodes: Vec<(NodeName, bool)>,
    /// Seeds of the replicated settings.
    pub safety: Safety,
}

/// What surrounds every node.
#[derive(Clone)]
pub struct Around {
    /// The configuration.
    pub plan: Arc<Plan>,
    /// The servers.
    pub fleet: Fleet,
    /// The network.
    pub net: Net,
    /// What happens.
    pub trace: Trace,
}

/// One node, whether its daemon runs or not.
pub struct Node {
    /// Its name, which is its host's.
    pub name: NodeName,
    /// It stands beside a server.
    pub has_server: bool,
    /// Its host's clocks.
    pub clock: Arc<HostClock>,
    /// Its disk.
    pub disk: MemoryDisk,
    /// The archives on it.
    pub archives: Arc<Archives>,
    around: Around,
    draw: Draw,
    keeper: Mutex<Option<Keeper>>,
    daemon: Mutex<Daemon>,
}

#[derive(Default)]
struct Daemon {
    scope: Option<Scope>,
    running: Option<Running>,
    /// Whether systemd starts it again.
    wanted: bool,
}

/// A daemon's handles.
#[derive(Clone)]
pub struct Running {
    /// Its part in the group.
    pub group: Group,
    /// Proposes in its name.
    pub proposer: Proposer,
}

impl Node {
    /// A node on a blank disk, not started.
    ///
    /// # Errors
    /// When the disk cannot be made.
    pub fn new(
        around: Around,
        name: NodeName,
        has_server: bool,
        draw: Draw,
    ) -> Result<Arc<Self>, Box<dyn std::error::Error>> {
        let latency = draw.fork();
        let disk = MemoryDisk::new(move || latency.micros(300..2500))?;
        let drift = i64::try_from(draw.of(0..1000)).unwrap_or(0) - 500;
        let booted = draw.millis(60_000..10_000_000);
        Ok(Arc::new(Self {
            clock: Arc::new(HostClock::new(booted, drift)),
            archives: Arc::new(Archives::new(Arc::new(around.fleet.remote(name.as_str(), name.as_str())))),
            name,
            has_server,
            disk,
            around,
            draw,
            keeper: Mutex::default(),
            daemon: Mutex::default(),
        }))
    }

    /// systemd starts the daemon, and again whenever it has ended.
    pub fn start(self: &Arc<Self>) {
        self.daemon().wanted = true;
        self.start_once();
    }

    fn start_once(self: &Arc<Self>) {
        {
            let daemon = self.daemon();
            if !daemon.wanted || daemon.scope.is_some() {
                return;
            }
        }
        self.around.trace.line(|| format!("{} daemon starts", self.name));
        let scope = Scope::new(self.draw.number());
        self.daemon().scope = Some(scope.clone());
        let node = Arc::clone(self);
        let own = scope.clone();
        scope.spawn(async move {
            let why = match node.run(own.clone()).await {
                Ok(why) | Err(why) => why,
            };
            node.around.trace.line(|| format!("{} daemon ends: {why}", node.name));
            // Not from within: a process that has ended runs no task of its own.
            let ended = Arc::clone(&node);
            tokio::spawn(async move { ended.ended(&own) });
        });
    }

    async fn run(&self, scope: Scope) -> Result<String, String> {
        let mut assembly = Assembly::start(self.parts(&scope)).await.map_err(|e| e.to_string())?;
        let running = Running { group: assembly.group().clone(), proposer: assembly.proposer().clone() };
        self.around.net.listen(self.name.as_str(), scope, assembly.peer_service());
        self.daemon().running = Some(running);
        Ok(assembly.ended().await)
    }

    fn ended(self: &Arc<Self>, scope: &Scope) {
        if scope.is_killed() {
            return;
        }
        self.end();
        self.start_later();
    }

    fn start_later(self: &Arc<Self>) {
        let node = Arc::clone(self);
        tokio::spawn(async move {
            sleep(STARTS_AGAIN).await;
            node.start_once();
        });
    }

    fn end(&self) {
        self.around.net.hang_up(self.name.as_str());
        let mut daemon = self.daemon();
        daemon.running = None;
        if let Some(scope) = daemon.scope.take() {
            scope.kill();
        }
    }

    /// SIGKILL of the daemon; systemd starts it again.
    pub fn kill(self: &Arc<Self>) {
        self.end();
        self.start_later();
    }

    /// The daemon is away until [`Node::start`].
    pub fn hold_down(&self) {
        self.daemon().wanted = false;
        self.end();
    }

    /// SIGSTOP of the daemon.
    pub fn stop(&self) {
        if let Some(scope) = &self.daemon().scope {
            scope.stop();
        }
    }

    /// SIGCONT of the daemon.
    pub fn go_on(&self) {
        if let Some(scope) = &self.daemon().scope {
            scope.go_on();
        }
    }

    /// Whether the daemon runs, and is not stopped.
    pub fn is_awake(&self) -> bool {
        self.daemon().scope.as_ref().is_some_and(|scope| !scope.is_stopped())
    }

    /// Whether systemd starts the daemon: its host has power.
    pub fn is_wanted(&self) -> bool {
        self.daemon().wanted
    }

    /// The daemon's handles, while it runs.
    pub fn running(&self) -> Option<Running> {
        self.daemon().running.clone()
    }

    /// Proposes a change in this node's name, within its daemon; lost with it.
    pub fn propose(&self, change: Change) {
        let daemon = self.daemon();
        let (Some(scope), Some(running)) = (&daemon.scope, &daemon.running) else { return };
        let proposer = running.proposer.clone();
        let trace = self.around.trace.clone();
        scope.spawn(async move {
            let outcome = proposer.change(change).await;
            trace.line(|| format!("proposed: {outcome:?}"));
        });
    }

    /// The keeper, on a data node that has one running.
    pub fn keeper(&self) -> Option<Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The living keeper, or a new one: as `connect_or_spawn` does.
    fn attach_to_keeper(&self) -> Arc<dyn KeeperPort> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let living = keeper.take().filter(|k| !k.is_dead());
        let living = living.unwrap_or_else(|| {
            let (fleet, host) = (self.around.fleet.clone(), self.name.to_string());
            let find: super::keeper::Find =
                Arc::new(move |pid, ticks| process::find_exact(&fleet, &host, pid, ticks));
            let (fleet, host) = (self.around.fleet.clone(), self.name.to_string());
            let armed = Arc::new(move |epoch| fleet.set_epoch(&host, epoch));
            Keeper::start(Scope::new(self.draw.number()), Arc::clone(&self.clock), find, armed)
        });
        *keeper = Some(living.clone());
        Arc::new(living)
    }

    fn parts(&self, scope: &Scope) -> Parts {
        let (clock, wall, drawing) = (Arc::clone(&self.clock), Arc::clone(&self.clock), scope.clone());
        let draw_id: Arc<dyn Fn() -> String + Send + Sync> =
            Arc::new(move || format!("{:016x}", drawing.draw()));
        let nodes: Vec<(NodeName, String)> =
            self.around.plan.nodes.iter().map(|(n, _)| (n.clone(), format!("{n}:7000"))).collect();
        Parts {
            group: GroupOptions {
                cluster: "sim".into(),
                node: self.name.clone(),
                peers: Arc::new(
                    Peers::new(self.around.net.dialer(self.name.as_str())).with_configured(nodes.clone()),
                ),
                nodes,
                config_digest: "same".into(),
                version: "0".into(),
                store: Medium::Memory(self.disk.clone()),
                since_boot: Arc::new(move || clock.since_boot()),
                machine_id: self.name.to_string(),
                pace: Pace::default(),
                formation: self.formation(&draw_id),
                draw_id,
            },
            clock: Arc::clone(&self.clock) as _,
            now: Arc::new(move || wall.wall_ms()),
            live: self.around.plan.safety.live,
            remote: self.remote(),
            config_differs: Arc::new(|_| Vec::new()),
            callers: Callers::Anybody,
            beside: self.has_server.then(|| self.beside()),
        }
    }

    fn beside(&self) -> BesideParts {
        let (fleet, host) = (self.around.fleet.clone(), self.name.to_string());
        BesideParts {
            server: Arc::new(fleet.remote(&host, &host)),
            attach: Arc::new(Plug::new(&fleet, &host)),
            keeper: self.attach_to_keeper(),
            source_at: source_at(),
            accepts: Arc::new(|_| true),
            events: false,
            rebuild: None,
            archiver: Arc::clone(&self.archives) as _,
        }
    }

    /// One set of connections to each server, as the daemon keeps them.
    fn remote(&self) -> Remote {
        let (fleet, from) = (self.around.fleet.clone(), self.name.to_string());
        let made: Mutex<BTreeMap<String, Arc<dyn ManagedServer>>> = Mutex::default();
        Arc::new(move |address: &str| {
            let host = address.split(':').next().unwrap_or_default();
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            let make = || Arc::new(fleet.remote(&from, host)) as Arc<dyn ManagedServer>;
            Arc::clone(made.entry(host.to_owned()).or_insert_with(make))
        })
    }

    fn formation(
        &self,
        draw_id: &Arc<dyn Fn() -> String + Send + Sync>,
    ) -> baton_node::consensus::FormationCommand {
        let (plan, me, draw_id) = (Arc::clone(&self.around.plan), self.name.clone(), Arc::clone(draw_id));
        let clock = Arc::clone(&self.clock);
        Arc::new(move |id| Command {
            id: CommandId(draw_id()),
            by: me.clone(),
            at_ms: clock.wall_ms(),
            change: Change::Form {
                cluster: Cluster { name: "sim".into(), id: id.to_owned() },
                members: plan.nodes.iter().map(|(n, data)| (n.clone(), member(n, *data))).collect(),
                safety: plan.safety.clone(),
            },
        })
    }

    fn daemon(&self) -> MutexGuard<'_, Daemon> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn member(node: &NodeName, has_server: bool) -> Member {
    Member {
        peer: format!("{node}:7000"),
        server: has_server.then(|| format!("{node}:3306")),
        ..Member::default()
    }
}

/// A source, with the replication account.
pub fn source(host: &str, port: u16) -> Source {
    Source { host: host.to_owned(), port, user: "repl".into(), password: Default::default(), tls: None }
}

fn source_at() -> SourceAt {
    Arc::new(|address: &str| {
        let (host, port) = address.split_once(':').ok_or("no port")?;
        Ok(source(host, port.parse().map_err(|_| "no port".to_owned())?))
    })
}
