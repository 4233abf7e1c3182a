//! What happened, each operation with a waterfall of its steps.

use std::fmt::Write;

use baton_proto::control::{Operation, Step};

use super::html::{Text, instant, length};

/// Width of a waterfall, in its own units, and height of a step.
const WIDE: i64 = 400;
const STEP: usize = 14;

/// The section.
pub(super) fn history(operations: &[Operation]) -> String {
    let mut text = "<section aria-labelledby=\"history\">\n<h2 id=\"history\">History</h2>\n".to_owned();
    if operations.is_empty() {
        text += "<p>Nothing has happened yet.</p>\n";
    }
    for operation in operations {
        let _infallible = write!(
            text,
            "<details id=\"op-{}\"><summary>{}</summary>\n{}{}</details>\n",
            Text(&operation.id),
            summary(operation),
            waterfall(operation),
            steps(operation)
        );
    }
    text + "</section>\n"
}

fn summary(operation: &Operation) -> String {
    let epochs = match (operation.from_epoch, operation.to_epoch) {
        (0, 0) => String::new(),
        (0, to) => format!(" → {to}"),
        (from, to) if from == to || to == 0 => format!(" {from}"),
        (from, to) => format!(" {from} → {to}"),
    };
    let nodes = match (operation.from_node.as_str(), operation.to_node.as_str()) {
        ("", to) => to.to_owned(),
        (from, to) if from == to || to.is_empty() => from.to_owned(),
        (from, to) => format!("{from} → {to}"),
    };
    let outage = match (operation.outage_ms, operation.kind.as_str()) {
        (0, _) => String::new(),
        (ms, "switchover") => format!("writes paused {}", length(ms)),
        (ms, _) => format!("open after {}", length(ms)),
    };
    let (tone, outcome) = match operation.outcome.as_str() {
        "done" | "" => ("good", ""),
        "running" => ("warn", "under way"),
        "failed" => ("bad", "FAILED"),
        other => ("warn", other),
    };
    let loss = operation.loss.as_str();
    let loss = if loss.starts_with("nothing lost") { "nothing lost" } else { loss };
    let head = format!("<strong>{}{epochs}</strong>", Text(&operation.kind));
    let when = format!("<time>{}</time>", instant(operation.started_ms));
    let rest = [nodes.as_str(), outage.as_str(), loss].into_iter().filter(|s| !s.is_empty());
    let rest = rest.map(|s| format!(" <span>{}</span>", Text(s))).collect::<String>();
    let outcome = if outcome.is_empty() {
        String::new()
    } else {
        format!(" <span class=\"{tone}\">{}</span>", Text(outcome))
    };
    format!("{head} {when}{rest}{outcome}")
}

/// One bar for each step, from the end of the one before. The same is in words below it.
fn waterfall(operation: &Operation) -> String {
    let ends: Vec<i64> = operation.steps.iter().map(|s| s.at_ms - operation.started_ms).collect();
    let Some(longest) = ends.iter().copied().max().filter(|longest| *longest > 0) else {
        return String::new();
    };
    let mut text = format!(
        "<svg class=\"waterfall\" viewBox=\"0 0 {WIDE} {}\" aria-hidden=\"true\" focusable=\"false\">\n",
        ends.len() * STEP
    );
    let mut begun = 0;
    for (row, end) in ends.iter().enumerate() {
        let (left, right) = (begun.min(*end) * WIDE / longest, *end * WIDE / longest);
        let _infallible = writeln!(
            text,
            "<rect x=\"{left}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
            row * STEP + 2,
            (right - left).max(2),
            STEP - 4
        );
        begun = begun.max(*end);
    }
    text + "</svg>\n"
}

fn steps(operation: &Operation) -> String {
    let mut text = "<table>\n".to_owned();
    for Step { at_ms, node, name, detail } in &operation.steps {
        let what = match (name.as_str(), detail.as_str()) {
            (name, "") => name.to_owned(),
            (name, detail) if name == detail || name.is_empty() => detail.to_owned(),
            (name, detail) => format!("{name}: {detail}"),
        };
        let _infallible = writeln!(
            text,
            "<tr><td class=\"number\">{} ms</td><td>{}</td><td>{}</td></tr>",
            at_ms - operation.started_ms,
            Text(node),
            Text(what)
        );
    }
    text += "</table>\n";
    for (name, value) in [
        ("loss", &operation.loss),
        ("proof", &operation.proof),
        ("evidence", &operation.evidence),
        ("reason", &operation.reason),
    ] {
        if !value.is_empty() {
            let _infallible = writeln!(text, "<p><strong>{name}</strong> {}</p>", Text(value));
        }
    }
    text
}
