//! `batonctl quarantine`: extra transactions and their archives.

use baton_proto::control::{QuarantineEntry, QuarantineListReply, QuarantineShowReply};
use jiff::Timestamp;

use super::layout::{Cell, table, wrap};
use super::style::{Style, Tone, clean};
use super::time::{ago, instant};

/// Lines of SQL that are shown without being asked for.
const LINES: usize = 25;
/// Characters of a GTID set in a row.
const GTIDS_MAX: usize = 48;
const KIB: u64 = 1 << 10;

/// One row each: servers in quarantine first.
pub fn quarantine_list(reply: &QuarantineListReply, now: Timestamp, style: &Style) -> String {
    if reply.entries.is_empty() {
        return format!(
            "{} no server is in quarantine, and nothing is archived\n",
            style.paint(Tone::Good, "●")
        );
    }
    let row = |entry: &QuarantineEntry| {
        let name = if entry.id.is_empty() { "–" } else { entry.id.as_str() };
        let at = if entry.quarantined { entry.since_ms } else { entry.archived_ms };
        vec![
            shape(entry).then(Tone::Strong, entry.node.clone()),
            Cell::plain(format!("epoch {}", entry.epoch)),
            Cell::plain(amount(entry.transactions)),
            state(entry),
            Cell::plain(ago(at, now)),
            Cell::plain(name),
        ]
    };
    let mut text = table(&reply.entries.iter().map(row).collect::<Vec<_>>(), style);
    for entry in &reply.entries {
        if !entry.note.is_empty() {
            text += &wrap(&format!("{}: {}", entry.node, entry.note), "", "  ", style.width);
        }
    }
    let now: Vec<&QuarantineEntry> = reply.entries.iter().filter(|e| e.quarantined).collect();
    if let Some(next) = now.iter().find(|e| e.released.is_empty()).map(|e| next(e)) {
        text.push('\n');
        text += &wrap(&next, "", "", style.width);
    }
    text
}

/// What a person does about a server in quarantine.
fn next(entry: &QuarantineEntry) -> String {
    let id = if entry.id.is_empty() { &entry.node } else { &entry.id };
    match entry.state.as_str() {
        "archived" => format!(
            "Look with `batonctl quarantine show {id}`. When these transactions are dealt with: \
             `batonctl quarantine release {} --reason TEXT`.",
            entry.node
        ),
        _ => format!("{} archives its transactions by itself as soon as it can.", entry.node),
    }
}

fn shape(entry: &QuarantineEntry) -> Cell {
    match (entry.quarantined, entry.state.as_str()) {
        (true, "failed") => Cell::new(Tone::Bad, "✗ "),
        (true, _) => Cell::new(Tone::Warn, "! "),
        (false, _) => Cell::plain("  "),
    }
}

fn state(entry: &QuarantineEntry) -> Cell {
    match (entry.state.as_str(), entry.quarantined) {
        ("failed", _) => Cell::new(Tone::Bad, "NOT archived"),
        ("waiting", _) => Cell::new(Tone::Warn, "being archived"),
        (_, true) if !entry.released.is_empty() => Cell::plain("archived, released"),
        (_, true) => Cell::plain("archived"),
        _ => Cell::new(Tone::Dim, "archived, past"),
    }
}

fn amount(transactions: u64) -> String {
    if transactions == 1 { "1 transaction".into() } else { format!("{transactions} transactions") }
}

/// An archive with the beginning of its SQL; with `sql`, that alone.
pub fn quarantine(reply: &QuarantineShowReply, sql: bool, now: Timestamp, style: &Style) -> String {
    let entry = reply.entry.clone().unwrap_or_default();
    if sql {
        return all_sql(reply, &entry);
    }
    let field = |name: &str, value: String| vec![Cell::new(Tone::Dim, name), Cell::plain(value)];
    let head = format!(
        "{}, {} that the writer of epoch {} lacked",
        entry.node,
        amount(entry.transactions),
        entry.epoch
    );
    let mut rows = vec![field("transactions", ranges(&entry.gtids, style))];
    if entry.quarantined {
        rows.push(field(
            "quarantined",
            format!("{} ({})", instant(entry.since_ms), ago(entry.since_ms, now)),
        ));
    }
    if entry.archived_ms > 0 {
        rows.push(field("archived", format!("{} on {}", instant(entry.archived_ms), entry.node)));
        rows.push(field("server", reply.server_version.clone()));
        rows.push(field("folder", entry.path.clone()));
    } else {
        let why = if entry.note.is_empty() { "not yet" } else { entry.note.as_str() };
        rows.push(field("archived", why.to_owned()));
    }
    if !entry.released.is_empty() {
        rows.push(field("released", entry.released.clone()));
    }
    let mut text = format!("{}\n", style.paint(Tone::Strong, &head));
    text += &table(&rows, style);
    if reply.files.is_empty() {
        return text;
    }
    let file = |file: &baton_proto::control::ArchivedFile| {
        let from = if file.from.is_empty() { String::new() } else { format!("from {}", file.from) };
        vec![Cell::plain(format!("  {}", file.name)), Cell::plain(size(file.bytes)), Cell::plain(from)]
    };
    text.push('\n');
    text += &table(&reply.files.iter().map(file).collect::<Vec<_>>(), style);
    text.push('\n');
    text += &some_sql(reply, &entry, style);
    text
}

fn some_sql(reply: &QuarantineShowReply, entry: &QuarantineEntry, style: &Style) -> String {
    let lines: Vec<&str> = reply.sql.lines().collect();
    let mut text: String = lines.iter().take(LINES).map(|line| format!("{}\n", clean(line))).collect();
    if lines.len() > LINES || reply.sql_left > 0 {
        let more =
            format!("… all of it: `batonctl quarantine show {} --sql`, or extra.sql in the folder", entry.id);
        text += &wrap(&more, "", "", style.width);
    }
    text
}

/// The SQL as it is in the file, for a pager or another file; a terminal is not steered by it.
fn all_sql(reply: &QuarantineShowReply, entry: &QuarantineEntry) -> String {
    let mut text: String = reply.sql.lines().map(|line| format!("{}\n", clean(line))).collect();
    if reply.sql_left > 0 {
        let path = format!("{}/extra.sql", entry.path);
        text +=
            &format!("-- {} more are in {} on {}\n", size(reply.sql_left), clean(&path), clean(&entry.node));
    }
    text
}

/// A long set on one line would hide the rest.
fn ranges(gtids: &str, style: &Style) -> String {
    let room = GTIDS_MAX.max(style.width.saturating_sub(20));
    if gtids.chars().count() <= room {
        return gtids.to_owned();
    }
    gtids.split(',').map(str::trim).collect::<Vec<_>>().join(", ")
}

fn size(bytes: u64) -> String {
    match bytes {
        0..KIB => format!("{bytes} bytes"),
        _ if bytes < KIB * KIB => format!("{} KiB", bytes.div_ceil(KIB)),
        _ => format!("{} MiB", bytes.div_ceil(KIB * KIB)),
    }
}

#[cfg(test)]
mod tests;
