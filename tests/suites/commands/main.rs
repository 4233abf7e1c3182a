//! The smaller commands of `batonctl` on real clusters, the reload of a node's configuration, and the check
//! before a server's start.
#![allow(clippy::unwrap_used)]

mod check_boot;
mod config;
mod grants;
mod maintenance;
mod nodes;
mod pause;
mod quarantine;
mod rehearse;
mod reload;

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::{Dialect, within};

const SOON: Duration = Duration::from_secs(20);
/// Longer than any bound of `batonctl`.
const COMMAND: Duration = Duration::from_secs(75);

/// Speed is not what these tests are about.
fn patient(dialect: Dialect) -> ClusterOptions {
    ClusterOptions::patient(dialect)
}

/// Exit status of a refusal.
const REFUSED: i32 = 5;

/// Runs `batonctl`: its exit status and what it printed, errors included.
async fn ctl(cluster: &Cluster, arguments: &[&str]) -> Result<(i32, String)> {
    let mut command = cluster.ctl().command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = within(&arguments.join(" "), COMMAND, command.output()).await?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code().unwrap_or(-1), said.into_owned()))
}

/// The same for a command that must succeed.
async fn done(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let (code, said) = ctl(cluster, arguments).await?;
    ensure!(code == 0, "batonctl {}: {code}: {said}", arguments.join(" "));
    Ok(said)
}

fn has(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "{word:?} is not in: {text}");
    }
    Ok(())
}
