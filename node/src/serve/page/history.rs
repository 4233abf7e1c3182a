//! What happened, each operation with a waterfall of its steps.

use std::fmt::Write;

use baton_proto::control::{Operation, Step};

use super::html::{Text, instant, length};

/// So much of a waterfall's width is seen even of a step that took no time, in hundredths.
const SEEN: f64 = 1.0;

/// The section.
pub(super) fn history(operations: &[Operation]) -> String {
    let mut text = "<section aria-labelledby=\"history\">\n<h2 id=\"history\">History</h2>\n".to_owned();
    if operations.is_empty() {
        text += "<p>Nothing has happened yet.</p>\n";
    }
    for operation in operations {
        let _infallible = write!(
            text,
            "<details id=\"op-{}\"><summary>{}</summary>\n{}</details>\n",
            Text(&operation.id),
            summary(operation),
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

/// Each step in words and as a bar, from the end of the one before: a waterfall.
fn steps(operation: &Operation) -> String {
    let after = |step: &Step| step.at_ms - operation.started_ms;
    let longest = operation.steps.iter().map(after).max().unwrap_or_default().max(1);
    let (mut text, mut begun) = ("<table class=\"steps\">\n".to_owned(), 0);
    for step in &operation.steps {
        let end = after(step).max(0);
        let what = match (step.name.as_str(), step.detail.as_str()) {
            (name, "") => name.to_owned(),
            (name, detail) => format!("{name}: {detail}"),
        };
        let _infallible = writeln!(
            text,
            "<tr><td class=\"number\">{} ms</td><td>{}</td><td>{}</td><td class=\"draws\">{}</td></tr>",
            after(step),
            Text(&step.node),
            Text(what),
            bar(begun.min(end), end, longest)
        );
        begun = begun.max(end);
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

/// From one moment to another of so many. The words beside it say the same.
fn bar(from: i64, to: i64, of: i64) -> String {
    let part = |at: i64| at as f64 * (100.0 - SEEN) / of as f64;
    format!(
        "<svg aria-hidden=\"true\" focusable=\"false\"><rect x=\"{:.1}%\" width=\"{:.1}%\" height=\"100%\"/></svg>",
        part(from),
        part(to) - part(from) + SEEN
    )
}
