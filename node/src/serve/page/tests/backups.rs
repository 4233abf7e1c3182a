use baton_proto::control::{
    Archive, Backup, BackupListReply, BackupSchedule, BackupTask, RecoveryMoment, RecoveryReply,
    RecoveryWindow, Stretch,
};

use super::super::calendar::calendar;
use super::super::window::window;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 2026-11-18 22:00:00 UTC.
const NOW_MS: i64 = 1_795_039_200_000;

/// So many hours ago.
fn backup(hours: i64, verified: bool, fault: &str) -> Backup {
    let ended_ms = NOW_MS - hours * HOUR_MS;
    Backup {
        id: format!("{hours}h-db2"),
        node: "db2".into(),
        began_ms: ended_ms - 60_000,
        ended_ms,
        stores: vec!["disk".into(), "b2".into()],
        verified_ms: if verified { ended_ms + HOUR_MS } else { 0 },
        fault: fault.into(),
        ..Backup::default()
    }
}

fn stretch(from_hours: i64, to_hours: i64) -> Stretch {
    Stretch { first_ms: NOW_MS - from_hours * HOUR_MS, last_ms: NOW_MS - to_hours * HOUR_MS }
}

fn archive(stretches: Vec<Stretch>) -> Option<Archive> {
    Some(Archive { node: "db2".into(), works: true, stretches, ..Archive::default() })
}

/// Four days of backups, one of them damaged, one that failed, and an archive with a hole.
fn some() -> BackupListReply {
    let failed = BackupTask {
        what: "make".into(),
        backup: "30h-db3".into(),
        error: "store b2: <full>".into(),
        started_ms: NOW_MS - 30 * HOUR_MS,
        ..BackupTask::default()
    };
    let daily =
        BackupSchedule { name: "daily".into(), next_ms: NOW_MS + 4 * HOUR_MS, ..BackupSchedule::default() };
    BackupListReply {
        backups: vec![
            backup(4, false, ""),
            backup(28, true, ""),
            backup(52, true, "an object <lacks>"),
            backup(96, true, ""),
        ],
        ended: vec![failed],
        schedules: vec![daily],
        archive: archive(vec![stretch(90, 40), stretch(36, 0)]),
        ..BackupListReply::default()
    }
}

/// With such words wherever others than Baton write some.
pub(super) fn told(words: &str) -> BackupListReply {
    let words = || words.to_owned();
    let mut told = some();
    for backup in &mut told.backups {
        (backup.id, backup.node, backup.stores) = (words(), words(), vec![words()]);
        backup.fault = if backup.fault.is_empty() { String::new() } else { words() };
    }
    let task = BackupTask { node: words(), what: words(), backup: words(), ..BackupTask::default() };
    (told.task, told.ended[0].error, told.ended[0].backup) = (Some(task), words(), words());
    (told.ended[0].started_ms, told.schedules[0].name) = (NOW_MS, words());
    told.schedules.push(BackupSchedule { name: words(), fault: words(), ..BackupSchedule::default() });
    let archive = Archive { node: words(), holes: words(), error: words(), ..Archive::default() };
    told.archive = Some(archive);
    told
}

#[test]
fn what_can_be_restored_is_drawn() {
    let text = window(&some(), None, NOW_MS);
    for part in [
        "aria-label=\"backups: 2 made and read again, 1 made, 1 came to nothing, 1 DAMAGED\"",
        "aria-label=\"binlog: archived from 2026-11-15 04:00:00 UTC to 2026-11-18 22:00:00 UTC, with a hole\"",
        "<title>hole: 2026-11-17 06:00:00 UTC to 2026-11-17 10:00:00 UTC</title>",
        "aria-label=\"read again: 2 made and read again, 1 DAMAGED\"",
        "<li>next: daily, 2026-11-19 02:00:00 UTC</li>",
        "DAMAGED: an object &lt;lacks&gt;",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(text.matches("class=\"covered\"").count(), 2, "{text}");
    // From the first to now: 96 hours and a minute.
    assert!(
        text.contains("x=\"1.0%\" y=\"75%\"><title>2026-11-14 21:59:00 UTC: 1 made and read again"),
        "{text}"
    );
}

#[test]
fn two_months_are_shown_by_the_worst_of_each_day() {
    let text = calendar(&some(), NOW_MS);
    let empty = |count| "<td></td>".repeat(count);
    for part in [
        "<caption>October 2026</caption>".to_owned(),
        format!("<tbody>\n<tr>{}<td>1</td><td>2</td><td>3</td><td>4</td></tr>\n<tr><td>5</td>", empty(3)),
        format!("<tbody>\n<tr>{}<td>1</td></tr>\n<tr><td>2</td>", empty(6)),
        cell("good", "", "14 November: 1 made and read again", 14, "●"),
        cell("bad", "", "16 November: 1 DAMAGED", 16, "✗"),
        cell("warn", "", "17 November: 1 made and read again, 1 came to nothing", 17, "▲"),
        cell("plain", " aria-current=\"date\"", "18 November: 1 made", 18, "◐"),
        cell("dim", "", "19 November: one is due", 19, "○"),
    ] {
        assert!(text.contains(&part), "{part} is not in {text}");
    }
    assert_eq!(text.matches("<td").count(), 3 + 31 + 6 + 30, "{text}");
}

fn cell(tone: &str, today: &str, title: &str, day: u32, shape: &str) -> String {
    let (_, words) = title.split_once(": ").unwrap_or_default();
    format!(
        "<td class=\"{tone}\"{today} title=\"{title}\">{day} <span aria-hidden=\"true\">{shape}</span>\
         <span class=\"said\">{words}</span></td>"
    )
}

/// What the first paragraphs say.
fn promise(recovery: &RecoveryReply) -> String {
    let text = window(&BackupListReply::default(), Some(recovery), NOW_MS);
    let paragraphs = text.lines().filter_map(|line| line.strip_prefix("<p>")?.strip_suffix("</p>"));
    paragraphs.map(|line| line.replace("<strong>", "").replace("</strong>", "") + "\n").collect()
}

fn reach(from_hours: i64, to_hours: i64) -> RecoveryWindow {
    let Stretch { first_ms, last_ms } = stretch(from_hours, to_hours);
    RecoveryWindow {
        from_ms: first_ms,
        to_ms: last_ms,
        to_gtids: "0-1-4711".repeat(500),
        ..Default::default()
    }
}

fn moment(hours: i64) -> RecoveryMoment {
    RecoveryMoment { at_ms: NOW_MS - hours * HOUR_MS, ..RecoveryMoment::default() }
}

/// As much as is ever told.
fn wide() -> RecoveryReply {
    let windows = (0..20).map(|day| reach(480 - 24 * day, 460 - 24 * day)).collect();
    RecoveryReply { windows, alone: (0..500).rev().map(moment).collect(), ..RecoveryReply::default() }
}

#[test]
fn what_the_leader_found_is_promised() {
    let of = |windows: &[RecoveryWindow], hours: &[i64]| {
        let alone = hours.iter().copied().map(moment).collect();
        promise(&RecoveryReply { windows: windows.to_vec(), alone, ..RecoveryReply::default() })
    };
    assert_eq!(
        of(&[reach(24, 0)], &[]),
        "Any moment from 2026-11-17 22:00:00 UTC to less than a minute ago.\n"
    );
    assert_eq!(of(&[], &[24]), "The moment of the backup of 2026-11-17 22:00:00 UTC.\n");
    assert_eq!(
        of(&[reach(26, 10)], &[52, 28]),
        "Any moment from 2026-11-17 20:00:00 UTC to 10 h ago.\n\
         The moments of 2 backups from 2026-11-16 18:00:00 UTC to 2026-11-17 18:00:00 UTC.\n"
    );
    let nothing = window(&BackupListReply::default(), Some(&RecoveryReply::default()), NOW_MS);
    assert!(nothing.contains("Nothing: there is no backup that is known to be good"), "{nothing}");
    let not_told = window(&some(), None, NOW_MS);
    assert!(!not_told.contains("Nothing") && !not_told.contains("Any moment"), "{not_told}");
    assert!(!window(&some(), Some(&wide()), NOW_MS).contains("0-1-4711"), "sets are for batonctl");
}

#[test]
fn hundreds_of_backups_are_a_small_page() {
    let backups = (0..500).map(|day| backup(day * 24, true, "")).collect();
    let many = BackupListReply { backups, ..some() };
    let bytes = window(&many, Some(&wide()), NOW_MS).len() + calendar(&many, NOW_MS).len();
    assert!(bytes < 50 * 1024, "{bytes}");
}

#[test]
fn a_clock_far_off_breaks_nothing() {
    for now_ms in [0, 1, i64::MAX, i64::MIN, -DAY_MS] {
        window(&some(), Some(&wide()), now_ms);
        calendar(&some(), now_ms);
    }
}
