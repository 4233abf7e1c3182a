//! What systemd is to a server in production: two scripts beside it, by which its node starts and stops it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::programs::Programs;

/// Starts the server in the background. What it starts belongs to the sandbox, as its node does.
const START: &str = "start-server";
/// Stops the server, and returns once its process is gone.
const STOP: &str = "stop-server";

/// Writes both scripts into the server's folder.
pub(super) fn write(folder: &Path, programs: &Programs) -> Result<()> {
    let shown = folder.display();
    let start = format!(
        "setsid '{program}' '--defaults-file={shown}/my.cnf' >>'{shown}/server.out' 2>&1 </dev/null &\n",
        program = programs.server().display()
    );
    // A zombie that nobody has waited for yet runs no more.
    let stop = format!(
        "pid=$(cat '{shown}/mysqld.pid') || exit 0\n\
         kill -TERM \"$pid\" 2>/dev/null || exit 0\n\
         tries=0\n\
         while [ $tries -lt 500 ] && kill -0 \"$pid\" 2>/dev/null && ! grep -q '^State:.Z' /proc/$pid/status; do\n\
         sleep 0.1; tries=$((tries + 1))\ndone\n[ $tries -lt 500 ]\n"
    );
    for (name, text) in [(START, start), (STOP, stop)] {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
