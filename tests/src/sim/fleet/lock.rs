//! The lock that closing takes: it waits for commits under way and for `LOCK TABLES`, and new writes queue behind it.

use std::time::Duration;

use baton_node::sql::{SqlError, Switch};

use super::machine::{Event, Machine};
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
        if p.closing.is_some() {
            // A second closing statement gets the lock no sooner.
            let _gone = reply.send(Err(SqlError::LockWaitTimeout));
            return;
        }
        p.closing = Some(Closing { session, to, reply });
        self.later(at, lock_wait, Event::LockWaited(session));
        self.lock_may_be_free(at);
    }

    /// Closes once nobody holds the lock any more.
    pub(super) fn lock_may_be_free(&mut self, at: usize) {
        let Some(p) = self.process(at) else { return };
        if p.closing.is_none() || is_held(p) {
            return;
        }
        if let Some(closing) = p.closing.take() {
            p.switch = closing.to;
            self.rests(at, closing.session);
            let _gone = closing.reply.send(Ok(()));
        }
        self.queue_goes_on(at);
    }

    /// Error 1205: nothing has changed, and the writes behind it go on.
    pub(super) fn lock_waited(&mut self, at: usize, session: u64) {
        let Some(p) = self.process(at) else { return };
        if let Some(closing) = p.closing.take_if(|c| c.session == session) {
            self.rests(at, session);
            let _gone = closing.reply.send(Err(SqlError::LockWaitTimeout));
            self.queue_goes_on(at);
        }
    }

    pub(super) fn queue_goes_on(&mut self, at: usize) {
        while let Some(write) =
            self.process(at).filter(|p| p.closing.is_none()).and_then(|p| p.queued.pop_front())
        {
            self.begin(at, write);
        }
    }
}

/// The applier's commits pass.
fn is_held(p: &Process) -> bool {
    p.sessions.values().any(|s| s.locks) || p.commits.iter().any(|c| !matches!(c.owner, Owner::Applier))
}
