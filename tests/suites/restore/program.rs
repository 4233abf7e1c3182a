//! `baton-node`, as an operator runs it on a machine that has nothing but the servers' programs.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_tests::bench::Bench;
use baton_tests::cluster::program;
use baton_tests::sandbox::within;
use rustix::process::{getegid, geteuid};
use serde::Deserialize;
use tokio::process::Command;

/// A small server, on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

/// What it printed as JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct Said {
    pub(crate) plan: Plan,
    pub(crate) restored: Restored,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Plan {
    pub(crate) backup: String,
    pub(crate) chain: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Restored {
    pub(crate) gtids: String,
    pub(crate) tables_checked: Option<u64>,
    pub(crate) next: Vec<String>,
}

/// How the programs of a bench's servers are found, and its store and key.
pub(crate) struct Machine {
    path: OsString,
    pub(crate) store: PathBuf,
    pub(crate) key: PathBuf,
}

impl Machine {
    pub(crate) async fn new(bench: &Bench) -> Result<Self> {
        let programs = bench.program("any").await?;
        let programs = programs.parent().context("no folder of programs")?.to_owned();
        let (store, key) = (bench.sandbox.root().join("store"), bench.sandbox.root().join("key"));
        fs::write(&key, format!("# made for a test\n{}\n", bench.key_text()))?;
        let machine = Self { path: OsString::new(), store, key };
        machine.with_programs(&programs)
    }

    /// The same with the programs of another folder first.
    pub(crate) fn with_programs(&self, folder: &Path) -> Result<Self> {
        let before = if self.path.is_empty() {
            std::env::var_os("PATH").unwrap_or_default()
        } else {
            self.path.clone()
        };
        let folders = [folder.to_owned()].into_iter().chain(std::env::split_paths(&before));
        let path = std::env::join_paths(folders)?;
        Ok(Self { path, store: self.store.clone(), key: self.key.clone() })
    }

    /// `baton-node WORDS --store …`
    pub(crate) fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(program("baton-node", "BATON_NODE_BIN")?);
        command
            .args(words)
            .arg("--store")
            .arg(&self.store)
            .env("PATH", &self.path)
            .env_remove("BATON_CONFIG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Ok(command)
    }

    /// `baton-node restore --key … WORDS`
    pub(crate) fn restoring(&self, words: &[&str]) -> Result<Command> {
        let mut command = self.command(&["restore"])?;
        command.arg("--key").arg(&self.key).args(words);
        Ok(command)
    }

    pub(crate) async fn restore(&self, words: &[&str]) -> Result<Output> {
        within("baton-node restore", WITHIN, self.restoring(words)?.output()).await
    }

    /// It went well.
    pub(crate) async fn restored(&self, words: &[&str]) -> Result<Said> {
        let owner = format!("{}:{}", geteuid().as_raw(), getegid().as_raw());
        let words: Vec<_> = words.iter().copied().chain(["--owner", &owner, "--json"]).collect();
        let output = self.restore(&words).await?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())
    }

    /// It did not, for that reason.
    pub(crate) async fn refuses(&self, words: &[&str], why: &str) -> Result<()> {
        let output = self.restore(words).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        let is_refused = output.status.code() == Some(1) && said.contains(why);
        ensure!(is_refused, "{why:?} is not in {said:?}, which ended with {}", output.status);
        Ok(())
    }
}
