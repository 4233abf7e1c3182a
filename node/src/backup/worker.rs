//! The daemon's end and the process's own end of a job that a process of its own does: what it is to do comes as the first line
//! of its input, what it has to say goes out as JSON, one object a line. When its input ends, whoever wanted that is gone, and
//! it gives up.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::marker::PhantomData;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
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

/// What such a process says: how far it is, `P`, and at its end what was done, `D`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event<P, D> {
    /// How far it is.
    Progress(P),
    /// It is done; the last thing it says.
    Done(D),
    /// It came to nothing, and why; the last thing it says.
    Failed(String),
}

/// The process's own part: everything between its first line and its last. `work` is handed what is to be done, whom to tell
/// how far it is, and what comes when it is to give up.
///
/// # Errors
/// Nobody can be told.
pub(crate) fn attend<J: DeserializeOwned, P: Serialize, D: Serialize>(
    work: impl AsyncFnOnce(J, fn(P), oneshot::Receiver<()>) -> Result<D, String>,
) -> Result<(), String> {
    // Without that it is the daemon's own, which is never ended for want of memory. An error leaves it so.
    drop(std::fs::write("/proc/self/oom_score_adj", OOM_SCORE));
    let mut input = BufReader::new(io::stdin());
    let mut line = String::new();
    let read = (&mut input).take(SPEC_BYTES_MAX).read_line(&mut line);
    let job = read.map_err(|e| e.to_string()).and_then(|_| {
        serde_json::from_str::<J>(&line).map_err(|e| format!("what is to be done cannot be read: {e}"))
    });
    let done = job.and_then(|job| run(job, input, async |job, wanted| work(job, told::<P>, wanted).await));
    let last = done.map_or_else(Event::<P, D>::Failed, Event::Done);
    say(&last).map_err(|e| format!("nobody hears how it ended: {e}"))
}

/// Whoever does not hear it any more has closed the input, too.
fn told<P: Serialize>(now: P) {
    drop(say(&Event::<P, ()>::Progress(now)));
}

fn run<J, D>(
    job: J,
    input: impl Read + Send + 'static,
    work: impl AsyncFnOnce(J, oneshot::Receiver<()>) -> Result<D, String>,
) -> Result<D, String> {
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
    let done = runtime.block_on(work(job, wanted));
    // A thread that still waits for a store ends with the process.
    runtime.shutdown_background();
    done
}

fn say(event: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// A job that another process is at. Dropped, that ends.
pub struct Working<P, D> {
    command: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    output: tokio::io::BufReader<ChildStdout>,
    /// What came of the line that is being read.
    line: Vec<u8>,
    says: PhantomData<Event<P, D>>,
}

/// Of one line: a manifest is the longest. A process may say any number of them.
const LINE_BYTES_MAX: u64 = 1 << 30;

impl<P: DeserializeOwned, D: DeserializeOwned> Working<P, D> {
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
        let output = tokio::io::BufReader::new(output);
        Ok(Self { command, child, input: Some(input), output, line: Vec::new(), says: PhantomData })
    }

    /// What it says next. After anything but progress nothing more comes. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Event<P, D> {
        let command = self.command;
        match next_line(&mut self.output, &mut self.line, LINE_BYTES_MAX).await {
            Ok(Some(line)) => serde_json::from_slice(&line)
                .unwrap_or_else(|e| Event::Failed(format!("{command} said something odd: {e}"))),
            Ok(None) => Event::Failed(match self.child.wait().await {
                Ok(status) => format!("{command} ended with {status}"),
                Err(error) => format!("{command}: {error}"),
            }),
            Err(error) => Event::Failed(format!("{command}: {error}")),
        }
    }

    /// Has it give up, its program and its uploads with it, and waits for that, bounded.
    pub async fn give_up(mut self) {
        self.input = None;
        let ended = async { while let Event::Progress(_) = self.next().await {} };
        let _in_time = timeout(GIVES_UP_WITHIN, ended).await;
    }
}

/// The next line, of at most `max` bytes; `None` at the end of the input. What has come of it stays in `line` when this is
/// cancelled.
async fn next_line(
    input: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    max: u64,
) -> io::Result<Option<Vec<u8>>> {
    let left = max.saturating_sub(line.len() as u64);
    input.take(left).read_until(b'\n', line).await?;
    if line.ends_with(b"\n") {
        return Ok(Some(std::mem::take(line)));
    }
    if line.len() as u64 >= max {
        return Err(io::Error::other(format!("it said more than {max} bytes in one line")));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_process_may_say_any_number_of_lines_but_none_too_long() {
        let (mut input, mut line) = (&b"one\ntwo\nthree\nlonger than that\n"[..], Vec::new());
        for said in ["one\n", "two\n", "three\n"] {
            assert_eq!(next_line(&mut input, &mut line, 8).await.unwrap().unwrap(), said.as_bytes());
        }
        let why = next_line(&mut input, &mut line, 8).await.unwrap_err().to_string();
        assert_eq!(why, "it said more than 8 bytes in one line");
        let mut cut_off = &b"half a line"[..];
        assert_eq!(next_line(&mut cut_off, &mut Vec::new(), 100).await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_comes_in_two_parts_is_whole_although_nobody_waited_for_it() {
        let (mut says, hears) = tokio::io::duplex(64);
        let (mut hears, mut line) = (tokio::io::BufReader::new(hears), Vec::new());
        says.write_all(b"one").await.unwrap();
        let waited = timeout(Duration::from_secs(1), next_line(&mut hears, &mut line, 8)).await;
        assert!(waited.is_err(), "{waited:?}");
        says.write_all(b"two\n").await.unwrap();
        assert_eq!(next_line(&mut hears, &mut line, 8).await.unwrap().unwrap(), b"onetwo\n");
    }
}
