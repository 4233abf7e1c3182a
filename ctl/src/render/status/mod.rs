//! `batonctl status`: the answer in the first line, then the tree, then what needs saying.

mod header;
mod tree;

use baton_proto::control::StatusReply;
use jiff::Timestamp;

use super::layout::{Cell, flow, table, wrap};
use super::style::{Style, Tone};
use super::time;

/// The whole page.
pub fn status(reply: &StatusReply, now: Timestamp, style: &Style) -> String {
    let mut text = flow(&header::items(reply, now), 3, style);
    text.push('\n');
    text += &table(&tree::rows(reply), style);
    text.push('\n');
    if !reply.operation.is_empty() {
        text += &painted(Tone::Strong, &format!("under way: {}", reply.operation), "", "  ", style);
    }
    if let Some(appointment) = &reply.appointment {
        let to = if appointment.to.is_empty() { String::new() } else { format!(" to {}", appointment.to) };
        let at = time::instant(appointment.at_ms);
        let words =
            format!("switchover{to} at {at}, by {}: batonctl switchover --cancel ends it", appointment.by);
        text += &painted(Tone::Plain, &words, "", "  ", style);
    }
    text += &footer(reply, now, style);
    for warning in warnings(reply) {
        text += &painted(Tone::Warn, &warning, "! ", "  ", style);
    }
    if reply.phase == "observing" && reply.health == "healthy" {
        text +=
            &painted(Tone::Dim, "to take it under Baton's care: batonctl adopt --dry-run", "", "  ", style);
    }
    text
}

/// The group and the last failover: on one line where that fits, the nodes of the failover left out if need be.
fn footer(reply: &StatusReply, now: Timestamp, style: &Style) -> String {
    let group = match reply.leader.as_str() {
        "" => Cell::new(Tone::Bad, "no leader"),
        leader => Cell::plain(format!("leader {leader} (term {})", reply.term)),
    };
    let all = reply.voters_answering >= reply.voters;
    let voting = format!(", {} of {} voting", reply.voters_answering, reply.voters);
    let group = group.then(if all { Tone::Plain } else { Tone::Warn }, voting);
    let Some(last) = reply.last_failover.as_ref().filter(|last| last.at_ms > 0) else {
        return flow(&[group], 6, style);
    };
    let (when, outage) = (time::ago(last.at_ms, now), time::length(last.outage_ms));
    let short = Cell::plain(format!("last failover {when}, {outage}"));
    let full = Cell::plain(format!("last failover {when}, {} → {}, {outage}", last.from, last.to));
    let named = !last.from.is_empty() && last.from != last.to;
    let room = style.width.saturating_sub(group.width() + 6);
    flow(&[group, if named && full.width() <= room { full } else { short }], 6, style)
}

/// The cluster's own warnings, and why it is not lossless where none of them says so.
fn warnings(reply: &StatusReply) -> Vec<String> {
    let mut warnings = reply.warnings.clone();
    let reason = &reply.durability_reason;
    let said = reason.is_empty() || warnings.iter().any(|warning| warning.contains(reason.as_str()));
    if reply.durability == "degraded" && !said {
        warnings.insert(0, format!("not lossless: {reason}"));
    }
    warnings
}

fn painted(tone: Tone, words: &str, lead: &str, hang: &str, style: &Style) -> String {
    let text = wrap(words, lead, hang, style.width);
    let lines = text.lines().map(|line| format!("{}\n", style.paint(tone, line)));
    lines.collect()
}

#[cfg(test)]
mod tests;
