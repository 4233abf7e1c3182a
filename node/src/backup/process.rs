//! A backup is made, and read again, by a process of its own, `baton-node backup`: what it is to do comes as the first line of
//! its input, what it has to say goes out as JSON, one object a line. When its input ends, whoever wanted that is gone, and it
//! gives up.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::remove::{RemoveSpec, remove_unless};
use super::run::{Made, Progress, RunSpec, run_unless};
use super::verify::{Checked, VerifySpec, verify_unless};

/// A spec names a few stores and files.
const SPEC_BYTES_MAX: u64 = 1 << 20;
/// The command's name.
const COMMAND: &str = "backup";
/// Only when nobody else wants the processor or the disk. What it starts inherits that.
const POLITE: [&str; 6] = ["ionice", "-c", "3", "chrt", "--idle", "0"];
/// When memory runs out, a backup ends before anything that serves. What it starts inherits that.
const OOM_SCORE: &str = "500";
/// Ending its program and taking back its uploads.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(30);

/// What the process is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Make a backup.
    Make(Box<RunSpec>),
    /// Read one again.
    Verify(Box<VerifySpec>),
    /// Remove one from a store.
    Remove(Box<RemoveSpec>),
}

/// What the process says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// How far it is.
    Progress(Progress),
    /// The backup is made; the last thing it says.
    Made(Box<Made>),
    /// What was found in the stores; the last thing it says.
    Checked(Checked),
    /// The backup is not in the store any more; the last thing it says.
    Removed,
    /// It came to nothing, and why; the last thing it says.
    Failed(String),
}

/// The process's own part: everything between its first line and its last.
///
/// # Errors
/// Nobody can be told.
pub fn attend() -> Result<(), String> {
    // Without that it is the daemon's own, which is never ended for want of memory. An error leaves it so.
    drop(std::fs::write("/proc/self/oom_score_adj", OOM_SCORE));
    let mut input = BufReader::new(io::stdin());
    let mut line = String::new();
    let read = (&mut input).take(SPEC_BYTES_MAX).read_line(&mut line);
    let job = read.map_err(|e| e.to_string()).and_then(|_| {
        serde_json::from_str::<Job>(&line).map_err(|e| format!("what is to be done cannot be read: {e}"))
    });
    let last = match job {
        Ok(job) => done(&job, input).unwrap_or_else(Event::Failed),
        Err(why) => Event::Failed(why),
    };
    say(&last).map_err(|e| format!("nobody hears how it ended: {e}"))
}

fn done(job: &Job, input: impl Read + Send + 'static) -> Result<Event, String> {
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
    // Whoever does not hear it any more has closed the input, too.
    let told = |now| drop(say(&Event::Progress(now)));
    let given_up = async { drop(wanted.await) };
    let done = runtime.block_on(async {
        match job {
            Job::Make(spec) => run_unless(spec, told, given_up).await.map(|mut made| {
                // The stores have it; whoever hears this holds a lease and needs none of it.
                made.manifest.inventory = Vec::new();
                Event::Made(Box::new(made))
            }),
            Job::Verify(spec) => verify_unless(spec, told, given_up).await.map(Event::Checked),
            Job::Remove(spec) => remove_unless(spec, given_up).await.map(|_| Event::Removed),
        }
    });
    // A thread that still waits for a store ends with the process.
    runtime.shutdown_background();
    done
}

fn say(event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// A job that another process is at. Dropped, that ends.
pub struct Working {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<tokio::io::BufReader<tokio::io::Take<ChildStdout>>>,
}

/// Of all that the process says: a manifest is said once.
const SAID_BYTES_MAX: u64 = 1 << 30;

impl Working {
    /// Starts the process: `program` is this program. Polite, it runs only when nobody else wants to.
    ///
    /// # Errors
    /// In words.
    pub async fn start(program: &Path, job: &Job, is_polite: bool) -> Result<Self, String> {
        let mut line = serde_json::to_vec(job).map_err(|e| e.to_string())?;
        line.push(b'\n');
        let mut command = if is_polite {
            let (first, rest) = POLITE.split_first().unwrap_or((&"nice", &[]));
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| format!("{COMMAND} cannot be started: {e}"))?;
        let mut input = child.stdin.take().ok_or("it has no input")?;
        let output = child.stdout.take().ok_or("it has no output")?;
        input.write_all(&line).await.map_err(|e| format!("{COMMAND} takes no job: {e}"))?;
        let output = tokio::io::BufReader::new(output.take(SAID_BYTES_MAX)).lines();
        Ok(Self { child, input: Some(input), output })
    }

    /// What it says next. After anything but [`Event::Progress`] nothing more comes. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Event {
        match self.output.next_line().await {
            Ok(Some(line)) => serde_json::from_str(&line)
                .unwrap_or_else(|e| Event::Failed(format!("{COMMAND} said something odd: {e}"))),
            Ok(None) => Event::Failed(match self.child.wait().await {
                Ok(status) => format!("{COMMAND} ended with {status}"),
                Err(error) => format!("{COMMAND}: {error}"),
            }),
            Err(error) => Event::Failed(format!("{COMMAND}: {error}")),
        }
    }

    /// Has it give up, its program and its uploads with it, and waits for that, bounded.
    pub async fn give_up(mut self) {
        self.input = None;
        let ended = async { while matches!(self.next().await, Event::Progress(_)) {} };
        let _in_time = timeout(GIVES_UP_WITHIN, ended).await;
    }
}
