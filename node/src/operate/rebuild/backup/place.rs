//! Where a copy lies on this host, and how far the one that is found there is. The copy is made beside the data directory,
//! on the same file system, so that one exchange of names can put it in place.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::gtid::MariadbSet;
use crate::sql::backup::DataPlaces;
use crate::state::OperationId;

/// What a copy's folder is called beside its data directory.
const SUFFIX: &str = ".baton-rebuild";
/// In a copy that is complete; it stays when the copy has become the data directory.
const MARK: &str = "baton-rebuild.json";

/// What this node is doing on the disk, written before it does it: a server that does not run cannot be asked where its
/// data is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// For which rebuild.
    pub(super) operation: OperationId,
    /// For which attempt.
    pub(super) attempt: u32,
    /// The data directory, without links.
    pub(super) data: PathBuf,
    /// The file in it that a running server holds locked.
    pub(super) locked: String,
    /// This node has stopped the server and not seen it run since.
    pub(super) stopped: bool,
}

/// What a complete copy says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Of which rebuild.
    pub(super) operation: OperationId,
    /// Of which attempt.
    pub(super) attempt: u32,
    /// The last transaction of each domain.
    pub(super) position: MariadbSet,
    /// What the source had.
    pub(super) had: MariadbSet,
    /// Bytes received.
    pub(super) bytes: u64,
}

/// How far the copy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none, or an incomplete one, or one of another attempt.
    Missing,
    /// It is complete, beside the data directory.
    Beside(Mark),
    /// It is the data directory.
    InPlace(Mark),
}

impl Note {
    /// For a server whose data is there.
    ///
    /// # Errors
    /// Why its data directory cannot be exchanged, with the mend where there is one.
    pub(super) fn of(operation: &OperationId, attempt: u32, places: &DataPlaces) -> Result<Self, String> {
        if let Some((name, value)) = places.elsewhere.first() {
            return Err(format!(
                "its server has {name} = {value}, outside of its data directory; Baton exchanges the data directory alone"
            ));
        }
        let shown = places.data.display();
        let data = fs::canonicalize(&places.data).map_err(|e| format!("{shown} cannot be looked at: {e}"))?;
        let parent = data.parent().ok_or_else(|| format!("{shown} has no folder above it"))?;
        let device = |path: &Path| fs::metadata(path).map(|m| m.dev());
        match (device(&data), device(parent)) {
            (Ok(one), Ok(other)) if one == other => {}
            (Ok(_), Ok(_)) => {
                return Err(format!(
                    "{shown} is a file system of its own, and the copy has to lie beside it on the same one; let datadir be \
                     a folder below the mount point"
                ));
            }
            (Err(e), _) | (_, Err(e)) => return Err(format!("{shown} cannot be looked at: {e}")),
        }
        let locked = places.locked.clone();
        Ok(Self { operation: operation.clone(), attempt, data, locked, stopped: false })
    }

    /// Where the copy is made; after the exchange, where the old data is.
    pub(super) fn copy(&self) -> PathBuf {
        let mut name = self.data.as_os_str().to_owned();
        name.push(SUFFIX);
        name.into()
    }

    /// How far the copy is, by what is on the disk.
    pub(super) fn stage(&self) -> Stage {
        stage_of(self, read(&self.copy().join(MARK)), read(&self.data.join(MARK)))
    }

    /// Notes on the disk that the copy is complete.
    pub(super) fn mark(&self, mark: &Mark) -> Result<(), String> {
        write(&self.copy().join(MARK), mark)
    }

    /// The note that was written last, if there is one.
    pub(super) fn read(path: &Path) -> Option<Self> {
        read(path)
    }

    /// Writes it down, for whoever comes after this process.
    pub(super) fn write(&self, path: &Path) -> Result<(), String> {
        write(path, self)
    }
}

/// The mark in a data directory, whichever rebuild it came from.
pub(super) fn mark_of(data: &Path) -> Option<Mark> {
    read(&data.join(MARK))
}

fn stage_of(note: &Note, beside: Option<Mark>, in_place: Option<Mark>) -> Stage {
    let is_it = |mark: &Mark| mark.operation == note.operation && mark.attempt == note.attempt;
    match (in_place.filter(is_it), beside.filter(is_it)) {
        (Some(mark), _) => Stage::InPlace(mark),
        (None, Some(mark)) => Stage::Beside(mark),
        (None, None) => Stage::Missing,
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Whole or not at all, and on the disk.
fn write<T: Serialize>(path: &Path, what: &T) -> Result<(), String> {
    let shown = path.display();
    let json = serde_json::to_vec(what).map_err(|e| e.to_string())?;
    let new = path.with_extension("new");
    let written = File::create(&new)
        .and_then(|mut file| file.write_all(&json).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, path))
        .and_then(|()| path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all()));
    written.map_err(|e| format!("{shown} cannot be written: {e}"))
}

/// Removes a folder with all that is in it, or a file; nothing to do where there is none.
pub(super) fn remove(path: &Path) -> Result<(), String> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("{} cannot be removed: {error}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn note(data: &str) -> Note {
        let operation = OperationId("r".into());
        Note { operation, attempt: 2, data: data.into(), locked: "ibdata1".into(), stopped: false }
    }

    fn mark(operation: &str, attempt: u32) -> Mark {
        let set = MariadbSet::parse_state("0-1-9").unwrap();
        Mark { operation: OperationId(operation.into()), attempt, position: set.clone(), had: set, bytes: 7 }
    }

    #[test]
    fn only_a_copy_of_this_very_attempt_counts() {
        let note = note("/var/lib/mysql");
        assert_eq!(note.copy(), Path::new("/var/lib/mysql.baton-rebuild"));
        let (this, before, other) = (mark("r", 2), mark("r", 1), mark("s", 2));
        let stage = |beside: Option<&Mark>, in_place: Option<&Mark>| {
            stage_of(&note, beside.cloned(), in_place.cloned())
        };
        assert_eq!(stage(None, None), Stage::Missing);
        assert_eq!(stage(Some(&before), Some(&other)), Stage::Missing);
        assert_eq!(stage(Some(&this), Some(&before)), Stage::Beside(this.clone()));
        assert_eq!(
            stage(Some(&before), Some(&this)),
            Stage::InPlace(this.clone()),
            "the old data lies beside"
        );
    }

    #[test]
    fn what_is_written_is_read_again_and_places_are_judged() {
        let folder = std::env::temp_dir().join(format!("baton-place-{}", std::process::id()));
        fs::create_dir_all(folder.join("data")).unwrap();
        let places = DataPlaces { data: folder.join("data"), locked: "ibdata1".into(), elsewhere: vec![] };
        let note = Note::of(&OperationId("r".into()), 2, &places).unwrap();
        let path = folder.join("rebuild.json");
        note.write(&path).unwrap();
        assert_eq!(Note::read(&path), Some(note.clone()));
        assert_eq!(note.stage(), Stage::Missing);
        fs::create_dir(note.copy()).unwrap();
        note.mark(&mark("r", 2)).unwrap();
        assert_eq!(note.stage(), Stage::Beside(mark("r", 2)));
        remove(&note.copy()).unwrap();
        remove(&note.copy()).unwrap();

        let mount = DataPlaces { data: "/proc".into(), ..places.clone() };
        assert!(Note::of(&note.operation, 1, &mount).unwrap_err().contains("a file system of its own"));
        let elsewhere = vec![("innodb_undo_directory".to_owned(), "/fast".to_owned())];
        let refused = Note::of(&note.operation, 1, &DataPlaces { elsewhere, ..places }).unwrap_err();
        assert!(refused.contains("innodb_undo_directory = /fast, outside"), "{refused}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
