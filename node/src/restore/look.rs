//! Looks at the destination and at this host. Nothing is changed.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, fcntl_lock, statvfs};
use tokio::process::Command;
use tokio::time::timeout;

use super::chain::Chain;
use super::flow::Source;
use super::judge::Facts;
use super::plan::{Target, Tool, Way, needed, program_of, reader_of};
use super::work::{FOLDER, entries, left};
use crate::backup::program::on_path;
use crate::gtid::Dialect;
use crate::sql::Connector;
use crate::sql::loading::receiver;

/// Where servers' programs are, though not on everybody's search path.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec"];
const VERSION_WITHIN: Duration = Duration::from_secs(10);
/// InnoDB's file that a running server holds locked.
const LOCKED: &str = "ibdata1";

/// The search path, with the folders of system programs behind it.
pub(super) fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    // A folder with a colon in its name cannot be meant.
    std::env::join_paths(folders).unwrap_or(path)
}

/// Everything that is asked before anything is done.
pub(super) async fn look(
    chain: &Chain,
    way: Way,
    target: &Target,
    source: &Source,
    server: Option<&Connector>,
    replays: bool,
) -> Result<Facts, String> {
    let dialect = chain.last().map_or(Dialect::Mariadb, |last| last.server.dialect);
    let mut facts = Facts { tools: tools(way, dialect, replays).await, ..Facts::default() };
    facts.server = program(program_of(dialect)).await;
    for part in chain.parts() {
        if let Err(why) = source.opens(part).await {
            facts.key = Some(format!("{}: {why}", part.backup));
            break;
        }
    }
    match target {
        Target::Directory(path) => directory(path, &mut facts)?,
        Target::Output(path) => {
            facts.entries.extend(path.exists().then(|| path.display().to_string()));
            facts.free_bytes = free(path)?;
        }
        Target::Server(_) => {
            let Some(server) = server else { return Err("no account is known for the server".into()) };
            facts.receiver = Some(receiver(server).await.map_err(|e| e.to_string()));
        }
    }
    Ok(facts)
}

async fn tools(way: Way, dialect: Dialect, replays: bool) -> Vec<Tool> {
    let mut tools = Vec::new();
    // A restored server reads binlogs itself.
    let reader = (replays && way == Way::Dump).then(|| reader_of(dialect));
    for (name, package) in needed(way, dialect).iter().copied().chain(reader) {
        tools.push(Tool { name, package, found: program(name).await });
    }
    tools
}

/// A program on the search path, and what it says of its version.
async fn program(name: &str) -> Option<(PathBuf, String)> {
    let path = on_path(&search_path(), name)?;
    let mut command = Command::new(&path);
    command.arg("--version").stdin(std::process::Stdio::null()).kill_on_drop(true);
    let said = match timeout(VERSION_WITHIN, command.output()).await {
        Ok(Ok(output)) => [output.stdout, output.stderr].concat(),
        // That it cannot say so does not keep it from its work.
        _ => Vec::new(),
    };
    Some((path, String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned()))
}

fn directory(path: &Path, facts: &mut Facts) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{} cannot be looked at: {e}", path.display());
    if path.exists() && !path.is_dir() {
        return Err(format!("{} is no folder", path.display()));
    }
    let names = entries(path).map_err(failed)?;
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    facts.entries = names.iter().map(name).collect();
    facts.left = left(path);
    facts.free_bytes = free(path)?.saturating_add(bytes_of(&path.join(FOLDER)));
    facts.used_by = user_of(path);
    Ok(())
}

/// Bytes that are free where `path` is, or will be.
fn free(path: &Path) -> Result<u64, String> {
    let absolute = std::path::absolute(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let there = absolute.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let found = statvfs(there).map_err(|e| format!("{} cannot be looked at: {e}", there.display()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// What is below a folder; 0 where there is none, or it cannot be read.
fn bytes_of(folder: &Path) -> u64 {
    let each = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_of(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(each).sum()
}

/// A process that has `folder` for its working directory, as servers and the programs of a backup do, or holds its data locked.
pub(super) fn user_of(folder: &Path) -> Option<String> {
    working_in(folder, None)
}

fn working_in(folder: &Path, except: Option<&str>) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let except = except.map(|name| folder.join(name));
    let own = std::process::id();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Another user's process does not say: root is told of all.
        let Ok(at) = fs::read_link(entry.path().join("cwd")) else { continue };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let is_other =
            at.starts_with(&folder) && except.as_ref().is_none_or(|except| !at.starts_with(except));
        if pid != own && is_other && !is_shell(name.trim()) {
            return Some(format!("{} (process {pid})", name.trim()));
        }
    }
    is_locked(&folder.join(LOCKED)).then(|| format!("a server that has {LOCKED} locked"))
}

/// The same, but for whoever works in the folder `own` in it.
pub(super) fn user_of_other(folder: &Path, own: &str) -> Option<String> {
    working_in(folder, Some(own))
}

/// Somebody who looks around there is not at work.
fn is_shell(name: &str) -> bool {
    matches!(name, "sh" | "bash" | "zsh" | "dash" | "fish" | "sudo" | "su")
}

fn is_locked(path: &Path) -> bool {
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else { return false };
    let locked = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
    matches!(locked, Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::Stdio;

    use super::super::testing::Folder;
    use super::*;

    #[tokio::test]
    async fn a_process_in_the_folder_is_named() {
        let folder = Folder::new("used");
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        assert_eq!(user_of(&data), None);
        let mut command = Command::new("cat");
        let child = command.current_dir(&data).stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let pid = child.id().unwrap();
        // Its working directory is set before its name.
        assert!(user_of(&data).unwrap().ends_with(&format!("(process {pid})")));
        assert_eq!(user_of(&folder.path().join("elsewhere")), None);
        drop(child);
    }

    #[test]
    fn room_where_nothing_is_yet() {
        let folder = Folder::new("room");
        let (deep, there) = (folder.path().join("a/b/c"), folder.path());
        assert!(free(&deep).unwrap() > 0 && free(there).unwrap() > 0);
        fs::write(there.join("file"), [0; 77]).unwrap();
        assert_eq!((bytes_of(there), bytes_of(&deep)), (77, 0));
    }
}
