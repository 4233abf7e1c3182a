//! A whole Baton cluster on a sandbox: servers that replicate, a real `baton-node` beside each, certificates, passwords,
//! and `batonctl` as an operator uses it.
//!
//! It is made the way a production cluster meets Baton: the servers run and replicate first, the nodes come beside them
//! and only watch, and then the cluster is adopted.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use baton_tests::cluster::{Cluster, ClusterOptions};
//! use baton_tests::sandbox::Dialect;
//!
//! let cluster = Cluster::managed(ClusterOptions::new(Dialect::MySql)).await?;
//! cluster.server("db1")?.kill(rustix::process::Signal::KILL)?;
//! cluster.moved_from("db1").await?;
//! # Ok(())
//! # }
//! ```

mod backups;
mod checks;
mod ctl;
mod direct;
mod files;
mod join;
mod lagging;
mod leading;
mod moving;
mod node;
mod page;
mod programs;
mod proxies;
mod scenario;
mod told;
mod wait;
mod watch;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::sandbox::{
    Dialect, Host, Hosts, Ledger, LedgerOptions, Sandbox, SandboxOptions, Server, StallMeter, replication,
};

pub use checks::{ReturnOfOldWriter, executed, is_open};
pub use ctl::Ctl;
pub use direct::DirectWriters;
pub use files::Files;
pub use node::Node;
pub use programs::find as program;
pub use scenario::Scenario;
pub use watch::OpenWatch;

/// The name of every cluster that is made here.
pub const NAME: &str = "shop";
/// The port of every node's peer service, each on its own host's address.
pub const PEER_PORT: u16 = 7400;
/// The port of every embedded router for connections to the writer.
pub const WRITER_PORT: u16 = 6446;
/// The port of every embedded router for connections to readers.
pub const READER_PORT: u16 = 6447;
/// The port of every node's health, roles and metrics.
pub const HTTP_PORT: u16 = 7480;

/// Which hosts have a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `db1`, `db2` and `db3`, each with a server.
    ThreeServers,
    /// `db1` and `db2` with a server each, and the witness `app1`.
    TwoServersAndWitness,
}

impl Layout {
    /// The nodes' names, in the order of the hosts.
    pub fn names(self) -> [&'static str; 3] {
        match self {
            Self::ThreeServers => ["db1", "db2", "db3"],
            Self::TwoServersAndWitness => ["db1", "db2", "app1"],
        }
    }

    /// How many of the hosts, counted from the first, have a server.
    pub fn servers(self) -> usize {
        match self {
            Self::ThreeServers => 3,
            Self::TwoServersAndWitness => 2,
        }
    }
}

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Which servers.
    pub dialect: Dialect,
    /// Which hosts have one.
    pub layout: Layout,
    /// How hosts are made; `None` takes namespaces where they can be had, else loopback addresses.
    pub kind: Option<Hosts>,
    /// Whether `db1`'s data have a file system of their own, see [`crate::sandbox::Disk`].
    pub has_disk: bool,
    /// Whether the servers replicate with semi-sync before Baton is there.
    pub semi_sync: bool,
    /// How many hosts there are besides, with nothing on them, for [`Cluster::prepare_node`].
    pub spare_hosts: usize,
    /// Lines for the `[failover]` section of the configuration.
    pub failover: Vec<String>,
    /// Name of a `[[replica]]` on the first of the spare hosts; its server is the test's to make.
    pub replica: Option<&'static str>,
    /// How many ProxySQL the configuration names, `proxy1` and so on, all on the client's host: see
    /// [`Cluster::proxysql`].
    pub proxies: u16,
    /// More sections for the configuration, after all others; `{root}` in them is the sandbox's folder.
    pub sections: String,
}

impl ClusterOptions {
    /// Three hosts with three servers in semi-sync replication, and Baton's defaults.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            layout: Layout::ThreeServers,
            kind: None,
            has_disk: false,
            semi_sync: true,
            spare_hosts: 0,
            failover: Vec::new(),
            replica: None,
            proxies: 0,
            sections: String::new(),
        }
    }

    /// The same for what is not about speed: on a machine that is busy with other things no lease ends by itself, and no
    /// leader is lost.
    pub fn patient(dialect: Dialect) -> Self {
        let lines = [
            "lease_ttl = \"4s\"",
            "unreachable_after = \"4s\"",
            "[raft]",
            "heartbeat = \"250ms\"",
            "election_min = \"2s\"",
            "election_max = \"3s\"",
        ];
        Self { failover: lines.map(str::to_owned).into(), ..Self::new(dialect) }
    }

    /// The same with so many ProxySQL in the configuration.
    #[must_use]
    pub fn proxies(mut self, proxies: u16) -> Self {
        self.proxies = proxies;
        self
    }

    /// The same with another layout.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }
}

/// A cluster. Dropping it ends everything that belongs to it.
#[derive(Debug)]
pub struct Cluster {
    options: ClusterOptions,
    nodes: Vec<Node>,
    servers: Vec<Server>,
    ctl: Ctl,
    files: Files,
    machine: StallMeter,
    // Late: what is still running on the hosts, keepers above all, ends with it.
    sandbox: Sandbox,
    _turn: SemaphorePermit<'static>,
}

/// Clusters of one process take turns: two at once on a small machine would measure each other.
static TURN: Semaphore = Semaphore::const_new(1);

impl Cluster {
    /// Starts servers and nodes. `db1` is open and the others replicate from it; the nodes have formed their group,
    /// see every server, and only watch.
    ///
    /// # Errors
    /// When a program is not there, or something does not start; the message has the end of its log.
    pub async fn observing(options: ClusterOptions) -> Result<Self> {
        let turn = TURN.acquire().await?;
        let names = options.layout.names();
        let sandbox_options = SandboxOptions {
            hosts: names.len() + options.spare_hosts,
            servers: options.layout.servers(),
            kind: options.kind,
            disks: u32::from(options.has_disk),
            ..SandboxOptions::new(options.dialect)
        };
        let sandbox = Sandbox::new(sandbox_options).await?;
        let files = Files::write(&sandbox, &options)?;
        let mut nodes = Vec::new();
        for (host, name) in sandbox.hosts().iter().zip(names) {
            let mut node = Node::new(host, name, files.config())?;
            node.start()?;
            nodes.push(node);
        }
        let ctl = Ctl::new(sandbox.client(), &files)?;
        let servers = sandbox.servers().await?;
        let (source, replicas) = servers.split_first().context("a layout without a server")?;
        replication::attach(source, &replicas.iter().collect::<Vec<_>>(), options.semi_sync).await?;
        let machine = StallMeter::start(sandbox.root())?;
        let cluster = Self { options, nodes, servers, ctl, files, machine, sandbox, _turn: turn };
        cluster.formed().await?;
        Ok(cluster)
    }

    /// The same, then adopted and lossless.
    ///
    /// # Errors
    /// As [`Cluster::observing`], and when Baton refuses the adoption.
    pub async fn managed(options: ClusterOptions) -> Result<Self> {
        let cluster = Self::observing(options).await?;
        cluster.ctl.adopt("db1").await?;
        cluster.settled().await?;
        Ok(cluster)
    }

    /// Which servers.
    pub fn dialect(&self) -> Dialect {
        self.options.dialect
    }

    /// How long the machine itself has stood still since then, altogether: a bound on what Baton takes is longer by this.
    pub fn stood_still(&self, since: Instant) -> Duration {
        self.machine.since(since)
    }

    /// The folder in which everything of this cluster lives.
    pub fn folder(&self) -> &Path {
        self.sandbox.root()
    }

    /// Whether hosts can be cut off from each other, and if not, why.
    ///
    /// # Errors
    /// The reason.
    pub fn can_cut(&self) -> Result<(), String> {
        match self.sandbox.client().namespace() {
            Some(_) => Ok(()),
            None => {
                Err(Hosts::available().err().unwrap_or_else(|| "hosts are loopback addresses".to_owned()))
            }
        }
    }

    /// The sandbox below.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The configuration file that all nodes share.
    pub fn config(&self) -> &Path {
        self.files.config()
    }

    /// `batonctl`.
    pub fn ctl(&self) -> &Ctl {
        &self.ctl
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All servers, `db1`'s first.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The names of the nodes with a server.
    pub fn data_nodes(&self) -> impl Iterator<Item = &'static str> {
        self.nodes.iter().map(Node::name).take(self.servers.len())
    }

    /// The node of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn node(&self, name: &str) -> Result<&Node> {
        Ok(&self.nodes[self.index(name)?])
    }

    /// The node of that name, to be started or ended.
    ///
    /// # Errors
    /// When there is none.
    pub fn node_mut(&mut self, name: &str) -> Result<&mut Node> {
        let index = self.index(name)?;
        Ok(&mut self.nodes[index])
    }

    /// The server beside the node of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn server(&self, name: &str) -> Result<&Server> {
        let index = self.index(name)?;
        self.servers.get(index).with_context(|| format!("{name} has no server"))
    }

    /// The server beside the node of that name, to be started or ended.
    ///
    /// # Errors
    /// When there is none.
    pub fn server_mut(&mut self, name: &str) -> Result<&mut Server> {
        let index = self.index(name)?;
        self.servers.get_mut(index).with_context(|| format!("{name} has no server"))
    }

    /// The host of the node of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, name: &str) -> Result<&Host> {
        Ok(&self.sandbox.hosts()[self.index(name)?])
    }

    fn index(&self, name: &str) -> Result<usize> {
        self.nodes
            .iter()
            .position(|node| node.name() == name)
            .with_context(|| format!("there is no node {name}"))
    }

    /// The writer's ports of the routers beside all nodes but those named.
    pub fn routers_except(&self, without: &[&str]) -> Vec<SocketAddr> {
        let others = self.nodes.iter().filter(|node| !without.contains(&node.name()));
        others.map(|node| SocketAddr::from((node.host().address(), WRITER_PORT))).collect()
    }

    /// An application that writes through the routers of all nodes but those named: it does not live on the hosts that
    /// a fault will take.
    pub fn ledger(&self, without: &[&str], options: LedgerOptions) -> Ledger {
        Ledger::start(self.sandbox.client(), &self.routers_except(without), options)
    }

    /// Starts the server and the node of a host that lost both.
    ///
    /// # Errors
    /// When the server does not start.
    pub async fn power_on(&mut self, name: &str) -> Result<()> {
        let index = self.index(name)?;
        if self.can_cut().is_ok() {
            self.sandbox.hosts()[index].heal().await?;
        }
        if let Some(server) = self.servers.get_mut(index) {
            server.wait_exit(wait::GONE).await?;
            server.start().await?;
        }
        self.nodes[index].restart().await
    }

    /// The ends of all nodes' logs, for the message of a test that failed.
    pub fn logs(&self) -> String {
        self.nodes.iter().map(Node::log_tail).collect()
    }
}
