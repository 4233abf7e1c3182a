//! The keeper as a process of its own.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{PidfdFlags, Signal, geteuid, getpid, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use thiserror::Error;

use super::serve::{KeeperOptions, serve};
use super::{LOCK_FILE, SOCKET_FILE, harden};

/// How long a keeper waits for the one before it, which may be on its way out.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// Why a keeper did not start, or ended.
#[derive(Debug, Error)]
pub enum KeeperError {
    /// One server has one keeper.
    #[error("another keeper runs in {}: it is this server's, leave it or stop it first", .run_dir.display())]
    AlreadyRunning {
        /// The run directory both want.
        run_dir: PathBuf,
    },
    /// Somebody else could put a socket of his own there.
    #[error("run directory {} {problem}: give it to Baton's user with mode 0700", .run_dir.display())]
    RunDir {
        /// The directory.
        run_dir: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// This process may not, or the kernel cannot, signal through a pidfd.
    #[error(
        "cannot signal through a pidfd ({source}): Linux 5.3 or newer is needed, and pidfd_open and pidfd_send_signal allowed by any SystemCallFilter"
    )]
    Pidfd {
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused something else.
    #[error("the keeper cannot {doing}: {source}")]
    Io {
        /// What it was about.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Runs the keeper of one server until it is asked to stop (SIGTERM, SIGINT, SIGHUP or by a daemon) while it holds
/// nothing; while it holds a server it ignores all of them. To be called before any thread or runtime is started.
///
/// # Errors
/// When there is a keeper already, or it could not do its work here.
pub fn run(options: &KeeperOptions) -> Result<(), KeeperError> {
    prepare_run_dir(&options.run_dir)?;
    let _lock = lock(&options.run_dir)?;
    prove_pidfd_signals()?;
    let stop = stop_by_signal()?;
    for refused in harden::harden() {
        warn(&refused);
    }
    let path = options.run_dir.join(SOCKET_FILE);
    let listener =
        listen(&path).map_err(|source| KeeperError::Io { doing: "listen on its socket", source })?;
    let ended = serve(&listener, stop, options);
    drop(fs::remove_file(&path));
    ended
}

/// Makes the run directory, or sees that the one there is ours alone.
fn prepare_run_dir(run_dir: &Path) -> Result<(), KeeperError> {
    let wrong = |problem: String| KeeperError::RunDir { run_dir: run_dir.to_owned(), problem };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(run_dir)
        .map_err(|error| wrong(format!("cannot be made ({error})")))?;
    let there = fs::symlink_metadata(run_dir).map_err(|error| wrong(format!("cannot be read ({error})")))?;
    if !there.is_dir() {
        return Err(wrong("is not a directory".to_owned()));
    }
    if there.uid() != geteuid().as_raw() {
        return Err(wrong(format!("belongs to user {}", there.uid())));
    }
    if there.mode() & 0o077 != 0 {
        fs::set_permissions(run_dir, fs::Permissions::from_mode(0o700))
            .map_err(|error| wrong(format!("is open to others ({error})")))?;
    }
    Ok(())
}

/// The lock lives as long as the file is open, so it cannot be left behind.
fn lock(run_dir: &Path) -> Result<File, KeeperError> {
    let locking = |source| KeeperError::Io { doing: "lock its run directory", source };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(run_dir.join(LOCK_FILE))
        .map_err(locking)?;
    let started = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if started.elapsed() < LOCK_TIMEOUT => {
                #[expect(clippy::disallowed_methods, reason = "the keeper has no runtime")]
                thread::sleep(LOCK_POLL);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(KeeperError::AlreadyRunning { run_dir: run_dir.to_owned() });
            }
            Err(error) => return Err(locking(error.into())),
        }
    }
}

/// Sends this process a signal that is ignored by default, the way the kill will be sent: it proves that kernel and
/// sandbox allow it, and has the code in memory.
fn prove_pidfd_signals() -> Result<(), KeeperError> {
    let refused = |error: rustix::io::Errno| KeeperError::Pidfd { source: error.into() };
    let this = pidfd_open(getpid(), PidfdFlags::empty()).map_err(refused)?;
    pidfd_send_signal(&this, Signal::URG).map_err(refused)
}

/// A socket that gets a byte for each signal that asks for an end.
fn stop_by_signal() -> Result<UnixStream, KeeperError> {
    let handling = |source| KeeperError::Io { doing: "handle signals", source };
    let (stop, write_end) = UnixStream::pair().map_err(handling)?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        pipe::register(signal, write_end.try_clone().map_err(handling)?).map_err(handling)?;
    }
    Ok(stop)
}

/// A socket file left by a keeper that was killed is replaced; the lock says that nobody listens there.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

/// Not a log framework, and not `eprintln`, which panics when nobody reads the other end any more.
fn warn(message: &str) {
    drop(writeln!(io::stderr(), "baton-node keeper: warning: {message}"));
}
