//! The one interface to a managed server. MySQL and MariaDB stand behind it, and in simulation a server in memory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::backup::{CopyPosition, DataPlaces};
use super::clone::CloneSeen;
use super::error::SqlError;
use super::foretell::Call;
use super::privileges::Needed;
use super::rehearsal::RehearsalSeen;
use super::status::{Glance, Inventory, Pulse, ServerStatus};
use crate::gtid::GtidSet;

/// What a call returns: a future that ends within the call's bound.
pub type SqlFuture<'a, T> = BoxFuture<'a, Result<T, SqlError>>;

/// The right to change a server, asked again immediately before each statement: a node compares term and epoch in it.
/// A closed server needs none to be closed.
#[derive(Clone)]
pub struct Permit(Arc<dyn Fn() -> bool + Send + Sync>);

impl Permit {
    /// `still` is asked before each statement, and must not block.
    pub fn new(still: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(still))
    }

    /// Never withdrawn: for tests and for what an operator does by hand.
    pub fn unconditional() -> Self {
        Self::new(|| true)
    }

    /// # Errors
    /// [`SqlError::Superseded`], with the statement that must not be sent.
    pub fn check(&self, statement: &str) -> Result<(), SqlError> {
        if (self.0)() { Ok(()) } else { Err(SqlError::Superseded { before: statement.to_owned() }) }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&(self.0)()).finish()
    }
}

/// How to close a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseOptions {
    /// How long the closing statement waits for another session's lock; whole seconds, at least 1. New writes queue
    /// behind it meanwhile.
    pub lock_wait: Duration,
    /// Bound of the whole close. The statement is killed and seen gone within it, or the error says that it was not.
    pub deadline: Duration,
    /// Kill the sessions of clients after closing. Without it nothing is proven about transactions under way.
    pub kill_sessions: bool,
    /// Kill the clients' sessions when the statement could not get the lock, once, and try again; or in the middle of a
    /// deadline that is too short for that. On MariaDB this ends
    /// a commit's wait for its acker too: the row becomes visible, its client gets an error. On MySQL it does not.
    pub kill_blockers: bool,
}

impl Default for CloseOptions {
    fn default() -> Self {
        Self {
            lock_wait: Duration::from_secs(1),
            deadline: Duration::from_secs(3),
            kill_sessions: true,
            kill_blockers: false,
        }
    }
}

/// A session that was killed: for the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// The server's id of the session.
    pub id: u64,
    /// Its account.
    pub user: String,
    /// Where it came from.
    pub host: String,
}

/// What was found after a close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedProof {
    /// Sessions killed.
    pub sessions_killed: Vec<Killed>,
    /// Sessions that were killed and have not gone yet: such as those waiting for an acker on MySQL.
    pub sessions_left: Vec<Killed>,
    /// Prepared XA transactions.
    pub xa_prepared: u32,
    /// A prepared XA transaction could still be committed: MySQL does so in spite of `super_read_only`, for any
    /// account, unless the server was put into `offline_mode`. MariaDB refuses it to ordinary accounts.
    pub xa_can_commit: bool,
    /// MySQL: the server is in `offline_mode`; closing puts it there when there are prepared XA transactions.
    pub offline: bool,
    /// What the server had executed, read after the close.
    pub executed: GtidSet,
    /// Accounts that can still write (MariaDB without `NO_LOCK_NO_ADMIN`).
    pub writers_left: Vec<Account>,
}

impl ClosedProof {
    /// What still speaks against the proof `closed`, in words for the report; empty when it is one. `accepted` names the
    /// accounts that the policy allows to write while the server is closed (Baton's, replication's).
    pub fn gaps(&self, accepted: impl Fn(&Account) -> bool) -> Vec<String> {
        let sessions =
            self.sessions_left.iter().map(|s| format!("session {} of {}@{} is left", s.id, s.user, s.host));
        let xa = self.xa_can_commit.then(|| format!("{} prepared XA transactions", self.xa_prepared));
        let accounts = self.writers_left.iter().filter(|a| !accepted(a));
        let accounts = accounts.map(|a| format!("{}@{} holds {}", a.user, a.host, a.privileges.join(", ")));
        sessions.chain(xa).chain(accounts).collect()
    }
}

/// A client's transaction that has been open for long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongTransaction {
    /// The server's id of the session.
    pub id: u64,
    /// Its account.
    pub user: String,
    /// Where it came from.
    pub host: String,
    /// For how long it has been open.
    pub age: Duration,
    /// The beginning of the statement under way; empty between two.
    pub statement: String,
    /// Rows that it has locked.
    #[serde(default)]
    pub rows_locked: u64,
}

/// A client's lock that a close waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLock {
    /// The server's id of the session.
    pub id: u64,
    /// Its account.
    pub user: String,
    /// Where it came from.
    pub host: String,
    /// Since its statement began, or since the last one ended: it has held the lock for so long at least.
    pub age: Duration,
    /// The tables, `schema.name`, as far as the server says.
    pub tables: Vec<String>,
}

/// One event, and what it was made with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventSeen {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `user@host`.
    pub definer: String,
    /// It runs where the scheduler is on.
    pub enabled: bool,
    /// It came by replication and does not run here for that reason.
    pub from_elsewhere: bool,
    /// The session's `sql_mode` when it was made.
    pub sql_mode: String,
    /// The session's time zone then.
    pub time_zone: String,
    /// The session's `character_set_client` then.
    pub character_set: String,
    /// The session's `collation_connection` then.
    pub collation: String,
}

/// The event scheduler.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsSeen {
    /// It is on.
    pub scheduler: bool,
    /// Events that run where it is on, as far as this account sees them.
    pub enabled: u64,
    /// Baton's account sees them all.
    pub visible: bool,
}

/// What a planned switchover wants to know of a server beside its state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// Transactions of clients that have been open for long, the oldest first; at most 20.
    pub long: Vec<LongTransaction>,
    /// Locks of clients that a close waits for, the longest held first; at most 20.
    pub locks: Vec<HeldLock>,
    /// Tables under a lock, where the server does not tell whose it is (MariaDB without `metadata_lock_info`).
    pub in_use: Vec<String>,
    /// What never reaches its binlog, as `name=value`.
    pub binlog_filters: Vec<String>,
    /// What it leaves out as a replica, as `name=value`.
    pub replica_filters: Vec<String>,
    /// Events.
    pub events: EventsSeen,
}

/// An account that can do more than it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// User name.
    pub user: String,
    /// Host pattern.
    pub host: String,
    /// The privileges that make it so.
    pub privileges: Vec<String>,
}

/// What Baton's own account lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privileges {
    /// `CURRENT_USER()`.
    pub account: String,
    /// Needed and not held, neither by itself nor by an active role.
    pub missing: Vec<&'static Needed>,
}

/// Where a replica takes its data from.
#[derive(Clone)]
pub struct Source {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Replication account.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// TLS of the channel; without it MySQL fetches the source's RSA key for `caching_sha2_password`.
    pub tls: Option<SourceTls>,
}

/// TLS of a replication channel. Paths are the server's, not Baton's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceTls {
    /// CA file. With one, the source's certificate is verified.
    pub ca: Option<String>,
    /// Client certificate file.
    pub cert: Option<String>,
    /// Client key file.
    pub key: Option<String>,
}

impl Source {
    /// The same for a text that people read.
    #[must_use]
    pub fn without_password(&self) -> Self {
        Self { password: SecretString::from("…".to_owned()), ..self.clone() }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({}@{}:{}, tls: {})", self.user, self.host, self.port, self.tls.is_some())
    }
}

/// A server that Baton manages. Every call ends within a bound; one that runs out of it has dropped its connection and
/// killed its statement. There is no `open`: see [`super::pinned::Pinned`].
pub trait ManagedServer: Send + Sync {
    /// One cheap round trip on a connection that is kept open.
    fn ping(&self) -> SqlFuture<'_, ()>;

    /// Connects anew, as a client would, and ends that connection. A server that cannot be connected to is asked on the
    /// connection there is.
    ///
    /// # Errors
    /// [`SqlError::TooManyConnections`] among those of a connection.
    fn connect_anew(&self) -> SqlFuture<'_, ()> {
        self.ping()
    }

    /// The state that changes all the time, in one round trip.
    fn pulse(&self) -> SqlFuture<'_, Pulse>;

    /// So much of the pulse as shows whether it has changed, over the same connection; with `channel`, also whether the
    /// server's channel runs, which says little of an open one.
    fn glance(&self, channel: bool) -> SqlFuture<'_, Glance> {
        let _as_of_a_server_that_is_asked_for_all = channel;
        Box::pin(async move { Ok(Glance::of(&self.pulse().await?)) })
    }

    /// What seldom changes.
    fn inventory(&self) -> SqlFuture<'_, Inventory>;

    /// [`Self::inventory`] and [`Self::pulse`].
    fn status(&self) -> SqlFuture<'_, ServerStatus> {
        Box::pin(async move {
            Ok(ServerStatus { inventory: self.inventory().await?, pulse: self.pulse().await? })
        })
    }

    /// Opens the connections that a close will need. Until then they are made when first used.
    fn warm_up(&self) -> SqlFuture<'_, ()>;

    /// Closes the server to clients, kills their sessions, reads back. Idempotent. Anyone may close.
    ///
    /// # Errors
    /// [`SqlError::LockWaitTimeout`] when another session held the lock (`LOCK TABLES`, a commit that waits for its
    /// acker): nothing has changed then. [`SqlError::TimedOut`] when the deadline passed; the statement was killed and
    /// seen gone. [`SqlError::Unsafe`] when it could not be seen gone: it may still take effect.
    fn close<'a>(&'a self, options: &'a CloseOptions) -> SqlFuture<'a, ClosedProof>;

    /// Ends the waiting of a closed server. On MariaDB it switches the source side of semi-sync off. On MySQL it makes it
    /// wait for a millisecond at most, and switches it off in a later call, once no acker has been seen for over a second
    /// (earlier, the switch would hold up new connections for up to a second): so it is called again until
    /// `source_enabled` is off. Each call takes milliseconds.
    ///
    /// # Errors
    /// [`SqlError::Unsafe`] when the server is open, or a client's commit waits: it would be answered OK.
    fn stop_waiting<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()>;

    /// Lets a degraded writer's commits through: those that wait are answered OK within milliseconds. Only after
    /// `degraded` is committed. On MySQL replicas that count as connected are cut once (they come back by themselves),
    /// and where an acker's process died within the last second, new connections and reads of global variables, the pulse
    /// among them, are held up for up to a second after the call: no sign of a hung writer. The source side may stay
    /// switched on, inactive; [`super::pinned::Pinned::make_source_wait`] makes the server wait again in any case.
    fn let_go<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()>;

    /// Switches the replica side of semi-sync, and restarts the IO thread where that is needed for it to take effect
    /// and loses nothing.
    ///
    /// # Errors
    /// [`SqlError::Unsafe`] when the IO thread would have to be restarted and cannot be without loss, or when it is to be
    /// switched on and `sync_relay_log` is not 1.
    fn set_acker<'a>(&'a self, on: bool, permit: &'a Permit) -> SqlFuture<'a, ()>;

    /// Has what is received put on disk after every event (`sync_relay_log=1`), as an acker must, or now and then. Takes
    /// effect at once, for what is received from then on.
    ///
    /// # Errors
    /// [`SqlError::Unsafe`] when it is to be done seldom and the replica side of semi-sync is on.
    fn sync_relay_log<'a>(&'a self, every_event: bool, permit: &'a Permit) -> SqlFuture<'a, ()>;

    /// Stops receiving; applying goes on. The source's next commit gets no acknowledgement from here.
    ///
    /// # Errors
    /// [`SqlError::Unsafe`] on MariaDB when the SQL thread stands still with events unapplied: with both threads
    /// stopped the next start would throw them away.
    fn stop_receiver<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()>;

    /// Ends the applier of a server that is about to be stopped. With half a transaction at the end of its relay log, which
    /// a receiver that was stopped leaves behind, MySQL waits up to a minute for the rest of it before it shuts down. Whole
    /// transactions are applied first or at the next start. Nothing to do on MariaDB.
    fn end_applier<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        let _as_of_a_server_without_such_a_wait = permit;
        Box::pin(async { Ok(()) })
    }

    /// Starts receiving.
    fn start_receiver<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()>;

    /// Starts applying what is in the relay log, and receives nothing. Nothing to do where it runs.
    ///
    /// On MariaDB from a standstill with events unapplied, this leaves GTID for as long as they are applied;
    /// [`Self::start_replication`] goes back to it. (After a restart MariaDB no longer knows that it had any.)
    ///
    /// # Errors
    /// [`SqlError::Unsupported`] by a server whose two threads cannot be told apart.
    fn start_applier<'a>(&'a self, _permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async { Err(SqlError::Unsupported("its applier cannot be started alone".into())) })
    }

    /// Starts receiving and applying. On MariaDB, from a standstill with events unapplied, these are applied first.
    ///
    /// # Errors
    /// [`SqlError::Unsafe`] when they are not all applied within the bound: the applier goes on, and the receiver waits.
    fn start_replication<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()>;

    /// Stops replication and forgets the source and the relay log. Idempotent.
    ///
    /// # Errors
    /// [`SqlError::Unsafe`] when something received is not applied.
    fn forget_source<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()>;

    /// Replicates from `source` by GTID, with a 0.5 s heartbeat and a 4 s net timeout, and starts both threads.
    /// Serves a former writer as well as a replica of another source.
    ///
    /// # Errors
    /// [`SqlError::Unsafe`] when the server is open, or on MariaDB has received events unapplied.
    fn follow<'a>(&'a self, source: &'a Source, permit: &'a Permit) -> SqlFuture<'a, ()>;

    /// MySQL: replaces the server's data by that of `donor`, an account with BACKUP_ADMIN there. Returns when the copy is
    /// there; the server then restarts, or shuts down where nobody supervises it. It stays closed to ordinary accounts.
    ///
    /// # Errors
    /// What the server had may be gone then. [`SqlError::NoSuchThing`] without the clone plugin.
    fn copy_from<'a>(&'a self, _donor: &'a Source, _permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async { Err(SqlError::Unsupported("it cannot be cloned into".into())) })
    }

    /// MySQL: what became of the last [`Self::copy_from`].
    ///
    /// # Errors
    /// [`SqlError::NoSuchThing`] without the clone plugin.
    fn clone_seen(&self) -> SqlFuture<'_, CloneSeen> {
        Box::pin(async { Err(SqlError::Unsupported("it cannot be cloned into".into())) })
    }

    /// MySQL: ends a [`Self::copy_from`] that an earlier process of this node began.
    fn end_clone<'a>(&'a self, _permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async { Err(SqlError::Unsupported("it cannot be cloned into".into())) })
    }

    /// MySQL: forgets the replication that came with a copy of another server's data.
    fn forget_copied_source<'a>(&'a self, _permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async { Err(SqlError::Unsupported("it cannot be cloned into".into())) })
    }

    /// MariaDB: where its data is.
    fn data_places(&self) -> SqlFuture<'_, DataPlaces> {
        Box::pin(async { Err(SqlError::Unsupported("it has no data directory".into())) })
    }

    /// MariaDB: gives a server that runs with a copy of another one's data the copy's positions, and an empty binlog.
    ///
    /// # Errors
    /// [`SqlError::NotInEffect`] when they are not what they should be then.
    fn take_position<'a>(&'a self, _copy: &'a CopyPosition, _permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async { Err(SqlError::Unsupported("it takes no copy's position".into())) })
    }

    /// Waits until `set` is applied; false when `bound` passed first or the applier stopped.
    fn wait_applied<'a>(&'a self, set: &'a GtidSet, bound: Duration) -> SqlFuture<'a, bool>;

    /// Ends the sessions of clients where the applier waits for a lock, a table's or a row's. Which of them holds it is not to
    /// be had from every server, so all end. Those that were ended; none where the applier waits for no lock.
    fn free_applier<'a>(&'a self, _permit: &'a Permit) -> SqlFuture<'a, Vec<Killed>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// What the server has committed.
    fn executed(&self) -> SqlFuture<'_, GtidSet>;

    /// Executed ∪ in the relay log.
    fn received(&self) -> SqlFuture<'_, GtidSet> {
        Box::pin(async move { Ok(self.pulse().await?.received) })
    }

    /// Commits something that changes nothing for anybody (`DROP TABLE IF EXISTS`, which is written to the binlog also when
    /// there is none) and returns when the commit has: on a source that waits, when ackers acknowledged it.
    ///
    /// One that was given up waits on at the server, and may wait for ever: what its replicas received while they
    /// acknowledged nothing they do not acknowledge later, only what follows it. Calls in a row therefore need different
    /// locks; there are eight of them, which bounds the sessions that wait.
    fn prove_commit(&self, bound: Duration) -> SqlFuture<'_, ()>;

    /// Begins a new binlog file. A replica that connects by GTID is served from the beginning of a file, and waits while the
    /// source reads all in it that it has already: some 60 ms for 20 MiB, and files grow to 1 GiB.
    fn rotate_binlog(&self) -> SqlFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// What a planned switchover wants to know of it: clients' transactions and locks that are older than `longer_than`,
    /// filters of replication, events.
    fn inspect(&self, _longer_than: Duration) -> SqlFuture<'_, Inspection> {
        Box::pin(async { Ok(Inspection::default()) })
    }

    /// The statements that `call` would send to this server as it is now, in their order, as text for people: each made by
    /// what the call itself uses. Looks (SELECT of settings, SHOW) are left out. Changes nothing.
    fn foretell<'a>(&'a self, _call: Call<'a>) -> SqlFuture<'a, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// The events that Baton's account sees.
    fn events(&self) -> SqlFuture<'_, Vec<EventSeen>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Enables an event that came by replication, and leaves it otherwise as it is. It goes into the binlog: other servers
    /// then mark it as this one's.
    fn enable_event<'a>(&'a self, _event: &'a EventSeen, _permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async { Err(SqlError::Unsupported("it has no events".into())) })
    }

    /// Makes the table of a rehearsal, empty, in Baton's own schema.
    fn rehearsal_begins<'a>(&'a self, _permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async { Err(SqlError::Unsupported("nothing is rehearsed on it".into())) })
    }

    /// Writes a row into that table, and returns when its commit was acknowledged.
    ///
    /// # Errors
    /// [`SqlError::ReadOnly`] on a closed server, also where the account could write to it.
    fn rehearsal_writes<'a>(&'a self, _number: u32, _permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async { Err(SqlError::Unsupported("nothing is rehearsed on it".into())) })
    }

    /// Its switches and the rows of that table; none where there is no such table.
    fn rehearsal_seen(&self) -> SqlFuture<'_, RehearsalSeen> {
        Box::pin(async { Err(SqlError::Unsupported("nothing is rehearsed on it".into())) })
    }

    /// Drops that table.
    fn rehearsal_ends<'a>(&'a self, _permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async { Err(SqlError::Unsupported("nothing is rehearsed on it".into())) })
    }

    /// Switches the event scheduler.
    fn set_event_scheduler<'a>(&'a self, on: bool, permit: &'a Permit) -> SqlFuture<'a, ()>;

    /// Kills sessions of Baton's own account that an earlier process of it left behind, seen by the connection
    /// attributes or, where there are none, by a closing statement still under way. Returns how many.
    fn kill_own_leftovers(&self) -> SqlFuture<'_, u32>;

    /// Accounts besides Baton's that write while the server is closed, or may take their writes out of the binlog.
    fn accounts_that_write_while_closed(&self) -> SqlFuture<'_, Vec<Account>>;

    /// What Baton's own account lacks.
    fn privileges(&self) -> SqlFuture<'_, Privileges>;
}
