//! One of Baton's nodes: the daemon's own assembly on this world's parts. systemd starts a daemon that has ended anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_node::consensus::{Applied, Group, MemoryDisk};
use baton_node::daemon::Assembly;
use baton_node::guard::KeeperPort;
use baton_node::operate::Proposer;
use baton_node::serve::Control;
use baton_node::state::{Change, NodeName, Safety};
use baton_node::task::Scope;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::archives::Archives;
use super::clock::HostClock;
use super::draw::Draw;
use super::keeper::Keeper;
use super::net::Net;
use super::process;
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
    /// The archives on it.
    pub archives: Arc<Archives>,
    pub(super) around: Around,
    draw: Draw,
    /// Its disk, and which of its disks that is.
    disk: Mutex<(MemoryDisk, u32)>,
    /// Told when systemd restarts the daemon as planned.
    restart: Notify,
    keeper: Mutex<Option<Keeper>>,
    daemon: Mutex<Daemon>,
}

#[derive(Default)]
struct Daemon {
    scope: Option<Scope>,
    running: Option<Arc<Running>>,
    /// Whether systemd starts it again.
    wanted: bool,
}

/// A daemon's handles.
pub struct Running {
    /// Its part in the group.
    pub group: Group,
    /// Proposes in its name.
    pub proposer: Proposer,
    /// What it has applied.
    pub states: watch::Receiver<Arc<Applied>>,
    /// What answers operators.
    pub control: Control,
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
    ) -> Result<Arc<Self>, super::WorldError> {
        let disk = Mutex::new((blank_disk(&draw)?, 1));
        let drift = i64::try_from(draw.of(0..1000)).unwrap_or(0) - 500;
        let booted = draw.millis(60_000..10_000_000);
        let clock = Arc::new(HostClock::new(booted, drift));
        let server = Arc::new(around.fleet.remote(name.as_str(), name.as_str()));
        Ok(Arc::new(Self {
            archives: Arc::new(Archives::new(server, Arc::clone(&clock))),
            clock,
            name,
            has_server,
            around,
            draw,
            disk,
            restart: Notify::new(),
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
        let running = Running {
            group: assembly.group().clone(),
            proposer: assembly.proposer().clone(),
            states: assembly.group().states(),
            control: assembly.control_service(),
        };
        self.around.net.listen(self.name.as_str(), scope, assembly.peer_service());
        self.daemon().running = Some(Arc::new(running));
        tokio::select! {
            why = assembly.ended() => return Ok(why),
            () = self.restart.notified() => {}
        }
        assembly.hand_over().await;
        assembly.group().shutdown().await;
        Ok("restarted as planned".into())
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

    /// systemd restarts the daemon, which hands its lease over first.
    pub fn restart(&self) {
        self.restart.notify_one();
    }

    /// The daemon begins anew on a blank disk.
    ///
    /// # Errors
    /// When the disk cannot be made.
    pub fn begin_anew(self: &Arc<Self>) -> Result<(), super::WorldError> {
        let blank = blank_disk(&self.draw)?;
        self.hold_down();
        {
            let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
            *disk = (blank, disk.1 + 1);
        }
        self.start();
        Ok(())
    }

    /// Its disk.
    pub fn disk(&self) -> MemoryDisk {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Which of its disks that is.
    pub fn store(&self) -> u32 {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).1
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

    /// Whether it is a task of this daemon that asks.
    pub fn is_current(&self) -> bool {
        let current = Scope::current();
        current.is_some_and(|current| self.daemon().scope.as_ref().is_some_and(|scope| scope.is(&current)))
    }

    /// Whether systemd starts the daemon: its host has power.
    pub fn is_wanted(&self) -> bool {
        self.daemon().wanted
    }

    /// The daemon's handles, while it runs.
    pub fn running(&self) -> Option<Arc<Running>> {
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
    pub(super) fn attach_to_keeper(&self) -> Arc<dyn KeeperPort> {
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

    fn daemon(&self) -> MutexGuard<'_, Daemon> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn blank_disk(draw: &Draw) -> Result<MemoryDisk, super::WorldError> {
    let latency = draw.fork();
    Ok(MemoryDisk::new(move || latency.micros(300..2500))?)
}
