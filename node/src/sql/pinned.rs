//! The one connection that may open a server: pinned to a server process whose pid is known.
//!
//! The keeper can end a lease only by killing the right process. So the guard asks the kernel who is at the other end
//! (SO_PEERCRED) of the very connection that will carry the opening statement, and that connection is never made again:
//! when it breaks, the pin is gone, and with it the right to open. The driver makes its own sockets, so it is given a
//! private one, and the bytes are carried between the two, one to one.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::connector::{Address, Connector};
use super::error::SqlError;
use super::managed::Permit;
use super::status::{Pulse, SemiSync, Switch};
use super::wire::Wire;
use super::{pulse, semi_sync};
use crate::gtid::Dialect;

/// A connection to a known server process, and the only thing in Baton that opens a server.
pub struct Pinned {
    pid: u32,
    wire: Wire,
    relay: JoinHandle<()>,
}

impl Pinned {
    /// Connects to the server behind `socket`. `private` is a directory of Baton's own; a short-lived socket is made in
    /// it, so its path must be short (about 80 bytes).
    ///
    /// # Errors
    /// As any connection; [`SqlError::Unsafe`] when the process behind the socket is not the server itself (pid 1:
    /// systemd holds it).
    pub async fn connect(
        connector: &Connector,
        socket: &Path,
        private: &Path,
        bound: Duration,
    ) -> Result<Self, SqlError> {
        let begun = Instant::now();
        let deadline = begun + bound;
        let timed_out = |_| SqlError::TimedOut { what: "pin", after: bound };
        let address = socket.display().to_string();
        let server = timeout_at(deadline, UnixStream::connect(socket)).await.map_err(timed_out)?;
        let server = server.map_err(|e| SqlError::from(mysql_async::Error::from(e)).at(&address))?;
        let pid = peer_pid(&server).map_err(|e| gone(&e))?;
        if pid <= 1 {
            return Err(SqlError::Unsafe(format!(
                "{address} is held by process {pid}, not by the server: switch socket activation off"
            )));
        }
        let door = Door::make(private).map_err(|e| gone(&e))?;
        let own = connector.at(Address::Socket(door.path.clone()));
        let relay = tokio::spawn(door.carry(server, deadline));
        let wire = async {
            let conn = own.connect(deadline).await?;
            Wire::over(conn, connector, None, "pin", begun, deadline).await
        };
        // On an error the driver's end is gone, and with it the relay.
        wire.await.map(|wire| Self { pid, wire, relay }).map_err(|e: SqlError| e.at(&address))
    }

    /// The server's process, as the kernel names the peer of this connection.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the connection still stands, as far as is known. A broken one is never made again.
    pub fn is_broken(&self) -> bool {
        self.wire.is_broken() || self.relay.is_finished()
    }

    /// The server's state, over this connection.
    ///
    /// # Errors
    /// Any error of the connection; it is of no further use then.
    pub async fn pulse(&mut self, bound: Duration) -> Result<Pulse, SqlError> {
        self.wire.begin("pulse", bound);
        pulse::take(&mut self.wire).await
    }

    /// Makes commits wait for `wait_count` ackers, with a timeout that is never reached, AFTER_SYNC, also without any
    /// acker connected; reads it back. Before each opening.
    ///
    /// # Errors
    /// [`SqlError::NotInEffect`], [`SqlError::Superseded`], [`SqlError::NoSuchThing`] without the plugin.
    pub async fn make_source_wait(
        &mut self,
        wait_count: u32,
        permit: &Permit,
        bound: Duration,
    ) -> Result<SemiSync, SqlError> {
        self.wire.begin("make the source wait", bound);
        semi_sync::make_source_wait(&mut self.wire, wait_count, permit).await
    }

    /// Opens the server: ends `offline_mode`, clears both read-only flags, reads back. Only the guard calls this.
    /// `permit` is asked before each statement, and once more after the last: when it is refused then, the server is
    /// open and the caller closes it.
    ///
    /// # Errors
    /// [`SqlError::Unsafe`] on a server that replicates, which is left as it is; [`SqlError::Superseded`];
    /// [`SqlError::NotInEffect`]; any error of the connection. After an error the server may be open: the caller closes
    /// it.
    pub async fn open(&mut self, permit: &Permit, bound: Duration) -> Result<Pulse, SqlError> {
        self.wire.begin("open", bound);
        let before = pulse::take(&mut self.wire).await?;
        if before.replication.is_some() {
            return Err(SqlError::Unsafe("the server still has a source: forget it before opening".into()));
        }
        for sql in opening(self.wire.caps().dialect, before.offline_mode) {
            self.step(sql, permit).await?;
        }
        let after = pulse::take(&mut self.wire).await?;
        if after.switch != Switch::Open || after.offline_mode {
            return Err(SqlError::NotInEffect { what: "open", seen: format!("{:?}", after.switch) });
        }
        permit.check("nothing: the server is open")?;
        Ok(after)
    }

    async fn step(&mut self, sql: &str, permit: &Permit) -> Result<(), SqlError> {
        permit.check(sql)?;
        self.wire.run(sql).await
    }
}

/// The statements that open a server, in their order.
pub(super) fn opening(dialect: Dialect, offline: bool) -> Vec<&'static str> {
    let online = offline.then_some("SET GLOBAL offline_mode=OFF");
    let to_all = (dialect == Dialect::Mysql).then_some("SET GLOBAL super_read_only=OFF");
    online.into_iter().chain(to_all).chain(["SET GLOBAL read_only=OFF"]).collect()
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

/// A listening socket that lets one connection of this very process in, and is gone.
struct Door {
    listener: UnixListener,
    path: PathBuf,
    folder: PathBuf,
}

impl Door {
    fn make(private: &Path) -> io::Result<Self> {
        let folder = private.join(format!("pin-{:08x}", rand::random::<u32>()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let path = folder.join("s");
        match UnixListener::bind(&path) {
            Ok(listener) => {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
                Ok(Self { listener, path, folder })
            }
            Err(error) => {
                let _already_gone = std::fs::remove_dir(&folder);
                Err(error)
            }
        }
    }

    /// Lets one connection in, closes the door, and carries bytes until either side ends.
    async fn carry(self, mut server: UnixStream, deadline: Instant) {
        let Ok(Ok((mut driver, _))) = timeout_at(deadline, self.listener.accept()).await else { return };
        if peer_pid(&driver).ok() != Some(std::process::id()) {
            return;
        }
        drop(self);
        let _either_end = tokio::io::copy_bidirectional(&mut driver, &mut server).await;
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _already_gone = std::fs::remove_file(&self.path);
        let _not_empty = std::fs::remove_dir(&self.folder);
    }
}

fn peer_pid(stream: &UnixStream) -> io::Result<u32> {
    let pid = stream.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok());
    pid.ok_or_else(|| io::Error::other("the kernel names no process at the other end of this socket"))
}

fn gone(error: &io::Error) -> SqlError {
    SqlError::Gone { message: error.to_string() }
}
