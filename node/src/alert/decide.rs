//! Folds what is worth telling into notices: what comes together is one, what comes again is the same one, and what is over
//! is said to be. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::Condition;
use super::story::story;
use crate::state::{
    AlertChange, Alerts, ClusterState, Finished, LINES_MAX, Line, Notice, Operation, OperationId, Severity,
    Subject, UnixMillis,
};

/// A trouble is over when it has been away for so long.
const OVER_AFTER: Duration = Duration::from_secs(5);
/// A leader that has just been elected sees too little to call anything wrong, or over.
pub(super) const SEES_AFTER: Duration = Duration::from_secs(3);
/// Troubles that begin within so long after each other are told in one notice.
const TOGETHER_MS: i64 = 10_000;
/// A trouble that comes back within so long after its end is the same one.
const AGAIN_MS: i64 = 600_000;
/// Its notice is not changed more often than this: a trouble that comes and goes is told of once a minute.
const CALM_MS: i64 = 60_000;
/// While an operation runs for no longer than this, its own story is all there is to tell.
const STORY_ALONE_MS: i64 = 10_000;

/// Since when the leader has seen each condition, or has not seen it any more; times since it leads.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    present: BTreeMap<String, Duration>,
    absent: BTreeMap<String, Duration>,
}

/// The moment of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Since this node leads.
    pub leading: Duration,
    /// Wall clock.
    pub at_ms: UnixMillis,
}

/// What is to be said now and was not, or was said otherwise.
pub fn changes(
    memory: &mut Memory,
    state: &ClusterState,
    conditions: &[Condition],
    now: Moment,
) -> Vec<AlertChange> {
    let mut changes = stories(state, now.at_ms);
    let busy = state.operation.as_ref();
    if busy.is_none_or(|o| now.at_ms - o.started_ms > STORY_ALONE_MS) {
        changes.extend(troubles(memory, &state.alerts, conditions, now));
    }
    changes
}

fn stories(state: &ClusterState, at_ms: UnixMillis) -> Vec<AlertChange> {
    let finished = state.history.iter().map(|f| (&f.operation, Some(&**f)));
    let running = state.operation.iter().chain(state.rebuild.iter().map(|r| &r.operation)).map(|o| (o, None));
    finished.chain(running).filter_map(|(operation, ended)| told(state, operation, ended, at_ms)).collect()
}

fn told(
    state: &ClusterState,
    operation: &Operation,
    ended: Option<&Finished>,
    at_ms: UnixMillis,
) -> Option<AlertChange> {
    if state.alerts.noted.contains(&operation.id) {
        return None;
    }
    let (severity, story) = story(state, operation, ended, at_ms)?;
    let id = notice_of(&operation.id);
    let subject = Subject::Operation(story).bounded();
    let known = state.alerts.notice(&id).is_some_and(|n| n.subject == subject);
    (!known).then_some(AlertChange::Put { id, severity, subject, nonce: String::new() })
}

/// The id of an operation's notice.
pub fn notice_of(operation: &OperationId) -> String {
    format!("operation:{operation}")
}

fn troubles(memory: &mut Memory, alerts: &Alerts, conditions: &[Condition], now: Moment) -> Vec<AlertChange> {
    if now.leading < SEES_AFTER {
        return Vec::new();
    }
    let settled = memory.look(conditions, now.leading);
    let mut changed: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    let mut new: Vec<Line> = Vec::new();
    for condition in settled {
        match standing(alerts, &condition.key) {
            // Worse than when it was told: whoever hears of nothing less bad has not heard of it.
            Some((notice, line)) if line.over_ms.is_none() => {
                if condition.severity > line.severity {
                    let line = line_of(&mut changed, notice, &condition.key);
                    line.severity = condition.severity;
                    line.what.clone_from(&condition.what);
                }
            }
            Some((notice, line)) if now.at_ms - line.over_ms.unwrap_or_default() < AGAIN_MS => {
                if now.at_ms - notice.changed_ms >= CALM_MS {
                    let line = line_of(&mut changed, notice, &condition.key);
                    (line.over_ms, line.since_ms) = (None, now.at_ms);
                    line.times = line.times.saturating_add(1);
                    line.severity = condition.severity;
                    line.what.clone_from(&condition.what);
                }
            }
            _ => new.push(line(condition, now.at_ms)),
        }
    }
    for (notice, open) in open_lines(alerts) {
        if memory.is_over(&open.key, now.leading) {
            line_of(&mut changed, notice, &open.key).over_ms = Some(now.at_ms);
        }
    }
    place(alerts, new, &mut changed, now.at_ms);
    changed.into_iter().map(|(id, lines)| put(id, lines)).collect()
}

/// New troubles go where others have just begun, if these are no less bad; otherwise they are a notice of their own.
fn place(alerts: &Alerts, new: Vec<Line>, changed: &mut BTreeMap<String, Vec<Line>>, at_ms: UnixMillis) {
    let Some(worst) = new.iter().map(|l| l.severity).max() else { return };
    let lately = alerts.notices.iter().rev().find(|n| {
        let lines = lines(n).len();
        let room = lines > 0 && lines + new.len() <= LINES_MAX;
        room && !n.is_over() && at_ms - n.since_ms < TOGETHER_MS && n.severity >= worst
    });
    let mut new = new;
    if let Some(notice) = lately {
        changed.entry(notice.id.clone()).or_insert_with(|| lines(notice).to_vec()).append(&mut new);
        return;
    }
    let key = new.first().map(|l| l.key.clone()).unwrap_or_default();
    // Worst first; what finds no room is told by `batonctl status`.
    new.sort_by_key(|l| std::cmp::Reverse(l.severity));
    // The same from the same state: proposed again, where nobody knows whether it was agreed on, it is the same notice.
    let after = alerts.notices.back().map_or(0, |n| n.since_ms);
    changed.insert(format!("trouble:{after}:{key}"), new);
}

fn put(id: String, lines: Vec<Line>) -> AlertChange {
    let severity = lines.iter().map(|l| l.severity).max().unwrap_or(Severity::Info);
    AlertChange::Put { id, severity, subject: Subject::Troubles(lines), nonce: String::new() }
}

fn line(condition: &Condition, at_ms: UnixMillis) -> Line {
    Line {
        key: condition.key.clone(),
        severity: condition.severity,
        what: condition.what.clone(),
        since_ms: at_ms,
        times: 1,
        over_ms: None,
    }
}

fn lines(notice: &Notice) -> &[Line] {
    match &notice.subject {
        Subject::Troubles(lines) => lines,
        Subject::Operation(_) => &[],
    }
}

/// The newest line of that key.
fn standing<'a>(alerts: &'a Alerts, key: &str) -> Option<(&'a Notice, &'a Line)> {
    let mut all = alerts.notices.iter().rev();
    all.find_map(|n| lines(n).iter().find(|l| l.key == key).map(|l| (n, l)))
}

fn open_lines(alerts: &Alerts) -> impl Iterator<Item = (&Notice, &Line)> {
    let all = alerts.notices.iter().flat_map(|n| lines(n).iter().map(move |l| (n, l)));
    all.filter(|(_, l)| l.over_ms.is_none())
}

/// The line to change, in the notice as it is to become.
fn line_of<'a>(changed: &'a mut BTreeMap<String, Vec<Line>>, notice: &Notice, key: &str) -> &'a mut Line {
    let lines = changed.entry(notice.id.clone()).or_insert_with(|| lines(notice).to_vec());
    let at = lines.iter().position(|l| l.key == key).unwrap_or_else(|| {
        lines.push(Line {
            key: key.to_owned(),
            severity: Severity::Info,
            what: String::new(),
            since_ms: 0,
            times: 0,
            over_ms: None,
        });
        lines.len() - 1
    });
    &mut lines[at]
}

impl Memory {
    /// Takes in what is the case; those conditions that have lasted long enough to be told.
    fn look<'c>(&mut self, conditions: &'c [Condition], now: Duration) -> Vec<&'c Condition> {
        self.present.retain(|key, _| conditions.iter().any(|c| c.key == *key));
        for condition in conditions {
            self.present.entry(condition.key.clone()).or_insert(now);
            self.absent.remove(&condition.key);
        }
        let lasting = |c: &&Condition| self.present.get(&c.key).is_some_and(|since| now - *since >= c.settle);
        conditions.iter().filter(lasting).collect()
    }

    /// Whether a trouble that was told has been away for long enough.
    fn is_over(&mut self, key: &str, now: Duration) -> bool {
        if self.present.contains_key(key) {
            return false;
        }
        let since = *self.absent.entry(key.to_owned()).or_insert(now);
        let over = now - since >= OVER_AFTER;
        if over {
            self.absent.remove(key);
        }
        over
    }
}
