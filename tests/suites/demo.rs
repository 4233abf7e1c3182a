//! `script/demo`'s program, as a newcomer runs it: one object for machines, a transcript for people, nothing left behind.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_tests::sandbox::{Hosts, within};
use serde::Deserialize;
use tokio::process::Command;

/// It ends by itself before this.
const WHOLE: Duration = Duration::from_secs(120);
/// Of a terminal.
const COLUMNS: usize = 80;
/// The longest write outage that is let pass on a machine that does other things beside it.
const OUTAGE_MS: u64 = 6000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    faults: Vec<Fault>,
    /// Where there are no network namespaces, a cut and why.
    #[serde(default)]
    skipped: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    name: String,
    outage_ms: u64,
    acknowledged: usize,
    found: usize,
    lost: usize,
    steps: Vec<serde_json::Value>,
}

/// Standard output of a demo that ended well.
async fn played(arguments: &[&str]) -> Result<String> {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_baton-demo"));
    demo.args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let demo = demo.spawn()?;
    let pid = demo.id().context("the demo has ended already")?;
    let output = within("the demo", WHOLE, demo.wait_with_output()).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    let left = format!("/tmp/baton-sandbox-{pid}-0");
    ensure!(!Path::new(&left).exists(), "{left} is still there");
    let running = processes_of(&left)?;
    ensure!(running.is_empty(), "still running: {running:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Command lines that name this folder.
fn processes_of(folder: &str) -> Result<Vec<String>> {
    let lines = std::fs::read_dir("/proc")?.flatten().filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    Ok(lines.filter(|line| line.contains(folder)).collect())
}

#[tokio::test]
async fn mysql_for_machines() -> Result<()> {
    let said = played(&["--server", "mysql", "--json"]).await?;
    let told: Told = serde_json::from_str(&said).with_context(|| said.clone())?;
    let expected: &[&str] = if Hosts::available().is_ok() { &["kill", "cut"] } else { &["kill"] };
    ensure!(told.faults.iter().map(|fault| fault.name.as_str()).eq(expected.iter().copied()), "{told:?}");
    ensure!(told.faults.len() + told.skipped.len() == 2, "{told:?}");
    for fault in &told.faults {
        ensure!(fault.acknowledged > 0 && fault.lost == 0 && fault.found >= fault.acknowledged, "{told:?}");
        ensure!(fault.outage_ms > 0 && fault.outage_ms < OUTAGE_MS && !fault.steps.is_empty(), "{told:?}");
    }
    Ok(())
}

#[tokio::test]
async fn mariadb_for_people() -> Result<()> {
    let said = played(&["--server", "mariadb"]).await?;
    println!("{said}");
    for line in said.lines() {
        ensure!(line.chars().count() <= COLUMNS, "wider than a terminal: {line}");
    }
    ensure!(!said.contains('\u{1b}'), "colours where there is no terminal");
    for word in ["kill -9", "cut off from the network", "writes out", "acknowledged", "0 lost"] {
        ensure!(said.contains(word), "{word:?} is not told");
    }
    Ok(())
}
