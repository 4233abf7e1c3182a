//! The topology: the writer, what follows it, and who else votes. Shapes carry the meaning, colours repeat it.

use std::fmt::Write;

use baton_proto::control::{NodeStatus, StatusReply};

use super::Picture;
use super::html::{Text, length};

/// Above this a lease has no end: it is one for a pause.
const WITHOUT_END_MS: u64 = 365 * 24 * 3600 * 1000;

/// The section.
pub(super) fn topology(picture: &Picture) -> String {
    let status = &picture.status;
    let (writers, others): (Vec<_>, Vec<_>) = status.nodes.iter().partition(|node| node.role == "writer");
    let apart = |node: &&NodeStatus| matches!(node.role.as_str(), "witness" | "left behind");
    let (apart, servers): (Vec<_>, Vec<_>) = others.into_iter().partition(apart);
    let mut text =
        "<section aria-label=\"Topology\" class=\"topology\">\n<ul class=\"writers\">\n".to_owned();
    for node in &writers {
        card(&mut text, picture, node, "");
    }
    if writers.is_empty() {
        text += "<li class=\"card bad\"><p class=\"name\">nobody holds the write role</p></li>\n";
    }
    text += "</ul>\n<ul class=\"replicas\">\n";
    for node in &servers {
        card(&mut text, picture, node, &arrow(node));
    }
    text += "</ul>\n<ul class=\"witnesses\">\n";
    for node in &apart {
        card(&mut text, picture, node, "");
    }
    text + "</ul>\n</section>\n"
}

fn card(text: &mut String, picture: &Picture, node: &NodeStatus, before: &str) {
    let (tone, shape, health) = shape(node);
    let _infallible = writeln!(
        text,
        "<li class=\"card {tone}\">{before}<p class=\"name\"><span class=\"shape\" aria-hidden=\"true\">{shape}</span> \
         <strong>{}</strong> <span class=\"role\">{}</span><span class=\"said\"> ({health})</span></p>",
        Text(&node.name),
        Text(&node.role)
    );
    let facts = facts(&picture.status, node);
    if !facts.is_empty() {
        let _infallible = writeln!(text, "<p class=\"facts\">{}</p>", Text(facts.join(" · ")));
    }
    if node.open && node.lease_left_ms > 0 && node.lease_left_ms < WITHOUT_END_MS {
        let _infallible = writeln!(
            text,
            "<p class=\"lease\">lease <svg class=\"bar\" aria-hidden=\"true\" focusable=\"false\">\
             <rect width=\"{}%\" height=\"100%\"/></svg> {}</p>",
            node.lease_left_ms * 100 / node.lease_left_ms.max(picture.lease_ms),
            Text(length(node.lease_left_ms / 100 * 100)),
        );
    }
    if !node.note.is_empty() {
        let _infallible = writeln!(text, "<p class=\"note\">{}</p>", Text(&node.note));
    }
    *text += "</li>\n";
}

/// From the writer to a server that follows it, with how far behind it is. The style sheet draws it: whole, dashed or dotted.
fn arrow(node: &NodeStatus) -> String {
    let (tone, lag) = match (node.replicating, node.lag_seconds) {
        _ if !node.server_answers => ("bad", "no answer".to_owned()),
        (false, _) => ("warn", "not replicating".to_owned()),
        (true, lag) if lag < 0.0 => ("plain", "lag unknown".to_owned()),
        (true, lag) => (shape(node).0, format!("lag {}", seconds(lag))),
    };
    format!("<p class=\"arrow {tone}\"><span>{lag}</span></p>\n")
}

fn seconds(lag: f64) -> String {
    if lag < 10.0 && lag.fract() >= 0.05 { format!("{lag:.1} s") } else { format!("{lag:.0} s") }
}

fn shape(node: &NodeStatus) -> (&'static str, &'static str, &'static str) {
    match (node.role.as_str(), node.health.as_str()) {
        (_, "down") => ("bad", "✗", "down"),
        ("witness", _) if node.node_answers => ("plain", "○", "answers"),
        ("witness", _) => ("bad", "✗", "no answer"),
        ("out" | "left behind", _) => ("warn", "◌", "out"),
        (_, "ok") => ("good", "●", "well"),
        (_, "warning") => ("warn", "◐", "warning"),
        _ => ("plain", "?", "unknown"),
    }
}

fn facts(status: &StatusReply, node: &NodeStatus) -> Vec<String> {
    let mut facts = Vec::new();
    let silence = match (node.node_answers, node.server_answers) {
        (true, true) => None,
        _ if node.role == "witness" => (!node.node_answers).then_some("no answer"),
        _ if node.role == "follower" => None,
        (true, false) => Some("server down"),
        (false, true) => Some("Baton down, server up"),
        (false, false) => Some("no answer"),
    };
    facts.extend(silence.map(str::to_owned));
    match (node.role.as_str(), node.open) {
        ("writer", true) => facts.push("open".into()),
        ("writer", false) => facts.push("closed".into()),
        (_, true) => facts.push("OPEN".into()),
        _ => {}
    }
    if node.role == "writer" && node.open {
        let ackers: Vec<&str> = status.nodes.iter().filter(|n| n.acker).map(|n| n.name.as_str()).collect();
        if !ackers.is_empty() {
            facts.push(format!("acked by {}", ackers.join(", ")));
        }
        if node.lease_left_ms >= WITHOUT_END_MS {
            facts.push("lease without end".into());
        }
    }
    if node.replicating
        && node.follows != status.writer
        && !status.writer.is_empty()
        && !node.follows.is_empty()
    {
        facts.push(format!("follows {}", node.follows));
    }
    if node.candidate {
        let only = status.nodes.iter().filter(|n| n.candidate).count() == 1;
        facts.push(if only { "next writer" } else { "candidate" }.into());
    }
    if node.leader {
        facts.push("leads the group".into());
    }
    facts.extend([&node.server, &node.zone].into_iter().filter(|s| !s.is_empty()).cloned());
    facts
}
