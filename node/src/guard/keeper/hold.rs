//! What a keeper holds, and its rules. Deciding needs the time given; the one thing done here is the SIGKILL.

use std::time::Duration;

use super::protocol::{ArmRequest, Held, Refusal, ServerExit};
use crate::guard::clock::Boottime;
use crate::guard::ports::Running;
use crate::guard::process::ProcessError;
use crate::mutation::mutate;

/// No lease is longer: neither an ordinary one nor the 15 s of a hand-over. A deadline beyond it is a mistake.
const MAX_LEASE: Duration = Duration::from_secs(300);

/// A refused SIGKILL is tried again this often …
const KILL_RETRY: Duration = Duration::from_millis(20);
/// … and this many times: one minute.
const KILL_ATTEMPTS: u32 = 3000;

/// How the end of a lease came out.
#[derive(Debug)]
pub enum End {
    /// SIGKILL was delivered.
    Killed,
    /// It had exited before.
    Exited,
    /// SIGKILL was refused; another attempt follows unless this was the last.
    Refused {
        /// The first attempt.
        first: bool,
        /// The last attempt.
        last: bool,
        /// What the kernel said.
        error: ProcessError,
    },
}

/// The one server held, if any, and what may not come again.
#[derive(Debug)]
pub struct Hold<P> {
    armed: Option<Armed<P>>,
    newest_epoch: u64,
    killed: Option<(i32, u64)>,
}

#[derive(Debug)]
struct Armed<P> {
    epoch: u64,
    process: P,
    deadline: Option<Boottime>,
    failed_kills: u32,
    next_attempt: Option<Boottime>,
}

impl<P: Running> Armed<P> {
    fn is(&self, epoch: u64, pid: i32) -> bool {
        self.epoch == epoch && self.process.pid() == pid
    }

    fn is_process(&self, pid: i32, start_time_ticks: u64) -> bool {
        self.process.pid() == pid && self.process.start_time_ticks() == start_time_ticks
    }

    fn is_over(&self, now: Boottime) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    fn held(&self) -> Held {
        Held {
            epoch: self.epoch,
            pid: self.process.pid(),
            start_time_ticks: self.process.start_time_ticks(),
            deadline: self.deadline,
        }
    }
}

impl<P> Default for Hold<P> {
    fn default() -> Self {
        Self { armed: None, newest_epoch: 0, killed: None }
    }
}

impl<P: Running> Hold<P> {
    /// What it holds.
    pub fn held(&self) -> Option<Held> {
        self.armed.as_ref().map(Armed::held)
    }

    /// The newest epoch it was armed for.
    pub const fn newest_epoch(&self) -> u64 {
        self.newest_epoch
    }

    /// The process held, for the loop to watch.
    pub fn process(&self) -> Option<&P> {
        self.armed.as_ref().map(|armed| &armed.process)
    }

    /// When there is something to do next.
    pub fn next_due(&self) -> Option<Boottime> {
        self.armed.as_ref()?.next_attempt
    }

    /// Takes a server. For the pair already held the deadline becomes the one given, be it earlier or later: after a
    /// hand-over's long lease the ordinary one is shorter.
    /// `find` takes hold of the process with that pid and start time.
    ///
    /// # Errors
    /// The refusal.
    pub fn arm(
        &mut self,
        request: &ArmRequest,
        now: Boottime,
        find: impl FnOnce(i32, u64) -> Result<P, ProcessError>,
    ) -> Result<(), Refusal> {
        if request.epoch < self.newest_epoch {
            return Err(Refusal::OlderEpoch { epoch: request.epoch, newest: self.newest_epoch });
        }
        request.deadline.map_or(Ok(()), |deadline| check_deadline(deadline, now))?;
        if self.killed == Some((request.pid, request.start_time_ticks)) {
            return Err(Refusal::AlreadyKilled { pid: request.pid });
        }
        if let Some(armed) = &self.armed {
            if armed.is_over(now) {
                return Err(Refusal::DeadlinePassed);
            }
            let same = armed.is_process(request.pid, request.start_time_ticks);
            if !same && !armed.process.runs_no_more() {
                return Err(Refusal::PreviousStillRuns { epoch: armed.epoch, pid: armed.process.pid() });
            }
        }
        let process = find(request.pid, request.start_time_ticks).map_err(cannot_hold)?;
        process.can_kill().map_err(cannot_hold)?;
        self.newest_epoch = request.epoch;
        self.armed = Some(Armed {
            epoch: request.epoch,
            process,
            deadline: request.deadline,
            failed_kills: 0,
            next_attempt: request.deadline,
        });
        Ok(())
    }

    /// Moves the deadline on. An earlier one than held changes nothing: the answers of an older round of requests to
    /// the voters may come in after those of a newer one.
    ///
    /// # Errors
    /// The refusal.
    pub fn extend(
        &mut self,
        (epoch, pid): (u64, i32),
        deadline: Boottime,
        now: Boottime,
    ) -> Result<(), Refusal> {
        let armed = self.armed.as_mut().filter(|armed| armed.is(epoch, pid)).ok_or(Refusal::NotHeld)?;
        if armed.is_over(now) {
            return Err(Refusal::DeadlinePassed);
        }
        if armed.deadline.is_none_or(|held| deadline > held) {
            check_deadline(deadline, now)?;
            armed.deadline = Some(deadline);
            armed.next_attempt = Some(deadline);
        }
        Ok(())
    }

    /// The server is closed: lets it go alive, after its deadline too as long as it has not been killed. Saying so
    /// twice is no mistake; saying so of another server than the one held is.
    ///
    /// # Errors
    /// The refusal.
    pub fn closed(&mut self, epoch: u64, pid: i32) -> Result<(), Refusal> {
        if self.armed.as_ref().is_some_and(|armed| !armed.is(epoch, pid)) {
            return Err(Refusal::NotHeld);
        }
        self.armed = None;
        Ok(())
    }

    /// The server may stay open without a deadline: not any more once the one it has is over.
    ///
    /// # Errors
    /// The refusal.
    pub fn disarm(&mut self, epoch: u64, pid: i32, now: Boottime) -> Result<(), Refusal> {
        if self.armed.as_ref().is_some_and(|armed| armed.is(epoch, pid) && armed.is_over(now)) {
            return Err(Refusal::DeadlinePassed);
        }
        self.closed(epoch, pid)
    }

    /// Forgets a server that has exited by itself.
    pub fn reap_exited(&mut self) -> Option<ServerExit> {
        let armed = self.armed.take_if(|armed| armed.process.has_exited())?;
        Some(ServerExit { epoch: armed.epoch, pid: armed.process.pid() })
    }

    /// Kills the server whose deadline has passed. `None` when nothing is due.
    pub fn end_lease(&mut self, now: Boottime) -> Option<(Held, End)> {
        let armed = self.armed.as_mut().filter(|armed| armed.next_attempt.is_some_and(|at| now >= at))?;
        if mutate!(KeeperSleeps) {
            return None;
        }
        let killed = armed.process.kill();
        let held = armed.held();
        let end = match killed {
            _ if armed.failed_kills > 0 && armed.process.has_exited() => End::Exited,
            Ok(()) => End::Killed,
            Err(error) => {
                armed.failed_kills += 1;
                armed.next_attempt = Some(now + KILL_RETRY);
                End::Refused {
                    first: armed.failed_kills == 1,
                    last: armed.failed_kills >= KILL_ATTEMPTS,
                    error,
                }
            }
        };
        if !matches!(end, End::Refused { last: false, .. }) {
            self.killed = Some((held.pid, held.start_time_ticks));
            self.armed = None;
        }
        Some((held, end))
    }
}

fn check_deadline(deadline: Boottime, now: Boottime) -> Result<(), Refusal> {
    if deadline <= now {
        Err(Refusal::DeadlinePassed)
    } else if deadline > now + MAX_LEASE {
        Err(Refusal::DeadlineTooFar { max_seconds: MAX_LEASE.as_secs() })
    } else {
        Ok(())
    }
}

#[allow(clippy::needless_pass_by_value)]
fn cannot_hold(error: ProcessError) -> Refusal {
    Refusal::CannotHold { reason: error.to_string() }
}
