//! What has happened, one line each: the steps of operations and what was decided. Pure.

use baton_proto::control::{Event, EventsReply};

use crate::state::{ClusterState, Operation, UnixMillis};

/// The most that one answer holds.
const LIMIT: usize = 1000;

/// Everything from `since_ms` on, oldest first; the newest `limit` of it (0: as many as one answer holds).
pub fn events(state: &ClusterState, since_ms: UnixMillis, limit: u32) -> EventsReply {
    let finished = state.history.iter().flat_map(|f| {
        let what = format!("{} {}", f.operation.kind, f.ending);
        of_operation(&f.operation).chain([event(f.ended_ms, "", &f.operation, what, String::new())])
    });
    let rebuild = state.rebuild.iter().map(|r| &r.operation);
    let running = state.operation.iter().chain(rebuild).flat_map(of_operation);
    let decided = state.decisions.iter().map(|d| Event {
        at_ms: d.at_ms,
        what: d.what.clone(),
        detail: d.why.clone(),
        ..Event::default()
    });
    let mut events: Vec<Event> =
        finished.chain(running).chain(decided).filter(|e| e.at_ms >= since_ms).collect();
    // What happened in one millisecond stays in the order of its journal.
    events.sort_by_key(|e| e.at_ms);
    let limit = if limit == 0 { LIMIT } else { LIMIT.min(limit as usize) };
    let rest = events.len().saturating_sub(limit);
    EventsReply { events: events.split_off(rest) }
}

fn of_operation(operation: &Operation) -> impl Iterator<Item = Event> {
    let from = operation.from_node.as_ref().map(|n| format!(", away from {n}")).unwrap_or_default();
    let begun = format!("{} of epoch {}{from}", operation.kind, operation.from);
    let first = event(operation.started_ms, "", operation, begun, operation.diagnosis.clone());
    let steps = operation.steps.iter().map(|s| {
        // "open: open" says nothing twice.
        let detail = if s.detail == s.name { String::new() } else { s.detail.clone() };
        event(s.at_ms, s.node.as_str(), operation, s.name.clone(), detail)
    });
    std::iter::once(first).chain(steps)
}

fn event(at_ms: UnixMillis, node: &str, operation: &Operation, what: String, detail: String) -> Event {
    Event { at_ms, node: node.to_owned(), operation: operation.id.to_string(), what, detail }
}
