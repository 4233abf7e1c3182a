//! The server's process: found once, held by a pidfd, so that a signal can never reach a stranger with a reused pid.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, test_kill_process};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use super::ports::Running;

/// How often [`ServerProcess::exited`] looks for a fatal signal that a process stuck on its way out has taken.
const FATAL_SIGNAL_CHECK: Duration = Duration::from_millis(100);

/// `PF_SIGNALED` of the kernel's `linux/sched.h`: ended by a fatal signal, whether or not the exit is complete.
const PF_SIGNALED: u64 = 0x400;

/// What went wrong with the server's process.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// No process has this pid, or it has exited.
    #[error("no process has pid {pid}")]
    NotRunning {
        /// The pid asked for.
        pid: i32,
    },
    /// The pid belongs to a process that started at another time.
    #[error("pid {pid} was reused: its process started at tick {found}, not {expected}")]
    Reused {
        /// The pid asked for.
        pid: i32,
        /// The start time asked for, in clock ticks since boot.
        expected: u64,
        /// The start time found.
        found: u64,
    },
    /// This process may not kill the server.
    #[error(
        "may not signal the server's process {pid} ({source}): run Baton as root, as the server's user, or with CAP_KILL"
    )]
    MayNotKill {
        /// The server's pid.
        pid: i32,
        /// What the kernel said.
        source: io::Error,
    },
    /// `/proc` or a pidfd refused.
    #[error("cannot look at process {pid}: {source}")]
    Io {
        /// The pid asked for.
        pid: i32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The other end of the connection has no pid that can be seen from here.
    #[error(
        "the peer of this connection has no pid here: connect by unix socket, in the server's pid namespace"
    )]
    NoPeer,
}

/// One run of a server, from the moment it was found until it is gone. Dropping it signals nobody.
#[derive(Debug)]
pub struct ServerProcess {
    pid: Pid,
    start_time_ticks: u64,
    pidfd: OwnedFd,
}

impl ServerProcess {
    /// Takes hold of the running process `pid`.
    ///
    /// # Errors
    /// [`ProcessError::NotRunning`] when there is none or it has exited already, [`ProcessError::Io`] otherwise.
    pub fn find(pid: i32) -> Result<Self, ProcessError> {
        let not_running = ProcessError::NotRunning { pid };
        // `Pid::from_raw` panics on a negative number.
        let Some(id) = (pid > 0).then(|| Pid::from_raw(pid)).flatten() else {
            return Err(not_running);
        };
        let pidfd = match pidfd_open(id, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Err(not_running),
            Err(error) => return Err(ProcessError::Io { pid, source: error.into() }),
        };
        let Some(stat) = read_stat(pid)? else { return Err(not_running) };
        let process = Self { pid: id, start_time_ticks: stat.start_time_ticks, pidfd };
        // Only a process that is alive now was alive while its line in /proc was read, so only then is it its line.
        if process.has_exited() { Err(not_running) } else { Ok(process) }
    }

    /// Like [`find`](Self::find), but refuses a process that did not start at `start_time_ticks`.
    ///
    /// # Errors
    /// [`ProcessError::Reused`], and those of `find`.
    pub fn find_exact(pid: i32, start_time_ticks: u64) -> Result<Self, ProcessError> {
        let process = Self::find(pid)?;
        if process.start_time_ticks == start_time_ticks {
            Ok(process)
        } else {
            Err(ProcessError::Reused { pid, expected: start_time_ticks, found: process.start_time_ticks })
        }
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`): with the pid, one process of this boot.
    #[must_use]
    pub const fn start_time_ticks(&self) -> u64 {
        self.start_time_ticks
    }

    /// Proves that [`kill`](Self::kill) would be allowed, without a signal. Signal 0 goes to the pid; that the pidfd's
    /// process is alive afterwards shows that it was this process that was asked.
    ///
    /// # Errors
    /// [`ProcessError::MayNotKill`], or [`ProcessError::NotRunning`] once it has exited.
    pub fn can_kill(&self) -> Result<(), ProcessError> {
        let answer = test_kill_process(self.pid);
        if self.has_exited() {
            return Err(ProcessError::NotRunning { pid: self.pid() });
        }
        answer.map_err(|error| ProcessError::MayNotKill { pid: self.pid(), source: error.into() })
    }

    /// Sends SIGKILL. A process that has gone already counts as killed.
    ///
    /// # Errors
    /// [`ProcessError::MayNotKill`] with what the kernel said.
    pub fn kill(&self) -> Result<(), ProcessError> {
        self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(ProcessError::MayNotKill { pid: self.pid(), source: error.into() }),
        }
    }

    /// Asks it to end in an orderly way, with SIGTERM. Only for a server that was closed before, read back, its sessions
    /// gone: on the way down MySQL answers OK to commits that still wait for an acker.
    ///
    /// # Errors
    /// [`ProcessError::MayNotKill`] with what the kernel said.
    pub fn terminate(&self) -> Result<(), ProcessError> {
        self.signal(Signal::TERM)
    }

    /// Whether the process has exited completely (a zombie has): its port and files are free.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut fds, Some(&now)), Ok(1..))
    }

    /// Whether the process runs none of its code any more: it has exited, or a fatal signal is on it and it is only
    /// kept by its exit (a frozen disk, a core dump). Such a process may still hold its port, and the kernel still takes
    /// connections on it.
    #[must_use]
    pub fn runs_no_more(&self) -> bool {
        self.has_exited()
            || read_stat(self.pid()).is_ok_and(|stat| stat.is_none_or(|stat| stat.ended_by_signal()))
            || fs::read_to_string(format!("/proc/{}/status", self.pid()))
                .is_ok_and(|text| sigkill_is_pending(&text))
    }

    /// Resolves once [`runs_no_more`](Self::runs_no_more): at the very exit, within 100 ms for a process that is stuck
    /// in it. Has no bound of its own: a server may run for years.
    ///
    /// # Errors
    /// When the pidfd cannot be watched.
    pub async fn exited(&self) -> io::Result<()> {
        // Sound with a descriptor of its own, which nothing else can close or exchange; its replacement is unsafe code.
        #[expect(deprecated)]
        let watch = AsyncFd::with_interest(self.pidfd.try_clone()?, Interest::READABLE)?;
        loop {
            tokio::select! {
                ready = watch.readable() => return ready.map(|_| ()),
                () = tokio::time::sleep(FATAL_SIGNAL_CHECK) => if self.runs_no_more() { return Ok(()) },
            }
        }
    }
}

impl ServerProcess {
    /// Resolves once the process has exited completely. Has no bound of its own.
    ///
    /// # Errors
    /// When the pidfd cannot be watched.
    pub async fn exit_completed(&self) -> io::Result<()> {
        #[expect(deprecated, reason = "as in `exited`")]
        let watch = AsyncFd::with_interest(self.pidfd.try_clone()?, Interest::READABLE)?;
        watch.readable().await.map(|_| ())
    }
}

impl Running for ServerProcess {
    fn pid(&self) -> i32 {
        self.pid()
    }

    fn start_time_ticks(&self) -> u64 {
        self.start_time_ticks()
    }

    fn can_kill(&self) -> Result<(), ProcessError> {
        self.can_kill()
    }

    fn kill(&self) -> Result<(), ProcessError> {
        self.kill()
    }

    fn has_exited(&self) -> bool {
        self.has_exited()
    }

    fn runs_no_more(&self) -> bool {
        self.runs_no_more()
    }

    fn exited(&self) -> BoxFuture<'_, io::Result<()>> {
        self.exited().boxed()
    }

    fn exit_completed(&self) -> BoxFuture<'_, io::Result<()>> {
        self.exit_completed().boxed()
    }
}

impl AsFd for ServerProcess {
    /// The pidfd: readable once the process has exited.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// The pid of the process that listens at the other end of a connection: whoever called `listen`, so the server itself
/// unless its socket was opened for it (systemd socket activation shows pid 1).
///
/// # Errors
/// [`ProcessError::NoPeer`] when the kernel names none: a process of another pid namespace.
pub fn peer_pid(connection: &UnixStream) -> Result<i32, ProcessError> {
    let peer = connection.peer_cred().map_err(|_| ProcessError::NoPeer)?;
    peer.pid().filter(|pid| *pid > 0).ok_or(ProcessError::NoPeer)
}

/// What Baton reads of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    flags: u64,
    start_time_ticks: u64,
}

impl Stat {
    /// The second field is the command in parentheses and may itself hold spaces and parentheses, so the fields are
    /// counted from the last closing one: the flags are field 9, the start time is field 22.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let flags = fields.nth(6)?.parse().ok()?;
        let start_time_ticks = fields.nth(12)?.parse().ok()?;
        Some(Self { flags, start_time_ticks })
    }

    const fn ended_by_signal(&self) -> bool {
        self.flags & PF_SIGNALED != 0
    }
}

/// `None` when no such process is left.
fn read_stat(pid: i32) -> Result<Option<Stat>, ProcessError> {
    let text = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) =>
        {
            return Ok(None);
        }
        Err(source) => return Err(ProcessError::Io { pid, source }),
    };
    let odd =
        || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat has an unknown format"));
    Stat::parse(&text).map(Some).ok_or_else(|| ProcessError::Io { pid, source: odd() })
}

/// SIGKILL is always sent to the whole process, so the first thread's set shows it.
fn sigkill_is_pending(status: &str) -> bool {
    const SIGKILL_BIT: u64 = 1 << 8;
    status
        .lines()
        .filter_map(|line| line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:")))
        .filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .any(|mask| mask & SIGKILL_BIT != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::process::ExitStatusExt;

    use super::super::testing::Sleeper;
    use super::*;

    #[test]
    fn counts_the_fields_of_stat_from_the_last_parenthesis() {
        let after = "S 1 2 3 4 5 1024 7 8 9 10 11 12 13 14 15 16 17 18 999 20";
        for command in ["(mysqld)", "(a b) c) 1 (d)", "()"] {
            let stat = Stat::parse(&format!("77 {command} {after}")).unwrap();
            assert_eq!(stat, Stat { flags: 1024, start_time_ticks: 999 });
            assert!(stat.ended_by_signal());
        }
        assert_eq!(Stat::parse("77 (mysqld) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn sees_a_pending_sigkill() {
        assert!(sigkill_is_pending("Name:\tx\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n"));
        assert!(sigkill_is_pending("SigPnd:\t0000000000000000\nShdPnd:\t0000000000000101\n"));
        assert!(!sigkill_is_pending("SigPnd:\t0000000000004000\nSigBlk:\t0000000000000100\n"));
    }

    #[tokio::test]
    async fn holds_and_kills_one_process() {
        let mut sleeper = Sleeper::start();
        let process = ServerProcess::find(sleeper.pid()).unwrap();
        process.can_kill().unwrap();
        assert!(!process.has_exited() && !process.runs_no_more());
        let same = ServerProcess::find_exact(sleeper.pid(), process.start_time_ticks()).unwrap();
        let other = ServerProcess::find_exact(sleeper.pid(), process.start_time_ticks() + 1);
        assert!(matches!(other, Err(ProcessError::Reused { .. })));

        process.kill().unwrap();
        tokio::time::timeout(Duration::from_secs(5), same.exited()).await.unwrap().unwrap();
        // It is a zombie now: dead, but its pid is taken still.
        assert!(process.has_exited());
        assert!(matches!(process.can_kill(), Err(ProcessError::NotRunning { .. })));
        assert!(matches!(ServerProcess::find(sleeper.pid()), Err(ProcessError::NotRunning { .. })));
        assert_eq!(sleeper.child().wait().unwrap().signal(), Some(9));
        process.kill().unwrap();
    }

    #[test]
    fn finds_no_impossible_process() {
        for pid in [0, -1, i32::MIN, i32::MAX] {
            assert!(matches!(ServerProcess::find(pid), Err(ProcessError::NotRunning { .. })));
        }
    }

    #[tokio::test]
    async fn knows_the_peer_of_a_connection() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(peer_pid(&one).unwrap(), i32::try_from(std::process::id()).unwrap());
    }
}
