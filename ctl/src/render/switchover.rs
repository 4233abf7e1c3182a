//! `batonctl switchover`: what was found, what would be done, how it went.

use baton_proto::control::{Change, Finding, Step, SwitchoverReply};

use super::layout::{Cell, table, wrap};
use super::style::{Style, Tone, clean};
use super::time;

/// Columns of a step's line that are neither its node's name nor its words.
const BESIDE: usize = 9;

/// The plan of a dry run, what stands in the way, or what was done; `cluster` is the cluster's name.
pub fn switchover(reply: &SwitchoverReply, cluster: &str, style: &Style) -> String {
    let way = format!("{} → {}", reply.from, reply.to);
    if reply.tried {
        return tried(reply, cluster, &way, style);
    }
    let head = match reply.refused {
        true => style.paint(Tone::Bad, &clean(&format!("{cluster}'s writer stays where it is"))),
        false if reply.appointed_ms != 0 => {
            let at = time::instant(reply.appointed_ms);
            let head = format!("{cluster}'s writer will move at {at}");
            let now = match reply.to.as_str() {
                "" => String::new(),
                _ => format!("   as of now {way}"),
            };
            style.paint(Tone::Good, &clean(&head))
                + &now
                + "\n\nIt is looked at again then; batonctl switchover --cancel ends it."
        }
        false => {
            let pause = match reply.pause_ms {
                0 => String::new(),
                ms => format!("   writes would pause for about {}", time::length(ms)),
            };
            style.paint(Tone::Strong, &clean(&format!("would move {cluster}'s writer {way}"))) + &pause
        }
    };
    let mut text = format!("{head}\n\n{}", findings(&reply.findings, style));
    if !reply.steps.is_empty() {
        text += &format!("\n{}", steps(&reply.steps, style));
    }
    text
}

fn tried(reply: &SwitchoverReply, cluster: &str, way: &str, style: &Style) -> String {
    let pause = match reply.pause_ms {
        0 => "writes did not pause".to_owned(),
        ms => format!("writes paused for {}", time::length(ms)),
    };
    let (tone, head) = match reply.moved {
        true => (Tone::Good, format!("{cluster}'s writer has moved {way}")),
        false => (Tone::Bad, format!("{cluster}'s writer has not moved")),
    };
    let epoch = format!("epoch {}", reply.epoch);
    let mut text = format!("{}   {epoch}   {pause}\n", style.paint(tone, &clean(&head)));
    text += &wrap(&reply.message, "", "", style.width);
    let journal: Vec<Vec<Cell>> = reply.journal.iter().map(|step| journal(step, reply.started_ms)).collect();
    if !journal.is_empty() {
        text += &format!("\n{}", table(&journal, style));
    }
    text
}

fn journal(step: &Step, started_ms: i64) -> Vec<Cell> {
    let what = match step.detail.as_str() {
        "" => step.name.clone(),
        detail => format!("{}: {detail}", step.name),
    };
    let at = Cell::new(Tone::Dim, format!("{:>6} ms", step.at_ms - started_ms));
    vec![at, Cell::plain(&step.node), Cell::plain(what)]
}

/// What is well, what makes it wait, what stands in the way; the mend below each.
fn findings(findings: &[Finding], style: &Style) -> String {
    let mut text = String::new();
    let name = findings.iter().map(|finding| finding.node.chars().count()).max().unwrap_or(0);
    for (level, tone) in [("ok", Tone::Good), ("wait", Tone::Warn), ("stop", Tone::Bad)] {
        let mut found = findings.iter().filter(|finding| finding.level == level).peekable();
        if found.peek().is_none() && level == "stop" {
            text +=
                &table(&[vec![Cell::new(tone, format!(" stop  {:name$}", "")), Cell::plain("none")]], style);
        }
        for finding in found {
            let head = Cell::new(tone, format!(" {level:<4}"))
                .then(Tone::Plain, format!("  {:name$}", finding.node));
            let mut rows = vec![vec![head, Cell::plain(&finding.what)]];
            if !finding.mend.is_empty() {
                rows.push(vec![Cell::plain(""), Cell::new(Tone::Dim, &finding.mend)]);
            }
            text += &table(&rows, style);
        }
    }
    text
}

fn steps(steps: &[Change], style: &Style) -> String {
    let mut text = String::new();
    let name = steps.iter().map(|step| step.node.chars().count()).max().unwrap_or(0);
    for (position, step) in steps.iter().enumerate() {
        let number = Cell::new(Tone::Dim, format!("{:>3}", position + 1));
        let node = Cell::plain(format!("{:name$}", step.node));
        let mut rows = vec![vec![number, node, Cell::plain(&step.what)]];
        let room = style.width.saturating_sub(name + BESIDE);
        let line = |line: &str| vec![Cell::plain(""), Cell::plain(""), Cell::new(Tone::Dim, line)];
        rows.extend(step.statement.lines().flat_map(|sql| noted(sql, room)).map(line));
        text += &table(&rows, style);
    }
    text
}

/// A note that finds no room beside its statement stands below it: the second line of one would look like SQL.
fn noted(statement: &str, room: usize) -> impl Iterator<Item = &str> {
    let apart = statement.rfind("; -- ").filter(|_| statement.chars().count() > room);
    let (sql, note) = apart.map_or((statement, None), |at| (&statement[..=at], Some(&statement[at + 2..])));
    [sql].into_iter().chain(note)
}

#[cfg(test)]
mod tests;
