//! What systemd is to a server in production: a script beside it, by which its node starts it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::programs::Programs;

/// Starts the server in the background. What it starts belongs to the sandbox, as its node does.
const START: &str = "start-server";

/// Writes the script into the server's folder.
pub(super) fn write(folder: &Path, programs: &Programs) -> Result<()> {
    let shown = folder.display();
    let start = format!(
        "setsid '{program}' '--defaults-file={shown}/my.cnf' >>'{shown}/server.out' 2>&1 </dev/null &\n",
        program = programs.server().display()
    );
    let path = folder.join(START);
    fs::write(&path, start).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
