//! The alarm of the keeper's loop: a timer on CLOCK_BOOTTIME that `poll` can wait for, exact to the kernel's own
//! resolution. A timeout of `poll` itself would stand still during a suspend.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::guard::clock::Boottime;

#[derive(Debug)]
pub(super) struct Timer {
    fd: OwnedFd,
    set_to: Option<Boottime>,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { fd: timerfd_create(TimerfdClockId::Boottime, flags)?, set_to: None })
    }

    /// Readable from `at` on, at once if that has passed; never with `None`. It stays readable until it is set to
    /// another instant.
    pub(super) fn set(&mut self, at: Option<Boottime>) -> io::Result<()> {
        if at == self.set_to {
            return Ok(());
        }
        const NEVER: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Itimerspec { it_interval: NEVER, it_value: at.map_or(NEVER, Boottime::to_timespec) };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &value)?;
        self.set_to = at;
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
