//! How Baton reaches a server: where, as whom, and how long it waits for anything.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};

use super::error::SqlError;

/// Session settings of every connection. Whatever the server's defaults are: no open transaction by accident, quotes
/// that mean what they say, no idle cut, and no wait for a metadata lock beyond a second.
const SESSION: &str = "SET SESSION autocommit=1, sql_mode='', wait_timeout=31536000, lock_wait_timeout=1";
/// Bytes of the largest packet that Baton sends or reads: GTID sets can be long. Naming it saves a round trip.
const MAX_PACKET: usize = 64 << 20;
/// Bytes of the largest event that a binlog can have.
const MAX_EVENT: usize = 1 << 30;
/// Bound of the polite end of a connection.
const GOODBYE: Duration = Duration::from_millis(500);

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Unix socket.
    Socket(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Bounds of the calls that take none of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connecting, authentication included.
    pub connect: Duration,
    /// Reading: ping, pulse, inventory.
    pub query: Duration,
    /// Changing: replication commands wait for threads to stop.
    pub command: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            query: Duration::from_secs(1),
            command: Duration::from_secs(10),
        }
    }
}

/// Makes connections to one server. Clones share the list of connections that are theirs.
#[derive(Clone)]
pub struct Connector {
    address: Address,
    user: String,
    password: SecretString,
    tls: Option<SslOpts>,
    limits: Limits,
    max_packet: usize,
    own_ids: Arc<Mutex<HashSet<u32>>>,
    /// Where the server lets administrators in when it is full, once that is known.
    admin: Arc<Mutex<Option<(String, u16)>>>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({}@{})", self.user, self.address)
    }
}

impl Connector {
    /// Connects as `user` without TLS and with the default limits.
    pub fn new(address: Address, user: impl Into<String>, password: SecretString) -> Self {
        Self {
            address,
            user: user.into(),
            password,
            tls: None,
            limits: Limits::default(),
            max_packet: MAX_PACKET,
            own_ids: Arc::default(),
            admin: Arc::default(),
        }
    }

    /// The same with other bounds.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same for a connection that the events of a binlog come over.
    #[must_use]
    pub(super) fn for_events(self) -> Self {
        Self { max_packet: MAX_EVENT, ..self }
    }

    /// The same over TLS (TCP only).
    #[must_use]
    pub fn with_tls(self, tls: SslOpts) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// The same account over another address of the same server.
    #[must_use]
    pub fn at(&self, address: Address) -> Self {
        let tls = if matches!(address, Address::Socket(_)) { None } else { self.tls.clone() };
        Self { address, tls, ..self.clone() }
    }

    /// Where the server listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The account's user name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Notes where the server lets administrators in when it is full; `None` where it has no such interface.
    pub(super) fn learn_admin(&self, admin: Option<(String, u16)>) {
        *self.admin.lock().unwrap_or_else(PoisonError::into_inner) = admin;
    }

    /// [`Self::connect`], and over the administrative interface of the server behind a local socket where every other
    /// connection is taken.
    pub(super) async fn connect_when_full(&self, deadline: Instant) -> Result<Conn, SqlError> {
        let full = match self.connect(deadline).await {
            Err(full @ SqlError::TooManyConnections) => full,
            other => return other,
        };
        let admin = self.admin.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((host, port)) = admin else { return Err(full) };
        // On another host the port may be another server's, and nothing here tells them apart.
        let Address::Socket(socket) = &self.address else { return Err(full) };
        let mut conn =
            self.at(Address::Tcp { host, port }).connect(deadline).await.map_err(|_| full.clone())?;
        // By its socket it is this very server; another one of this host may have the port.
        let told = timeout_at(deadline, conn.query_first::<String, _>("SELECT @@GLOBAL.socket")).await;
        let same = |told: &str| match (std::fs::canonicalize(told), std::fs::canonicalize(socket)) {
            (Ok(told), Ok(own)) => told == own,
            _ => false,
        };
        if matches!(told, Ok(Ok(Some(told))) if same(&told)) {
            return Ok(conn);
        }
        self.end(conn);
        Err(full)
    }

    /// Connects within the connect limit, and by `deadline`.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<Conn, SqlError> {
        let deadline = deadline.min(Instant::now() + self.limits.connect);
        let conn = match timeout_at(deadline, Conn::new(self.opts())).await {
            Ok(result) => result.map_err(|e| SqlError::from(e).at(&self.address.to_string()))?,
            Err(_) => return Err(SqlError::TimedOut { what: "connect", after: self.limits.connect }),
        };
        self.ids(|ids| ids.insert(conn.id()));
        Ok(conn)
    }

    /// Ends a connection: politely within a bound, else by closing its socket.
    pub(super) fn end(&self, conn: Conn) {
        self.ids(|ids| ids.remove(&conn.id()));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(GOODBYE, conn.disconnect()));
        }
    }

    /// A connection that a stream of events has used up.
    pub(super) fn forget(&self, id: u32) {
        self.ids(|ids| ids.remove(&id));
    }

    /// Whether the server's session `id` is a living connection of this connector or of a clone of it.
    pub(super) fn owns(&self, id: u64) -> bool {
        self.ids(|ids| u32::try_from(id).is_ok_and(|id| ids.contains(&id)))
    }

    fn ids<T>(&self, f: impl FnOnce(&mut HashSet<u32>) -> T) -> T {
        f(&mut self.own_ids.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn opts(&self) -> Opts {
        let opts = OptsBuilder::default()
            .user(Some(&self.user))
            .pass(Some(self.password.expose_secret()))
            // Each of these saves a query that the driver would send on connecting.
            .prefer_socket(false)
            .max_allowed_packet(Some(self.max_packet))
            .wait_timeout(Some(31_536_000))
            .setup(vec![SESSION])
            .connect_attribute("program_name", "baton")
            .tcp_keepalive(Some(Duration::from_secs(5)))
            .tcp_nodelay(true)
            .stmt_cache_size(0);
        match &self.address {
            Address::Tcp { host, port } => {
                opts.ip_or_hostname(host).tcp_port(*port).ssl_opts(self.tls.clone()).into()
            }
            Address::Socket(path) => opts.socket(Some(path.to_string_lossy())).into(),
        }
    }
}
