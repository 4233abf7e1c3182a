//! Nothing outlives a sandbox.
//!
//! A process belongs to a sandbox when it is in one of its network namespaces or carries its name in the environment.
//! Both are inherited, so this finds daemons that left their parent, too. Dropping the sandbox kills them from here.
//! For the case that the test's own process dies first, killed or panicking, a small shell waits for the end of a
//! pipe that only the test's process holds, and does the same.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::root::Root;

/// The environment variable that holds the name of a process's sandbox.
pub(super) const MARKER: &str = "BATON_SANDBOX";

/// How long a killed process may take to be gone; a server with much memory needs a moment.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// $1: the sandbox's name, $2: its folder, further: its namespaces as `find -lname` patterns.
const SCRIPT: &str = r#"
trap '' HUP INT TERM QUIT
read -r word
[ "$word" = done ] && exit 0
id=$1 root=$2
shift 2
tries=0 empty=0
# Twice empty, since a process may just have been forked and not yet look like one of ours.
while [ $tries -lt 100 ] && [ $empty -lt 2 ]; do
  pids=$({
    for namespace; do find /proc/[0-9]*/ns -maxdepth 1 -name net -lname "$namespace"; done
    grep -lzaxF "BATON_SANDBOX=$id" /proc/[0-9]*/environ
  } 2>/dev/null | cut -d / -f 3 | sort -u)
  if [ -n "$pids" ]; then empty=0; kill -KILL $pids 2>/dev/null; else empty=$((empty + 1)); fi
  sleep 0.1
  tries=$((tries + 1))
done
rm -rf -- "$root"
"#;

/// Kills all processes of a sandbox when it is dropped, or when this process dies.
#[derive(Debug)]
pub(super) struct Guardian {
    shell: Child,
    // Closed by the kernel when this process ends, however it ends.
    pipe: Option<ChildStdin>,
    id: String,
    namespaces: Vec<PathBuf>,
}

impl Guardian {
    /// Starts the waiting shell. `namespaces` are the sandbox's, as links like `net:[4026532000]`.
    pub(super) fn start(root: &Root, namespaces: &[PathBuf]) -> Result<Self> {
        let patterns = namespaces.iter().map(|link| {
            let link = link.to_string_lossy();
            link.replace('[', "\\[").replace(']', "\\]")
        });
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "baton-guardian", root.id()])
            .arg(root.path())
            .args(patterns)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C in the terminal goes to the whole group and must not take the guardian along.
            .process_group(0)
            .spawn()
            .context("cannot start the guardian shell")?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe, id: root.id().to_owned(), namespaces: namespaces.to_vec() })
    }

    /// The pids of the sandbox's living processes.
    pub(super) fn processes(&self) -> Vec<u32> {
        processes(&self.id, &self.namespaces)
            .iter()
            .map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
            .collect()
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        if !kill_all(&self.id, &self.namespaces) {
            // Left to the shell, which goes on trying: closing the pipe without a word wakes it.
            self.pipe = None;
            return;
        }
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.shell.wait();
    }
}

/// Kills the processes of a sandbox until none is left. Says whether that came about in time.
pub(super) fn kill_all(id: &str, namespaces: &[PathBuf]) -> bool {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let living = processes(id, namespaces);
        if living.is_empty() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        for pid in living {
            kill_member(pid, id, namespaces);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills through a pidfd, looking again after it is open: what is killed is what was looked at.
fn kill_member(pid: Pid, id: &str, namespaces: &[PathBuf]) {
    if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty())
        && belongs(pid, id, namespaces)
    {
        // It may have died in this moment, which is what is wanted.
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}

fn processes(id: &str, namespaces: &[PathBuf]) -> Vec<Pid> {
    let own = rustix::process::getpid();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| *pid != own && belongs(*pid, id, namespaces))
        .collect()
}

/// Neither can be read of a zombie, which therefore belongs to nobody.
fn belongs(pid: Pid, id: &str, namespaces: &[PathBuf]) -> bool {
    let pid = pid.as_raw_nonzero();
    if fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|link| namespaces.contains(&link)) {
        return true;
    }
    let wanted = format!("{MARKER}={id}");
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes()))
}
