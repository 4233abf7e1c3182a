//! Segments that wait on this node's disk until a store has them. What is listed is whole and on disk, whatever happened.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use tokio::time::{Instant, sleep};

use super::entry::{Origin, Span, Timeline, digest};

/// The segment that grows. One that an earlier process left is asked for again.
const PART: &str = "growing.part";
const CONTENT: &str = "binlog";
const ABOUT: &str = "json";
/// Held by whoever archives from here, as long as it lives.
const LOCK: &str = "lock";
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
    _locked: Arc<File>,
}

impl Spool {
    /// Makes the folder where it is missing, takes it, and removes what was cut off.
    pub(super) async fn open(folder: &Path) -> Result<Self, String> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
        let locked = Arc::new(locked(folder).await?);
        let spool = Self { folder: folder.to_owned(), _locked: locked };
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

    /// All that wait, the oldest first.
    pub(super) fn waiting(&self) -> Result<Vec<Waiting>, String> {
        let mut all = Vec::new();
        for path in self.files()? {
            if path.extension() != Some(OsStr::new(ABOUT)) {
                continue;
            }
            let read = fs::read(&path).map_err(|e| e.to_string());
            let read = read.and_then(|json| serde_json::from_slice(&json).map_err(|e| e.to_string()));
            let waiting: Waiting = read.map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
            all.push(waiting);
        }
        all.sort_by_key(|waiting| (waiting.timeline, waiting.span.first_ms));
        Ok(all)
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

    /// Every file but the lock.
    fn files(&self) -> Result<Vec<PathBuf>, String> {
        let read = fs::read_dir(&self.folder).and_then(|entries| {
            let paths = entries.map(|entry| Ok(entry?.path()));
            paths.filter(|path| path.as_ref().map_or(true, |path| !path.ends_with(LOCK))).collect()
        });
        read.map_err(|e| format!("{} cannot be read: {e}", self.folder.display()))
    }
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
