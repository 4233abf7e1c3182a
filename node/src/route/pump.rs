//! One direction of a session: bytes from one socket to the other.

use std::io;

use rustix::net::RecvFlags;
use tokio::{net::TcpStream, task::coop};

/// The most that is read at once, and so the most that a direction holds.
const BUFFER: usize = 32 * 1024;

/// Which of its two sockets ended a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Nothing more comes: closed, reset, or failed. All that had come has been passed on.
    From,
    /// Nothing more can be passed on.
    To,
}

/// The bytes read and not yet passed on. They live here and not in the future that moves them, so that dropping the
/// future loses nothing.
#[derive(Default)]
pub(super) struct Pump {
    buffer: Vec<u8>,
    sent: usize,
}

impl Pump {
    /// Passes bytes on until one side ends, showing each piece to `seen` before it is passed on. Waiting for input
    /// takes no buffer, so an idle session costs only its sockets.
    pub(super) async fn run(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        mut seen: impl FnMut(&[u8]),
    ) -> Broken {
        loop {
            // The calls below do not yield while both sides keep up.
            coop::consume_budget().await;
            if self.flush(to).await.is_err() {
                return Broken::To;
            }
            self.buffer.reserve_exact(BUFFER);
            match from.try_read_buf(&mut self.buffer) {
                Ok(1..) => seen(&self.buffer),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.buffer = Vec::new();
                    if from.readable().await.is_err() {
                        return Broken::From;
                    }
                }
                Ok(0) | Err(_) => return Broken::From,
            }
        }
    }

    /// Passes on what is held. Safe to cancel and to call again.
    pub(super) async fn flush(&mut self, to: &TcpStream) -> io::Result<()> {
        while self.sent < self.buffer.len() {
            match to.try_write(&self.buffer[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
                Err(e) => return Err(e),
            }
        }
        self.buffer.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads at most `most` bytes that have arrived, without waiting, and returns them; empty when there are none, or
    /// when the connection has ended. What was held must have been flushed.
    pub(super) fn take_arrived(&mut self, from: &TcpStream, most: usize) -> io::Result<&[u8]> {
        debug_assert!(self.buffer.is_empty());
        let mut bytes = vec![0; most.min(BUFFER)];
        // tokio answers from what it last heard of the socket, so the kernel is asked once more.
        let read = match from.try_read(&mut bytes) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                rustix::net::recv(from, bytes.as_mut_slice(), RecvFlags::DONTWAIT)?.0
            }
            other => other?,
        };
        bytes.truncate(read);
        self.buffer = bytes;
        Ok(&self.buffer)
    }

    /// Whether everything read has been passed on.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}
