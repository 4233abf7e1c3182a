//! The lineage of a data directory, as a file in it. No engine copies it: what is restored or rebuilt has none, until whoever
//! did that, or the first backup, gives it one.
//!
//! MySQL's CLONE into a server replaces the data and leaves files that it does not know: a rebuild by CLONE has to call
//! [`forget`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::lineage::Record;

const NAME: &str = "baton-lineage.json";
/// So many backups are noted.
const NOTED: usize = 100;

/// The lineage of `data`; `None` where it has none yet.
///
/// # Errors
/// It cannot be read. It is not made anew then: a base would be lost, or a wrong one be taken.
pub fn read(data: &Path) -> Result<Option<Record>, String> {
    let path = data.join(NAME);
    match fs::read(&path) {
        Ok(json) => {
            let record = serde_json::from_slice(&json);
            record
                .map(Some)
                .map_err(|e| format!("{}: {e}; remove it, and the next backup is a full one", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

/// Gives `data` a lineage, on the disk when this returns.
///
/// # Errors
/// It cannot be written.
pub fn write(data: &Path, record: &Record) -> Result<(), String> {
    let path = data.join(NAME);
    replace(&path, record).map_err(|e| format!("{} cannot be written: {e}", path.display()))
}

/// Notes that `backup` was made of `data`, on the disk when this returns.
///
/// # Errors
/// It cannot be noted, or `data` has no lineage: no increment will be added to that backup.
pub fn note(data: &Path, backup: &str) -> Result<(), String> {
    let mut record = read(data)?.ok_or_else(|| format!("{} has no lineage", data.display()))?;
    record.backups.push(backup.to_owned());
    let beyond = record.backups.len().saturating_sub(NOTED);
    record.backups.drain(..beyond);
    write(data, &record)
}

/// Takes the lineage away: what is in `data` is no longer what it was.
///
/// # Errors
/// It cannot be removed.
pub fn forget(data: &Path) -> Result<(), String> {
    let path = data.join(NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("{} cannot be removed: {error}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn replace(path: &Path, record: &Record) -> io::Result<()> {
    let mut partial = PathBuf::from(path);
    partial.set_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&partial)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::lineage::Lineage;
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_never_guessed() {
        let data = std::env::temp_dir().join(format!("baton-lineage-{}", std::process::id()));
        fs::create_dir_all(&data).unwrap();
        assert_eq!(read(&data), Ok(None));
        assert!(note(&data, "b1").unwrap_err().ends_with("has no lineage"));
        let of = |id: &str, parent: Option<&str>| Record {
            lineage: Lineage { id: id.into(), parent: parent.map(Into::into) },
            backups: Vec::new(),
        };
        let mut record = of("one", Some("20260101T000000Z-db2"));
        write(&data, &of("before", None)).unwrap();
        write(&data, &record).unwrap();
        assert_eq!(read(&data), Ok(Some(record.clone())));
        for number in 0..NOTED + 2 {
            note(&data, &number.to_string()).unwrap();
        }
        record.backups = (2..NOTED + 2).map(|number| number.to_string()).collect();
        assert_eq!(read(&data), Ok(Some(record)));
        fs::write(data.join(NAME), r#"{"id":"of an earlier release"}"#).unwrap();
        assert_eq!(read(&data), Ok(Some(of("of an earlier release", None))));
        fs::write(data.join(NAME), "{").unwrap();
        assert!(read(&data).unwrap_err().contains("the next backup is a full one"));
        forget(&data).unwrap();
        forget(&data).unwrap();
        assert_eq!(read(&data), Ok(None));
        fs::remove_dir_all(&data).unwrap();
    }
}
