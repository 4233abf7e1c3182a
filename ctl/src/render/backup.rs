//! `batonctl backup`: the list, one of them, a line of progress, the end.

use baton_proto::control::{
    Backup, BackupBegun, BackupListReply, BackupPruneReply, BackupSchedule, BackupTask, BackupVerdict,
};
use jiff::Timestamp;

use super::layout::{Cell, table, wrap};
use super::rebuild::{length, size};
use super::style::{Style, Tone, clean};
use super::time::{ago, instant};

/// Every backup, one row each, the newest first; below them what is under way, the last failure if nothing newer was done, and
/// when the next one is due.
pub fn backup_list(reply: &BackupListReply, now: Timestamp, style: &Style) -> String {
    let mut text = match reply.backups.as_slice() {
        [] => format!(
            "{} there is no backup yet; batonctl backup now makes one\n",
            style.paint(Tone::Warn, "!")
        ),
        backups => table(&backups.iter().map(|backup| row(backup, now)).collect::<Vec<_>>(), style),
    };
    if let Some(task) = &reply.task {
        text += &wrap(&format!("now: {}", backup_line(task)), "", "  ", style.width);
    }
    if let Some(failed) = reply.ended.first().filter(|task| !task.error.is_empty()) {
        let what = format!("{}: could not {} {}: ", ago(failed.ended_ms, now), failed.what, about(failed));
        text += &wrap(&format!("{what}{}", failed.error), "", "  ", style.width);
    }
    for schedule in &reply.schedules {
        text += &wrap(&schedule_line(schedule), "", "  ", style.width);
    }
    text
}

/// What a task is about.
fn about(task: &BackupTask) -> &str {
    if task.backup.is_empty() { "its stores" } else { &task.backup }
}

/// "next: daily, incremental, 2026-01-02 02:00:00 UTC (0 2 * * *, Europe/Berlin)"
fn schedule_line(schedule: &BackupSchedule) -> String {
    let BackupSchedule { name, cron, time_zone, .. } = schedule;
    let next = match schedule.fault.as_str() {
        "" => instant(schedule.next_ms),
        fault => fault.to_owned(),
    };
    let again = match (schedule.error.as_str(), schedule.retry_ms) {
        ("", _) => String::new(),
        (_, 0) => format!("; the slot of {} came to nothing", instant(schedule.slot_ms)),
        (_, at) => format!("; the slot of {} is tried again at {}", instant(schedule.slot_ms), instant(at)),
    };
    // Whoever answers may be of a release that makes full ones alone.
    let kind = if schedule.kind.is_empty() { "full" } else { schedule.kind.as_str() };
    clean(&format!("next: {name}, {kind}, {next} ({cron}, {time_zone}){again}"))
}

fn row(backup: &Backup, now: Timestamp) -> Vec<Cell> {
    let (mark, state) = match (backup.verified_ms, backup.fault.as_str()) {
        (0, _) => (Cell::plain("  "), Cell::new(Tone::Dim, "not read again yet")),
        (at, "") => (Cell::new(Tone::Good, "● "), Cell::plain(format!("verified {}", ago(at, now)))),
        (_, fault) => (Cell::new(Tone::Bad, "✗ "), Cell::new(Tone::Bad, format!("DAMAGED: {fault}"))),
    };
    let (mark, state) = match (backup.fault.as_str(), backup.chain_fault.as_str()) {
        (_, "") => (mark, state),
        ("", fault) => {
            (Cell::new(Tone::Bad, "✗ "), Cell::new(Tone::Bad, format!("USELESS: {}", clean(fault))))
        }
        _ => (mark, state),
    };
    let state = match (backup.pinned, backup.leaving.is_empty()) {
        (true, _) => state.then(Tone::Dim, ", pinned"),
        (_, true) => state,
        _ => {
            let stores: Vec<_> = backup.leaving.iter().map(|leaving| leaving.store.as_str()).collect();
            state.then(Tone::Warn, format!(", to be deleted from {}", stores.join(", ")))
        }
    };
    vec![
        mark.then(Tone::Strong, clean(&backup.id)),
        Cell::plain(ago(backup.began_ms, now)),
        Cell::plain(made_with(backup)),
        Cell::plain(format!("{} as {}", size(backup.bytes), size(backup.stored_bytes))),
        Cell::plain(backup.stores.join(", ")),
        state,
    ]
}

/// "mariadb-backup", or "increment": one engine alone makes them.
fn made_with(backup: &Backup) -> String {
    if backup.base.is_empty() { clean(&backup.engine) } else { "increment".to_owned() }
}

/// "full", and why if that was not asked for; or what it adds to.
fn kind(backup: &Backup) -> String {
    match (backup.base.as_str(), backup.full_because.as_str(), backup.chain_fault.as_str()) {
        ("", "", _) => "full".to_owned(),
        ("", why, _) => format!("full, in place of an increment: {why}"),
        (base, _, "") => format!("incremental, adds to {base}"),
        (base, _, fault) => format!("incremental, adds to {base}, and is USELESS: {fault}"),
    }
}

/// What goes and what stays, a row each, and what was done about it.
pub fn backup_prune(reply: &BackupPruneReply, dry_run: bool, now: Timestamp, style: &Style) -> String {
    let rows: Vec<_> = reply.verdicts.iter().map(|verdict| verdict_row(verdict, now)).collect();
    let text = if rows.is_empty() { String::new() } else { table(&rows, style) };
    let goes = reply.verdicts.iter().filter(|v| v.stays.is_empty() && v.due_ms == 0).count();
    let words = match (goes, reply.marked) {
        (0, 0) => "nothing is to be marked".to_owned(),
        (goes, 0) if dry_run => format!("{goes} would be marked; nothing was changed"),
        (_, marked) => format!("{marked} marked; batonctl backup pin ID keeps one after all"),
    };
    text + &wrap(&words, "", "  ", style.width)
}

fn verdict_row(verdict: &BackupVerdict, now: Timestamp) -> Vec<Cell> {
    let verb = if verdict.prunes { "leaves" } else { "to be deleted by you" };
    let (mark, what) = match (verdict.stays.as_str(), verdict.due_ms) {
        ("", 0) => (Cell::new(Tone::Warn, "- "), Cell::new(Tone::Warn, "goes")),
        ("", at) => {
            (Cell::new(Tone::Warn, "- "), Cell::new(Tone::Warn, format!("{verb} at {}", instant(at))))
        }
        (why, _) => (Cell::new(Tone::Good, "● "), Cell::plain(format!("stays: {}", clean(why)))),
    };
    vec![
        mark.then(Tone::Strong, clean(&verdict.backup)),
        Cell::plain(&verdict.store),
        Cell::plain(ago(verdict.began_ms, now)),
        what,
    ]
}

/// One backup, a fact a line.
pub fn backup(backup: &Backup, style: &Style) -> String {
    let seconds = (backup.ended_ms - backup.began_ms).max(0) / 1000;
    let verified = match (backup.verified_ms, backup.fault.as_str()) {
        (0, _) => "not read again yet".to_owned(),
        (at, "") => format!("{}: as it was written", instant(at)),
        (at, fault) => format!("{}: DAMAGED: {fault}", instant(at)),
    };
    let plural = if backup.objects == 1 { "" } else { "s" };
    let stored = format!("{} in each store, in {} object{plural}", size(backup.stored_bytes), backup.objects);
    let rows = [
        ("of", format!("{}, {} {}", backup.node, backup.server_version, epoch(backup))),
        ("engine", backup.engine.clone()),
        ("kind", kind(backup)),
        ("began", instant(backup.began_ms)),
        ("took", length(seconds)),
        ("read", size(backup.bytes)),
        ("stored", stored),
        ("stores", backup.stores.join(", ")),
        ("gtids", backup.gtids.clone()),
        ("manifest", format!("BLAKE3 {}", backup.manifest_blake3)),
        ("verified", verified),
        ("kept", kept(backup)),
    ];
    let cells = |(name, what): (&str, String)| vec![Cell::new(Tone::Dim, name), Cell::plain(clean(&what))];
    let head = style.paint(Tone::Strong, &clean(&backup.id));
    format!("{head}\n{}", table(&rows.into_iter().map(cells).collect::<Vec<_>>(), style))
}

/// Whether it is pinned, or where it is to leave and when.
fn kept(backup: &Backup) -> String {
    if backup.pinned {
        return "pinned".to_owned();
    }
    let leaves = backup.leaving.iter().map(|leaving| {
        let failed = if leaving.error.is_empty() { String::new() } else { format!(" ({})", leaving.error) };
        let whose = if leaving.prunes { "" } else { ", by you" };
        format!("to be deleted from {} at {}{whose}{failed}", leaving.store, instant(leaving.due_ms))
    });
    let leaves: Vec<_> = leaves.collect();
    if leaves.is_empty() { "by each store's rules".to_owned() } else { leaves.join("; ") }
}

fn epoch(backup: &Backup) -> String {
    format!("(epoch {})", backup.epoch)
}

/// It was begun, or why it was not.
pub fn backup_begun(begun: &BackupBegun, style: &Style) -> String {
    if begun.id.is_empty() {
        let head = style.paint(Tone::Bad, "no server can be read for a backup now");
        return format!("{head}\n{}", wrap(&begun.refusal, "  ", "  ", style.width));
    }
    let about = if begun.backup.is_empty() { "its stores" } else { begun.backup.as_str() };
    let words = format!("{} is at {about}; batonctl backup list shows how far it is", begun.node);
    wrap(&words, "", "", style.width)
}

/// "db2: make 20260101T000000Z-db2, 1.2 of 4.0 GiB, compressed to 30 %, 118 MiB/s, 24 s left"
pub fn backup_line(task: &BackupTask) -> String {
    let mut line = format!("{}: {} {}", task.node, task.what, about(task));
    if task.bytes > 0 {
        line += &match task.total_bytes {
            0 => format!(", {}", size(task.bytes)),
            total => format!(", {} of {}", size(task.bytes), size(total)),
        };
        if task.stored_bytes > 0 {
            line += &format!(", compressed to {:.0} %", task.stored_bytes as f64 * 100.0 / task.bytes as f64);
        }
        line += &format!(", {}/s", size(task.bytes_per_second));
    }
    if task.seconds_left >= 0 {
        line += &format!(", {} left", length(task.seconds_left));
    }
    clean(&line)
}

/// How it ended.
pub fn backup_over(task: &BackupTask, style: &Style) -> String {
    let took = length((task.ended_ms - task.started_ms).max(0) / 1000);
    let (tone, head) = match (task.what.as_str(), task.error.is_empty()) {
        ("verify", true) => {
            (Tone::Good, format!("{} is as it was written; read again in {took}", task.backup))
        }
        ("scan", true) => (Tone::Good, format!("{} has looked through its stores, in {took}", task.node)),
        ("scan", false) => (Tone::Bad, format!("{}'s stores could not be looked through", task.node)),
        ("verify", false) => (Tone::Bad, format!("{} could not be verified", task.backup)),
        (_, true) => (Tone::Good, format!("{} is made, of {}, in {took}", task.backup, task.node)),
        (_, false) => (Tone::Bad, format!("{} is not made", task.backup)),
    };
    let head = style.paint(tone, &clean(&head));
    let more = if task.error.is_empty() { &task.note } else { &task.error };
    match more.as_str() {
        "" => format!("{head}\n"),
        more => format!("{head}\n{}", wrap(more, "  ", "  ", style.width)),
    }
}

#[cfg(test)]
mod tests {
    use baton_proto::control::BackupLeaving;

    use super::super::fixtures::PLAIN;
    use super::*;

    fn made() -> Backup {
        Backup {
            id: "20260101T000000Z-db2".into(),
            node: "db2".into(),
            epoch: 3,
            engine: "mariadb-backup".into(),
            server_version: "10.11.14-MariaDB".into(),
            began_ms: 1_767_225_600_000,
            ended_ms: 1_767_225_700_000,
            gtids: "0-1-4711".into(),
            bytes: 4 << 30,
            stored_bytes: 1 << 30,
            objects: 1,
            stores: vec!["disk".into(), "b2".into()],
            manifest_blake3: "ab12".into(),
            ..Backup::default()
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_millisecond(1_767_312_000_000).unwrap_or_default()
    }

    #[test]
    fn a_list_says_which_are_damaged() {
        let mut damaged = made();
        (damaged.verified_ms, damaged.fault) = (1_767_311_000_000, "store disk: object 1 is damaged".into());
        let failed = BackupTask {
            what: "make".into(),
            backup: "20260102T000000Z-db3".into(),
            ended_ms: 1_767_311_900_000,
            error: "db3 has become the writer".into(),
            ..BackupTask::default()
        };
        let daily = BackupSchedule {
            name: "daily".into(),
            cron: "0 2 * * *".into(),
            kind: "incremental".into(),
            time_zone: "Europe/Berlin".into(),
            next_ms: 1_767_315_600_000,
            slot_ms: 1_767_229_200_000,
            tries: 1,
            error: "db3 has become the writer".into(),
            retry_ms: 1_767_312_060_000,
            ..BackupSchedule::default()
        };
        let (backups, ended) = (vec![made(), damaged], vec![failed]);
        let reply = BackupListReply { backups, ended, schedules: vec![daily], ..BackupListReply::default() };
        insta::assert_snapshot!(backup_list(&reply, now(), &PLAIN));
        let none = BackupListReply::default();
        insta::assert_snapshot!(backup_list(&none, now(), &PLAIN), @"! there is no backup yet; batonctl backup now makes one");
    }

    #[test]
    fn what_goes_and_what_stays() {
        let verdict = |backup: &str, stays: &str, due_ms, prunes| BackupVerdict {
            store: "disk".into(),
            backup: backup.into(),
            began_ms: 1_767_225_600_000,
            stays: stays.into(),
            due_ms,
            prunes,
        };
        let due_ms = 1_767_312_000_000;
        let verdicts = vec![
            verdict("20260103T000000Z-db2", "recent", 0, true),
            verdict("20260102T000000Z-db2", "", 0, true),
            verdict("20260101T000000Z-db2", "", due_ms, true),
            verdict("20251231T000000Z-db2", "", due_ms, false),
        ];
        let reply = BackupPruneReply { verdicts, marked: 0 };
        insta::assert_snapshot!(backup_prune(&reply, true, now(), &PLAIN), @r"
        ● 20260103T000000Z-db2   disk   24 h ago   stays: recent
        - 20260102T000000Z-db2   disk   24 h ago   goes
        - 20260101T000000Z-db2   disk   24 h ago   leaves at 2026-01-02 00:00:00 UTC
        - 20251231T000000Z-db2   disk   24 h ago   to be deleted by you at 2026-01-02
                                                   00:00:00 UTC
        1 would be marked; nothing was changed
        ");
        let none = BackupPruneReply::default();
        assert_eq!(backup_prune(&none, false, now(), &PLAIN), "nothing is to be marked\n");
    }

    #[test]
    fn one_that_is_to_leave_or_is_pinned() {
        let leaving = |store: &str, prunes, error: &str| BackupLeaving {
            store: store.into(),
            due_ms: 1_767_312_000_000,
            by: "ada".into(),
            prunes,
            error: error.into(),
        };
        let leaving = vec![leaving("b2", false, ""), leaving("disk", true, "it is not mounted")];
        let leaves = Backup { leaving, ..made() };
        assert_eq!(
            kept(&leaves),
            "to be deleted from b2 at 2026-01-02 00:00:00 UTC, by you; to be deleted from disk at 2026-01-02 00:00:00 UTC (it \
             is not mounted)"
        );
        assert_eq!(kept(&Backup { pinned: true, ..made() }), "pinned");
        let reply = BackupListReply { backups: vec![leaves], ..BackupListReply::default() };
        assert!(backup_list(&reply, now(), &PLAIN).contains("to be deleted from b2, disk"));
    }

    #[test]
    fn one_backup() {
        insta::assert_snapshot!(backup(&made(), &PLAIN));
    }

    #[test]
    fn a_chain_and_what_is_wrong_with_it() {
        let increment = Backup { base: "20260101T000000Z-db2".into(), ..made() };
        assert_eq!(kind(&increment), "incremental, adds to 20260101T000000Z-db2");
        let useless = Backup { chain_fault: "20260101T000000Z-db2 was found damaged".into(), ..increment };
        let reply = BackupListReply { backups: vec![useless.clone()], ..BackupListReply::default() };
        let list = backup_list(&reply, now(), &PLAIN);
        assert!(list.contains("increment") && list.contains("✗") && list.contains("USELESS"), "{list}");
        assert!(kind(&useless).ends_with("and is USELESS: 20260101T000000Z-db2 was found damaged"));
        let full = Backup { full_because: "there is none yet that it could add to".into(), ..made() };
        assert_eq!(kind(&full), "full, in place of an increment: there is none yet that it could add to");
    }

    #[test]
    fn a_line_of_progress_and_the_end() {
        let task = BackupTask {
            what: "make".into(),
            backup: "20260101T000000Z-db2".into(),
            node: "db2".into(),
            bytes: 1 << 30,
            stored_bytes: 300 << 20,
            total_bytes: 4 << 30,
            bytes_per_second: 100 << 20,
            seconds_left: 31,
            started_ms: 1_000,
            ended_ms: 40_000,
            ..BackupTask::default()
        };
        assert_eq!(
            backup_line(&task),
            "db2: make 20260101T000000Z-db2, 1.0 GiB of 4.0 GiB, compressed to 29 %, 100 MiB/s, 31 s left"
        );
        assert_eq!(backup_over(&task, &PLAIN), "20260101T000000Z-db2 is made, of db2, in 39 s\n");
        let noted =
            BackupTask { note: "a full one and no increment: there is none yet".into(), ..task.clone() };
        assert_eq!(
            backup_over(&noted, &PLAIN),
            "20260101T000000Z-db2 is made, of db2, in 39 s\n  a full one and no increment: there is none yet\n"
        );
        let failed = BackupTask { error: "it was given up".into(), ..task };
        assert_eq!(backup_over(&failed, &PLAIN), "20260101T000000Z-db2 is not made\n  it was given up\n");
    }

    #[test]
    fn nobody_can_be_read() {
        let begun = BackupBegun { refusal: "db2 does not replicate".into(), ..BackupBegun::default() };
        assert_eq!(
            backup_begun(&begun, &PLAIN),
            "no server can be read for a backup now\n  db2 does not replicate\n"
        );
    }
}
