//! What can be restored: backups, the archive of the binlog between them, its holes, and what was read again.

use std::collections::BTreeMap;
use std::fmt::Write;

use baton_proto::control::{Archive, Backup, BackupListReply, BackupTask, RecoveryReply, Stretch};

use super::html::{Text, instant, length};
use super::outcome::{Outcome, all, counted, failed};

/// Marks nearer to each other than this, in hundredths of the width, are one.
const APART: f64 = 0.8;
/// A line shorter than this would say nothing.
const SHORTEST_MS: i64 = 3_600_000;
/// Rows of the list.
const LISTED: usize = 40;

/// The section.
pub(super) fn window(backups: &BackupListReply, recovery: Option<&RecoveryReply>, now_ms: i64) -> String {
    let mut text =
        "<section aria-labelledby=\"window\">\n<h2 id=\"window\">What can be restored</h2>\n".to_owned();
    text += &recovery.map(|recovery| restorable(recovery, now_ms)).unwrap_or_default();
    text += &timeline(backups, now_ms);
    text += &notes(backups);
    text += &list(&backups.backups);
    text + "</section>\n"
}

/// The answer in words.
fn restorable(recovery: &RecoveryReply, now_ms: i64) -> String {
    let mut text = String::new();
    for window in &recovery.windows {
        let (from, to) = (instant(window.from_ms), ago(window.to_ms, now_ms));
        let _infallible =
            writeln!(text, "<p>Any moment from <strong>{from}</strong> to <strong>{to}</strong>.</p>");
    }
    let alone = recovery.alone.as_slice();
    match (alone.len(), alone.first(), alone.last()) {
        (1, Some(only), _) => {
            let _infallible = writeln!(text, "<p>The moment of the backup of {}.</p>", instant(only.at_ms));
        }
        (count, Some(oldest), Some(newest)) => {
            let (from, to) = (instant(oldest.at_ms), instant(newest.at_ms));
            let _infallible = writeln!(text, "<p>The moments of {count} backups from {from} to {to}.</p>");
        }
        _ if recovery.windows.is_empty() => {
            text += "<p class=\"bad\"><strong>✗ Nothing: there is no backup that is known to be good.</strong></p>\n"
        }
        _ => {}
    }
    text
}

fn ago(at_ms: i64, now_ms: i64) -> String {
    match u64::try_from(now_ms.saturating_sub(at_ms)) {
        // Seconds are enough: what changes all the time is read by nobody.
        Ok(0..60_000) => "less than a minute ago".to_owned(),
        Ok(since) => format!("{} ago", length(since)),
        Err(_) => instant(at_ms),
    }
}

/// A line of time, by rows.
struct Line {
    from: i64,
    to: i64,
}

impl Line {
    /// In milliseconds; never nothing.
    fn length(&self) -> i64 {
        self.to.saturating_sub(self.from).max(1)
    }

    /// In hundredths of the width.
    fn at(&self, at_ms: i64) -> f64 {
        let part = (at_ms.clamp(self.from, self.to) as f64 - self.from as f64) / self.length() as f64;
        part * 98.0 + 1.0
    }
}

fn timeline(backups: &BackupListReply, now_ms: i64) -> String {
    let stretches = backups.archive.as_ref().map_or(&[][..], |archive| archive.stretches.as_slice());
    let begins = all(backups).map(|(at, _)| at).chain(stretches.iter().map(|stretch| stretch.first_ms));
    let Some(first) = begins.min() else { return String::new() };
    // A clock may be behind.
    let line = Line { from: first.min(now_ms.saturating_sub(SHORTEST_MS)), to: now_ms };
    let made: Vec<_> = all(backups).collect();
    let proofs = backups.backups.iter().filter(|backup| backup.verified_ms > 0);
    let proofs: Vec<_> = proofs.map(|backup| (backup.verified_ms, Outcome::of(backup))).collect();
    let mut text = "<div class=\"line\">\n".to_owned();
    text += &row("backups", &summary(&made, "no backup"), &marks(&line, &made));
    if let Some(archive) = &backups.archive {
        text += &row("binlog", &covered(archive), &stretched(&line, stretches));
    }
    text += &row("read again", &summary(&proofs, "none was read again yet"), &marks(&line, &proofs));
    let middle = line.from.saturating_add(line.length() / 2);
    let ends = [line.from, middle].map(|at| format!("<time>{}</time>", tick(at, line.length())));
    let _infallible = writeln!(text, "<p class=\"axis\">{}{}<span>now</span></p>\n</div>", ends[0], ends[1]);
    text
}

/// The day, and the hour too where days are few.
fn tick(at_ms: i64, of_ms: i64) -> String {
    let format = if of_ms < 3 * 86_400_000 { "%b %-d, %H:%M" } else { "%b %-d" };
    jiff::Timestamp::from_millisecond(at_ms)
        .map_or_else(|_| String::new(), |at| at.strftime(format).to_string())
}

fn row(name: &str, words: &str, drawn: &str) -> String {
    format!(
        "<span class=\"dim\" aria-hidden=\"true\">{name}</span>\n\
         <svg role=\"img\" focusable=\"false\" aria-label=\"{name}: {}\">{drawn}</svg>\n",
        Text(words)
    )
}

fn summary(marks: &[(i64, Outcome)], none: &str) -> String {
    let outcomes: Vec<Outcome> = marks.iter().map(|(_, outcome)| *outcome).collect();
    if outcomes.is_empty() { none.to_owned() } else { counted(&outcomes) }
}

/// One mark for all that would lie on one another: the worst of them.
fn marks(line: &Line, all: &[(i64, Outcome)]) -> String {
    let mut places: BTreeMap<i64, Vec<(i64, Outcome)>> = BTreeMap::new();
    for (at, outcome) in all {
        let place = (line.at(*at) / APART).floor() as i64;
        places.entry(place).or_default().push((*at, *outcome));
    }
    let drawn = places.values().filter_map(|marks| {
        let (_, worst) = marks.iter().max_by_key(|(_, outcome)| *outcome)?;
        let (first, _) = marks.first()?;
        let outcomes: Vec<Outcome> = marks.iter().map(|(_, outcome)| *outcome).collect();
        let (tone, shape, when) = (worst.tone(), worst.shape(), instant(*first));
        let words = counted(&outcomes);
        Some(format!(
            "<text class=\"{tone}\" x=\"{:.1}%\" y=\"75%\"><title>{when}: {words}</title>{shape}</text>",
            line.at(*first)
        ))
    });
    format!("<line class=\"quiet\" x1=\"1%\" x2=\"99%\" y1=\"50%\" y2=\"50%\"/>{}", drawn.collect::<String>())
}

/// What is archived, and the holes between.
fn stretched(line: &Line, stretches: &[Stretch]) -> String {
    let mut text = "<line class=\"quiet\" x1=\"1%\" x2=\"99%\" y1=\"50%\" y2=\"50%\"/>".to_owned();
    let mut ended = None;
    for Stretch { first_ms, last_ms } in stretches {
        let (from, to) = (line.at(*first_ms), line.at(*last_ms));
        if let Some(hole) = ended {
            let width = (from - line.at(hole)).max(APART);
            let _infallible = write!(
                text,
                "<rect class=\"hole\" x=\"{:.1}%\" width=\"{width:.1}%\" y=\"25%\" height=\"50%\"><title>hole: {} to {}</title></rect>",
                from - width,
                instant(hole),
                instant(*first_ms)
            );
        }
        let _infallible = write!(
            text,
            "<rect class=\"covered\" x=\"{from:.1}%\" width=\"{:.1}%\" y=\"25%\" height=\"50%\"><title>{} to {}</title></rect>",
            (to - from).max(APART),
            instant(*first_ms),
            instant(*last_ms)
        );
        ended = Some(*last_ms);
    }
    text
}

fn covered(archive: &Archive) -> String {
    let (Some(first), Some(last)) = (archive.stretches.first(), archive.stretches.last()) else {
        return "nothing is archived yet".to_owned();
    };
    let holes = archive.stretches.len() - 1;
    let holes = match holes {
        0 => "without a hole".to_owned(),
        1 => "with a hole".to_owned(),
        _ => format!("with {holes} holes"),
    };
    format!("archived from {} to {}, {holes}", instant(first.first_ms), instant(last.last_ms))
}

/// What is under way, what went wrong last, and what comes next.
fn notes(backups: &BackupListReply) -> String {
    let mut notes = Vec::new();
    notes.extend(backups.task.as_ref().map(|task| format!("now: {}", under_way(task))));
    if let Some(archive) = &backups.archive {
        let trouble = [&archive.error, &archive.waits].into_iter().find(|why| !why.is_empty());
        notes.extend(trouble.map(|why| format!("the binlog of {} is not archived: {why}", archive.node)));
        let holes = Some(&archive.holes).filter(|holes| !holes.is_empty());
        notes.extend(holes.map(|holes| format!("missing in the archive: {holes}")));
    }
    let newest = backups.backups.iter().map(|backup| backup.began_ms).max().unwrap_or_default();
    let last = failed(backups).next().filter(|task| task.started_ms > newest);
    notes.extend(last.map(|task| format!("{} came to nothing: {}", task.backup, task.error)));
    notes.extend(backups.schedules.iter().map(|schedule| {
        let when = if schedule.fault.is_empty() { instant(schedule.next_ms) } else { schedule.fault.clone() };
        format!("next: {}, {when}", schedule.name)
    }));
    let items: String = notes.iter().map(|note| format!("<li>{}</li>\n", Text(note))).collect();
    if items.is_empty() { items } else { format!("<ul class=\"facts\">\n{items}</ul>\n") }
}

fn under_way(task: &BackupTask) -> String {
    let share = (task.total_bytes > 0).then(|| task.bytes.saturating_mul(100) / task.total_bytes);
    let share = share.map(|share| format!(", {} %", share.min(100))).unwrap_or_default();
    let left = u64::try_from(task.seconds_left).ok().filter(|left| *left > 0);
    let left = left.map(|left| format!(", {} left", length(left * 1000))).unwrap_or_default();
    format!("{} is to {} {}{share}{left}", task.node, task.what, task.backup)
}

fn first_of<'s>(one: &'s str, other: &'s str) -> &'s str {
    if one.is_empty() { other } else { one }
}

/// The newest, one row each.
fn list(backups: &[Backup]) -> String {
    if backups.is_empty() {
        return String::new();
    }
    let shown = backups.len().min(LISTED);
    let what = if shown < backups.len() {
        format!("The newest {shown} of {} backups", backups.len())
    } else {
        format!("Backups: {shown}")
    };
    let mut text = format!("<details id=\"backups\"><summary>{what}</summary>\n<table>\n");
    for backup in &backups[..shown] {
        let outcome = Outcome::of(backup);
        let state = match outcome {
            Outcome::Proven => format!("read again {}", instant(backup.verified_ms)),
            Outcome::Damaged => format!("DAMAGED: {}", first_of(&backup.fault, &backup.chain_fault)),
            Outcome::Made | Outcome::Failed => "not read again yet".to_owned(),
        };
        let pinned = if backup.pinned { ", pinned" } else { "" };
        let _infallible = writeln!(
            text,
            "<tr><td class=\"{}\" aria-hidden=\"true\">{}</td><td>{}</td><td>{}</td><td>{}{pinned}</td></tr>",
            outcome.tone(),
            outcome.shape(),
            Text(&backup.id),
            Text(backup.stores.join(", ")),
            Text(state)
        );
    }
    text + "</table>\n</details>\n"
}
