//! What a phone shows: the point in the first line, then the facts. Telegram's HTML, escaped. Pure.

use super::due::Due;
use super::story::clock;
use crate::state::{Line, Notice, Severity, Story, Subject, Tone};

/// Telegram takes no more characters, counted after its HTML is read; with the marks and tags there is room left.
pub(super) const TEXT_MAX: usize = 3800;

/// One notice as text, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// A coloured mark, whose meaning the first line says too.
    pub mark: &'static str,
    /// The point.
    pub title: String,
    /// The rest, a line each.
    pub facts: Vec<String>,
}

/// The words for a notice of that cluster.
pub fn words(cluster: &str, notice: &Notice) -> Words {
    let mut words = match &notice.subject {
        Subject::Operation(story) => of_story(cluster, notice.severity, story),
        Subject::Troubles(lines) => of_troubles(cluster, lines),
    };
    words.facts.extend(notice.acknowledged.as_ref().map(|by| format!("{by} sees to it.")));
    words
}

/// As Telegram's HTML.
pub fn html(cluster: &str, due: &Due) -> String {
    let Words { mark, title, facts } = words(cluster, &due.notice);
    let mut text = format!("{mark} <b>{}</b>", escape(&title));
    if due.repeat {
        text.push_str("\n<i>Repeat: this may have been sent before.</i>");
    }
    if let Some(said) = dropped(due.dropped) {
        text.push_str(&format!("\n<i>{said}</i>"));
    }
    for fact in facts {
        let fact = escape(&fact);
        if text.chars().count() + fact.chars().count() >= TEXT_MAX {
            text.push_str("\n…");
            break;
        }
        text.push('\n');
        text.push_str(&fact);
    }
    text
}

/// What never came before a message, so that nobody takes the chat for the whole story.
fn dropped(count: u64) -> Option<String> {
    match count {
        0 => None,
        1 => Some("1 message was dropped before this one.".to_owned()),
        many => Some(format!("{many} messages were dropped before this one.")),
    }
}

/// What stands in the way of Telegram's HTML. Control characters of a server's own words have no place in a message.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

fn of_story(cluster: &str, severity: Severity, story: &Story) -> Words {
    let mark = match (story.tone, severity) {
        (Tone::Bad, _) => "🔴",
        (Tone::Uneasy, _) => "🟡",
        (Tone::Good, Severity::Info) => "🔵",
        (Tone::Good, _) => "🟢",
    };
    Words { mark, title: format!("{cluster}: {}", story.title), facts: story.facts.clone() }
}

fn of_troubles(cluster: &str, lines: &[Line]) -> Words {
    let worst = lines.iter().filter(|l| l.over_ms.is_none()).map(|l| l.severity).max();
    let mark = match worst {
        None => "🟢",
        Some(Severity::Critical) => "🔴",
        Some(_) => "🟡",
    };
    let (title, facts) = match lines {
        [] => (String::new(), Vec::new()),
        [only] => (single(only), moments(only)),
        several => (first_of(several), several.iter().map(item).collect()),
    };
    Words { mark, title: format!("{cluster}: {title}"), facts }
}

/// The worst that lasts on and how many do beside it; once all are over, the first of them.
fn first_of(lines: &[Line]) -> String {
    let open: Vec<&Line> = lines.iter().filter(|l| l.over_ms.is_none()).collect();
    // Of equals the one that came first.
    let worst = open.iter().rev().max_by_key(|l| l.severity).copied();
    let others = if open.is_empty() { lines.len() } else { open.len() } - 1;
    let first = worst.or(lines.first()).map(single).unwrap_or_default();
    if others == 0 { first } else { format!("{first}, and {others} more") }
}

fn single(line: &Line) -> String {
    if line.over_ms.is_some() { format!("over: {}", line.what) } else { line.what.clone() }
}

fn moments(line: &Line) -> Vec<String> {
    let since = match line.over_ms {
        Some(over) => format!("From {} to {}.", clock(line.since_ms), clock(over)),
        None => format!("Since {}.", clock(line.since_ms)),
    };
    let times = (line.times > 1).then(|| format!("For the {} time.", ordinal(line.times)));
    std::iter::once(since).chain(times).collect()
}

fn item(line: &Line) -> String {
    let times = if line.times > 1 { format!(", {} times", line.times) } else { String::new() };
    match line.over_ms {
        Some(over) => format!("✓ {} (until {}{times})", line.what, clock(over)),
        None => format!("• {} (since {}{times})", line.what, clock(line.since_ms)),
    }
}

fn ordinal(count: u32) -> String {
    let end = match (count % 10, count % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{count}{end}")
}
