//! A file system of a server's own, in a file: one that can be full, and one that stands still.
//!
//! What is mounted, or frozen, outlives the process that did it. So whoever ends a sandbox, the guardian's shell too,
//! thaws and unmounts whatever it finds below the sandbox's folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command as BlockingCommand, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tokio::process::Command;

use super::bounded::output;

/// Room for a server's data and the binlog of some minutes.
const SIZE: u64 = 1 << 30;
const TOOL_BOUND: Duration = Duration::from_secs(30);
/// Between two tries to unmount what a process that was just killed still has open, and how many there are.
const TRY_AGAIN: Duration = Duration::from_millis(50);
const TRIES: u32 = 40;
/// The file that takes the space.
const BALLAST: &str = "ballast";

/// A mounted file system. Dropping it thaws it; it is unmounted with its sandbox.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Whether a file system can be mounted here, and if not, why. Tried once in a process.
    ///
    /// # Errors
    /// The reason.
    pub fn available() -> Result<(), String> {
        static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
        TRIED
            .get_or_init(|| try_it().map_err(|error| format!("no file system can be mounted: {error:#}")))
            .clone()
    }

    /// Makes a file system in the file `image` and mounts it at the new folder `at`.
    pub(super) async fn mount(image: &Path, at: &Path) -> Result<Self> {
        for mut command in mounting(image, at)? {
            command.stdin(Stdio::null());
            output(Command::from(command), b"", TOOL_BOUND).await?;
        }
        Ok(Self { at: at.to_owned() })
    }

    /// Takes all space that is left.
    ///
    /// # Errors
    /// When that fails for another reason than that nothing is left.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.at.join(BALLAST))?;
        let stat = statvfs(&self.at)?;
        // Nearly all at once, and the rest block by block: what the file system keeps for itself counts as free.
        let most = (stat.f_bavail * stat.f_frsize).saturating_sub(4 << 20).max(1);
        fallocate(&ballast, FallocateFlags::empty(), 0, most)?;
        let mut rest = File::options().append(true).open(self.at.join(BALLAST))?;
        let block = [0; 4096];
        loop {
            match rest.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error).context("cannot fill a disk"),
            }
        }
        // Delayed allocations are made, or refused, now.
        match ballast.flush().and_then(|()| ballast.sync_all()) {
            Err(error) if error.kind() != ErrorKind::StorageFull => Err(error).context("cannot fill a disk"),
            _ => Ok(()),
        }
    }

    /// Gives the space back. Harmless where it was not filled.
    ///
    /// # Errors
    /// When the file that takes it cannot be removed.
    pub fn empty(&self) -> Result<()> {
        match fs::remove_file(self.at.join(BALLAST)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Stops all writing: whoever writes from now on stands still, as with storage that does not answer.
    ///
    /// # Errors
    /// When `fsfreeze` fails.
    pub async fn freeze(&self) -> Result<()> {
        let mut command = Command::new("fsfreeze");
        command.arg("--freeze").arg(&self.at);
        output(command, b"", TOOL_BOUND).await.map(drop)
    }

    /// Lets writing go on. Harmless where nothing is frozen.
    pub fn thaw(&self) {
        thaw(&self.at);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.thaw();
    }
}

/// What makes an image a mounted file system. Without a reserve for root, as which the servers of a sandbox may run.
fn mounting(image: &Path, at: &Path) -> Result<[BlockingCommand; 2]> {
    File::create_new(image)?.set_len(SIZE)?;
    fs::create_dir(at)?;
    let mut make = BlockingCommand::new("mkfs.ext4");
    make.args(["-q", "-F", "-m", "0", "-J", "size=4"]).arg(image);
    let mut mount = BlockingCommand::new("mount");
    // The loop device goes with the mount.
    mount.args(["-o", "loop"]).arg(image).arg(at);
    Ok([make, mount])
}

fn try_it() -> Result<()> {
    let folder = super::root::Root::create()?;
    let at = folder.path().join("disk");
    for mut command in mounting(&folder.path().join("image"), &at)? {
        let said = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
        anyhow::ensure!(
            said.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&said.stderr).trim()
        );
    }
    unmount_below(folder.path());
    Ok(())
}

/// Thaws whatever is mounted below a folder: a process that writes to a frozen file system cannot be killed.
pub(super) fn thaw_below(folder: &Path) {
    mounted_below(folder).iter().for_each(|at| thaw(at));
}

/// Unmounts whatever is mounted below a folder, once nobody uses it; in the end also while somebody does.
pub(super) fn unmount_below(folder: &Path) {
    for at in mounted_below(folder) {
        let mut tries = 0..TRIES;
        while !quietly("umount", &[], &at) {
            if tries.next().is_none() {
                quietly("umount", &["--lazy"], &at);
                break;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "runs in destructors, which cannot wait otherwise"
            )]
            std::thread::sleep(TRY_AGAIN);
        }
    }
}

fn thaw(at: &Path) {
    // It fails where nothing is frozen, which nobody has to know.
    quietly("fsfreeze", &["--unfreeze"], at);
}

fn quietly(program: &str, options: &[&str], at: &Path) -> bool {
    let mut command = BlockingCommand::new(program);
    command.args(options).arg(at).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The names of sandbox folders have nothing that this file would write in another way.
fn mounted_below(folder: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    places.filter(|at| at.starts_with(folder) && at != folder).collect()
}
