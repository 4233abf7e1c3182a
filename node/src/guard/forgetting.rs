//! The chosen server forgets its source before it is opened. The statements may wait for a server's threads longer than
//! anybody may wait for a close, so it is done behind the guard's back.

use std::sync::Arc;

use tracing::warn;

use super::behind::Done;
use super::clock::Boottime;
use super::guard::Guard;
use super::opening::TRY_AGAIN;
use crate::sql::{Pulse, SqlError};
use crate::state::Epoch;

impl Guard {
    /// Everything received applied, no source. Where there still is one it begins to be forgotten; [`Done::Forgot`]
    /// tells the end. `pulse` was taken just now.
    ///
    /// # Errors
    /// Something received has not been applied yet.
    pub(super) fn has_no_source(&mut self, epoch: Epoch, pulse: &Pulse) -> Result<bool, String> {
        if self.behind.forgetting {
            return Ok(false);
        }
        if pulse.replication.is_none() {
            return Ok(true);
        }
        if !pulse.all_applied() {
            return Err("not everything received has been applied".into());
        }
        self.behind.forgetting = true;
        let permit = self.permit(epoch, Boottime::from_nanos(u64::MAX));
        let (server, done) = (Arc::clone(&self.ports.server), self.behind.done.clone());
        tokio::spawn(async move {
            let forgot = server.forget_source(&permit).await;
            let _over = done.send(Done::Forgot(forgot)).await;
        });
        Ok(false)
    }

    /// The server is looked at again: at once, or soon after a failure.
    pub(super) fn forgot(&mut self, forgot: Result<(), SqlError>) {
        self.behind.forgetting = false;
        match forgot {
            Ok(()) => self.look_now(),
            Err(error) => {
                let why = format!("its source is not forgotten: {error}");
                if self.trouble.as_ref() != Some(&why) {
                    warn!(why, "not open yet");
                }
                self.trouble = Some(why);
                self.look_within(TRY_AGAIN);
            }
        }
    }
}
