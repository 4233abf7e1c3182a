//! One daemon's connection to the keeper: lines in, lines out, never blocking, never growing.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::event::PollFlags;
use serde::Serialize;

use super::protocol::MAX_LINE_BYTES;

/// What may wait to be sent. A daemon that leaves more unread is cut off.
const MAX_UNSENT_BYTES: usize = 16 * MAX_LINE_BYTES;

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Whether it has said hello in a protocol that is spoken here.
    pub(super) greeted: bool,
    open: bool,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            input: Vec::with_capacity(MAX_LINE_BYTES),
            output: Vec::with_capacity(MAX_LINE_BYTES),
            greeted: false,
            open: true,
        })
    }

    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn interest(&self) -> PollFlags {
        if self.output.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT }
    }

    /// Reads what is there, at most one buffer of it. A line that does not fit closes the connection, as its end does.
    pub(super) fn receive(&mut self) {
        let mut chunk = [0; MAX_LINE_BYTES];
        match self.stream.read(&mut chunk[..MAX_LINE_BYTES - self.input.len()]) {
            Ok(0) => self.open = false,
            Ok(count) => self.input.extend_from_slice(&chunk[..count]),
            Err(error) => self.open = is_transient(&error),
        }
    }

    /// The next whole line, without its end.
    pub(super) fn next_line(&mut self) -> Option<Vec<u8>> {
        if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
            let mut line: Vec<u8> = self.input.drain(..=end).collect();
            line.pop();
            return Some(line);
        }
        if self.input.len() == MAX_LINE_BYTES {
            self.open = false;
        }
        None
    }

    /// Queues one message and sends what the socket takes.
    pub(super) fn send(&mut self, message: &impl Serialize) {
        match serde_json::to_writer(&mut self.output, message) {
            Ok(()) => self.output.push(b'\n'),
            Err(_) => self.open = false,
        }
        self.flush();
        if self.output.len() > MAX_UNSENT_BYTES {
            self.open = false;
        }
    }

    pub(super) fn flush(&mut self) {
        while self.open && !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => self.open = false,
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.open = is_transient(&error),
            }
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
