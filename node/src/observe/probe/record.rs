//! What is known of one server, and what it is asked next. Pure but for the instants it is given.

use std::time::Duration;

use tokio::time::Instant;

use super::super::digest::ProbeDigest;
use super::super::pulse::source;
use super::{EVERY, LONG_SILENT, SELDOM};
use crate::decide::seen::{self, Probe, ProbeError, Replica};
use crate::gtid::GtidSet;
use crate::sql::{Glance, Pulse, Replication, SqlError, Switch};

/// Glances between two whole pulses of a server at rest.
const GLANCES: u32 = 2;
/// For so long after something was new every probe is a whole pulse.
const SETTLES: Duration = Duration::from_secs(1);
/// The same where a glance was refused: by an account that may take the pulse and no more.
const UNREADABLE: Duration = Duration::from_secs(60);

/// What a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Its pulse.
    Whole,
    /// Whether anything is new.
    Glance {
        /// Of its channel too.
        channel: bool,
    },
}

/// What it answers.
#[derive(Debug)]
pub(super) enum Word {
    Whole(Box<Pulse>),
    Glance(Glance),
}

/// What comes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// How long after the question the next one is due.
    pub(super) pause: Duration,
    /// It has executed something, or its switch was turned, since it was last asked.
    pub(super) moved: bool,
}

/// What is known of one server.
#[derive(Debug)]
pub(super) struct Record {
    /// When probing began.
    since: Instant,
    answered: Option<Instant>,
    took: Option<Duration>,
    error: Option<ProbeError>,
    open: Option<bool>,
    executed: Option<GtidSet>,
    replica: Option<Replica>,
    /// Since when its replication has been seen to stand still.
    stopped: Option<Instant>,
    /// How many glances were taken since the last whole pulse.
    glances: u32,
    /// Until when it is asked for whole pulses only.
    whole_until: Option<Instant>,
}

impl Record {
    pub(super) fn new(since: Instant) -> Self {
        Self {
            since,
            answered: None,
            took: None,
            error: None,
            open: None,
            executed: None,
            replica: None,
            stopped: None,
            glances: 0,
            whole_until: None,
        }
    }

    /// What to ask now. A server that lags, or whose replication stands still, or that did not answer, is always asked for
    /// all, and so is each for a while after something was new.
    pub(super) fn question(&self, now: Instant) -> Question {
        let settled = self.whole_until.is_none_or(|until| now >= until);
        if self.glances < GLANCES && settled && self.is_at_rest() {
            Question::Glance { channel: self.open == Some(false) }
        } else {
            Question::Whole
        }
    }

    fn is_at_rest(&self) -> bool {
        let replicates = self.replica.as_ref().is_some_and(|r| r.behind == Some(Duration::ZERO));
        let closed_at_rest = replicates && self.stopped.is_none();
        self.error.is_none() && self.open.is_some_and(|open| open || closed_at_rest)
    }

    /// No answer has come in time.
    pub(super) fn is_late(&mut self) {
        self.error = Some(ProbeError::Silent);
    }

    /// Something is new elsewhere; true when it is to be asked at once, as the last answer was a glance.
    pub(super) fn stir(&mut self, now: Instant) -> bool {
        self.whole_until = self.whole_until.max(Some(now + SETTLES));
        self.glances > 0
    }

    /// Whether the watch of the server itself shows the same as was found here, without an error.
    pub(super) fn agrees_with(&self, pulse: &seen::Pulse) -> bool {
        let here = self.replica.as_ref().map(|r| (r.source.as_str(), self.stopped.is_none(), r.behind));
        let there =
            pulse.channel.as_ref().map(|c| (c.source.as_str(), c.io_running && c.sql_running, c.behind));
        self.error.is_none() && self.open == Some(pulse.open) && here == there
    }

    /// Takes in the answer to `question`, which took so long.
    pub(super) fn take(
        &mut self,
        question: Question,
        answer: Result<Word, SqlError>,
        took: Duration,
        now: Instant,
    ) -> Said {
        let before = self.error;
        let mut said = Said { pause: EVERY, moved: false };
        match answer {
            Ok(Word::Whole(pulse)) => {
                said.moved = self.answered(pulse.switch, pulse.executed, took, now);
                self.replicates(pulse.replication.as_ref(), now);
                self.glances = 0;
            }
            Ok(Word::Glance(glance)) => {
                said.moved = self.answered(glance.switch, glance.executed, took, now);
                self.glances += 1;
                let stands = question == Question::Glance { channel: true } && !glance.replicates;
                if said.moved || stands {
                    said.pause = self.whole_at_once(now + SETTLES);
                }
            }
            // It may take the pulse: what that says counts.
            Err(error) if question != Question::Whole && error.server_answered() => {
                said.pause = self.whole_at_once(now + UNREADABLE);
            }
            Err(error) => {
                let kind = kind(&error);
                self.error = Some(kind);
                // News from elsewhere is no reason to knock at a silent server more often.
                self.glances = 0;
                if kind.answered() {
                    self.answered = Some(now);
                } else if before.is_none() && matches!(error, SqlError::Gone { .. }) {
                    // A connection that broke says nothing yet; whether the server is there the next one tells.
                    said.pause = Duration::ZERO;
                    return said;
                }
            }
        }
        if said.moved {
            self.whole_until = self.whole_until.max(Some(now + SETTLES));
        }
        if self.error == Some(ProbeError::Silent) && self.silent_for(now) >= LONG_SILENT {
            said.pause = SELDOM;
        }
        said
    }

    /// Whether something is new by that.
    fn answered(&mut self, switch: Switch, executed: GtidSet, took: Duration, now: Instant) -> bool {
        let open = switch == Switch::Open;
        let is_new = self.open.is_some_and(|before| before != open)
            || self.executed.as_ref().is_some_and(|before| *before != executed);
        self.answered = Some(now);
        self.took = Some(took);
        self.error = None;
        self.open = Some(open);
        self.executed = Some(executed);
        is_new
    }

    fn whole_at_once(&mut self, until: Instant) -> Duration {
        self.whole_until = self.whole_until.max(Some(until));
        Duration::ZERO
    }

    fn replicates(&mut self, channel: Option<&Replication>, now: Instant) {
        let stands = channel.is_some_and(|c| !(c.io_running && c.sql_running));
        self.stopped = stands.then(|| self.stopped.unwrap_or(now));
        self.replica = channel.map(|c| Replica {
            source: source(c),
            stopped_for: None,
            behind: c.seconds_behind.map(Duration::from_secs),
        });
    }

    fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.answered.unwrap_or(self.since))
    }

    /// What of [`Self::at`] matters at once.
    pub(super) fn digest(&self) -> ProbeDigest {
        ProbeDigest { ever: self.answered.is_some(), error: self.error, open: self.open }
    }

    pub(super) fn at(&self, now: Instant) -> Probe {
        Probe {
            silent_for: self.silent_for(now),
            ever: self.answered.is_some(),
            took: self.took,
            error: self.error,
            open: self.open,
            executed: self.executed.clone(),
            replica: self.replica.clone().map(|replica| Replica {
                stopped_for: self.stopped.map(|stopped| now.saturating_duration_since(stopped)),
                ..replica
            }),
        }
    }
}

fn kind(error: &SqlError) -> ProbeError {
    match error {
        SqlError::Refused { .. } => ProbeError::Refused,
        SqlError::TooManyConnections => ProbeError::TooManyConnections,
        SqlError::AccessDenied { .. } => ProbeError::Denied,
        other if other.server_answered() => ProbeError::Other,
        _ => ProbeError::Silent,
    }
}
