//! Hosts and files of a cluster without any server, on which a start of a node is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use baton_tests::cluster::{ClusterOptions, Files, Node};
use baton_tests::sandbox::{Account, Dialect, Host, Sandbox, SandboxOptions, until, within};

/// How long a daemon may take to find out that it cannot start.
const REFUSES: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(10);

/// The node that is started.
pub(crate) const NODE: &str = "db1";

/// What every file below a folder holds; nothing for what is no file.
type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) files: Files,
    pub(crate) sandbox: Sandbox,
}

impl Bench {
    pub(crate) async fn new() -> Result<Self> {
        let options = ClusterOptions::new(Dialect::MariaDb);
        let sandbox =
            Sandbox::new(SandboxOptions { servers: 0, ..SandboxOptions::new(options.dialect) }).await?;
        let files = Files::write(&sandbox, &options)?;
        let node = Node::new(&sandbox.hosts()[0], NODE, files.config())?;
        Ok(Self { node, files, sandbox })
    }

    pub(crate) fn host(&self) -> &Host {
        self.node.host()
    }

    /// As the configuration names it.
    fn folder(&self) -> PathBuf {
        self.sandbox.root().join(NODE).join("baton")
    }

    /// Where the node keeps what outlives it.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Where its sockets are.
    pub(crate) fn run(&self) -> PathBuf {
        self.folder().join("run")
    }

    /// Changes the configuration file at the one place where `from` stands.
    pub(crate) fn replace(&self, from: &str, to: &str) -> Result<()> {
        let text = fs::read_to_string(self.files.config())?;
        ensure!(text.matches(from).count() == 1, "{from:?} stands not once in {text}");
        Ok(fs::write(self.files.config(), text.replace(from, to))?)
    }

    /// Starts the node, waits until it waits for the others, and ends it and its keeper: its store exists now.
    pub(crate) async fn make_store(&mut self) -> Result<()> {
        self.node.start()?;
        says(&self.node, "waiting for all").await?;
        self.node.terminate().await?;
        self.node.signal_keeper(rustix::process::Signal::TERM)?;
        self.nothing_runs().await
    }

    /// Starts all three nodes, waits until they are a group, and ends them: the store knows its group and cluster now.
    pub(crate) async fn form_group(&mut self) -> Result<()> {
        let mut others = Vec::new();
        for (host, name) in self.sandbox.hosts().iter().zip(["db1", "db2", "db3"]).skip(1) {
            others.push(Node::new(host, name, self.files.config())?);
        }
        let mut nodes = vec![&mut self.node];
        nodes.extend(&mut others);
        for node in &mut nodes {
            node.start()?;
        }
        for node in nodes {
            says(node, "status=formed").await?;
            node.terminate().await?;
            node.signal_keeper(rustix::process::Signal::TERM)?;
        }
        self.nothing_runs().await
    }

    /// The node does not start: one error with all of `words`, and not a file is different afterwards.
    pub(crate) async fn refuses(&self, words: &[&str]) -> Result<()> {
        let before = contents(&self.folder())?;
        self.refuses_within(&[], words).await?;
        self.nothing_runs().await?;
        let after = contents(&self.folder())?;
        ensure!(before == after, "changed: {:?}", changed(&before, &after));
        Ok(())
    }

    /// The same without a look at the files, with a program in front of it: `unshare …`.
    pub(crate) async fn refuses_within(&self, before: &[&str], words: &[&str]) -> Result<()> {
        let mut command = self.node.command(before);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = within("the refusal", REFUSES, command.output()).await?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code().is_some_and(|code| code != 0), "{}: {said}", output.status);
        one_error(&said, words)
    }

    /// Waits until no process is left on the hosts.
    async fn nothing_runs(&self) -> Result<()> {
        let left = async || {
            let left = self.sandbox.processes();
            ensure!(left.is_empty(), "still running: {left:?}");
            Ok(Some(()))
        };
        until("every process to end", SOON, left).await
    }
}

/// Waits until a node's log has these words.
pub(crate) async fn says(node: &Node, words: &str) -> Result<()> {
    let said = async || Ok(fs::read_to_string(node.log())?.contains(words).then_some(()));
    until(words, SOON, said).await
}

/// What was said has one error, with all of `words`, and no secret.
pub(crate) fn one_error(said: &str, words: &[&str]) -> Result<()> {
    let other = [" INFO ", " WARN ", "keeper: warning: "];
    let is_error = |line: &&str| !other.iter().any(|other| line.contains(other));
    let errors: Vec<&str> = said.lines().filter(is_error).collect();
    ensure!(errors.len() == 1, "not one error: {said}");
    for word in words {
        ensure!(errors[0].contains(word), "{word:?} is not in: {}", errors[0]);
    }
    no_secret(said)
}

pub(crate) fn no_secret(said: &str) -> Result<()> {
    for secret in [Account::BATON.password, Account::REPL.password, "PRIVATE KEY"] {
        ensure!(!said.contains(secret), "a secret is in: {said}");
    }
    Ok(())
}

fn contents(folder: &Path) -> Result<Contents> {
    let mut all = Contents::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            // Whoever tried to start held it for a moment.
            if path.extension().is_some_and(|end| end == "lock") {
                continue;
            }
            if path.is_dir() {
                folders.push(path.clone());
            }
            all.insert(path.clone(), path.is_file().then(|| fs::read(&path)).transpose()?);
        }
    }
    Ok(all)
}

fn changed(before: &Contents, after: &Contents) -> Vec<PathBuf> {
    let all = before.keys().chain(after.keys());
    all.filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}
