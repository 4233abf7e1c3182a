//! Which notices make room for new ones, and who was still to be told of them. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::due::{Wants, is_untold};
use crate::state::{AlertChange, Alerts, NOTICES_MAX, Notice, UnixMillis};

/// What may be lost with a notice: who listens, and whose messages are under way.
pub struct Audience<'a> {
    /// Everybody who is told anything.
    pub wants: Vec<&'a Wants>,
    /// Whether a message of that notice to that sink is on its way, or may have arrived for all that is known.
    pub on_its_way: &'a dyn Fn(&Notice, &str) -> bool,
}

/// The same changes, with a notice named before each new one that would not find room.
pub fn with_room(
    alerts: &Arc<Alerts>,
    entry: Vec<AlertChange>,
    to: &Audience<'_>,
    now_ms: UnixMillis,
) -> Vec<AlertChange> {
    let new = entry.iter().filter(|change| is_new(alerts, change)).count();
    if alerts.notices.len() + new <= NOTICES_MAX {
        return entry;
    }
    let put: BTreeSet<String> = entry.iter().filter_map(put).map(str::to_owned).collect();
    let mut so_far = Arc::clone(alerts);
    let mut roomy = Vec::with_capacity(entry.len() + new);
    for change in entry {
        if is_new(&so_far, &change)
            && so_far.notices.len() >= NOTICES_MAX
            && let Some(going) = next_to_go(&so_far, &put, to, now_ms)
        {
            so_far = so_far.after(now_ms, std::slice::from_ref(&going));
            roomy.push(going);
        }
        so_far = so_far.after(now_ms, std::slice::from_ref(&change));
        roomy.push(change);
    }
    roomy
}

/// The oldest of those that cost least. What is said at this moment stays: nobody could say any more whether it arrived. There
/// is always another one, because a sink is sent one thing at a time.
fn next_to_go(
    alerts: &Alerts,
    put: &BTreeSet<String>,
    to: &Audience<'_>,
    now_ms: UnixMillis,
) -> Option<AlertChange> {
    let waits = |notice: &Notice| {
        let waiting = to.wants.iter().filter(|wants| is_untold(notice, wants, now_ms));
        waiting.map(|wants| wants.sink.clone()).collect::<Vec<_>>()
    };
    let cost = |notice: &&Notice| {
        let waits = waits(notice);
        let said_now = waits.iter().any(|sink| (to.on_its_way)(notice, sink));
        (said_now, put.contains(&notice.id), !notice.is_over(), !waits.is_empty())
    };
    let going = alerts.notices.iter().min_by_key(cost)?;
    let mut untold = waits(going);
    untold.retain(|sink| !(to.on_its_way)(going, sink));
    Some(AlertChange::MakeRoom { id: going.id.clone(), untold })
}

fn put(change: &AlertChange) -> Option<&str> {
    match change {
        AlertChange::Put { id, .. } => Some(id),
        _ => None,
    }
}

fn is_new(alerts: &Alerts, change: &AlertChange) -> bool {
    put(change).is_some_and(|id| alerts.notice(id).is_none())
}
