//! Ends the connection of a receiver that waits for its source without any bound.
//!
//! MySQL reads the answers of a TLS handshake without a timeout (9.7.4): a source whose host is cut off right then holds the
//! receiver until TCP gives up, two hours by default, and neither STOP nor KILL ends it. A server in that state can neither
//! follow another nor be promoted. Its socket can be taken hold of from outside and shut down; the receiver then reads an end.

use std::fs::{read_dir, read_link};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::{Shutdown, getpeername, shutdown};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use tokio::net::{UnixStream, lookup_host};
use tokio::time::timeout;
use tracing::{debug, info};

use super::connector::{Address, Connector};

/// Each look outside: who listens at the socket, and which address a name has.
const LOOK: Duration = Duration::from_secs(1);

/// Shuts down every connection that the server behind a local socket has to `source` (host and port). Nothing happens where the
/// server is reached by TCP, and may be on another host, or where this process may not look into another (`CAP_SYS_PTRACE`).
pub(super) async fn unplug(connector: &Connector, source: (&str, u16)) {
    let Address::Socket(_) = connector.address() else { return };
    match shut_down(connector, source).await {
        Ok(0) => {}
        Ok(count) => {
            let (host, port) = source;
            info!(source = %format_args!("{host}:{port}"), count, "ended the receiver's connection: it waited for its source");
        }
        // It may end by itself yet, and whoever waits for it has a bound.
        Err(error) => debug!(%error, "the receiver's connection cannot be ended"),
    }
}

async fn shut_down(connector: &Connector, source: (&str, u16)) -> io::Result<usize> {
    let Address::Socket(path) = connector.address() else { return Ok(0) };
    let pid = timeout(LOOK, UnixStream::connect(path)).await??.peer_cred()?.pid();
    let pid = pid.and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    let sources: Vec<SocketAddr> = timeout(LOOK, lookup_host(source)).await??.collect();
    let server = pidfd_open(pid, PidfdFlags::empty())?;
    let mut count = 0;
    for fd in sockets(pid)? {
        // Closed since, it is none of those that are looked for.
        let Ok(socket) = pidfd_getfd(&server, fd, PidfdGetfdFlags::empty()) else { continue };
        let peer = getpeername(&socket).ok().flatten().and_then(|peer| SocketAddr::try_from(peer).ok());
        let Some(peer) = peer else { continue };
        if sources
            .iter()
            .any(|at| at.port() == peer.port() && at.ip().to_canonical() == peer.ip().to_canonical())
        {
            shutdown(&socket, Shutdown::Both)?;
            count += 1;
        }
    }
    Ok(count)
}

/// The numbers of a process's sockets.
fn sockets(pid: Pid) -> io::Result<Vec<i32>> {
    let entries = read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()))?;
    let is_socket = |entry: &std::fs::DirEntry| {
        read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    let numbers =
        entries.flatten().filter(is_socket).filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.collect())
}
