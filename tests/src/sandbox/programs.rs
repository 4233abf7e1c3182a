//! Where the servers under test, and HAProxy, are: in the folders that `script/bootstrap` made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::process::Command;

use super::bounded::within;
use super::dialect::Dialect;

/// One server's programs.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    folder: PathBuf,
    dialect: Dialect,
    /// What `--version` says, the build included.
    pub(super) version: String,
}

impl Programs {
    /// Finds the server by `BATON_MYSQL_DIR` or `BATON_MARIADB_DIR`, else by the cache's `servers.env`.
    pub(super) async fn locate(dialect: Dialect) -> Result<Self> {
        let variable = match dialect {
            Dialect::MySql => "BATON_MYSQL_DIR",
            Dialect::MariaDb => "BATON_MARIADB_DIR",
        };
        let folder = match std::env::var_os(variable) {
            Some(folder) => PathBuf::from(folder),
            None => from_cache(variable).with_context(|| {
                format!("no {dialect} here: run script/bootstrap --server {}", dialect.name())
            })?,
        };
        let mut programs = Self { folder, dialect, version: String::new() };
        programs.version = programs.ask_version().await.with_context(|| {
            format!(
                "{} does not run: run script/bootstrap --server {}",
                programs.server().display(),
                dialect.name()
            )
        })?;
        Ok(programs)
    }

    /// `mysqld` or `mariadbd`.
    pub(super) fn server(&self) -> PathBuf {
        self.folder.join("bin").join(match self.dialect {
            Dialect::MySql => "mysqld",
            Dialect::MariaDb => "mariadbd",
        })
    }

    /// Another program that came with the server; `None` where it did not.
    pub(super) fn tool(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.join("bin").join(name)).filter(|path| path.is_file())
    }

    /// The option file that tells the server where its own files are.
    pub(super) fn paths_file(&self) -> PathBuf {
        self.folder.join("paths.cnf")
    }

    /// The folder of error messages and, on MariaDB, of the scripts that make a data directory.
    pub(super) fn share(&self) -> PathBuf {
        self.folder.join("share")
    }

    async fn ask_version(&self) -> Result<String> {
        let mut command = Command::new(self.server());
        command.args(["--no-defaults", "--version"]).stdin(Stdio::null()).kill_on_drop(true);
        let output = within("--version", Duration::from_secs(10), command.output()).await?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// The server's program, and what its `--version` says.
///
/// # Errors
/// When it is not on this machine, or does not run.
pub async fn server_program(dialect: Dialect) -> Result<(PathBuf, String)> {
    let programs = Programs::locate(dialect).await?;
    Ok((programs.server(), programs.version))
}

/// Debian's HAProxy: the program on PATH's, or the one that `script/bootstrap` unpacked.
///
/// # Errors
/// When it is not on this machine.
pub fn haproxy() -> Result<PathBuf> {
    Ok(unpacked("haproxy")?.join("haproxy"))
}

/// The folder of Debian's `chromium` and `chromedriver`: links to those on PATH, or those that `script/bootstrap` unpacked.
///
/// # Errors
/// When they are not on this machine.
pub fn chromium() -> Result<PathBuf> {
    unpacked("chromium")
}

/// The folder of programs that `script/bootstrap` provides beside the servers.
fn unpacked(which: &str) -> Result<PathBuf> {
    let variable = format!("BATON_{}_DIR", which.to_uppercase());
    let folder = match std::env::var_os(&variable) {
        Some(folder) => PathBuf::from(folder),
        None => from_cache(&variable)
            .with_context(|| format!("no {which} here: run script/bootstrap --server {which}"))?,
    };
    Ok(folder.join("bin"))
}

/// A program on PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The cache folder, by the same rule as `script/bootstrap`.
pub(super) fn cache() -> Result<PathBuf> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    given("BATON_CACHE")
        .or_else(|| given("XDG_CACHE_HOME").map(|folder| folder.join("baton")))
        .or_else(|| given("HOME").map(|folder| folder.join(".cache/baton")))
        .ok_or_else(|| anyhow!("no cache folder: set BATON_CACHE"))
}

fn from_cache(variable: &str) -> Result<PathBuf> {
    let file = cache()?.join("servers.env");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let value = text.lines().find_map(|line| line.strip_prefix(variable)?.strip_prefix('='));
    let value = value.with_context(|| format!("{} does not name {variable}", file.display()))?;
    // The shell quotes what is special to it with backslashes.
    Ok(Path::new(&value.replace('\\', "")).to_owned())
}
