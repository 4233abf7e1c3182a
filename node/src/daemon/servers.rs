//! Connections to servers: one way in for each address, kept.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use secrecy::SecretString;

use crate::backup::account::LocalAccount;
use crate::config::{Config, HostPort, read_password, read_replication_password};
use crate::observe::SourceLogin;
use crate::operate::ByRouter;
use crate::operate::attend::{Remote, SourceAt};
use crate::sql::rehearsal::answers_there;
use crate::sql::{
    Account, Address, Connector, Limits, ManagedServer, Source, SqlError, SqlServer, may_replicate,
};

/// Accounts and addresses of the cluster's servers.
pub(super) struct Servers {
    user: String,
    password: SecretString,
    replication_user: String,
    replication_password: SecretString,
    limits: Limits,
    accepted: Vec<String>,
}

impl Servers {
    /// `replicates`: whether it makes servers replicate, and so needs the password for that.
    pub(super) fn new(config: &Config, replicates: bool) -> Result<Self, String> {
        let server = &config.server;
        Ok(Self {
            user: server.user.clone(),
            password: read_password(&server.password_file)?,
            replication_user: server.replication_user.clone(),
            replication_password: match replicates {
                true => read_replication_password(&server.replication_password_file)?,
                false => SecretString::default(),
            },
            limits: Limits { connect: server.connect_timeout, ..Limits::default() },
            accepted: server.accepted_accounts.split(',').map(|a| a.trim().to_owned()).collect(),
        })
    }

    /// A witness has no accounts of its own but still probes the servers.
    pub(super) fn connector(&self, address: Address) -> Connector {
        Connector::new(address, self.user.clone(), self.password.clone()).with_limits(self.limits.clone())
    }

    /// Other servers by address; one set of connections each, kept.
    pub(super) fn remote(self: &Arc<Self>) -> Remote {
        let made: Mutex<BTreeMap<String, Arc<dyn ManagedServer>>> = Mutex::default();
        let this = Arc::clone(self);
        Arc::new(move |address: &str| {
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            let make = || {
                let HostPort { host, port } = host_port(address);
                Arc::new(SqlServer::new(&this.connector(Address::Tcp { host, port })))
                    as Arc<dyn ManagedServer>
            };
            Arc::clone(made.entry(address.to_owned()).or_insert_with(make))
        })
    }

    /// Where a router that listens there leads a client of the writer.
    pub(super) fn by_router(&self, listen: SocketAddr) -> ByRouter {
        let host = match listen.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let connector = self.connector(Address::Tcp { host: host.to_string(), port: listen.port() });
        Arc::new(move || {
            let connector = connector.clone();
            async move { answers_there(&connector).await.map_err(|error| error.to_string()) }.boxed()
        })
    }

    /// The source at an address, with the replication account.
    pub(super) fn source_at(self: &Arc<Self>) -> SourceAt {
        let this = Arc::clone(self);
        Arc::new(move |address: &str| {
            let HostPort { host, port } = address.parse().map_err(|e| format!("{address}: {e}"))?;
            Ok(Source {
                host,
                port,
                user: this.replication_user.clone(),
                password: this.replication_password.clone(),
                tls: None,
            })
        })
    }

    /// The replication account, to be tried where a server may have to follow.
    pub(super) fn source_login(self: &Arc<Self>) -> SourceLogin {
        let source_at = self.source_at();
        let try_at = move |address: &str, bound: Duration| {
            let source = source_at(address);
            async move { may_replicate(&source.map_err(SqlError::Unexpected)?, bound).await }.boxed()
        };
        SourceLogin { account: self.replication_user.clone(), try_at: Arc::new(try_at) }
    }

    /// A server to copy from, with Baton's own account.
    pub(super) fn donor_at(self: &Arc<Self>) -> SourceAt {
        let this = Arc::clone(self);
        Arc::new(move |address: &str| {
            let HostPort { host, port } = address.parse().map_err(|e| format!("{address}: {e}"))?;
            Ok(Source { host, port, user: this.user.clone(), password: this.password.clone(), tls: None })
        })
    }

    /// The account that reads the server beside this node.
    pub(super) fn local(&self, socket: &Path) -> LocalAccount {
        LocalAccount { user: self.user.clone(), password: self.password.clone(), socket: socket.to_owned() }
    }

    /// Accounts that may write while a server is closed: Baton's, replication's, and those the configuration names.
    pub(super) fn accepts(self: &Arc<Self>) -> Arc<dyn Fn(&Account) -> bool + Send + Sync> {
        let this = Arc::clone(self);
        Arc::new(move |account: &Account| {
            let full = format!("{}@{}", account.user, account.host);
            account.user == this.user
                || account.user == this.replication_user
                || this.accepted.contains(&full)
        })
    }
}

/// Addresses come from the replicated state, which took them from a configuration that was checked.
fn host_port(address: &str) -> HostPort {
    address.parse().unwrap_or_else(|_| HostPort { host: address.to_owned(), port: 3306 })
}
