//! Backups by schedule: each slot is taken once, whoever leads, and tried again only after it failed.

use super::*;

fn plan(cron: &str) -> Change {
    let schedule =
        Schedule { cron: cron.into(), zone: "UTC".into(), at_writer: false, ..Schedule::default() };
    let schedules = [("daily".into(), schedule)].into();
    Change::PlanBackups(BackupPlan { schedules, ..BackupPlan::default() })
}

/// Time in these tests is the index of the entry.
fn planned() -> Log {
    let mut log = Log::adopted();
    log.index = 100;
    log.does(plan("0 2 * * *")).unwrap();
    log.index = 1000;
    log
}

fn take(task: &str, at_ms: UnixMillis, number: u32) -> Change {
    let work = BackupWork::Make {
        backup: format!("of-{task}"),
        kind: BackupKind::Full,
        at_writer: false,
        full_speed: false,
    };
    let slot = Some(SlotTry { schedule: "daily".into(), at_ms, number });
    let (id, node, by) = (id(task), name("db2"), "schedule daily".into());
    Change::BeginBackup(BackupTask { id, node, work, by, started_ms: 0, begun: false, slot })
}

fn made(task: &str) -> Change {
    Change::BackupMade { task: id(task), backup: Box::default() }
}

fn ended(task: &str, by_hand: bool) -> Change {
    Change::EndBackup { task: id(task), why: "db2 has become the writer".into(), by_hand }
}

fn taken() -> Result<(), Refusal> {
    Err(Refusal::SlotTaken("daily".into()))
}

#[test]
fn a_slot_is_taken_once_whoever_leads() {
    let mut log = planned();
    log.by("db1", take("1", 500, 1)).unwrap();
    assert_eq!(log.by("db3", take("2", 500, 1)), Err(Refusal::BackupUnderWay(name("db2"))));
    log.by("db2", made("1")).unwrap();
    assert_eq!(log.by("db3", take("2", 500, 1)), taken(), "a leader that has not heard of it");
    assert_eq!(log.by("db3", take("2", 500, 2)), taken(), "it did not fail");
    assert_eq!(log.by("db3", take("2", 400, 1)), taken(), "an earlier one");
    log.by("db3", take("2", 600, 1)).unwrap();
}

#[test]
fn one_that_failed_is_tried_again_in_turn_and_not_for_ever() {
    let mut log = planned();
    for number in 1..=TRIES_MAX {
        let (now, other) = (number.to_string(), take("other", 500, number + 1));
        log.does(take(&now, 500, number)).unwrap();
        log.does(ended(&now, false)).unwrap();
        let slot = &log.state.backups.slots["daily"];
        assert_eq!(slot.given_up().is_some(), number == TRIES_MAX);
        assert_eq!(log.does(take("again", 500, number)), taken(), "that try is over");
        if number == TRIES_MAX {
            assert_eq!(log.does(other), taken());
        }
    }
    log.does(take("next", 600, 1)).unwrap();
    assert_eq!(log.state.backups.slots["daily"].failed, None);
}

#[test]
fn one_that_somebody_ended_is_not_tried_again() {
    let mut log = planned();
    log.does(take("1", 500, 1)).unwrap();
    log.does(ended("1", true)).unwrap();
    assert_eq!(log.does(take("2", 500, 2)), taken());
    assert_eq!(log.state.backups.slots["daily"].given_up(), None);
}

#[test]
fn nothing_is_made_up_for_the_time_before_a_schedule() {
    let mut log = planned();
    assert_eq!(log.does(take("1", 101, 1)), taken(), "it was agreed on then");
    log.does(take("1", 500, 1)).unwrap();
    log.does(plan("0 2 * * *")).unwrap();
    assert_eq!(log.state.backups.slots["daily"].at_ms, 500, "it is the same");
    let agreed = log.index as i64 + 1;
    log.does(plan("0 3 * * *")).unwrap();
    assert_eq!(log.state.backups.slots["daily"], Slot { at_ms: agreed, ..Slot::default() });
    log.does(ended("1", false)).unwrap();
    assert_eq!(log.state.backups.slots["daily"].failed, None, "that was the other schedule's");
    assert_eq!(log.does(take("2", 600, 1)), taken());
    let none = BackupPlan::default();
    log.does(Change::PlanBackups(none)).unwrap();
    assert_eq!(log.does(take("2", 1100, 1)), Err(Refusal::NoSuchSchedule("daily".into())));
}

#[test]
fn none_while_the_writer_moves_or_before_its_time() {
    let mut log = planned();
    assert_eq!(log.does(take("1", 2000, 1)), taken(), "a slot of the future");
    log.does(begin("x", 1)).unwrap();
    assert_eq!(log.does(take("1", 500, 1)), Err(Refusal::UnderWay(id("x"))));
    let mut observed = Log::formed();
    observed.does(plan("0 2 * * *")).unwrap();
    assert_eq!(observed.does(take("1", 1, 1)), Err(Refusal::Observing));
}

#[test]
fn slots_that_a_wrong_clock_took_hold_up_none() {
    let mut log = planned();
    log.index = 400_000_000_000;
    log.does(take("1", 400_000_000_000, 1)).unwrap();
    log.by("db2", made("1")).unwrap();
    log.index = 400_000_000_000 - 3_600_000;
    assert_eq!(log.does(take("2", 399_996_000_000, 1)), taken(), "an hour ahead, and it was made");
    log.index = 200_000_000_000;
    log.does(take("2", 200_000_000_000, 1)).unwrap();
}

#[test]
fn a_server_at_a_backup_is_not_rebuilt() {
    let mut log = planned();
    log.does(take("1", 500, 1)).unwrap();
    let rebuild = |node: &str| {
        let (operation, epoch, by) = (id("r"), Epoch(1), "ada".into());
        Change::BeginRebuild(BeginRebuild { operation, epoch, node: name(node), from: None, by })
    };
    assert_eq!(log.does(rebuild("db2")), Err(Refusal::BackupUnderWay(name("db2"))));
    log.does(rebuild("db3")).unwrap();
}

#[test]
fn a_slot_that_was_given_up_is_told_until_a_later_one_is_filled() {
    let mut log = planned();
    for number in 1..=TRIES_MAX {
        log.does(take(&number.to_string(), 500, number)).unwrap();
        log.does(ended(&number.to_string(), false)).unwrap();
    }
    let given_up = |log: &Log| log.state.backups.slots["daily"].given_up().is_some();
    assert!(given_up(&log));
    log.does(take("later", 600, 1)).unwrap();
    assert!(given_up(&log), "nothing has come of it yet");
    log.does(ended("later", false)).unwrap();
    log.does(take("again", 600, 2)).unwrap();
    assert!(given_up(&log));
    log.by("db2", made("again")).unwrap();
    assert!(!given_up(&log));
}
