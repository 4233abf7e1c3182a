//! The work on files: a copy gets the looks of the data directory, and then its name. Blocking.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use rustix::fs::{CWD, FlockOperation, RenameFlags, fcntl_lock, renameat_with, statvfs, syncfs};

use super::place::{Mark, Note};
use crate::gtid::MariadbSet;
use crate::sql::Permit;

/// Where mariadb-backup notes the position: what the file has been called.
const POSITION_FILES: [&str; 2] = ["xtrabackup_binlog_info", "mariadb_backup_binlog_info"];

/// The position that was noted with a copy.
pub(super) fn position(copy: &Path) -> Result<MariadbSet, String> {
    let text = POSITION_FILES.iter().find_map(|name| fs::read_to_string(copy.join(name)).ok());
    let text = text.ok_or("the copy has no position with it: does the source write a binlog?")?;
    position_of(&text)
}

/// `binlog.000001<TAB>907<TAB>0-1-3,7-1-9`
fn position_of(text: &str) -> Result<MariadbSet, String> {
    let gtids = text.trim().splitn(3, '\t').nth(2).unwrap_or_default();
    let set = MariadbSet::parse_position(gtids).map_err(|e| format!("the copy's position: {e}"))?;
    if set.is_empty() { Err(format!("the copy's position has no GTID: {}", text.trim())) } else { Ok(set) }
}

/// Bytes that are free where `folder` is.
pub(super) fn free(folder: &Path) -> Result<u64, String> {
    let found = statvfs(folder).map_err(|e| format!("{} cannot be looked at: {e}", folder.display()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Gives the copy owner and mode of the data directory and what else a server finds there, marks it complete, and has all
/// of it on the disk.
pub(super) fn complete(note: &Note, mark: &Mark) -> Result<(), String> {
    let copy = note.copy();
    let failed = |e: std::io::Error| format!("{} cannot be completed: {e}", copy.display());
    carry_over(&note.data, &copy).map_err(failed)?;
    note.mark(mark)?;
    let like = fs::metadata(&note.data).map_err(failed)?;
    own(&copy, like.uid(), like.gid())?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(like.permissions().mode())).map_err(failed)?;
    let folder = File::open(&copy).map_err(failed)?;
    syncfs(&folder).map_err(|e| failed(e.into()))
}

/// Files of an installation and not of the data: they stay with the host.
fn is_carried(name: &str) -> bool {
    name.ends_with(".pem")
        || name.ends_with("_upgrade_info")
        || (name.starts_with("debian-") && name.ends_with(".flag"))
}

fn carry_over(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_file() && is_carried(&name.to_string_lossy()) {
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

/// Gives everything below to that owner. A table that lies elsewhere ends it: only its link would change places.
fn own(folder: &Path, uid: u32, gid: u32) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{} cannot be given to its owner: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        if kind.is_symlink() || path.extension().is_some_and(|e| e == "isl") {
            return Err(format!(
                "{} leads out of the data directory, which alone is exchanged",
                path.display()
            ));
        }
        if kind.is_dir() {
            own(&path, uid, gid)?;
        } else {
            lchown(&path, Some(uid), Some(gid)).map_err(failed)?;
        }
    }
    lchown(folder, Some(uid), Some(gid)).map_err(failed)
}

/// The lock that a running server holds; while it is held here no server can start with this data. `None` while one runs.
pub(super) fn lock(note: &Note) -> Result<Option<File>, String> {
    let path = note.data.join(&note.locked);
    let failed = |e: std::io::Error| format!("{} cannot be locked: {e}", path.display());
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(None),
        Err(error) => Err(failed(error.into())),
    }
}

/// Puts the copy in the place of the data, and the data where the copy was, in one step. `_stopped` shows that no server
/// runs with the data; whether the group still wants this is asked right before.
pub(super) fn exchange(note: &Note, _stopped: File, permit: &Permit) -> Result<(), String> {
    let (data, copy) = (&note.data, note.copy());
    permit.check("exchange of the data directory").map_err(|e| e.to_string())?;
    renameat_with(CWD, data, CWD, &copy, RenameFlags::EXCHANGE)
        .map_err(|e| format!("{} and {} cannot change places: {e}", data.display(), copy.display()))?;
    let synced = data.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all());
    synced.map_err(|e| format!("the exchange is not on the disk: {e}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::OperationId;

    #[test]
    fn the_position_is_the_third_column() {
        let gtids = |text: &str| position_of(text).map(|set| set.to_string());
        assert_eq!(gtids("binlog.000001\t907\t0-1-3,7-1-9\n"), Ok("0-1-3,7-1-9".into()));
        assert!(gtids("binlog.000001\t907\t\n").unwrap_err().contains("has no GTID"));
        assert!(gtids("binlog.000001\t907").unwrap_err().contains("has no GTID"));
        assert!(gtids("a\t1\tx").is_err());
    }

    #[test]
    fn what_belongs_to_the_host_stays() {
        for name in ["server-key.pem", "mysql_upgrade_info", "mariadb_upgrade_info", "debian-10.11.flag"] {
            assert!(is_carried(name), "{name}");
        }
        for name in ["ibdata1", "binlog.000001", "master.info", "aria_log_control", "ddl_recovery.log"] {
            assert!(!is_carried(name), "{name}");
        }
    }

    #[test]
    fn a_copy_changes_places_with_the_data_only_while_it_is_wanted() {
        let folder = std::env::temp_dir().join(format!("baton-exchange-{}", std::process::id()));
        let data = folder.join("data");
        fs::create_dir_all(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o711)).unwrap();
        for (name, text) in [("ibdata1", "old"), ("server.pem", "certificate")] {
            fs::write(data.join(name), text).unwrap();
        }
        let operation = OperationId("r".into());
        let note =
            Note { operation, attempt: 1, data: data.clone(), locked: "ibdata1".into(), stopped: true };
        fs::create_dir_all(note.copy().join("app")).unwrap();
        fs::write(note.copy().join("ibdata1"), "new").unwrap();
        let set = MariadbSet::parse_state("0-1-9").unwrap();
        let mark =
            Mark { operation: note.operation.clone(), attempt: 1, position: set.clone(), had: set, bytes: 3 };
        complete(&note, &mark).unwrap();
        let unwanted = Permit::new(|| false);
        let held = |note: &Note| lock(note).unwrap().unwrap();
        assert!(exchange(&note, held(&note), &unwanted).is_err());
        assert_eq!(fs::read_to_string(data.join("ibdata1")).unwrap(), "old");
        exchange(&note, held(&note), &Permit::unconditional()).unwrap();
        assert_eq!(fs::read_to_string(data.join("ibdata1")).unwrap(), "new");
        assert_eq!(fs::read_to_string(data.join("server.pem")).unwrap(), "certificate");
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o711);
        assert_eq!(fs::read_to_string(note.copy().join("ibdata1")).unwrap(), "old");

        fs::write(data.join("app/t.isl"), "/elsewhere/t.ibd").unwrap();
        let mine = fs::metadata(&data).unwrap();
        assert!(own(&data, mine.uid(), mine.gid()).unwrap_err().contains("leads out"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
