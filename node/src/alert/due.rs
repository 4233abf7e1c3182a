//! Which sink is to be told what now. Pure.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::telegram::buttons::Button;
use crate::state::{Alerts, Notice, Severity, Subject, Told, UnixMillis};

/// What nobody would take for so long is not told any more.
const TOO_OLD_MS: i64 = 24 * 3_600_000;

/// What a sink wants to hear.
#[derive(Clone, Debug, PartialEq)]
pub struct Wants {
    /// The sink's name, the same on every node.
    pub sink: String,
    /// At least this bad.
    pub severity: Severity,
    /// What was said can be changed.
    pub edits: bool,
    /// When what is not critical comes without a sound.
    pub quiet: Option<Quiet>,
    /// Somebody there may press buttons.
    pub buttons: bool,
}

/// A part of each day.
#[derive(Clone, Debug, PartialEq)]
pub struct Quiet {
    /// From.
    pub from: Time,
    /// Until; before `from` when it lasts over midnight.
    pub until: Time,
    /// Where.
    pub zone: TimeZone,
}

impl Quiet {
    /// Whether it is that time.
    pub fn is_now(&self, now_ms: UnixMillis) -> bool {
        let now = Timestamp::from_millisecond(now_ms).unwrap_or_default().to_zoned(self.zone.clone()).time();
        if self.from <= self.until {
            self.from <= now && now < self.until
        } else {
            now >= self.from || now < self.until
        }
    }
}

/// Something to tell one sink.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// What.
    pub notice: Notice,
    /// The message to change; `None` for a new one.
    pub edit: Option<i64>,
    /// It may have been told before.
    pub repeat: bool,
    /// So many messages to this sink were dropped before this one.
    pub dropped: u64,
    /// Without a sound.
    pub silent: bool,
    /// Below it, where the sink can show any.
    pub buttons: Vec<Button>,
}

/// The first thing that a sink is to be told.
pub fn due(alerts: &Alerts, wants: &Wants, now_ms: UnixMillis) -> Option<Due> {
    if alerts.is_muted(now_ms) {
        return None;
    }
    let notice = alerts.notices.iter().find(|notice| is_untold(notice, wants, now_ms))?;
    let told = notice.told.get(&wants.sink).cloned().unwrap_or_default();
    let edit = told.message.filter(|_| wants.edits);
    let loud = notice.severity == Severity::Critical && !notice.is_over();
    Some(Due {
        notice: notice.clone(),
        edit,
        repeat: edit.is_none() && told.sending.is_some(),
        dropped: if edit.is_some() { told.dropped } else { alerts.unsaid(&wants.sink) },
        buttons: Vec::new(),
        silent: !loud && wants.quiet.as_ref().is_some_and(|q| q.is_now(now_ms)),
    })
}

/// Whether a sink is still to be told something of a notice, once nothing mutes it.
pub(super) fn is_untold(notice: &Notice, wants: &Wants, now_ms: UnixMillis) -> bool {
    let untold = Told::default();
    let told = notice.told.get(&wants.sink).unwrap_or(&untold);
    let heard = told.revision > 0;
    let wanted = notice.severity >= wants.severity;
    let old = now_ms - notice.changed_ms > TOO_OLD_MS;
    let passed = !heard && notice.muted && notice.is_over();
    told.revision < notice.revision && !told.refused && wanted && !old && !passed
}

/// How many troubles of a notice last on; 1 for an operation that is not over.
pub fn lasting(notice: &Notice) -> usize {
    match &notice.subject {
        Subject::Operation(story) => usize::from(!story.over),
        Subject::Troubles(lines) => lines.iter().filter(|l| l.over_ms.is_none()).count(),
    }
}

/// How long to wait before the next attempt, after so many that failed.
pub fn pause(failed: u32) -> Duration {
    Duration::from_secs(1 << failed.clamp(1, 6).saturating_sub(1)).min(Duration::from_secs(60))
}
