//! Which processes belong to a sandbox or to one of its hosts.
//!
//! One does when it is in a network namespace of theirs or carries their name in its environment. Both are inherited,
//! so this finds daemons that left their parent, too.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

/// The environment variable that holds the name of a process's sandbox.
pub(super) const SANDBOX: &str = "BATON_SANDBOX";
/// The environment variable that holds the names of a process's sandbox and host.
pub(super) const HOST: &str = "BATON_SANDBOX_HOST";

/// How long a killed process may take to be gone; a server with much memory needs a moment.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// More than this many rounds of finding new processes is a fork bomb.
const ROUNDS: usize = 100;

/// The processes of a sandbox or of a host.
#[derive(Debug, Clone)]
pub(super) struct Members {
    /// An entry of the environment: `NAME=value`.
    mark: String,
    /// Namespaces as `/proc/PID/ns/net` links to: `net:[number]`.
    namespaces: Vec<PathBuf>,
}

impl Members {
    pub(super) fn of_sandbox(id: &str, namespaces: Vec<PathBuf>) -> Self {
        Self { mark: format!("{SANDBOX}={id}"), namespaces }
    }

    pub(super) fn of_host(id: &str, host: &str, namespace: Option<PathBuf>) -> Self {
        Self { mark: format!("{HOST}={id}/{host}"), namespaces: namespace.into_iter().collect() }
    }

    /// The living ones. A zombie shows neither mark nor namespace, and so belongs to nobody.
    pub(super) fn pids(&self) -> Vec<Pid> {
        let own = getpid();
        fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
            .filter(|pid| *pid != own && self.has(*pid))
            .collect()
    }

    /// Sends a signal to all, those included that are started meanwhile.
    pub(super) fn signal(&self, signal: Signal) {
        let mut told = Vec::new();
        for _ in 0..ROUNDS {
            let new: Vec<Pid> = self.pids().into_iter().filter(|pid| !told.contains(pid)).collect();
            if new.is_empty() {
                return;
            }
            for pid in &new {
                self.signal_one(*pid, signal);
            }
            told.extend(new);
        }
    }

    /// Kills until none is left. Says whether that came about in time.
    pub(super) fn kill(&self) -> bool {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let living = self.pids();
            if living.is_empty() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            for pid in living {
                self.signal_one(pid, Signal::KILL);
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "runs in destructors, which cannot wait otherwise"
            )]
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Through a pidfd, looking again after it is open: what gets the signal is what was looked at.
    fn signal_one(&self, pid: Pid, signal: Signal) {
        if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty())
            && self.has(pid)
        {
            // It may have ended in this moment; then there is nothing to signal.
            let _ = pidfd_send_signal(&pidfd, signal);
        }
    }

    fn has(&self, pid: Pid) -> bool {
        let pid = pid.as_raw_nonzero();
        if fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|link| self.namespaces.contains(&link)) {
            return true;
        }
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == self.mark.as_bytes()))
    }
}
