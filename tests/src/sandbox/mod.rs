//! Several hosts with real servers on one machine, and the faults they suffer.
//!
//! A [`Sandbox`] is a folder, a few [`Host`]s that can be cut off from each other, and whatever runs on them. It
//! outlives nothing: when it is dropped, or when its process ends in any way, all that it started is killed.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use baton_tests::sandbox::{Dialect, Sandbox, SandboxOptions, replication};
//!
//! let sandbox = Sandbox::new(SandboxOptions::new(Dialect::MySql)).await?;
//! let servers = sandbox.servers().await?;
//! replication::attach(&servers[0], &[&servers[1], &servers[2]], true).await?;
//! sandbox.hosts()[0].cut().await?;
//! # Ok(())
//! # }
//! ```

mod bounded;
mod dialect;
mod disk;
mod faults;
mod guardian;
mod host;
mod ledger;
mod links;
mod members;
mod network;
mod option_file;
mod programs;
pub mod replication;
mod root;
mod server;
mod stall;
mod template;
mod unit;

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Result, ensure};
use futures::future::try_join_all;

pub use bounded::{until, within};
pub use dialect::{Account, Dialect};
pub use disk::Disk;
pub use host::Host;
pub use ledger::{Found, Ledger, LedgerOptions, Outcome, Write};
pub use network::Hosts;
pub(crate) use programs::on_path;
pub use programs::{chromium, haproxy, server_program};
pub(crate) use server::tcp_options;
pub use server::{Server, log_tail};
pub use stall::StallMeter;

use guardian::Guardian;
use network::Network;
use root::Root;

/// The port of every server in a sandbox, each on its own host's address.
pub const SERVER_PORT: u16 = 3306;

/// What a sandbox is made of.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// Which servers [`Sandbox::servers`] starts.
    pub dialect: Dialect,
    /// How many hosts there are, the client's not counted: 1 to 99.
    pub hosts: usize,
    /// How many of the hosts, counted from the first, get a server: at most `hosts`.
    pub servers: usize,
    /// How hosts are made; `None` takes namespaces where they can be had, else loopback addresses.
    pub kind: Option<Hosts>,
    /// How many of the servers, counted from the first, have a file system of their own for their data.
    pub disks: u32,
    /// Lines added to the end of every server's option file.
    pub server_options: Vec<String>,
}

impl SandboxOptions {
    /// Three hosts, each with a server.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, hosts: 3, servers: 3, kind: None, disks: 0, server_options: Vec::new() }
    }
}

/// Hosts on one machine with all that runs on them. Dropping it kills everything and removes its folder.
#[derive(Debug)]
pub struct Sandbox {
    options: SandboxOptions,
    hosts: Vec<Host>,
    client: Host,
    // Dropped in this order: processes end, then the namespaces go, then the folder.
    guardian: Guardian,
    _network: Network,
    root: Root,
}

impl Sandbox {
    /// Makes the hosts. No server is started yet.
    ///
    /// # Errors
    /// When hosts of the wanted kind cannot be had here; the message says why.
    pub async fn new(options: SandboxOptions) -> Result<Self> {
        ensure!((1..=99).contains(&options.hosts), "a sandbox has 1 to 99 hosts, not {}", options.hosts);
        ensure!(options.servers <= options.hosts, "more servers than hosts");
        let kind = options.kind.unwrap_or_else(Hosts::best);
        let root = Root::create()?;
        let network = Network::build(kind, options.hosts, &root).await?;
        let guardian = Guardian::start(&root, network.namespaces())?;
        let (hosts, client) = network.hosts();
        Ok(Self { options, hosts, client, guardian, _network: network, root })
    }

    /// The hosts, named `h1`, `h2` and so on.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// One more host, for clients: it has no server and is not counted in [`Sandbox::hosts`].
    pub fn client(&self) -> &Host {
        &self.client
    }

    /// The folder in which everything of this sandbox lives.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The name that every process of this sandbox carries in its environment as `BATON_SANDBOX`.
    pub fn id(&self) -> &str {
        self.root.id()
    }

    /// The pids of all processes that run on the hosts, however they were started.
    pub fn processes(&self) -> Vec<u32> {
        let pids = self.guardian.members().pids();
        pids.iter().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()).collect()
    }

    /// Creates and starts the servers, one on each of the first hosts, all from the same data: closed, without
    /// replication, with equal (empty) GTID sets. Server ids are 1, 2, 3 …
    ///
    /// # Errors
    /// When the server is not on this machine, or does not start: the message has the end of its error log.
    pub async fn servers(&self) -> Result<Vec<Server>> {
        let with_server = self.hosts.iter().take(self.options.servers);
        try_join_all(with_server.zip(1..).map(async |(host, server_id)| {
            let mut server = self.create_server(host, server_id).await?;
            server.start().await?;
            Ok(server)
        }))
        .await
    }

    /// Creates one server, not started, for a test that wants its own order of things.
    ///
    /// # Errors
    /// When the server is not on this machine, or its data directory cannot be made.
    pub async fn create_server(&self, host: &Host, server_id: u32) -> Result<Server> {
        let has_disk = server_id <= self.options.disks;
        Server::create(host, self.options.dialect, server_id, has_disk, &self.options.server_options).await
    }
}

/// The address of host `number` (from 1) in the network of sandbox namespaces.
fn namespace_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number)
}
