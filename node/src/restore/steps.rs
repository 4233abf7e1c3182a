//! From the stream to a data directory, to a file, or into a running server.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::chain::Chain;
use super::flow::{Source, run};
use super::judge::Facts;
use super::owner::Owner;
use super::plan::{Way, commands};
use super::progress::Progress;
use super::work::Work;
use crate::backup::account::{AccountFile, LocalAccount};
use crate::backup::manifest::Manifest;
use crate::sql::Connector;
use crate::sql::loading::{PART, Receiver, mark, unmark};

/// Applying a redo log takes as long as a server's recovery.
const PREPARED_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// What mariadb-backup notes beside the data when it has prepared it, before and after 11.1.
const CHECKPOINTS: [&str; 2] = ["xtrabackup_checkpoints", "mariadb_backup_checkpoints"];
/// What it calls that: the second on 10.11, also without `--apply-log-only`.
const PREPARED: [&str; 2] = ["full-prepared", "log-applied"];
const LOG: &str = "program.log";
const ACCOUNT: &str = "account.cnf";
/// Of what is not there so much is named.
const NAMED_MAX: usize = 3;

/// Makes the data directory in the restore's own folder.
pub(super) async fn files(
    work: &Work,
    chain: &Chain,
    way: Way,
    facts: &Facts,
    source: &Source,
    progress: &Progress,
) -> Result<(), String> {
    let (data, increment, log) = (work.data(), work.beside("increment"), work.beside(LOG));
    let commands = commands(chain, way, &facts.tools, &data, &increment);
    let of_each = commands.chunks((commands.len() / chain.parts().len().max(1)).max(1));
    for (number, (part, commands)) in chain.parts().iter().zip(of_each).enumerate() {
        let into = if number == 0 { &data } else { &increment };
        if number > 0 {
            fs::create_dir(into).map_err(|e| format!("{} cannot be made: {e}", into.display()))?;
        }
        let mut commands = commands.iter();
        let unpack = commands.next().ok_or("there is no way to unpack it")?;
        progress.stage(&format!("unpacking {}", part.backup));
        source.to_program(part, unpack, &log, &|bytes, total| progress.moved(bytes, total)).await?;
        has_all(part, into, way)?;
        for prepare in commands {
            progress.stage("applying the redo log");
            run(prepare, &log, PREPARED_WITHIN).await?;
            is_prepared(&data, part)?;
        }
        if number > 0 {
            fs::remove_dir_all(into).map_err(|e| format!("{} cannot be removed: {e}", into.display()))?;
        }
    }
    Ok(())
}

/// Every file of the manifest is there.
fn has_all(part: &Manifest, folder: &Path, way: Way) -> Result<(), String> {
    let is_there = |name: &str, bytes: u64| {
        let size = fs::metadata(folder.join(name)).map(|about| about.len());
        // A file that was written with holes has fewer bytes in the stream than it has.
        size.is_ok_and(|size| size == bytes || (way != Way::Clone && size > bytes))
    };
    let missing: Vec<_> = part
        .inventory
        .iter()
        .filter(|file| !is_there(&file.name, file.bytes))
        .map(|file| file.name.as_str())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let named = missing.get(..NAMED_MAX.min(missing.len())).unwrap_or_default().join(", ");
    Err(format!(
        "{} of {} files did not come out of the stream: {named}",
        missing.len(),
        part.inventory.len()
    ))
}

/// The program has been seen to say "OK" over less.
fn is_prepared(data: &Path, part: &Manifest) -> Result<(), String> {
    let text = CHECKPOINTS.iter().find_map(|name| fs::read_to_string(data.join(name)).ok());
    let text = text.ok_or("mariadb-backup has noted nothing of what it prepared")?;
    let value = |name: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    // After the base the kind is right already: only the number tells that an increment was applied.
    let reaches = value("to_lsn").and_then(|lsn| lsn.parse::<u64>().ok()).unwrap_or_default();
    match value("backup_type") {
        Some(kind) if PREPARED.contains(&kind) && part.lsn.as_ref().is_none_or(|lsn| reaches >= lsn.to) => {
            Ok(())
        }
        Some(kind) if PREPARED.contains(&kind) => {
            Err(format!("the data is prepared to LSN {reaches} and not to the end of {}", part.backup))
        }
        kind => {
            Err(format!("the data is {} and should be {}", kind.unwrap_or("nothing"), PREPARED.join(" or ")))
        }
    }
}

/// Tables whose data a server would look for elsewhere, by their link files.
pub(super) fn elsewhere(data: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    for schema in fs::read_dir(data).into_iter().flatten().flatten() {
        for file in fs::read_dir(schema.path()).into_iter().flatten().flatten() {
            let path = file.path();
            if path.extension().is_some_and(|extension| extension == "isl") {
                found.insert(path.strip_prefix(data).unwrap_or(&path).display().to_string());
            }
        }
    }
    found.into_iter().collect()
}

/// Writes the stream down.
pub(super) async fn file(
    path: &Path,
    part: &Manifest,
    source: &Source,
    owner: Option<&Owner>,
    progress: &Progress,
) -> Result<(), String> {
    let name = path.file_name().ok_or_else(|| format!("{} is no file's name", path.display()))?;
    let mut partial_name = name.to_owned();
    partial_name.push(".partial");
    let partial = Partial(path.with_file_name(partial_name));
    let failed = |e: std::io::Error| format!("{} cannot be written: {e}", partial.0.display());
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial.0);
    progress.stage(&format!("writing {}", part.backup));
    source.to_file(part, file.map_err(failed)?, &|bytes, total| progress.moved(bytes, total)).await?;
    if let Some(owner) = owner {
        owner.give(&partial.0)?;
    }
    fs::rename(&partial.0, path).map_err(failed)?;
    let folder = std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned));
    folder.map_or(Ok(()), |folder| File::open(folder)?.sync_all()).map_err(failed)
}

/// A file that goes unless it got its own name.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// Loads SQL into a running server, and does what comes `then` with the client's words. `scratch` is a folder for what ends with
/// it.
pub(super) async fn sql(
    scratch: &Path,
    part: &Manifest,
    facts: &Facts,
    source: &Source,
    (account, server): (&LocalAccount, &Connector),
    progress: &Progress,
    then: impl AsyncFnOnce(&[OsString]) -> Result<(), String>,
) -> Result<(), String> {
    let receiver: &Receiver = match &facts.receiver {
        Some(Ok(receiver)) => receiver,
        _ => return Err("the server was not asked".into()),
    };
    let client = facts.tools.first().and_then(|tool| tool.found.as_ref()).ok_or("there is no client")?;
    let account = AccountFile::write(&scratch.join(ACCOUNT), account)?;
    mark(server, receiver, &part.backup).await.map_err(|e| e.to_string())?;
    progress.stage(&format!("loading {}", part.backup));
    let words = client_words(&client.0, account.path());
    let log = scratch.join(LOG);
    let loaded = source.to_program(part, &words, &log, &|bytes, total| progress.moved(bytes, total)).await;
    let loaded = match loaded {
        Ok(()) => then(&words).await,
        failed => failed,
    };
    loaded.map_err(|why| {
        format!("{why}; the server has a part of the backup, and the schema {PART} until the same command ends well")
    })?;
    unmark(server).await.map_err(|e| format!("everything is loaded, but {PART} cannot be dropped: {e}"))
}

/// What the server writes is in the backup already: none of it comes into its binlog.
fn client_words(client: &Path, account: &Path) -> Vec<OsString> {
    let mut defaults = OsString::from("--defaults-file=");
    defaults.push(account);
    let rest = ["--batch", "--max-allowed-packet=1G", "--init-command=SET SESSION sql_log_bin=0"];
    [client.into(), defaults].into_iter().chain(rest.map(OsString::from)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::testing::{Folder, manifest};
    use super::*;

    #[test]
    fn what_did_not_come_out_is_named() {
        let (folder, manifest) = (Folder::new("files"), manifest("a", None));
        let has = |way| has_all(&manifest, folder.path(), way);
        assert_eq!(
            has(Way::MariadbBackup).unwrap_err(),
            "1 of 1 files did not come out of the stream: ibdata1"
        );
        fs::write(folder.path().join("ibdata1"), "").unwrap();
        assert!(has(Way::MariadbBackup).is_err(), "it is shorter than the stream's part of it");
        let longer = File::create(folder.path().join("ibdata1")).unwrap();
        longer.set_len(manifest.inventory[0].bytes + 1).unwrap();
        assert_eq!(has(Way::MariadbBackup), Ok(()));
        assert!(has(Way::Clone).is_err(), "an archive has every byte");
    }

    #[test]
    fn what_was_prepared_says_so() {
        let folder = Folder::new("prepared");
        let full = manifest("full", None);
        let to = full.lsn.unwrap().to;
        assert!(is_prepared(folder.path(), &full).unwrap_err().contains("has noted nothing"));
        let note = |kind: &str, to: u64| {
            let text = format!("backup_type = {kind}\nfrom_lsn = 0\nto_lsn = {to}\n");
            fs::write(folder.path().join("mariadb_backup_checkpoints"), text).unwrap();
            is_prepared(folder.path(), &full)
        };
        assert_eq!(note("full-prepared", to), Ok(()));
        assert_eq!(note("log-applied", to), Ok(()));
        assert!(note("log-applied", to - 1).unwrap_err().contains("and not to the end of full"));
        let error = note("full-backuped", to).unwrap_err();
        assert_eq!(error, "the data is full-backuped and should be full-prepared or log-applied");
    }

    #[test]
    fn tables_elsewhere_are_found() {
        let folder = Folder::new("elsewhere");
        fs::create_dir(folder.path().join("app")).unwrap();
        fs::write(folder.path().join("app/t.isl"), "/ssd/app/t.ibd").unwrap();
        fs::write(folder.path().join("app/t.ibd"), "").unwrap();
        assert_eq!(elsewhere(folder.path()), ["app/t.isl"]);
    }
}
