//! What the bot answers to `/status`, `/why` and `/backups`: short lines for a phone. Pure.

use baton_proto::control::{Backup, BackupListReply, NodeStatus, RecoveryReply, StatusReply, WhyReply};

use super::super::words::{self, TEXT_MAX};
use crate::paper::{length, size};

/// Reasons that one answer shows.
const REASONS: usize = 20;
/// Backups that one answer shows.
const BACKUPS: usize = 5;
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

/// `/backups`: what can be restored, the newest backups, what goes wrong, what comes next.
pub fn backups(cluster: &str, list: &BackupListReply, recovery: &RecoveryReply, now_ms: i64) -> String {
    let (mark, head) = match (recovery.windows.last(), recovery.alone.last()) {
        (Some(window), _) => {
            let to = ago(window.to_ms, now_ms);
            ("🟢", format!("any moment from {} to {to}", moment(window.from_ms)))
        }
        (None, Some(alone)) => ("🟡", format!("the moment of a backup, {}", moment(alone.at_ms))),
        (None, None) => ("🔴", "NOTHING can be restored".to_owned()),
    };
    let mut lines = vec![format!("{mark} <b>{}</b>", escape(&format!("{cluster}: {head}")))];
    lines.extend(list.task.iter().map(|task| {
        let share = (task.total_bytes > 0).then(|| task.bytes.saturating_mul(100) / task.total_bytes);
        let share = share.map(|share| format!(", {} %", share.min(100))).unwrap_or_default();
        escape(&format!("now: {} is to {} {}{share}", task.node, task.what, task.backup))
    }));
    lines.extend(list.backups.iter().take(BACKUPS).map(|one| escape(&backup(one, now_ms))));
    if list.backups.len() > BACKUPS {
        lines.push(format!("and {} older ones", list.backups.len() - BACKUPS));
    }
    if let Some(archive) = &list.archive {
        let trouble = [&archive.error, &archive.waits].into_iter().find(|why| !why.is_empty());
        lines.extend(trouble.map(|why| escape(&format!("! the binlog is not archived: {why}"))));
        let holes = Some(&archive.holes).filter(|holes| !holes.is_empty());
        lines.extend(holes.map(|holes| escape(&format!("! missing in the archive: {holes}"))));
    }
    lines.extend(
        list.schedules
            .iter()
            .filter(|next| next.fault.is_empty())
            .map(|next| escape(&format!("next: {}, {}", next.name, moment(next.next_ms)))),
    );
    joined(lines)
}

/// "2 h 5 min ago", "3 days ago".
fn ago(at_ms: i64, now_ms: i64) -> String {
    const DAY_S: u64 = 86_400;
    match u64::try_from(now_ms.saturating_sub(at_ms) / 1000) {
        Ok(seconds) if seconds < 2 * DAY_S => format!("{} ago", length(seconds)),
        Ok(seconds) => format!("{} days ago", seconds / DAY_S),
        Err(_) => moment(at_ms),
    }
}

/// "Nov 29, 02:00 UTC".
fn moment(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map_or_else(|_| at_ms.to_string(), |at| at.strftime("%b %-d, %H:%M UTC").to_string())
}

/// "● full of db2, 2 h ago: 84.0 GiB in 14 min, read again".
fn backup(backup: &Backup, now_ms: i64) -> String {
    let damaged = [&backup.fault, &backup.chain_fault].into_iter().find(|fault| !fault.is_empty());
    let took = u64::try_from(backup.ended_ms.saturating_sub(backup.began_ms)).unwrap_or_default();
    let (mark, state) = match (damaged, backup.verified_ms) {
        (Some(fault), _) => ("✗", format!(", DAMAGED: {fault}")),
        (None, 0) => ("○", String::new()),
        (None, _) => ("●", ", read again".to_owned()),
    };
    let (size, took) = (size(backup.stored_bytes), length(took / 1000));
    let since = ago(backup.ended_ms, now_ms);
    format!("{mark} {} of {}, {since}: {size} in {took}{state}", backup.kind, backup.node)
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
