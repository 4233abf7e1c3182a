//! `batonctl events`: a line each.

use baton_proto::control::Event;

use super::layout::{Cell, table};
use super::style::{Style, Tone};
use super::time;

/// The events, in their order.
pub fn events(events: &[Event], style: &Style) -> String {
    let row = |event: &Event| {
        let node = if event.node.is_empty() { "group" } else { event.node.as_str() };
        let words = match event.detail.as_str() {
            "" => event.what.clone(),
            detail => format!("{}: {detail}", event.what),
        };
        vec![Cell::new(Tone::Dim, time::instant(event.at_ms)), Cell::plain(node), Cell::plain(words)]
    };
    table(&events.iter().map(row).collect::<Vec<_>>(), style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixtures::PLAIN;

    #[test]
    fn each_event_has_a_line() {
        let event = |at_ms: i64, node: &str, what: &str, detail: &str| Event {
            at_ms: 1_795_165_200_000 + at_ms,
            node: node.into(),
            operation: "f00d".into(),
            what: what.into(),
            detail: detail.into(),
        };
        let all = [
            event(0, "", "failover of epoch 1, away from db1", "WriterCrashed"),
            event(8, "db2", "proof", "gone (process 1000 exited, port 3306 refuses)"),
            event(312, "db2", "open", ""),
        ];
        insta::assert_snapshot!(events(&all, &PLAIN), @r"
        2026-11-20 09:00:00 UTC   group   failover of epoch 1, away from db1:
                                          WriterCrashed
        2026-11-20 09:00:00 UTC   db2     proof: gone (process 1000 exited, port 3306
                                          refuses)
        2026-11-20 09:00:00 UTC   db2     open
        ");
    }
}
