//! `batonctl recovery`: what can be restored now, what cannot, and what that rests on.

use baton_proto::control::{Archive, RecoveryReply, RecoveryWindow, RecoveryWork};
use jiff::Timestamp;

use super::layout::{Cell, table, wrap};
use super::rebuild::{length, size};
use super::style::{Style, Tone, clean};
use super::time::{ago, instant};

/// Backups that stand alone are named up to so many, the newest.
const ALONE: usize = 5;
/// Characters of a GTID set; all of it is in the JSON.
const GTIDS_MAX: usize = 120;

/// A window that ended within this, in milliseconds, goes on: how long ago says more than when.
const LATELY_MS: i64 = 3_600_000;

/// The answer first; then what is missing, and a fact a line.
pub fn recovery(reply: &RecoveryReply, now: Timestamp, style: &Style) -> String {
    let mut text: String = reply.windows.iter().map(|one| window(one, now, style)).collect();
    text += &alone(reply, style);
    if reply.windows.is_empty() && reply.alone.is_empty() {
        let words = "✗ nothing can be restored: there is no backup that is known to be good";
        text += &format!("{}\n", style.paint(Tone::Bad, words));
    }
    text += &missing(reply, style);
    text.push('\n');
    text + &table(&facts(reply, now), style)
}

fn window(window: &RecoveryWindow, now: Timestamp, style: &Style) -> String {
    let to = match now.as_millisecond().saturating_sub(window.to_ms) {
        ..LATELY_MS => ago(window.to_ms, now),
        _ => instant(window.to_ms),
    };
    let head = format!("any moment from {} to {to}", instant(window.from_ms));
    let head = format!("{} {}\n", style.paint(Tone::Good, "●"), style.paint(Tone::Strong, &head));
    let rows = [
        ("  from backup", window.backup.clone()),
        ("  which has", gtids(&window.from_gtids)),
        ("  up to", gtids(&window.to_gtids)),
    ];
    let known = rows.into_iter().filter(|(_, what)| !what.is_empty());
    head + &table(&known.map(fact).collect::<Vec<_>>(), style)
}

fn fact((name, what): (&str, String)) -> Vec<Cell> {
    vec![Cell::new(Tone::Dim, name), Cell::plain(clean(&what))]
}

/// The first of a set that is long, and how many there are.
fn gtids(set: &str) -> String {
    let all: Vec<&str> = set.split(',').map(str::trim).collect();
    if set.chars().count() <= GTIDS_MAX {
        return all.join(", ");
    }
    let (mut shown, mut used) = (Vec::new(), 0);
    for one in &all {
        used += one.chars().count() + 2;
        if used > GTIDS_MAX && !shown.is_empty() {
            break;
        }
        shown.push(shortened(one));
    }
    match all.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

/// One server's numbers may be long enough.
fn shortened(one: &str) -> String {
    if one.chars().count() <= GTIDS_MAX {
        return one.to_owned();
    }
    one.chars().take(GTIDS_MAX / 2).chain("…".chars()).collect()
}

/// The newest by name.
fn alone(reply: &RecoveryReply, style: &Style) -> String {
    let row = |one: &baton_proto::control::RecoveryMoment| {
        let head =
            Cell::new(Tone::Good, "●").then(Tone::Plain, format!(" the moment {}", instant(one.at_ms)));
        vec![head, Cell::plain(format!("backup {}", clean(&one.backup)))]
    };
    let older = reply.alone.len().saturating_sub(ALONE);
    let mut text = String::new();
    if older > 0 {
        let plural = if older == 1 { "" } else { "s" };
        let words = format!(" the moment{plural} of {older} older backup{plural}: see batonctl backup list");
        text += &format!("{}{words}\n", style.paint(Tone::Good, "●"));
    }
    text + &table(&reply.alone.iter().skip(older).map(row).collect::<Vec<_>>(), style)
}

/// What is lost, or would be.
fn missing(reply: &RecoveryReply, style: &Style) -> String {
    let mut words = Vec::new();
    let holes = reply.archive.iter().map(|archive| archive.holes.as_str()).filter(|holes| !holes.is_empty());
    words.extend(
        holes.map(|holes| format!("the archive lacks {}: nothing is restored across that", gtids(holes))),
    );
    words.extend(reply.unreached.iter().map(|one| {
        let (from, to) = (instant(one.from_ms), instant(one.to_ms));
        format!("archived from {from} to {to}, and no good backup leads there")
    }));
    // A backup of now is of no use to what came before a hole.
    let newest = reply.windows.last().map_or(0, |window| window.to_ms);
    if reply.unreached.last().is_some_and(|one| one.to_ms > newest) {
        words.push("batonctl backup now makes a backup from which the archive goes on".to_owned());
    }
    let line = |words: &String| {
        format!("{} {}", style.paint(Tone::Warn, "!"), wrap(words, "", "  ", style.width - 2))
    };
    words.iter().map(line).collect()
}

fn facts(reply: &RecoveryReply, now: Timestamp) -> Vec<Vec<Cell>> {
    let read_again = match &reply.read_again {
        Some(one) => format!("{}, {}: as it was written", one.backup, ago(one.at_ms, now)),
        None => "no good backup was read again yet; batonctl backup verify ID does it".to_owned(),
    };
    let proven =
        "no restore is proven yet: Baton tries none by itself; baton-node restore --sandbox tries one";
    let mut rows = vec![("archive", archived(reply, now))];
    rows.extend(reply.newest.as_ref().and_then(predicted).map(|words| ("restore", words)));
    rows.extend([("read again", read_again), ("proven", proven.to_owned())]);
    rows.into_iter().map(fact).collect()
}

/// How far the archive is.
fn archived(reply: &RecoveryReply, now: Timestamp) -> String {
    let Some(Archive { node, works, behind, error, waits, .. }) = &reply.archive else {
        return "the binlog is not archived: the moments of backups are all that there is".to_owned();
    };
    let mut words = match (reply.archived_ms, works) {
        (0, true) => format!("{node}: what it covers is not known yet"),
        (0, false) => format!("{node}: what it covers is not known, because it does not work, or not yet"),
        (at, _) => format!("{node}: everything until {}, {}", instant(at), ago(at, now)),
    };
    match behind {
        0 => {}
        1 => words += "; its server has 1 transaction more",
        many => words += &format!("; its server has {many} transactions more"),
    }
    if !works && reply.archived_ms > 0 {
        words += "; nothing is archived now";
    }
    for why in [error, waits].into_iter().filter(|why| !why.is_empty()) {
        words += &format!("; {why}");
    }
    words
}

/// "about 14 min for 84 GiB of 1-db2 and 2 increments, …"; nothing where nobody can say.
fn predicted(work: &RecoveryWork) -> Option<String> {
    let (full, increments) = work.backups.split_first()?;
    if work.seconds < 0 {
        return None;
    }
    let increments = match increments.len() {
        0 => String::new(),
        1 => " and an increment".to_owned(),
        many => format!(" and {many} increments"),
    };
    let replayed = match work.replayed {
        0 => String::new(),
        1 => "; 1 transaction is replayed after that, which is not counted in".to_owned(),
        2.. => format!("; {} transactions are replayed after that, which is not counted in", work.replayed),
        _ => "; what is replayed after that is not counted in".to_owned(),
    };
    Some(format!(
        "about {} to the newest moment: {} of {full}{increments}, at {}/s, as it was made{replayed}",
        length(work.seconds.max(1)),
        size(work.bytes),
        size(work.bytes_per_second)
    ))
}

#[cfg(test)]
mod tests {
    use baton_proto::control::{RecoveryMoment, Stretch};

    use super::super::fixtures::{NOW_MS, PLAIN, now};
    use super::*;

    const HOUR: i64 = 3_600_000;
    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn moment(backup: &str, hours: i64) -> RecoveryMoment {
        RecoveryMoment { backup: backup.into(), at_ms: NOW_MS - hours * HOUR }
    }

    /// Two windows with a hole between, older backups that stand alone, and a chain.
    fn some() -> RecoveryReply {
        let window =
            |from: i64, to_ms: i64, backup: &str, from_gtids: String, to_gtids: String| RecoveryWindow {
                from_ms: NOW_MS - from * HOUR,
                to_ms,
                backup: backup.into(),
                from_gtids,
                to_gtids,
            };
        let many: Vec<_> = (1..9).map(|n| format!("{n}e11fa47-71ca-11e1-9e33-c80aa9429562:1-4711")).collect();
        let old = window(
            170,
            NOW_MS - 50 * HOUR,
            "20261113T070000Z-db2",
            format!("{UUID}:1-4711"),
            format!("{UUID}:1-9000"),
        );
        let newest =
            window(44, NOW_MS - 2_000, "20261118T130000Z-db3", format!("{UUID}:1-9100"), many.join(","));
        RecoveryReply {
            windows: vec![old, newest],
            alone: vec![moment("20261030T020000Z-db2", 510), moment("20261106T020000Z-db2", 340)],
            unreached: Vec::new(),
            archive: Some(Archive {
                node: "db2".into(),
                works: true,
                behind: 3,
                holes: format!("{UUID}:9001-9050"),
                stretches: vec![Stretch { first_ms: NOW_MS - 200 * HOUR, last_ms: NOW_MS - 50 * HOUR }],
                ..Archive::default()
            }),
            archived_ms: NOW_MS - 2_000,
            read_again: Some(moment("20261113T070000Z-db2", 72)),
            newest: Some(RecoveryWork {
                at_ms: NOW_MS - 2_000,
                backups: ["20261118T130000Z-db3", "20261119T130000Z-db3"].map(Into::into).to_vec(),
                bytes: 84 << 30,
                bytes_per_second: 101 << 20,
                seconds: 852,
                replayed: 4_711,
            }),
        }
    }

    #[test]
    fn windows_holes_and_what_it_rests_on() {
        insta::assert_snapshot!(recovery(&some(), now(), &PLAIN));
        insta::assert_snapshot!("json", serde_json::to_string_pretty(&some()).unwrap_or_default());
    }

    #[test]
    fn nothing_at_all() {
        insta::assert_snapshot!(recovery(&RecoveryReply::default(), now(), &PLAIN));
    }

    #[test]
    fn an_archive_that_no_backup_leads_to() {
        let unreached =
            RecoveryWindow { from_ms: NOW_MS - 9 * HOUR, to_ms: NOW_MS, ..RecoveryWindow::default() };
        let backups: Vec<_> =
            (0..7).map(|n| moment(&format!("2026111{n}T020000Z-db2"), 240 - 24 * n)).collect();
        let reply = RecoveryReply {
            alone: backups,
            unreached: vec![unreached],
            archive: Some(Archive {
                node: "db2".into(),
                error: "store disk: full".into(),
                ..Archive::default()
            }),
            ..RecoveryReply::default()
        };
        insta::assert_snapshot!(recovery(&reply, now(), &PLAIN));
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_and_no_word_steers_it() {
        let mut odd = some();
        odd.windows[0].from_gtids = "1-5:".repeat(200);
        odd.windows[0].backup = "\x1b[2J".into();
        if let Some(archive) = &mut odd.archive {
            (archive.error, archive.holes) = ("\x1b]0;evil".into(), "0-1-4..9\x07".into());
        }
        let text = recovery(&odd, now(), &PLAIN);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_time_is_predicted_only_where_it_is_known() {
        let unknown = RecoveryWork { seconds: -1, ..some().newest.unwrap_or_default() };
        assert_eq!(predicted(&unknown), None);
        assert_eq!(predicted(&RecoveryWork::default()), None, "of an earlier release");
    }
}
