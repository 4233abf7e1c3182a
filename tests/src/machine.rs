//! `baton-node`, as an operator runs it on a machine that has nothing but the servers' programs.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{getegid, geteuid};
use serde::Deserialize;
use tokio::process::Command;

use crate::bench::Bench;
use crate::cluster::program;
use crate::sandbox::within;

/// A small server, on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

/// What it printed as JSON.
#[derive(Debug, Deserialize)]
pub struct Said {
    /// What it was going to do.
    pub plan: Plan,
    /// What came of it.
    pub restored: Restored,
}

/// Of a plan, what tests look at.
#[derive(Debug, Deserialize)]
pub struct Plan {
    /// The backup.
    pub backup: String,
    /// What that is made of.
    pub chain: Vec<String>,
    /// What it goes on with.
    pub replay: Option<Replay>,
    /// What is to be known before.
    pub warnings: Vec<String>,
}

/// What is replayed after the backup.
#[derive(Debug, Deserialize)]
pub struct Replay {
    /// So many segments of the archive.
    pub segments: u64,
    /// So many transactions of these.
    pub transactions: u64,
    /// Where it ends.
    pub gtids: String,
    /// The last transaction that is there.
    pub last: Option<Moment>,
    /// The first one that is not.
    pub first_not: Option<Moment>,
}

/// A transaction.
#[derive(Debug, Deserialize)]
pub struct Moment {
    /// Its name.
    pub gtid: String,
    /// When it was committed, in microseconds since 1970.
    pub committed_us: i64,
}

/// Of a restored server, what tests look at.
#[derive(Debug, Deserialize)]
pub struct Restored {
    /// Where it stands.
    pub gtids: String,
    /// How many tables were checked.
    pub tables_checked: Option<u64>,
    /// What is to be done then.
    pub next: Vec<String>,
}

/// How the programs of a bench's servers are found, and its store and key.
pub struct Machine {
    path: OsString,
    /// The store.
    pub store: PathBuf,
    /// The key file.
    pub key: PathBuf,
}

impl Machine {
    /// That of a bench.
    ///
    /// # Errors
    /// The key cannot be written down.
    pub async fn new(bench: &Bench) -> Result<Self> {
        Self::at(bench.sandbox.root(), &bench.key_text(), &bench.program("any").await?)
    }

    /// That of the folder `store` within another one, and of a key; with the programs that are beside `program`.
    ///
    /// # Errors
    /// The key cannot be written down.
    pub fn at(root: &Path, key_text: &str, program: &Path) -> Result<Self> {
        let (store, key) = (root.join("store"), root.join("key"));
        fs::write(&key, format!("# made for a test\n{key_text}\n"))?;
        let machine = Self { path: OsString::new(), store, key };
        machine.with_programs(program.parent().context("no folder of programs")?)
    }

    /// The same with the programs of another folder first.
    ///
    /// # Errors
    /// The folder has a name that no path takes.
    pub fn with_programs(&self, folder: &Path) -> Result<Self> {
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
    ///
    /// # Errors
    /// The program is not there.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
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
    ///
    /// # Errors
    /// The program is not there.
    pub fn restoring(&self, words: &[&str]) -> Result<Command> {
        let mut command = self.command(&["restore"])?;
        command.arg("--key").arg(&self.key).args(words);
        Ok(command)
    }

    /// The same to its end.
    ///
    /// # Errors
    /// It does not end.
    pub async fn restore(&self, words: &[&str]) -> Result<Output> {
        within("baton-node restore", WITHIN, self.restoring(words)?.output()).await
    }

    /// `baton-node find --key … WORDS` to its end.
    ///
    /// # Errors
    /// It does not end.
    pub async fn find(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.command(&["find"])?;
        command.arg("--key").arg(&self.key).args(words);
        within("baton-node find", WITHIN, command.output()).await
    }

    /// It went well.
    ///
    /// # Errors
    /// It did not.
    pub async fn restored(&self, words: &[&str]) -> Result<Said> {
        let owner = format!("{}:{}", geteuid().as_raw(), getegid().as_raw());
        let words: Vec<_> = words.iter().copied().chain(["--owner", &owner, "--json"]).collect();
        let output = self.restore(&words).await?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())
    }

    /// What it would do.
    ///
    /// # Errors
    /// It would not.
    pub async fn planned(&self, words: &[&str]) -> Result<Plan> {
        #[derive(Deserialize)]
        struct Planned {
            plan: Plan,
        }
        let words: Vec<_> = words.iter().copied().chain(["--dry-run", "--json"]).collect();
        let output = self.restore(&words).await?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{said}");
        let Planned { plan } = serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())?;
        Ok(plan)
    }

    /// It did not, for that reason.
    ///
    /// # Errors
    /// It did, or for another one.
    pub async fn refuses(&self, words: &[&str], why: &str) -> Result<()> {
        let output = self.restore(words).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        let is_refused = output.status.code() == Some(1) && said.contains(why);
        ensure!(is_refused, "{why:?} is not in {said:?}, which ended with {}", output.status);
        Ok(())
    }
}
