//! Nothing outlives a sandbox.
//!
//! Dropping the sandbox kills its processes from here. For the case that the test's own process ends first, killed or
//! panicking, a small shell waits for the end of a pipe that only the test's process holds, and does the same.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};

use super::disk;
use super::members::{Members, SANDBOX};
use super::root::Root;

/// $1: the mark in the environment, $2: the sandbox's folder, further: its namespaces as `find -lname` patterns.
const SCRIPT: &str = r#"
trap '' HUP INT TERM QUIT
read -r word
[ "$word" = done ] && exit 0
mark=$1 root=$2
shift 2
below() { cut -d ' ' -f 2 /proc/self/mounts | grep -F "$root/"; }
# Who writes to a frozen file system cannot be killed.
for mount in $(below); do fsfreeze --unfreeze "$mount" 2>/dev/null; done
tries=0 empty=0
# Twice empty, since a process may just have been forked and not yet look like one of ours.
while [ $tries -lt 100 ] && [ $empty -lt 2 ]; do
  pids=$({
    for namespace; do find /proc/[0-9]*/ns -maxdepth 1 -name net -lname "$namespace"; done
    grep -lzaxF "$mark" /proc/[0-9]*/environ
  } 2>/dev/null | cut -d / -f 3 | sort -u)
  if [ -n "$pids" ]; then empty=0; kill -KILL $pids 2>/dev/null; else empty=$((empty + 1)); fi
  sleep 0.1
  tries=$((tries + 1))
done
for mount in $(below); do umount "$mount" || umount --lazy "$mount"; done
rm -rf -- "$root"
"#;

/// Kills all processes of a sandbox when it is dropped, or when this process dies.
#[derive(Debug)]
pub(super) struct Guardian {
    shell: Child,
    // Closed by the kernel when this process ends, however it ends.
    pipe: Option<ChildStdin>,
    members: Members,
    folder: PathBuf,
}

impl Guardian {
    /// Starts the waiting shell. `namespaces` are the sandbox's, as links like `net:[4026532000]`.
    pub(super) fn start(root: &Root, namespaces: Vec<PathBuf>) -> Result<Self> {
        let patterns = namespaces.iter().map(|link| {
            let link = link.to_string_lossy();
            link.replace('[', "\\[").replace(']', "\\]")
        });
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "baton-guardian"])
            .arg(format!("{SANDBOX}={}", root.id()))
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
        Ok(Self {
            shell,
            pipe,
            members: Members::of_sandbox(root.id(), namespaces),
            folder: root.path().to_owned(),
        })
    }

    pub(super) fn members(&self) -> &Members {
        &self.members
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        disk::thaw_below(&self.folder);
        let all_gone = self.members.kill();
        disk::unmount_below(&self.folder);
        if !all_gone {
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
