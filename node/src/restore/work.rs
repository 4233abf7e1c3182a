//! The folder in which a restore is at work, inside of its destination, so that a destination that is a disk of its own works
//! as well. It has a name that says what it is, goes last of all, and as long as it is there the restore has not ended: what
//! is wanted takes its place only when it is whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock, syncfs};

use super::owner::Owner;

/// In the destination.
pub(super) const FOLDER: &str = "baton-restore.partial";
/// In it: what the server is to have in the end.
const DATA: &str = "data";
/// In it, from the moment at which what was in the destination goes.
const SWAPPING: &str = "swapping";
const LOCK: &str = "lock";
const ABOUT: &str = "README";
/// A file system's own.
const LOST: &str = "lost+found";
/// Without it no server of either family starts: it comes last.
const LAST: &str = "ibdata1";

/// What a restore that did not end has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Its own folder.
    Part,
    /// The same, and it had begun to replace what was there.
    Swapping,
}

/// Whether something was left in `destination`.
pub(super) fn left(destination: &Path) -> Option<Left> {
    let folder = destination.join(FOLDER);
    match (folder.is_dir(), folder.join(SWAPPING).exists()) {
        (false, _) => None,
        (true, false) => Some(Left::Part),
        (true, true) => Some(Left::Swapping),
    }
}

/// What is in a folder, but for what a restore left and what belongs to the file system.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut found = Vec::new();
    for entry in listed {
        let entry = entry?;
        if entry.file_name() != FOLDER && entry.file_name() != LOST {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// A restore at work. Dropped before it is complete, it leaves the destination as it was.
pub(super) struct Work {
    destination: PathBuf,
    folder: PathBuf,
    _lock: File,
    /// The destination was made for it.
    is_new: bool,
    is_done: bool,
}

impl Work {
    /// Begins in `destination`, which is made where there is none. What an earlier one left is removed.
    pub(super) fn begin(destination: &Path, backup: &str) -> Result<Self, String> {
        let (is_new, folder) = (!destination.exists(), destination.join(FOLDER));
        let shown = folder.display().to_string();
        let failed = |e: io::Error| format!("{shown} cannot be made: {e}");
        DirBuilder::new().recursive(true).mode(0o755).create(destination).map_err(failed)?;
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(failed)?,
        }
        // Whoever owns the destination may have put a link here, and all in the folder is removed.
        if !folder.symlink_metadata().map_err(failed)?.is_dir() {
            return Err(format!("{shown} is no folder: remove it"));
        }
        let lock = own_file(&folder.join(LOCK)).map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| format!("another restore is at work in {shown}"))?;
        let work = Self { destination: destination.to_owned(), folder, _lock: lock, is_new, is_done: false };
        work.clear()
            .map_err(|e| format!("{}: what is left there cannot be removed: {e}", work.folder.display()))?;
        fs::create_dir(work.data()).map_err(failed)?;
        let about = format!(
            "A restore of {backup} is at work here, or was killed. This folder is no data directory. Run the same command again,\n\
             or remove the folder when no baton-node restore is running.\n"
        );
        fs::write(work.beside(ABOUT), about).map_err(failed)?;
        Ok(work)
    }

    /// Where the data directory comes to be.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join(DATA)
    }

    /// Lets the owner's server in, and nobody else.
    pub(super) fn let_in(&self, owner: &Owner) -> Result<(), String> {
        owner.give(&self.folder)
    }

    /// A name for something that goes with the restore.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What is wanted is whole: it takes the place of what is in the destination.
    pub(super) fn complete(mut self, owner: Option<&Owner>) -> Result<(), String> {
        let failed =
            |e: io::Error| format!("{} does not get its new content: {e}", self.destination.display());
        // All of it is on the disk before anything goes.
        self.on_disk().map_err(failed)?;
        if !entries(&self.destination).map_err(failed)?.is_empty() {
            return Err(format!("somebody has put something into {} meanwhile", self.destination.display()));
        }
        own_file(&self.folder.join(SWAPPING)).map_err(failed)?;
        self.on_disk().map_err(failed)?;
        let mut new = entries(&self.data()).map_err(failed)?;
        new.sort_by_key(|path| path.file_name().is_some_and(|name| name == LAST));
        for path in new {
            let name = path.file_name().unwrap_or_default();
            fs::rename(&path, self.destination.join(name)).map_err(failed)?;
        }
        if let Some(owner) = owner {
            owner.give(&self.destination)?;
        }
        self.on_disk().map_err(failed)?;
        // From here on what is there is somebody's data.
        fs::remove_file(self.folder.join(SWAPPING)).map_err(failed)?;
        fs::remove_dir_all(&self.folder).map_err(failed)?;
        self.is_done = true;
        File::open(&self.destination).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    fn on_disk(&self) -> io::Result<()> {
        Ok(syncfs(File::open(&self.destination)?)?)
    }

    /// Removes all but the lock, and the mark of what can no more be left as it was.
    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name() != LOCK && entry.file_name() != SWAPPING {
                removed(&entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        if left(&self.destination) == Some(Left::Swapping) {
            tracing::warn!(
                folder = %self.folder.display(),
                "the restored data was being moved into its place: it lies there and here, whole and in two parts"
            );
        } else if fs::remove_dir_all(&self.folder).is_err() {
            tracing::warn!(folder = %self.folder.display(), "a part of the restore is left; the next one removes it");
        }
        if self.is_new {
            // Only while it is empty.
            drop(fs::remove_dir(&self.destination));
        }
    }
}

/// A file of the restore's own: no link is followed.
fn own_file(path: &Path) -> io::Result<File> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link).open(path)
}

fn removed(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::testing::Folder;
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn it_takes_its_place_only_when_it_is_complete() {
        let folder = Folder::new("work");
        let destination = folder.path().join("a/data");
        let work = Work::begin(&destination, "b").unwrap();
        fs::write(work.data().join("ibdata1"), "new").unwrap();
        assert_eq!(names(&destination), [FOLDER], "nothing that a server would take for its data");
        assert!(Work::begin(&destination, "b").err().unwrap().contains("another restore is at work"));
        drop(work);
        assert!(!destination.exists(), "as it was");

        let work = Work::begin(&destination, "b").unwrap();
        fs::create_dir(work.data().join("app")).unwrap();
        fs::write(work.data().join("app/t.ibd"), "new").unwrap();
        fs::write(work.data().join("ibdata1"), "new").unwrap();
        work.complete(None).unwrap();
        assert_eq!(names(&destination), ["app", "ibdata1"]);
        assert_eq!(left(&destination), None);
    }

    #[test]
    fn what_was_there_stays_until_then() {
        let folder = Folder::new("replaced");
        let destination = folder.path().join("data");
        fs::create_dir_all(destination.join("lost+found")).unwrap();
        fs::create_dir(destination.join("old")).unwrap();
        fs::write(destination.join("old/t.ibd"), "old").unwrap();
        // One was killed.
        fs::create_dir_all(destination.join(FOLDER).join("data/half")).unwrap();
        assert_eq!(left(&destination), Some(Left::Part));
        assert_eq!(entries(&destination).unwrap(), [destination.join("old")]);
        let work = Work::begin(&destination, "b").unwrap();
        assert_eq!(names(&work.data()), [""; 0], "of the one that was killed nothing is left");
        drop(work);
        assert_eq!(names(&destination), ["lost+found", "old"]);

        let work = Work::begin(&destination, "b").unwrap();
        fs::write(work.data().join("ibdata1"), "new").unwrap();
        assert!(work.complete(None).unwrap_err().contains("meanwhile"), "nothing of anybody is removed");
        assert_eq!(names(&destination), ["lost+found", "old"]);
        fs::remove_dir_all(destination.join("old")).unwrap();
        let work = Work::begin(&destination, "b").unwrap();
        fs::write(work.data().join("ibdata1"), "new").unwrap();
        work.complete(None).unwrap();
        assert_eq!(names(&destination), ["ibdata1", "lost+found"]);
    }

    #[test]
    fn one_that_was_killed_while_it_replaced_is_remembered() {
        let folder = Folder::new("swapping");
        let destination = folder.path().join("data");
        fs::create_dir_all(destination.join(FOLDER)).unwrap();
        File::create(destination.join(FOLDER).join(SWAPPING)).unwrap();
        fs::write(destination.join("ibdata1"), "of either").unwrap();
        assert_eq!(left(&destination), Some(Left::Swapping));
        drop(Work::begin(&destination, "b").unwrap());
        assert_eq!(left(&destination), Some(Left::Swapping), "what is there is not to be trusted still");
        fs::remove_file(destination.join("ibdata1")).unwrap();
        let work = Work::begin(&destination, "b").unwrap();
        fs::write(work.data().join("ibdata1"), "new").unwrap();
        work.complete(None).unwrap();
        assert_eq!(names(&destination), ["ibdata1"]);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = Folder::new("link");
        let (destination, elsewhere) = (folder.path().join("data"), folder.path().join("elsewhere"));
        fs::create_dir_all(&destination).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("precious"), "of somebody").unwrap();
        std::os::unix::fs::symlink(&elsewhere, destination.join(FOLDER)).unwrap();
        assert!(Work::begin(&destination, "b").err().unwrap().contains("is no folder"));
        assert_eq!(names(&elsewhere), ["precious"]);
    }
}
