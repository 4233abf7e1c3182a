//! What people are told of the cluster: what is to be said, to whom it was said, and whether they want to hear it now.
//! It is replicated, so that the next leader goes on where the last one stopped: nothing is left unsaid, and what may have
//! been said already is marked as a repeat.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ClusterState, Forced, OperationId, OperationKind, Refusal, UnixMillis, Untold, trim};

/// How many notices are kept; the oldest that is over goes first, where the leader has named none.
pub const NOTICES_MAX: usize = 32;
/// Lines, and facts, of one notice.
pub const LINES_MAX: usize = 12;
/// Sinks that one notice is told to.
pub(super) const SINKS_MAX: usize = 16;
/// Bytes of one piece of text.
const TEXT_MAX: usize = 400;
/// Operations that are known to be told of, or old; more than a history holds.
const NOTED_MAX: usize = 128;

/// Everything that the group knows of its alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alerts {
    /// Somebody has been listening since: what was finished before is not told.
    pub begun: bool,
    /// Nothing is said while it lasts.
    pub mute: Option<Mute>,
    /// What is to be said, oldest first.
    pub notices: VecDeque<Notice>,
    /// Operations whose last word is in a notice, or that ended before anybody listened. Newest last.
    pub noted: VecDeque<OperationId>,
    /// How many notices had to make room before they were over.
    pub dropped: u64,
    /// What that cost, by the sink's name.
    pub untold: BTreeMap<String, Untold>,
}

/// A time in which nothing is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    /// When it ends by itself.
    pub until_ms: UnixMillis,
    /// Who, and why.
    pub word: Forced,
}

/// How bad a thing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Something is wrong, and clients do not feel it yet.
    Warning,
    /// Clients feel it, or one more fault would lose something.
    Critical,
}

impl Severity {
    /// As configured and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// One thing to say. It is said once, and what was said is changed as the thing goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Unique among the notices.
    pub id: String,
    /// The worst that it has been.
    pub severity: Severity,
    /// When it began.
    pub since_ms: UnixMillis,
    /// When what there is to say changed last.
    pub changed_ms: UnixMillis,
    /// Counts those changes, from 1.
    pub revision: u32,
    /// What it is about.
    pub subject: Subject,
    /// Began while nothing was to be said.
    pub muted: bool,
    /// Who has seen to it.
    pub acknowledged: Option<String>,
    /// What the buttons below its messages hold.
    #[serde(default)]
    pub nonce: String,
    /// To whom it was said, by the sink's name.
    pub told: BTreeMap<String, Told>,
}

impl Notice {
    /// What it is about, in names for programs: a kind of operation, or each trouble with whose it is (`ReplicaDown:db2`), as
    /// long as it lasts; once all are over, all of them.
    pub fn about(&self) -> Vec<String> {
        match &self.subject {
            Subject::Operation(Story { kind: Some(kind), .. }) => vec![kind.to_string()],
            // A test is about nothing that has happened.
            Subject::Operation(_) => Vec::new(),
            Subject::Troubles(lines) => {
                let lasts = lines.iter().any(|line| line.over_ms.is_none());
                let told = lines.iter().filter(|line| line.over_ms.is_none() || !lasts);
                told.map(|line| line.key.clone()).collect()
            }
        }
    }
}

/// What a notice is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Subject {
    /// An operation, as it stands.
    Operation(Story),
    /// What is wrong: troubles that came together.
    Troubles(Vec<Line>),
}

/// How an operation stands, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// Which.
    pub operation: OperationId,
    /// Of what kind it is.
    #[serde(default)]
    pub kind: Option<OperationKind>,
    /// How it looks.
    pub tone: Tone,
    /// The point.
    pub title: String,
    /// What else there is to know, a line each.
    pub facts: Vec<String>,
    /// Nothing more will be said of it.
    pub over: bool,
}

/// How a thing looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tone {
    /// Clients feel it.
    Bad,
    /// It is not as it should be.
    Uneasy,
    /// As it should be.
    #[default]
    Good,
}

/// One trouble of a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The same for the same trouble of the same server.
    pub key: String,
    /// How bad.
    pub severity: Severity,
    /// In words.
    pub what: String,
    /// When it began last.
    pub since_ms: UnixMillis,
    /// How often it has begun.
    pub times: u32,
    /// When it ended.
    pub over_ms: Option<UnixMillis>,
}

/// What one sink was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Up to which revision; 0 for none.
    pub revision: u32,
    /// The message that can be changed.
    pub message: Option<i64>,
    /// Somebody has begun to say this, and nobody knows whether it arrived.
    pub sending: Option<u32>,
    /// The sink would not take it.
    pub refused: bool,
    /// Of how many messages the last new one says that they were dropped before it.
    #[serde(default)]
    pub dropped: u64,
}

/// A change of the alerts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AlertChange {
    /// Somebody listens from now on, or nobody does any more.
    Listen(bool),
    /// There is something to say, or something else than before.
    Put {
        /// Of a new notice, or of one that there is.
        id: String,
        /// How bad it is.
        severity: Severity,
        /// What it is about, as a whole.
        subject: Subject,
        /// Of a new notice: what its buttons hold.
        #[serde(default)]
        nonce: String,
    },
    /// A notice has to go so that a new one finds room.
    MakeRoom {
        /// Which.
        id: String,
        /// The sinks that were still to be told something of it.
        untold: Vec<String>,
    },
    /// A sink is about to be told this much.
    Sending {
        /// Of which notice.
        id: String,
        /// Which sink.
        sink: String,
        /// Up to which revision.
        revision: u32,
    },
    /// A sink was told, or has refused.
    Sent {
        /// Of which notice.
        id: String,
        /// Which sink.
        sink: String,
        /// Up to which revision.
        revision: u32,
        /// The message, where it can be changed.
        message: Option<i64>,
        /// It will not take it.
        refused: bool,
    },
    /// Somebody sees to it.
    Acknowledge {
        /// To which.
        id: String,
        /// Who.
        by: String,
    },
    /// Nothing is said until then.
    Mute(Mute),
    /// Ends that.
    Unmute {
        /// Who.
        by: String,
    },
}

impl Notice {
    /// Whether nothing more will come of it.
    pub fn is_over(&self) -> bool {
        match &self.subject {
            Subject::Operation(story) => story.over,
            Subject::Troubles(lines) => lines.iter().all(|l| l.over_ms.is_some()),
        }
    }
}

impl Alerts {
    /// Whether nothing is to be said now.
    pub fn is_muted(&self, now_ms: UnixMillis) -> bool {
        self.mute.as_ref().is_some_and(|m| now_ms < m.until_ms)
    }

    /// The alerts as these changes would leave them.
    pub fn after(self: &Arc<Self>, at_ms: UnixMillis, changes: &[AlertChange]) -> Arc<Self> {
        let mut after = ClusterState { alerts: Arc::clone(self), ..ClusterState::default() };
        changes.iter().for_each(|change| drop(one(&mut after, at_ms, change)));
        after.alerts
    }

    /// The notice of that id.
    pub fn notice(&self, id: &str) -> Option<&Notice> {
        self.notices.iter().find(|n| n.id == id)
    }

    fn notice_mut(&mut self, id: &str) -> Result<&mut Notice, Refusal> {
        self.notices.iter_mut().find(|n| n.id == id).ok_or_else(|| Refusal::NoSuchNotice(id.to_owned()))
    }

    fn put(&mut self, at: UnixMillis, id: &str, (severity, nonce): (Severity, &str), mut subject: Subject) {
        bound(&mut subject);
        if let Subject::Operation(story) = &subject
            && story.over
        {
            self.noted.push_back(story.operation.clone());
            trim(&mut self.noted, NOTED_MAX);
        }
        let muted = self.is_muted(at);
        if let Ok(notice) = self.notice_mut(id) {
            notice.severity = notice.severity.max(severity);
            notice.subject = subject;
            notice.changed_ms = at;
            notice.revision = notice.revision.saturating_add(1);
            return;
        }
        self.notices.push_back(Notice {
            id: id.to_owned(),
            severity,
            since_ms: at,
            changed_ms: at,
            revision: 1,
            subject,
            muted,
            acknowledged: None,
            nonce: nonce.to_owned(),
            told: BTreeMap::new(),
        });
        while self.notices.len() > NOTICES_MAX {
            let oldest = self.notices.iter().position(Notice::is_over);
            self.remove(oldest.unwrap_or(0));
        }
    }

    fn told(&mut self, id: &str, sink: &str) -> Result<&mut Told, Refusal> {
        let notice = self.notice_mut(id)?;
        if !notice.told.contains_key(sink) && notice.told.len() >= SINKS_MAX {
            return Err(Refusal::NoSuchNotice(id.to_owned()));
        }
        Ok(notice.told.entry(sink.to_owned()).or_default())
    }
}

/// Applies what was decided together. What names a notice that is gone meanwhile changes nothing.
pub(super) fn apply(
    state: &mut ClusterState,
    at: UnixMillis,
    changes: &[AlertChange],
) -> Result<(), Refusal> {
    match changes {
        [only] => one(state, at, only),
        several => {
            for change in several {
                // Each stands for itself: a notice that made room concerns no other.
                let _gone = one(state, at, change);
            }
            Ok(())
        }
    }
}

fn one(state: &mut ClusterState, at: UnixMillis, change: &AlertChange) -> Result<(), Refusal> {
    match change {
        AlertChange::Listen(begun) if *begun == state.alerts.begun => {}
        AlertChange::Listen(begun) => {
            // Counts do not begin again because one file names nobody.
            let (mute, untold) = (state.alerts.mute.clone(), state.alerts.untold.clone());
            let mut alerts = Alerts { begun: *begun, mute, untold, ..Alerts::default() };
            if *begun {
                alerts.noted = state.history.iter().map(|f| f.operation.id.clone()).collect();
            }
            state.alerts = Arc::new(alerts);
        }
        AlertChange::Put { id, severity, subject, nonce } => {
            Arc::make_mut(&mut state.alerts).put(at, id, (*severity, nonce), subject.clone());
        }
        AlertChange::MakeRoom { id, untold } => {
            Arc::make_mut(&mut state.alerts).make_room(id, untold)?;
        }
        AlertChange::Sending { id, sink, revision } => {
            let alerts = Arc::make_mut(&mut state.alerts);
            let dropped = alerts.unsaid(sink);
            let told = alerts.told(id, sink)?;
            (told.sending, told.dropped) = (Some(*revision), dropped);
        }
        AlertChange::Sent { id, sink, revision, message, refused } => {
            let alerts = Arc::make_mut(&mut state.alerts);
            let told = alerts.told(id, sink)?;
            // A change of a message says what that said before, and the same record may come twice.
            let said = if told.sending.take().is_some() && !refused { told.dropped } else { 0 };
            told.revision = told.revision.max(*revision);
            told.message = *message;
            told.refused = *refused;
            alerts.said(sink, said);
        }
        AlertChange::Acknowledge { id, by } => {
            let notice = Arc::make_mut(&mut state.alerts).notice_mut(id)?;
            if notice.acknowledged.is_none() {
                notice.acknowledged = Some(short(by));
                notice.changed_ms = at;
                notice.revision = notice.revision.saturating_add(1);
            }
        }
        AlertChange::Mute(mute) => {
            state.note(at, "muted", format!("{}: {}", mute.word.by, mute.word.reason));
            Arc::make_mut(&mut state.alerts).mute = Some(mute.clone());
        }
        AlertChange::Unmute { by } => {
            let mute = &mut Arc::make_mut(&mut state.alerts).mute;
            mute.take_if(|m| at < m.until_ms).ok_or(Refusal::NotMuted)?;
            state.note(at, "unmuted", by.clone());
        }
    }
    Ok(())
}

impl Subject {
    /// As it is kept: what is compared with one that was kept has to be cut as that was.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        bound(&mut self);
        self
    }
}

/// A notice stays small whatever a server says of itself.
fn bound(subject: &mut Subject) {
    match subject {
        Subject::Operation(story) => {
            story.title = short(&story.title);
            story.facts.truncate(LINES_MAX);
            story.facts.iter_mut().for_each(|f| *f = short(f));
        }
        Subject::Troubles(lines) => {
            lines.truncate(LINES_MAX);
            lines.iter_mut().for_each(|l| l.what = short(&l.what));
        }
    }
}

fn short(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}
