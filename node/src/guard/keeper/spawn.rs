//! Finding the living keeper, or starting one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::client::{Client, ClientError, stop_idle};
use super::protocol::Refusal;

/// How long a new keeper may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// How often its socket is tried meanwhile.
const START_POLL: Duration = Duration::from_millis(5);

/// A process that has ended says nothing more; another that holds its output open must not be waited for.
const WORDS_WITHIN: Duration = Duration::from_millis(100);
/// Bytes that are read of it.
const WORDS_MAX: u64 = 4096;

/// Where the keeper is, and how to start one where none is.
#[derive(Clone, Debug)]
pub struct SpawnOptions {
    /// Its run directory.
    pub run_dir: PathBuf,
    /// The program to start.
    pub program: PathBuf,
    /// All of its arguments.
    pub arguments: Vec<OsString>,
}

impl SpawnOptions {
    /// Starts `program keeper --run-dir RUN_DIR`.
    #[must_use]
    pub fn new(run_dir: PathBuf, program: PathBuf) -> Self {
        let arguments = vec!["keeper".into(), "--run-dir".into(), run_dir.clone().into()];
        Self { run_dir, program, arguments }
    }
}

/// Attaches to the keeper of `options.run_dir`. Only when none lives there is one started; it goes on after this daemon.
/// An idle one of another protocol (a daemon of another version left it) is replaced.
///
/// # Errors
/// Also when a keeper lives there and does not answer: none is started beside it.
pub async fn connect_or_spawn(options: &SpawnOptions) -> Result<Client, ClientError> {
    match Client::connect(&options.run_dir).await {
        Err(ClientError::Connect { .. }) => {}
        Err(ClientError::Refused(refusal @ Refusal::Version { .. })) => {
            match stop_idle(&options.run_dir).await {
                Err(ClientError::Refused(_)) => return Err(refusal.into()),
                stopped => stopped?,
            }
        }
        other => return other,
    }
    let mut child = spawn(options)?;
    let attached = attach(&options.run_dir, &mut child).await;
    drop(child.stdout.take());
    // The keeper outlives this daemon; should it end before, it is not left a zombie. What it means is for whoever
    // waits on `Client::died`.
    tokio::spawn(async move { drop(child.wait().await) });
    attached
}

fn spawn(options: &SpawnOptions) -> Result<Child, ClientError> {
    Command::new(&options.program)
        .args(&options.arguments)
        // These are the daemon's talk with systemd.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_PID")
        .env_remove("WATCHDOG_USEC")
        .stdin(Stdio::null())
        // Its last words, if it cannot start.
        .stdout(Stdio::piped())
        .kill_on_drop(false)
        .spawn()
        .map_err(|source| ClientError::Spawn { program: options.program.clone(), source })
}

/// Tries on after the child's end too: it may have ended because another keeper came up at the same time.
async fn attach(run_dir: &Path, child: &mut Child) -> Result<Client, ClientError> {
    let started = Instant::now();
    let mut exit = None;
    while started.elapsed() < START_TIMEOUT {
        match Client::connect(run_dir).await {
            Err(ClientError::Connect { .. } | ClientError::Died) => {}
            other => return other,
        }
        let ended = child.try_wait().ok().flatten();
        if exit.is_some() {
            break;
        }
        exit = ended;
        sleep(START_POLL).await;
    }
    let waited = started.elapsed();
    let said = if exit.is_some() { last_words(child).await } else { String::new() };
    Err(ClientError::NotUp { waited, exit, said })
}

async fn last_words(child: &mut Child) -> String {
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut some = stdout.take(WORDS_MAX);
        let reading = some.read_to_end(&mut said);
        // What was read in time counts.
        let _ = timeout(WORDS_WITHIN, reading).await;
    }
    String::from_utf8_lossy(&said).trim().to_owned()
}
