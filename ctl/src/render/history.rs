//! `batonctl history`: one line for each operation, or every step of one.

use baton_proto::control::{HistoryReply, Operation};

use super::layout::{Cell, flow, table, wrap};
use super::style::{Style, Tone};
use super::time;

/// The operations in the order given; with `steps` each in full.
pub fn history(reply: &HistoryReply, steps: bool, style: &Style) -> String {
    if reply.operations.is_empty() {
        return "nothing has happened yet\n".into();
    }
    if steps {
        let each: Vec<String> = reply.operations.iter().map(|operation| full(operation, style)).collect();
        return each.join("\n");
    }
    let rows: Vec<Vec<Cell>> = reply.operations.iter().map(row).collect();
    table(&rows, style)
}

fn row(operation: &Operation) -> Vec<Cell> {
    vec![
        Cell::plain(time::minute(operation.started_ms)),
        Cell::new(Tone::Strong, title(operation)),
        Cell::plain(nodes(operation)),
        outcome(operation).unwrap_or_else(|| Cell::plain(outage(operation))),
        Cell::plain(brief_loss(&operation.loss)),
    ]
}

/// In a list the proof of a good end can wait; what was lost cannot.
fn brief_loss(loss: &str) -> &str {
    if loss.starts_with("nothing lost") { "nothing lost" } else { loss }
}

fn full(operation: &Operation, style: &Style) -> String {
    let mut head = vec![Cell::new(Tone::Strong, title(operation))];
    head.push(Cell::plain(nodes(operation)));
    head.push(Cell::plain(time::instant(operation.started_ms)));
    head.extend(outcome(operation));
    head.push(Cell::plain(outage(operation)));
    head.push(Cell::plain(&operation.loss));
    head.retain(|cell| !cell.is_empty());
    let mut text = flow(&head, 3, style);
    let steps = table(&step_rows(operation), style);
    if !steps.is_empty() {
        text = format!("{text}\n{steps}");
    }
    for (name, value) in
        [("proof", &operation.proof), ("evidence", &operation.evidence), ("reason", &operation.reason)]
    {
        if !value.is_empty() {
            text += &wrap(value, &format!("{name}: "), "  ", style.width);
        }
    }
    if operation.from_epoch > 0 {
        text += &style.paint(Tone::Dim, &format!("why: batonctl why {}", operation.from_epoch));
        text.push('\n');
    }
    text
}

fn step_rows(operation: &Operation) -> Vec<Vec<Cell>> {
    let row = |(position, step): (usize, &baton_proto::control::Step)| {
        // The unit once is enough.
        let unit = if position == 0 { " ms" } else { "   " };
        let at = format!("{:>6}{unit}", step.at_ms - operation.started_ms);
        let what = match (step.name.as_str(), step.detail.as_str()) {
            (name, "") => name.to_owned(),
            ("", detail) => detail.to_owned(),
            (name, detail) => format!("{name}: {detail}"),
        };
        vec![Cell::new(Tone::Dim, at), Cell::plain(&step.node), Cell::plain(what)]
    };
    operation.steps.iter().enumerate().map(row).collect()
}

/// "failover 6 → 7"; an operation that ends no epoch has only the one it began, or none.
fn title(operation: &Operation) -> String {
    match (operation.from_epoch, operation.to_epoch) {
        (0, 0) => operation.kind.clone(),
        (0, to) => format!("{} → {to}", operation.kind),
        (from, to) if from == to || to == 0 => format!("{} {from}", operation.kind),
        (from, to) => format!("{} {from} → {to}", operation.kind),
    }
}

fn nodes(operation: &Operation) -> String {
    match (operation.from_node.as_str(), operation.to_node.as_str()) {
        ("", to) => to.to_owned(),
        (from, "") => from.to_owned(),
        (from, to) if from == to => from.to_owned(),
        (from, to) => format!("{from} → {to}"),
    }
}

/// `None` for an operation that is simply done.
fn outcome(operation: &Operation) -> Option<Cell> {
    match operation.outcome.as_str() {
        "done" | "" => None,
        "failed" => Some(Cell::new(Tone::Bad, "FAILED")),
        "running" => Some(Cell::new(Tone::Strong, "under way")),
        other => Some(Cell::new(Tone::Warn, other)),
    }
}

fn outage(operation: &Operation) -> String {
    match (operation.outage_ms, operation.kind.as_str()) {
        (0, _) => String::new(),
        (ms, "switchover") => format!("paused {}", time::length(ms)),
        (ms, _) => format!("open after {}", time::length(ms)),
    }
}

#[cfg(test)]
mod tests;
