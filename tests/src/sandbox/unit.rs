//! What systemd is to a server in production, and the tools that are installed beside it: scripts, by which its node starts
//! and stops it, and copies its data.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};

use super::programs::Programs;

/// Starts the server in the background. What it starts belongs to the sandbox, as its node does.
const START: &str = "start-server";
/// Stops the server in an orderly way; nothing to do where it does not run.
const STOP: &str = "stop-server";
/// Where mariadb-backup is.
const TOOLS: &str = "tools";
/// While there is a file of this name in the host's folder, a program that copies is not done.
pub(super) const HOLD_COPY: &str = "hold-copy";
/// The same of the script that stops the server, which is stopped by then.
pub(super) const HOLD_STOP: &str = "hold-stop";

/// How many tenths of a second a killed server's process may stay until somebody has waited for it.
const REAPED_TRIES: u32 = 300;

/// Writes the scripts into the server's folder.
pub(super) fn write(folder: &Path, programs: &Programs) -> Result<()> {
    let shown = folder.display();
    // MySQL does not start beside a socket whose process seems to be there, and one that nobody has waited for yet seems so.
    // systemd waits for a process before it starts the next one.
    let start = format!(
        "old=$(cat '{shown}/mysqld.sock.lock' 2>/dev/null)\n\
         tries=0\n\
         while [ -n \"$old\" ] && [ \"$tries\" -lt {REAPED_TRIES} ] && \
         grep -q '^State:[[:space:]]*[ZX]' \"/proc/$old/status\" 2>/dev/null; do\n\
         sleep 0.1\n\
         tries=$((tries + 1))\n\
         done\n\
         setsid '{program}' '--defaults-file={shown}/my.cnf' >>'{shown}/server.out' 2>&1 </dev/null &\n",
        program = programs.server().display()
    );
    // An orderly stop ends with the removal of the pid file. The process itself may stay until the test has waited for it.
    let stop = format!(
        "pid=$(cat '{shown}/mysqld.pid' 2>/dev/null) || exit 0\n\
         kill \"$pid\" 2>/dev/null || exit 0\n\
         while [ -e '{shown}/mysqld.pid' ] || [ -e '{shown}/{HOLD_STOP}' ]; do sleep 0.1; done\n"
    );
    script(&folder.join(START), &start)?;
    script(&folder.join(STOP), &stop)?;
    tools(folder, programs)
}

/// As a package would have them, both in one folder.
fn tools(folder: &Path, programs: &Programs) -> Result<()> {
    let (Some(backup), Some(unpack)) = (programs.tool("mariadb-backup"), programs.tool("mbstream")) else {
        return Ok(());
    };
    let tools = folder.join(TOOLS);
    fs::create_dir_all(&tools)?;
    let held = format!(
        "#!/bin/sh\n'{backup}' \"$@\"\nstatus=$?\nwhile [ -e '{folder}/{HOLD_COPY}' ]; do sleep 0.1; done\nexit $status\n",
        backup = backup.display(),
        folder = folder.display()
    );
    script(&tools.join("mariadb-backup"), &held)?;
    symlink(unpack, tools.join("mbstream")).context("mbstream")
}

fn script(path: &Path, text: &str) -> Result<()> {
    let written =
        fs::write(path, text).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    written.with_context(|| format!("cannot write {}", path.display()))
}
