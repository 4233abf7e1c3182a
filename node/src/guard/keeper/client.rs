//! The daemon's side of the keeper.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;
use tokio::net::UnixStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use super::SOCKET_FILE;
use super::link::Link;
use super::protocol::{Answer, ArmRequest, PROTOCOL_VERSION, Refusal, Request, ServerExit, Status};
use super::record::KillRecord;
use crate::guard::clock::Boottime;

/// How long any call to the keeper may take, while this process runs.
pub const CALL_TIMEOUT: Duration = Duration::from_millis(200);
/// A timer that fires this late has been waited for by a process that did not run.
const STOOD_STILL: Duration = Duration::from_millis(20);
/// How long a keeper that agreed to end may take for it: the kernel takes its locked memory apart first.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// What went wrong between daemon and keeper.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The keeper answered, and did nothing.
    #[error("the keeper refused: {0}")]
    Refused(#[from] Refusal),
    /// It did not answer in time; whether it did what was asked is unknown.
    #[error("the keeper did not answer within {} ms", CALL_TIMEOUT.as_millis())]
    TimedOut,
    /// The connection is closed: the keeper is gone.
    #[error("the keeper is gone")]
    Died,
    /// No keeper could be reached at its socket.
    #[error("cannot connect to the keeper at {}: {source}", .socket.display())]
    Connect {
        /// Its socket.
        socket: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The keeper's process could not be started.
    #[error("cannot start the keeper {}: {source}", .program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It was started, and its socket did not come up.
    #[error("the keeper did not come up within {} ms{}{}", .waited.as_millis(), describe_exit(.exit.as_ref()), describe_words(.said))]
    NotUp {
        /// How long it was waited for.
        waited: Duration,
        /// How its process ended, if it did.
        exit: Option<ExitStatus>,
        /// Why, in its own words; empty when it has not said.
        said: String,
    },
}

fn describe_exit(exit: Option<&ExitStatus>) -> String {
    exit.map(|status| format!(" ({status})")).unwrap_or_default()
}

fn describe_words(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// A connection to the living keeper. Clones share it; dropping the last one changes nothing at the keeper.
#[derive(Clone, Debug)]
pub struct Client {
    link: Link,
    hello: Status,
}

impl Client {
    /// Attaches to the keeper that runs in `run_dir`; see [`connect_or_spawn`](super::connect_or_spawn).
    ///
    /// # Errors
    /// [`ClientError::Connect`] when none listens there, and those of a call.
    pub async fn connect(run_dir: &Path) -> Result<Self, ClientError> {
        let link = dial(run_dir).await?;
        let hello = call(&link, Request::Hello { version: PROTOCOL_VERSION }).await?;
        Ok(Self { link, hello })
    }

    /// How things stood when this client attached: what a restarted daemon takes over.
    #[must_use]
    pub const fn hello(&self) -> &Status {
        &self.hello
    }

    /// Has the keeper hold a server, instead of any it holds. For the pair held already it sets the deadline, be it
    /// earlier or later.
    ///
    /// # Errors
    /// [`ClientError::Refused`] leaves things as they were; after [`ClientError::TimedOut`] ask [`status`](Self::status).
    pub async fn arm(&self, request: ArmRequest) -> Result<Status, ClientError> {
        call(&self.link, Request::Arm(request)).await
    }

    /// Moves the deadline on to what a majority granted. An earlier deadline than the one held leaves it as it is; the
    /// answer says which holds.
    ///
    /// # Errors
    /// As for [`arm`](Self::arm).
    pub async fn extend(&self, epoch: u64, pid: i32, deadline: Boottime) -> Result<Status, ClientError> {
        call(&self.link, Request::Extend { epoch, pid, deadline }).await
    }

    /// Says that the server is closed, read back and without sessions: the keeper lets it live.
    ///
    /// # Errors
    /// As for [`arm`](Self::arm). Not an error when nothing is held.
    pub async fn closed(&self, epoch: u64, pid: i32) -> Result<Status, ClientError> {
        call(&self.link, Request::Closed { epoch, pid }).await
    }

    /// Lets the server stay open without a deadline, on a majority's grant of a pause.
    ///
    /// # Errors
    /// As for [`arm`](Self::arm); refused once the deadline has passed.
    pub async fn disarm(&self, epoch: u64, pid: i32) -> Result<Status, ClientError> {
        call(&self.link, Request::Disarm { epoch, pid }).await
    }

    /// Sets what is run after a SIGKILL at a deadline, in place of what it was started with. Program and arguments take
    /// part in one line of the protocol, which the configuration's rules leave room for.
    ///
    /// # Errors
    /// As for [`arm`](Self::arm).
    pub async fn set_hard_fence(&self, command: Option<Vec<String>>) -> Result<Status, ClientError> {
        call(&self.link, Request::HardFence { command }).await
    }

    /// How things stand now.
    ///
    /// # Errors
    /// As for [`arm`](Self::arm).
    pub async fn status(&self) -> Result<Status, ClientError> {
        call(&self.link, Request::Status).await
    }

    /// Ends the keeper.
    ///
    /// # Errors
    /// As for [`arm`](Self::arm); refused while it holds a server.
    pub async fn stop(&self) -> Result<(), ClientError> {
        stop(&self.link).await
    }

    /// Resolves when the keeper is gone. The server must then be closed, and the daemon end.
    pub async fn died(&self) {
        self.link.ended.cancelled().await;
    }

    /// The latest kill since this client attached (an earlier one stands in [`hello`](Self::hello)).
    #[must_use]
    pub fn killed(&self) -> watch::Receiver<Option<KillRecord>> {
        self.link.killed.clone()
    }

    /// The latest exit of an armed server that the keeper saw and did not cause.
    #[must_use]
    pub fn exited(&self) -> watch::Receiver<Option<ServerExit>> {
        self.link.exited.clone()
    }
}

/// Ends the keeper in `run_dir` if it holds nothing, whatever protocol it speaks.
pub(super) async fn stop_idle(run_dir: &Path) -> Result<(), ClientError> {
    stop(&dial(run_dir).await?).await
}

async fn dial(run_dir: &Path) -> Result<Link, ClientError> {
    let socket = run_dir.join(SOCKET_FILE);
    match timeout(CALL_TIMEOUT, UnixStream::connect(&socket)).await {
        Ok(Ok(stream)) => Ok(Link::start(stream)),
        Ok(Err(source)) => Err(ClientError::Connect { socket, source }),
        Err(_) => Err(ClientError::TimedOut),
    }
}

async fn stop(link: &Link) -> Result<(), ClientError> {
    match call(link, Request::Stop).await {
        Ok(_) => timeout(END_TIMEOUT, link.ended.cancelled()).await.map_err(|_| ClientError::TimedOut),
        Err(ClientError::Died) => Ok(()),
        Err(error) => Err(error),
    }
}

/// When this process itself stood still through the bound (a stalled machine, SIGSTOP), the timer and the answer are
/// found at once on waking, in either order: the keeper is then given its time once more.
async fn within_call_timeout<T>(answered: impl Future<Output = T>) -> Result<T, ClientError> {
    tokio::pin!(answered);
    let asked = Instant::now();
    match timeout(CALL_TIMEOUT, &mut answered).await {
        Ok(answer) => return Ok(answer),
        Err(_) if asked.elapsed() < CALL_TIMEOUT + STOOD_STILL => return Err(ClientError::TimedOut),
        Err(_) => {}
    }
    timeout(CALL_TIMEOUT, answered).await.map_err(|_| ClientError::TimedOut)
}

async fn call(link: &Link, request: Request) -> Result<Status, ClientError> {
    let (sender, answer) = oneshot::channel();
    let answered = async {
        link.calls.send((request, sender)).await.map_err(|_| ClientError::Died)?;
        answer.await.map_err(|_| ClientError::Died)
    };
    match within_call_timeout(answered).await?? {
        Answer::Done(status) => Ok(status),
        Answer::Refused(refusal) => Err(refusal.into()),
    }
}
