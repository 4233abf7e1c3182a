//! Segments that wait on this node's disk until a store has them. What is listed is whole and on disk, whatever happened.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::entry::{Origin, Span, Timeline, digest};
use super::frame::MAGIC;
use super::room::Room;

/// The segment that grows. One that an earlier process left is asked for again.
const PART: &str = "growing.part";
const CONTENT: &str = "binlog";
const ABOUT: &str = "json";
/// Held by whoever archives from here, as long as it lives.
const LOCK: &str = "lock";
/// After the name of a file that cannot be read. It is left to people, and nothing waits for it.
const ASIDE: &str = "aside";
/// One that was told to stop, or killed, has let go of it by then.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(100);

/// A segment that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// The cluster that it is of.
    pub(super) cluster: String,
    pub(super) timeline: Timeline,
    #[serde(flatten)]
    pub(super) span: Span,
    pub(super) server: Origin,
}

impl Waiting {
    fn name(&self) -> String {
        format!("{}.{}", self.timeline, digest(&self.span.added))
    }
}

/// The folder of one node, which has no second user while this or a clone of it lives.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    folder: PathBuf,
    room: Room,
    _locked: Arc<File>,
}

impl Spool {
    /// Makes the folder where it is missing, takes it, and removes what was cut off.
    /// `keep_free` bytes stay free on its disk.
    pub(super) async fn open(folder: &Path, keep_free: u64) -> Result<Self, String> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
        let locked = Arc::new(locked(folder).await?);
        let room = Room::new(folder, keep_free);
        let spool = Self { folder: folder.to_owned(), room, _locked: locked };
        for path in spool.files()? {
            let is_content = path.extension() == Some(OsStr::new(CONTENT));
            let is_listed = path.extension() == Some(OsStr::new(ABOUT));
            let is_kept = is_listed || (is_content && path.with_extension(ABOUT).exists());
            if !is_kept {
                fs::remove_file(&path).map_err(|e| format!("{} cannot be removed: {e}", path.display()))?;
            }
        }
        Ok(spool)
    }

    /// Where the next segment grows.
    pub(super) fn part(&self) -> PathBuf {
        self.folder.join(PART)
    }

    /// The disk that it grows on.
    pub(super) fn room(&self) -> Room {
        self.room.clone()
    }

    /// Makes the room free that a segment took which will not be ended. What is left of it is removed by the next one.
    pub(super) fn discard(&self) {
        drop(fs::remove_file(self.part()));
    }

    /// A segment's content.
    pub(super) fn content(&self, waiting: &Waiting) -> PathBuf {
        self.folder.join(format!("{}.{CONTENT}", waiting.name()))
    }

    /// Lists the segment that has grown at `part`, which is on disk already.
    pub(super) fn keep(&self, part: &Path, waiting: &Waiting) -> Result<(), String> {
        let content = self.content(waiting);
        let kept = || -> io::Result<()> {
            fs::rename(part, &content)?;
            let about = content.with_extension(ABOUT);
            let new = content.with_extension("new");
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(waiting)?)?;
            file.sync_all()?;
            fs::rename(&new, &about)?;
            File::open(&self.folder)?.sync_all()
        };
        kept().map_err(|e| format!("{} cannot be kept: {e}", content.display()))
    }

    /// All that wait, the oldest first. What cannot be read is set aside: the rest does not wait for that.
    pub(super) fn waiting(&self) -> Result<Vec<Waiting>, String> {
        let mut all = Vec::new();
        for path in self.files()? {
            if path.extension() != Some(OsStr::new(ABOUT)) {
                continue;
            }
            match self.read(&path) {
                Ok(waiting) => all.push(waiting),
                Err(why) => {
                    warn!(why, path = %path.display(), "a segment that waits cannot be read and is set aside");
                    set_aside(&path)?;
                }
            }
        }
        all.sort_by_key(|waiting| (waiting.timeline, waiting.span.first_ms));
        Ok(all)
    }

    /// What is listed by `about`, if its content is there too.
    fn read(&self, about: &Path) -> Result<Waiting, String> {
        let json = fs::read(about).map_err(|e| e.to_string())?;
        let waiting: Waiting = serde_json::from_slice(&json).map_err(|e| e.to_string())?;
        let content = self.content(&waiting);
        if content.with_extension(ABOUT) != about {
            return Err("it is not what its name says".into());
        }
        let mut head = [0; MAGIC.len()];
        let read = File::open(&content).and_then(|mut file| file.read_exact(&mut head));
        match read {
            Ok(()) if head == MAGIC => Ok(waiting),
            Ok(()) => Err(format!("{} is no binlog file", content.display())),
            Err(error) => Err(format!("{}: {error}", content.display())),
        }
    }

    /// Bytes of all that wait.
    pub(super) fn bytes(&self) -> Result<u64, String> {
        let sizes = self.files()?.into_iter().map(|path| fs::metadata(path).map_or(0, |about| about.len()));
        Ok(sizes.sum())
    }

    /// A store has it.
    pub(super) fn remove(&self, waiting: &Waiting) -> Result<(), String> {
        let content = self.content(waiting);
        for path in [content.with_extension(ABOUT), content] {
            fs::remove_file(&path).map_err(|e| format!("{} cannot be removed: {e}", path.display()))?;
        }
        Ok(())
    }

    /// Every file but the lock and what was set aside.
    fn files(&self) -> Result<Vec<PathBuf>, String> {
        let is_its = |path: &PathBuf| !path.ends_with(LOCK) && path.extension() != Some(OsStr::new(ASIDE));
        Ok(all(&self.folder)?.into_iter().filter(is_its).collect())
    }
}

/// What an earlier process left in a spool, for whoever has no lock on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Segments that wait.
    pub waiting: u64,
    /// Segments that cannot be read and were set aside.
    pub aside: u64,
}

/// Looks at a spool, which need not be there.
///
/// # Errors
/// The folder cannot be read, in words.
pub fn left(folder: &Path) -> Result<Left, String> {
    if !folder.exists() {
        return Ok(Left::default());
    }
    let names: Vec<_> = all(folder)?.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let count = |end: &str| names.iter().filter(|name| name.ends_with(end)).count() as u64;
    Ok(Left { waiting: count(&format!(".{ABOUT}")), aside: count(&format!(".{ABOUT}.{ASIDE}")) })
}

fn all(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let read = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>());
    read.map_err(|e| format!("{} cannot be read: {e}", folder.display()))
}

/// A segment's two files are called otherwise, the content first: listed without it, it is set aside the next time.
fn set_aside(about: &Path) -> Result<(), String> {
    for path in [about.with_extension(CONTENT), about.to_owned()] {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match fs::rename(&path, path.with_file_name(format!("{name}.{ASIDE}"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done.map_err(|e| format!("{} cannot be set aside: {e}", path.display()))?,
        }
    }
    Ok(())
}

/// Takes the folder's lock, and waits a while for one that is about to end.
async fn locked(folder: &Path) -> Result<File, String> {
    let path = folder.join(LOCK);
    let told = |e: io::Error| format!("{} cannot be locked: {e}", path.display());
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = open.map_err(told)?;
    let until = Instant::now() + LET_GO_WITHIN;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if Instant::now() < until => sleep(AGAIN).await,
            Err(Errno::WOULDBLOCK) => {
                let shown = folder.display();
                return Err(format!("another process archives from {shown} and does not let go of it"));
            }
            Err(error) => return Err(told(error.into())),
        }
    }
}
