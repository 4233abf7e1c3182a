//! The daemon's connection to its keeper: one task that numbers calls, pairs answers and passes events on. It ends with
//! the connection or with the last client.

use std::collections::HashMap;
use std::io;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::client::CALL_TIMEOUT;
use super::protocol::{Answer, Call, MAX_LINE_BYTES, Message, Request, ServerExit};
use super::record::KillRecord;

/// Calls that may wait to be sent, and answers that may be outstanding.
const MAX_CALLS: usize = 16;

/// A request and where its answer goes.
pub(super) type Asked = (Request, oneshot::Sender<Answer>);

/// The client's ends of the task.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) calls: mpsc::Sender<Asked>,
    pub(super) ended: CancellationToken,
    pub(super) killed: watch::Receiver<Option<KillRecord>>,
    pub(super) exited: watch::Receiver<Option<ServerExit>>,
}

impl Link {
    /// Starts the task on a fresh connection.
    pub(super) fn start(stream: UnixStream) -> Self {
        let (calls, asked) = mpsc::channel(MAX_CALLS);
        let (killed_sender, killed) = watch::channel(None);
        let (exited_sender, exited) = watch::channel(None);
        let ended = CancellationToken::new();
        let (reader, writer) = stream.into_split();
        let task = Task {
            writer,
            outstanding: HashMap::with_capacity(MAX_CALLS),
            next_id: 1,
            killed: killed_sender,
            exited: exited_sender,
            _ended: ended.clone().drop_guard(),
        };
        tokio::spawn(task.run(Lines::new(reader), asked));
        Self { calls, ended, killed, exited }
    }
}

struct Task {
    writer: OwnedWriteHalf,
    outstanding: HashMap<u64, oneshot::Sender<Answer>>,
    next_id: u64,
    killed: watch::Sender<Option<KillRecord>>,
    exited: watch::Sender<Option<ServerExit>>,
    _ended: DropGuard,
}

impl Task {
    /// An error is the end of the connection, which is all that anyone needs to know of it.
    async fn run(mut self, mut lines: Lines, mut asked: mpsc::Receiver<Asked>) {
        loop {
            let went_well = tokio::select! {
                line = lines.next() => line.and_then(|line| self.take(&line)),
                call = asked.recv() => match call {
                    Some((request, answer)) => self.send(request, answer).await,
                    None => return,
                },
            };
            if went_well.is_err() {
                return;
            }
        }
    }

    fn take(&mut self, line: &[u8]) -> io::Result<()> {
        match serde_json::from_slice(line)? {
            Message::Answer { id, answer } => {
                if let Some(waiting) = self.outstanding.remove(&id) {
                    // The caller may have run out of patience.
                    drop(waiting.send(answer));
                }
            }
            Message::Killed(record) => drop(self.killed.send_replace(Some(record))),
            Message::Exited(exit) => drop(self.exited.send_replace(Some(exit))),
        }
        Ok(())
    }

    async fn send(&mut self, request: Request, answer: oneshot::Sender<Answer>) -> io::Result<()> {
        self.outstanding.retain(|_, waiting| !waiting.is_closed());
        if answer.is_closed() {
            return Ok(());
        }
        let id = self.next_id;
        self.next_id += 1;
        self.outstanding.insert(id, answer);
        let line = to_line(&Call { id, request })?;
        // Half a line may be out when this runs out of time, so the connection ends with it.
        timeout(CALL_TIMEOUT, self.writer.write_all(&line)).await?
    }
}

fn to_line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// Lines of bounded length. `next` may be cancelled without losing any.
struct Lines {
    reader: OwnedReadHalf,
    buffer: Vec<u8>,
}

impl Lines {
    fn new(reader: OwnedReadHalf) -> Self {
        Self { reader, buffer: Vec::with_capacity(MAX_LINE_BYTES) }
    }

    async fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                return Ok(self.buffer.drain(..=end).collect());
            }
            if self.buffer.len() >= MAX_LINE_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
