//! A double of ProxySQL 2.7, for machines without one: an admin interface, a data port, and a monitor.
//!
//! The admin interface answers as a real 2.7.1 was measured to, its peculiarities above all: whoever gets along with the
//! double gets along with the real one. Tables and errors are SQLite's, as there. What it has not: TLS, and every table that
//! nothing here needs.
//!
//! The data port routes each statement by the runtime tables, to the default hostgroup of the client's user, and lets it wait
//! while nobody in that group is ONLINE. It speaks the text protocol only.

mod admin;
mod answer;
mod commands;
mod data;
mod monitor;
mod pool;
mod session;
mod tables;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ProxySqlOptions;
use super::placed::{Changes, Placed, Runtime, Status};
use crate::sandbox::Host;
use pool::Pool;
use tables::Tables;

/// One instance. Dropping it ends it.
#[derive(Debug)]
pub struct Double {
    host: Host,
    shared: Arc<Shared>,
    tasks: Option<JoinSet<()>>,
}

/// What all parts of an instance share.
#[derive(Debug)]
struct Shared {
    admin: SocketAddr,
    data: SocketAddr,
    tables: Tables,
    /// Whether a session stays for a few statements where it was given an AUTO_INCREMENT value.
    stays_for_ids: bool,
    runtime: watch::Sender<Runtime>,
    pool: Pool,
    /// Whether it answers nobody, as a stopped process.
    frozen: watch::Sender<bool>,
    /// Whether something was sent that no real one survives. Ends it.
    crashed: watch::Sender<bool>,
}

impl Double {
    /// A new instance on a host, with the sandbox's application as its only user and no servers.
    ///
    /// # Errors
    /// When its ports are taken.
    pub async fn start(host: &Host, options: ProxySqlOptions) -> Result<Self> {
        let ProxySqlOptions { port, monitored, stays_for_ids } = options;
        let at = |port| SocketAddr::from((host.address(), port));
        let shared = Arc::new(Shared {
            admin: at(port),
            data: at(port + 1),
            tables: Tables::new(monitored)?,
            stays_for_ids,
            runtime: watch::Sender::default(),
            pool: Pool::default(),
            frozen: watch::Sender::default(),
            crashed: watch::Sender::default(),
        });
        let mut double = Self { host: host.clone(), shared, tasks: None };
        double.restart().await?;
        Ok(double)
    }

    /// Ends its process, which then begins anew with what is on its disk.
    ///
    /// # Errors
    /// When its ports are taken.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop();
        self.shared.frozen.send_replace(false);
        self.shared.crashed.send_replace(false);
        self.shared.tables.restart()?;
        self.shared.lead(self.shared.tables.load()?);
        let (admin, data) = (self.shared.admin, self.shared.data);
        let listen = async move { Ok((TcpListener::bind(admin).await?, TcpListener::bind(data).await?)) };
        let (admin, data) = self.host.run(listen).await.context("the double's ports")?;
        let mut tasks = JoinSet::new();
        let shared = || Arc::clone(&self.shared);
        let (for_admin, for_data, for_monitor) = (shared(), shared(), shared());
        let mut crashed = self.shared.crashed.subscribe();
        let serving = async move {
            tokio::select! {
                () = admin::serve(admin, for_admin) => {}
                () = data::serve(data, for_data) => {}
                () = monitor::run(for_monitor) => {}
                _ = crashed.wait_for(|crashed| *crashed) => {}
            }
        };
        tasks.spawn_on(serving, self.host.runtime());
        self.tasks = Some(tasks);
        Ok(())
    }

    /// Ends its process: every connection is cut, nobody listens.
    pub fn stop(&mut self) {
        self.tasks = None;
        self.shared.pool.clear();
    }

    /// The same, and what was on its disk is gone: as after a reinstallation, with its users and hostgroups set up again.
    ///
    /// # Errors
    /// When its ports are taken.
    pub async fn wipe(&mut self) -> Result<()> {
        self.stop();
        self.shared.tables.wipe()?;
        self.restart().await
    }

    /// From now on it answers nobody, or everybody again.
    pub fn freeze(&self, frozen: bool) {
        self.shared.frozen.send_replace(frozen);
    }

    /// Where its admin interface listens.
    pub fn admin(&self) -> SocketAddr {
        self.shared.admin
    }

    /// Where clients connect.
    pub fn data(&self) -> SocketAddr {
        self.shared.data
    }

    /// One statement on its admin interface, as an operator on its host would send it.
    ///
    /// # Errors
    /// What it says.
    pub fn edit(&self, statement: &str) -> Result<()> {
        match commands::answer(&self.shared, statement) {
            answer::Answer::Error { message, .. } => anyhow::bail!("{statement}: {message}"),
            _ => Ok(()),
        }
    }

    /// Who clients are led to now, in the order of group and address.
    pub fn placed(&self) -> Vec<Placed> {
        self.shared.runtime.borrow().servers.clone()
    }

    /// The hosts in use in a group.
    pub fn online(&self, group: u32) -> Vec<Ipv4Addr> {
        self.shared.runtime.borrow().online(group).filter_map(|server| server.host.parse().ok()).collect()
    }

    /// The most servers that were in use in the writer group at any moment since it was made.
    pub fn most_writers(&self) -> usize {
        self.shared.runtime.borrow().most_writers
    }

    /// Follows who clients are led to.
    pub fn changes(&self) -> Changes {
        Changes::new(&self.shared.runtime)
    }

    /// Whether something was sent that ends a real one.
    pub fn has_crashed(&self) -> bool {
        *self.shared.crashed.borrow()
    }

    /// Every statement that came in on the admin interface so far.
    pub fn statements(&self) -> Vec<String> {
        self.shared.tables.statements()
    }
}

impl Shared {
    /// Waits while it answers nobody.
    async fn answers(&self) {
        let mut frozen = self.frozen.subscribe();
        // The sender lives as long as this.
        let _ended = frozen.wait_for(|frozen| !frozen).await;
    }

    /// Leads clients by what was loaded.
    fn lead(&self, loaded: Runtime) {
        let Runtime { servers, pairs, .. } = loaded;
        let replaced = |runtime: &mut Runtime| {
            (runtime.servers, runtime.pairs) = (servers, pairs);
            true
        };
        self.runtime.send_modify(|runtime| {
            runtime.change(replaced);
        });
        self.drop_idle();
    }

    /// A real one keeps no idle connections to a server that is not ONLINE: its sessions may be ended there.
    fn drop_idle(&self) {
        let online: Vec<_> = {
            let runtime = self.runtime.borrow();
            let online = runtime.servers.iter().filter(|server| server.status == Status::Online);
            online.filter_map(|server| Some((server.group, server.address()?))).collect()
        };
        self.pool.keep(&online);
    }

    fn crash(&self) {
        self.crashed.send_replace(true);
    }
}
