//! `batonctl adopt`: what was found, and every change with its statement.

use baton_proto::control::AdoptReply;

use super::check::findings;
use super::layout::{Cell, table, wrap};
use super::style::{Style, Tone};

/// The plan of a dry run, or what was done; `cluster` is the cluster's name.
pub fn adopt(reply: &AdoptReply, cluster: &str, dry_run: bool, style: &Style) -> String {
    let refused = reply.findings.iter().any(|finding| finding.level == "error");
    let writer = if reply.writer.is_empty() { "no" } else { &reply.writer };
    let (tone, head) = match (reply.adopted, dry_run, refused) {
        (true, ..) => (Tone::Good, format!("{cluster} is under Baton's care, its writer is {writer}")),
        (false, false, _) => (Tone::Bad, format!("{cluster} is not adopted")),
        (false, true, true) => (Tone::Bad, format!("{cluster} cannot be adopted yet")),
        (false, true, false) => {
            (Tone::Strong, format!("would adopt {cluster} with {writer} as its writer, without closing it"))
        }
    };
    let mut text = format!("{}\n", style.paint(tone, &head));
    let found = findings(&reply.findings, style);
    if !found.is_empty() {
        text = format!("{text}\n{found}");
    }
    if !reply.changes.is_empty() {
        text += if dry_run { "\nwould change\n" } else { "\nchanges\n" };
        let name = reply.changes.iter().map(|change| change.node.chars().count()).max().unwrap_or(0);
        for change in &reply.changes {
            let node = Cell::plain(format!(" {:name$}", change.node));
            text += &table(&[vec![node, Cell::plain(&change.what)]], style);
            for line in change.statement.lines() {
                text += &format!("{:>width$}{}\n", "", style.paint(Tone::Strong, line), width = name + 4);
            }
        }
    }
    if !reply.message.is_empty() {
        text = format!("{text}\n{}", wrap(&reply.message, "", "", style.width));
    }
    text
}

#[cfg(test)]
mod tests;
