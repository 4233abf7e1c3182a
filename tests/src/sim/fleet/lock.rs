//! The lock that closing takes: it waits for commits under way and for `LOCK TABLES`, and new writes queue behind it.

use std::time::Duration;

use baton_node::sql::{SqlError, Switch};

use super::events::Event;
use super::machine::Machine;
use super::process::{Closing, Owner, Phase, Process, Reply};

impl Machine {
    /// `SET GLOBAL super_read_only=ON` and its like. The statement stays when the one who sent it goes away.
    pub(super) fn close(
        &mut self,
        at: usize,
        session: u64,
        to: Switch,
        lock_wait: Duration,
        reply: Reply<()>,
    ) {
        let Some(p) = self.process(at).filter(|p| p.phase == Phase::Up) else { return };
        p.closings.push(Closing { session, to, reply });
        self.later(at, lock_wait, Event::LockWaited(session));
        self.lock_may_be_free(at);
    }

    /// Closes once nobody holds the lock any more.
    pub(super) fn lock_may_be_free(&mut self, at: usize) {
        let Some(p) = self.process(at).filter(|p| !p.closings.is_empty() && !is_held(p)) else { return };
        for closing in std::mem::take(&mut p.closings) {
            if let Some(p) = self.process(at) {
                p.switch = closing.to;
            }
            self.rests(at, closing.session);
            let _gone = closing.reply.send(Ok(()));
        }
        self.queue_goes_on(at);
    }

    /// Error 1205: nothing has changed, and the writes behind it go on.
    pub(super) fn lock_waited(&mut self, at: usize, session: u64) {
        let Some(p) = self.process(at) else { return };
        let Some(place) = p.closings.iter().position(|c| c.session == session) else { return };
        let closing = p.closings.remove(place);
        self.rests(at, session);
        let _gone = closing.reply.send(Err(SqlError::LockWaitTimeout));
        self.queue_goes_on(at);
    }

    /// Writes that queued behind a closing statement begin, where none is left.
    pub(super) fn queue_goes_on(&mut self, at: usize) {
        while let Some(p) = self.process(at).filter(|p| p.closings.is_empty())
            && let Some(write) = p.queued.pop_front()
        {
            self.begin(at, write);
        }
    }
}

/// The applier's commits pass.
fn is_held(p: &Process) -> bool {
    p.sessions.values().any(|s| s.locks) || p.commits.iter().any(|c| !matches!(c.owner, Owner::Applier))
}
