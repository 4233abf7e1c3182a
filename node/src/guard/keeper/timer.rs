//! The alarm of the keeper's loop: a timer on CLOCK_BOOTTIME that `poll` can wait for, exact to the kernel's own
//! resolution. A timeout of `poll` itself would stand still during a suspend.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::guard::clock::Boottime;

#[derive(Debug)]
pub(super) struct Timer(OwnedFd);

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(timerfd_create(TimerfdClockId::Boottime, flags)?))
    }

    /// Readable from `at` on, at once if that has passed; never with `None`. It stays readable until it is set again.
    pub(super) fn set(&self, at: Option<Boottime>) -> io::Result<()> {
        const NEVER: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Itimerspec { it_interval: NEVER, it_value: at.map_or(NEVER, Boottime::to_timespec) };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &value)?;
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
