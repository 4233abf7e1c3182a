//! The embedded router: two ports beside the applications, one that leads to the writer and one to the readers.
//!
//! It follows [`Routes`], which the node derives from the replicated state, and nothing else: it probes no server and
//! infers no role. While there is no writer, a new connection to the writer port waits, bounded in time and number, and
//! goes on as soon as there is one. Authentication passes through untouched, so a session belongs to the one server that
//! greeted it; a session whose server may no longer have it is *cut*, and its client reconnects to the next one.
//!
//! A server that is lost is left at once. One that is left by plan (the writer before it is closed for a switchover, a reader
//! that lags or was promoted) is left between two statements: an idle session at once, another when its statement has been
//! answered, and all within [`RouterOptions::leave_within`]. What has not come to that by the time the old writer is closed for good is
//! ended by that server or with its epoch.
//!
//! # What a client sees of a cut
//!
//! Whatever the old server had sent is delivered whole, and no reply is altered. Then one error packet, `1053 (08S01)`,
//! with the sequence number the client expects, and the end of the connection. An idle session gets it with sequence 0,
//! as MySQL 8.0.24 and later announce an idle timeout. A session with TLS or compression is only closed, because nothing
//! can be put into its stream; where its statements end cannot be seen, so it leaves a writer at once and a reader at the
//! bound. An error in place of a reply says nothing about whether the statement took effect.
//!
//! # What it cannot do
//!
//! Servers see the router's address, not the client's: accounts are matched against the router's host. A statement is
//! never read, so a write sent to the reader port is refused by the reader itself.
//!
//! # Files
//!
//! `listener` accepts, `hold` finds a server (and waits for one), `session` passes bytes by two `pump`s, `leaving` tells who is
//! still at a writer. Free of I/O:
//! `target` says where a session may go and whether it may stay; `conversation` follows a session's packets through
//! `framing`, `handshake` and `reply` to know where a cut does no harm; `wire` builds the error packet.

mod conversation;
mod counters;
mod framing;
mod handshake;
mod hold;
mod leaving;
mod listener;
mod pump;
mod reply;
mod session;
mod socket;
mod target;
mod wire;

#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Semaphore, sync::watch};
use tokio_util::sync::CancellationToken;

pub use self::counters::{Counters, Stats};
pub use self::leaving::Leaving;
use self::target::Port;

/// Where sessions go now. The node publishes a new value whenever the replicated state changes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes {
    /// The epoch under which [`writer`](Self::writer) was opened; 0 before adoption. At one address a higher epoch means
    /// that the server was closed in between, so sessions of the older epoch are cut (except from 0 to 1: adoption does
    /// not close the server).
    pub epoch: u64,
    /// The open writer, `None` while there is none.
    pub writer: Option<SocketAddr>,
    /// Replicas fit to be read from. When there are none the reader port leads to the writer.
    pub readers: Vec<SocketAddr>,
    /// Servers that are none of these any more, or are about to be none, and still serve: their sessions end between two
    /// statements, after [`RouterOptions::leave_within`] at the latest.
    pub draining: Vec<SocketAddr>,
}

/// What the router is started with. [`RouterOptions::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct RouterOptions {
    /// The address of the writer port; port 0 lets the system choose.
    pub writer_listen: SocketAddr,
    /// The address of the reader port; port 0 lets the system choose.
    pub reader_listen: SocketAddr,
    /// How long a new connection waits for a server before it is told that there is none.
    pub hold_for: Duration,
    /// How many connections, of both ports together, may wait at once. One more is refused at once.
    pub held_max: usize,
    /// How many connections, of both ports together, may exist at once. One more is refused at once.
    pub sessions_max: usize,
    /// The bound on one TCP connect to a server; after it the connection goes on waiting.
    pub connect_timeout: Duration,
    /// How long a session on a server that is left by plan may take to come to the end of its statement.
    pub leave_within: Duration,
}

impl RouterOptions {
    /// Options with the defaults: 30 s of waiting for at most 1024 connections, 4096 sessions, 500 ms for a connect, 30 s to leave.
    pub fn new(writer_listen: SocketAddr, reader_listen: SocketAddr) -> Self {
        Self {
            writer_listen,
            reader_listen,
            hold_for: Duration::from_secs(30),
            held_max: 1024,
            sessions_max: 4096,
            connect_timeout: Duration::from_millis(500),
            leave_within: Duration::from_secs(30),
        }
    }
}

/// Why the router cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// A port cannot be listened on.
    #[error(
        "router.{port}_listen: the router cannot listen on {address}: {source}; choose an address of this host that is free"
    )]
    Listen {
        /// `writer` or `reader`.
        port: &'static str,
        /// The address from the configuration.
        address: SocketAddr,
        /// What the system answered.
        source: io::Error,
    },
}

/// The two listening ports, bound and not yet served. Connections that arrive before [`serve`](Self::serve) wait in the
/// listen backlog.
#[derive(Debug)]
pub struct Router {
    writer: TcpListener,
    reader: TcpListener,
    writer_address: SocketAddr,
    reader_address: SocketAddr,
    shared: Arc<Shared>,
}

/// What every connection of both ports shares.
#[derive(Debug)]
struct Shared {
    options: RouterOptions,
    counters: Counters,
    leaving: Leaving,
    sessions: Arc<Semaphore>,
    held: Arc<Semaphore>,
}

impl Router {
    /// Binds both ports, with `SO_REUSEADDR` so that a restarted daemon binds while old connections linger in
    /// `TIME_WAIT`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`RouterError::Listen`] when an address is taken, not this host's, or not permitted.
    pub fn bind(options: RouterOptions) -> Result<Self, RouterError> {
        let listen = |port: Port, address| {
            socket::listen(address)
                .and_then(|listener| Ok((listener.local_addr()?, listener)))
                .map_err(|source| RouterError::Listen { port: port.name(), address, source })
        };
        let (writer_address, writer) = listen(Port::Writer, options.writer_listen)?;
        let (reader_address, reader) = listen(Port::Reader, options.reader_listen)?;
        let permits = |n: usize| Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS)));
        let shared = Shared {
            counters: Counters::default(),
            leaving: Leaving::default(),
            sessions: permits(options.sessions_max),
            held: permits(options.held_max),
            options,
        };
        Ok(Self { writer, reader, writer_address, reader_address, shared: Arc::new(shared) })
    }

    /// The writer port's address as bound.
    pub fn writer_address(&self) -> SocketAddr {
        self.writer_address
    }

    /// The reader port's address as bound.
    pub fn reader_address(&self) -> SocketAddr {
        self.reader_address
    }

    /// A handle on the counters that stays valid while and after the router serves.
    pub fn counters(&self) -> Counters {
        self.shared.counters.clone()
    }

    /// How its sessions leave a writer, and where its routes are to be published for that.
    pub fn leaving(&self) -> Leaving {
        self.shared.leaving.clone()
    }

    /// What the router does now and has done since it was bound.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }

    /// Serves both ports until `shutdown`, then cuts every session as if its server had gone and returns when the last
    /// one has ended, within 2 s. When the sender of `routes` is dropped the last routes stay in force.
    ///
    /// Dropping the future ends every session at once.
    pub async fn serve(self, routes: watch::Receiver<Routes>, shutdown: CancellationToken) {
        let Self { writer, reader, shared, .. } = self;
        tokio::join!(
            listener::serve(writer, Port::Writer, Arc::clone(&shared), routes.clone(), shutdown.clone()),
            listener::serve(reader, Port::Reader, shared, routes, shutdown),
        );
    }
}
