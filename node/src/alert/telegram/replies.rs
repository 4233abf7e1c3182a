//! What the bot answers to `/status` and `/why`: short lines for a phone. Pure.

use baton_proto::control::{NodeStatus, StatusReply, WhyReply};

use super::super::words::{self, TEXT_MAX};

/// Reasons that one answer shows.
const REASONS: usize = 20;
/// Characters of one line.
const LINE_MAX: usize = 300;

/// `/status`
pub fn status(reply: &StatusReply) -> String {
    let (mark, durability) = match (reply.health.as_str(), reply.durability.as_str()) {
        ("no_writer", _) => ("🔴", "NO WRITER"),
        ("healthy", "lossless") => ("🟢", "LOSSLESS"),
        (_, "lossless") => ("🟡", "LOSSLESS"),
        _ if reply.phase == "observing" => ("🔵", "observing"),
        _ => ("🟡", "NOT LOSSLESS"),
    };
    let head = format!("{}: epoch {}, {durability}, {}", reply.cluster, reply.epoch, reply.automation);
    let mut lines = vec![format!("{mark} <b>{}</b>", escape(head.trim_end_matches(", ")))];
    lines.extend(reply.nodes.iter().map(|n| escape(&node(n))));
    let leader = match reply.leader.as_str() {
        "" => "no leader".to_owned(),
        leader => format!("leader {leader}"),
    };
    lines.push(escape(&format!("{leader}, {} of {} voting", reply.voters_answering, reply.voters)));
    if !reply.operation.is_empty() {
        lines.push(escape(&format!("under way: {}", reply.operation)));
    }
    lines.extend(reply.warnings.iter().map(|w| escape(&format!("! {w}"))));
    joined(lines)
}

fn node(node: &NodeStatus) -> String {
    let mark = match node.health.as_str() {
        "ok" => "●",
        "warning" => "◐",
        "down" => "✗",
        _ => "○",
    };
    let mut facts = vec![node.role.clone()];
    match node.role.as_str() {
        "writer" if node.open => facts.push(format!("lease {:.1} s", node.lease_left_ms as f64 / 1000.0)),
        "writer" => facts.push("closed".into()),
        "replica" if node.lag_seconds >= 0.0 => facts.push(format!("lag {:.0} s", node.lag_seconds)),
        _ => {}
    }
    if node.acker {
        facts.push("acks".into());
    }
    if !node.note.is_empty() {
        facts.push(node.note.clone());
    }
    format!("{mark} {}: {}", node.name, facts.join(", "))
}

/// `/why`
pub fn why(cluster: &str, reply: &WhyReply) -> String {
    let mut lines = vec![format!("<b>{}</b>", escape(&format!("{cluster}: {}", reply.diagnosis)))];
    lines.push(escape(&reply.summary));
    lines.extend(reply.reasons.iter().take(REASONS).map(|r| {
        let mark = match r.side.as_str() {
            "for" => "+",
            "against" => "−",
            _ => "·",
        };
        escape(&format!("{mark} {}", r.text))
    }));
    joined(lines)
}

fn escape(text: &str) -> String {
    let mut cut: String = text.chars().take(LINE_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    words::escape(&cut)
}

/// As many whole lines as one message takes.
fn joined(lines: Vec<String>) -> String {
    let mut text = String::new();
    for line in lines {
        if text.chars().count() + line.chars().count() >= TEXT_MAX {
            text.push_str("\n…");
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_fits_into_a_message_whatever_servers_say() {
        let long = "<&".repeat(5_000);
        let reply = StatusReply { warnings: vec![long.clone(); 30], ..StatusReply::default() };
        let text = status(&reply);
        assert!(text.chars().count() < 4_096 && text.ends_with('…'), "{}", text.chars().count());
        let reply = WhyReply { summary: long, ..WhyReply::default() };
        assert!(why("shop", &reply).chars().count() < 4_096);
    }
}
