//! One node's daemon and keeper.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use baton_node::state::StepName;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::programs;
use super::wait::GONE;
use super::{HTTP_PORT, READER_PORT, WRITER_PORT};
use crate::sandbox::{Host, log_tail, until, within};

/// Where a debug build reads after which step it is to stop (`node/src/cut.rs`).
const STOP_FILE: &str = "stop-after-step";

/// A node on a host.
#[derive(Debug)]
pub struct Node {
    name: &'static str,
    host: Host,
    config: PathBuf,
    program: PathBuf,
    log: PathBuf,
    settings: Vec<(String, String)>,
    process: Option<Child>,
}

impl Node {
    /// The node of that name, not started.
    ///
    /// # Errors
    /// When `baton-node` is not built.
    pub fn new(host: &Host, name: &'static str, config: &Path) -> Result<Self> {
        let stop_file = host.folder().join(STOP_FILE);
        let mut settings =
            vec![("BATON_STOP_AFTER_STEP".to_owned(), stop_file.to_string_lossy().into_owned())];
        if host.namespace().is_none() {
            // One file for all cannot give three nodes on one machine three addresses.
            let address = host.address();
            settings.push(("BATON_ROUTER_WRITER_LISTEN".to_owned(), format!("{address}:{WRITER_PORT}")));
            settings.push(("BATON_ROUTER_READER_LISTEN".to_owned(), format!("{address}:{READER_PORT}")));
            settings.push(("BATON_HTTP_LISTEN".to_owned(), format!("{address}:{HTTP_PORT}")));
        }
        Ok(Self {
            name,
            host: host.clone(),
            config: config.to_owned(),
            program: programs::find("baton-node", "BATON_NODE_BIN")?,
            log: host.folder().join("baton-node.log"),
            settings,
            process: None,
        })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The host it is on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The daemon's pid, `None` when it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    /// Overrides a key of the configuration file for this node from its next start on: `raft.heartbeat`, `200ms`.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.push((format!("BATON_{}", key.replace('.', "_").to_uppercase()), value.to_owned()));
    }

    /// Starts the daemon and does not wait for anything.
    ///
    /// # Errors
    /// When it runs already, or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        if self.runs()? {
            bail!("{}'s daemon runs already", self.name);
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = self.command(&[]);
        command.stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn().context("cannot start baton-node")?);
        Ok(())
    }

    /// Whether the daemon runs, a stopped one included.
    ///
    /// # Errors
    /// When it cannot be asked after.
    pub fn runs(&mut self) -> Result<bool> {
        Ok(self.process.as_mut().map(Child::try_wait).transpose()?.is_some_and(|exit| exit.is_none()))
    }

    /// What starts the daemon, with a program and its arguments in front (`unshare …`) if need be.
    pub fn command(&self, before: &[&str]) -> Command {
        let program = self.program.as_os_str();
        let mut words = before.iter().map(OsStr::new).chain([program]);
        let mut command = self.host.command(words.next().unwrap_or(program));
        command.args(words).args(["run", "--config"]).arg(&self.config).args(["--node", self.name]);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// One of the program's other commands on this node's host: `stop`, `stop-server`, `recover`.
    pub fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command(&self.program);
        command.args(arguments).arg("--config").arg(&self.config).args(["--node", self.name]);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Kills the daemon, not its keeper, and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            let _ = process.start_kill();
            within("the daemon's end", GONE, process.wait()).await?;
        }
        Ok(())
    }

    /// Removes all that the daemon, which must have ended, keeps on disk.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn lose_store(&self) -> Result<()> {
        let data = self.host.folder().join("baton/data");
        for entry in fs::read_dir(&data)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    /// Asks the daemon to end, as systemd does, and waits for it.
    ///
    /// # Errors
    /// When it does not run, or goes on.
    pub async fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        if let Some(mut process) = self.process.take() {
            within("the daemon's end", GONE, process.wait()).await?;
        }
        Ok(())
    }

    /// Kills the daemon if it runs, and starts it.
    ///
    /// # Errors
    /// When it does not end, or cannot be started.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill().await?;
        self.start()
    }

    /// Sends a signal to the daemon.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{}'s daemon does not run", self.name))?;
        send(pid, signal)
    }

    /// The daemon is to stop, as SIGSTOP does, right after it has applied the next step of that name.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn stop_after(&self, step: StepName) -> Result<()> {
        let file = self.host.folder().join(STOP_FILE);
        fs::write(&file, step.as_str()).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Waits until the daemon stands still.
    ///
    /// # Errors
    /// When it does not within `bound`: a build for use never does.
    pub async fn stopped(&self, bound: Duration) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{}'s daemon does not run", self.name))?;
        let look = async || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
            Ok((state == Some("T")).then_some(()))
        };
        until("the daemon to stop after its step (a debug build does)", bound, look).await
    }

    /// The pid of the keeper on this host, `None` where none runs.
    pub fn keeper(&self) -> Option<u32> {
        self.host.processes().into_iter().find(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut arguments = arguments.split(|byte| *byte == 0);
            arguments.next().is_some_and(|program| program.ends_with(b"baton-node"))
                && arguments.next() == Some(b"keeper")
        })
    }

    /// Sends a signal to the keeper on this host.
    ///
    /// # Errors
    /// When none runs.
    pub fn signal_keeper(&self, signal: Signal) -> Result<()> {
        let pid = self.keeper().with_context(|| format!("no keeper runs on {}", self.name))?;
        send(pid, signal)
    }

    /// The daemon's log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The end of the daemon's log, beginning with a line break.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no such pid")?;
    kill_process(pid, signal).with_context(|| format!("cannot send {signal:?} to {pid:?}"))
}
