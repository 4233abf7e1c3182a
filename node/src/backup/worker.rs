//! The daemon's end and the process's own end of a job that a process of its own does: what it is to do comes as the first line
//! of its input, what it has to say goes out as JSON, one object a line. When its input ends, whoever wanted that is gone, and
//! it gives up.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::marker::PhantomData;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A spec names a few stores and files.
const SPEC_BYTES_MAX: u64 = 1 << 20;
/// Only when nobody else wants the processor or the disk. What it starts inherits that.
const POLITE: [&str; 6] = ["ionice", "-c", "3", "chrt", "--idle", "0"];
/// When memory runs out, it ends before anything that serves. What it starts inherits that.
const OOM_SCORE: &str = "500";
/// Ending its program and taking back its uploads.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(30);

/// What such a process says.
pub trait Said: Serialize + DeserializeOwned {
    /// Its last word, when it came to nothing.
    fn failed(why: String) -> Self;
    /// Whether more follows.
    fn goes_on(&self) -> bool;
}

/// The process's own part: everything between its first line and its last.
///
/// # Errors
/// Nobody can be told.
pub(crate) fn attend<J: DeserializeOwned, E: Said>(
    done: impl AsyncFnOnce(J, oneshot::Receiver<()>) -> Result<E, String>,
) -> Result<(), String> {
    // Without that it is the daemon's own, which is never ended for want of memory. An error leaves it so.
    drop(std::fs::write("/proc/self/oom_score_adj", OOM_SCORE));
    let mut input = BufReader::new(io::stdin());
    let mut line = String::new();
    let read = (&mut input).take(SPEC_BYTES_MAX).read_line(&mut line);
    let job = read.map_err(|e| e.to_string()).and_then(|_| {
        serde_json::from_str::<J>(&line).map_err(|e| format!("what is to be done cannot be read: {e}"))
    });
    let last = job.and_then(|job| run(job, input, done)).unwrap_or_else(E::failed);
    say(&last).map_err(|e| format!("nobody hears how it ended: {e}"))
}

fn run<J, E>(
    job: J,
    input: impl Read + Send + 'static,
    done: impl AsyncFnOnce(J, oneshot::Receiver<()>) -> Result<E, String>,
) -> Result<E, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("the runtime cannot start: {e}"))?;
    let (gone, wanted) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        // Nothing more is ever sent.
        drop(io::copy(&mut { input }, &mut io::sink()));
        drop(gone);
    });
    let done = runtime.block_on(done(job, wanted));
    // A thread that still waits for a store ends with the process.
    runtime.shutdown_background();
    done
}

pub(crate) fn say(event: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// A job that another process is at. Dropped, that ends.
pub struct Working<E> {
    command: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<tokio::io::BufReader<tokio::io::Take<ChildStdout>>>,
    says: PhantomData<E>,
}

/// Of all that the process says: a manifest is said once.
const SAID_BYTES_MAX: u64 = 1 << 30;

impl<E: Said> Working<E> {
    /// Starts the process: `program` is this program, and `command` what it is to do. Polite, it runs only when nobody else
    /// wants to.
    ///
    /// # Errors
    /// In words.
    pub async fn begin(
        program: &Path,
        command: &'static str,
        job: &impl Serialize,
        is_polite: bool,
    ) -> Result<Self, String> {
        let mut line = serde_json::to_vec(job).map_err(|e| e.to_string())?;
        line.push(b'\n');
        let mut started = if is_polite {
            let (first, rest) = POLITE.split_first().unwrap_or((&"nice", &[]));
            let mut started = Command::new(first);
            started.args(rest).arg(program);
            started
        } else {
            Command::new(program)
        };
        started.arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = started.spawn().map_err(|e| format!("{command} cannot be started: {e}"))?;
        let mut input = child.stdin.take().ok_or("it has no input")?;
        let output = child.stdout.take().ok_or("it has no output")?;
        input.write_all(&line).await.map_err(|e| format!("{command} takes no job: {e}"))?;
        let output = tokio::io::BufReader::new(output.take(SAID_BYTES_MAX)).lines();
        Ok(Self { command, child, input: Some(input), output, says: PhantomData })
    }

    /// What it says next. After anything that does not go on nothing more comes. Cancelling it loses nothing.
    pub async fn next(&mut self) -> E {
        let command = self.command;
        match self.output.next_line().await {
            Ok(Some(line)) => serde_json::from_str(&line)
                .unwrap_or_else(|e| E::failed(format!("{command} said something odd: {e}"))),
            Ok(None) => E::failed(match self.child.wait().await {
                Ok(status) => format!("{command} ended with {status}"),
                Err(error) => format!("{command}: {error}"),
            }),
            Err(error) => E::failed(format!("{command}: {error}")),
        }
    }

    /// Has it give up, its program and its uploads with it, and waits for that, bounded.
    pub async fn give_up(mut self) {
        self.input = None;
        let ended = async { while self.next().await.goes_on() {} };
        let _in_time = timeout(GIVES_UP_WITHIN, ended).await;
    }
}
