//! Backups: how the choice looks at the servers, and a task whose node is gone.

use std::time::Duration;

use crate::decide::backup::alarm::alarms;
use crate::decide::backup::choose::{Wanted, choose};
use crate::decide::backup::field::servers;
use crate::decide::backup::left;
use crate::decide::backup::prune::{Pruning, next};
use crate::decide::backup::schedule::Due;
use crate::decide::diagnosis::Trouble;
use crate::decide::sample::{Seen, managed, name};
use crate::state::{
    Backup, BackupKind, BackupPlan, BackupTask, BackupWork, Change, ClusterState, Command, CommandId, Keep,
    Leaving, OperationId, Schedule, Slot, SlotFailed, SlotTry, TRIES_MAX, Verified,
};

fn chosen(state: &ClusterState, seen: &Seen) -> Result<String, String> {
    let wanted =
        Wanted { node: None, allow_writer: false, lag_max: Duration::from_secs(60), chains: Vec::new() };
    let servers = servers(state, &seen.observations());
    choose(&servers, &wanted).map(|s| s.node.to_string()).map_err(|nobody| nobody.to_string())
}

fn task() -> BackupTask {
    let work = BackupWork::Verify { backup: "b".into() };
    let (id, node, by) = (OperationId("t".into()), name("db2"), "ada".into());
    BackupTask { id, node, work, by, started_ms: 0, begun: true, slot: None }
}

#[test]
fn a_replica_that_replicates_is_read() {
    let (state, seen) = managed();
    assert_eq!(chosen(&state, &seen), Ok("db2".into()));
}

#[test]
fn whatever_keeps_a_replica_from_it_is_said() {
    let writer = "db1 is the writer, which is read only where that is allowed";
    let why = |spoil: &dyn Fn(&mut ClusterState, &mut Seen)| {
        let (mut state, mut seen) = managed();
        spoil(&mut state, &mut seen);
        let said = chosen(&state, &seen).unwrap_err();
        said.strip_prefix(&format!("{writer}; ")).unwrap().to_owned()
    };
    assert_eq!(why(&|_, seen| seen.silent("db2")), "db2 has a node that does not answer");
    assert_eq!(why(&|_, seen| seen.own("db2").pulse = None), "db2 does not answer");
    assert_eq!(why(&|_, seen| seen.channel("db2").sql_running = false), "db2 does not replicate");
    let lags = |_: &mut ClusterState, seen: &mut Seen| {
        seen.channel("db2").behind = Some(Duration::from_secs(61));
    };
    assert_eq!(why(&lags), "db2 is 61 s behind, more than 60 s");
    let lacks = |_: &mut ClusterState, seen: &mut Seen| {
        seen.report("db2").lacks_for_backup = Some("has no [[store]] in its file".into());
    };
    assert_eq!(why(&lacks), "db2 has no [[store]] in its file");
    assert_eq!(why(&|state, _| state.backups.task = Some(task())), "db2 is busy: it is to verify b");
}

#[test]
fn a_task_ends_when_its_node_says_nothing_for_long() {
    let (mut state, mut seen) = managed();
    let long = Duration::from_secs(3600);
    assert_eq!(left(&state, &seen.observations(), long), None, "there is none");
    state.backups.task = Some(task());
    assert_eq!(left(&state, &seen.observations(), long), None, "it was heard just now");
    seen.silent("db2");
    assert_eq!(left(&state, &seen.observations(), Duration::from_secs(59)), None, "the leader is new");
    let (id, why) = left(&state, &seen.observations(), Duration::from_secs(60)).unwrap();
    assert_eq!((id.0.as_str(), why.as_str()), ("t", "db2 has not answered for 60 s"));
}

const HOUR: i64 = 3_600_000;

/// A daily schedule since hour 0, and its slot of hour 2; a backup is stale after 25 hours.
fn scheduled(state: &mut ClusterState, slot: Slot) {
    let plan = BackupPlan {
        schedules: [("daily".into(), Schedule::default())].into(),
        stale_after_ms: 25 * HOUR as u64,
        ..BackupPlan::default()
    };
    let backups = &mut state.backups;
    (backups.plan, backups.planned_ms) = (Some(plan), 1);
    backups.slots = [("daily".into(), slot)].into();
}

fn said(state: &ClusterState, seen: &Seen, now_ms: i64, due_since_ms: Option<i64>) -> Vec<String> {
    let slot = SlotTry { schedule: "daily".into(), at_ms: 2 * HOUR, number: 1 };
    let mut seen = seen.observations();
    seen.wall_ms = now_ms;
    seen.due_backup =
        due_since_ms.map(|since_ms| Due { slot, since_ms, at_writer: false, kind: BackupKind::Full });
    alarms(state, &seen).iter().map(|trouble| format!("{}: {trouble}", trouble.name())).collect()
}

#[test]
fn backups_that_are_old_or_none_are_told_where_they_are_scheduled() {
    let (mut state, seen) = managed();
    assert_eq!(said(&state, &seen, 1000 * HOUR, None), [""; 0], "nothing is scheduled");
    scheduled(&mut state, Slot::default());
    assert_eq!(said(&state, &seen, 25 * HOUR, None), [""; 0]);
    let none = ["BackupStale: backups are scheduled, and there is none yet"];
    assert_eq!(said(&state, &seen, 25 * HOUR + 2, None), none);
    assert_eq!(said(&state, &seen, 0, None), [""; 0], "nobody knows the time");
    let backup = Backup { ended_ms: 10 * HOUR, ..Backup::default() };
    state.backups.catalogue.insert("b".into(), backup.clone());
    assert_eq!(said(&state, &seen, 35 * HOUR, None), [""; 0]);
    assert_eq!(said(&state, &seen, 36 * HOUR, None), ["BackupStale: the newest backup is 26 h old"]);
    let damaged = Verified { at_ms: 1, fault: Some("object 0".into()) };
    state.backups.catalogue.insert("b".into(), Backup { verified: Some(damaged), ..backup });
    assert_eq!(said(&state, &seen, 30 * HOUR, None), none, "one that is damaged is none");
    state.backups.plan.as_mut().unwrap().schedules.clear();
    assert_eq!(said(&state, &seen, 1000 * HOUR, None), [""; 0], "switched off");
}

#[test]
fn a_backup_that_failed_for_good_or_waits_is_told() {
    let (mut state, mut seen) = managed();
    let failed = |by_hand| Some(SlotFailed { at_ms: 0, why: "the disk is full".into(), by_hand });
    let told =
        "BackupFailed: the backup of schedule daily failed and waits for its next slot: the disk is full";
    for (tries, by_hand, is) in
        [(1, false, None), (TRIES_MAX, false, Some(told)), (TRIES_MAX, true, None), (1, true, None)]
    {
        scheduled(&mut state, Slot { at_ms: 2 * HOUR, tries, failed: failed(by_hand), lost: None });
        assert_eq!(
            said(&state, &seen, 3 * HOUR, None),
            is.into_iter().collect::<Vec<_>>(),
            "{tries} {by_hand}"
        );
    }
    scheduled(&mut state, Slot::default());
    let since = Some(2 * HOUR);
    assert_eq!(said(&state, &seen, 3 * HOUR, since), [""; 0], "db2 can be read");
    seen.silent("db2");
    assert_eq!(said(&state, &seen, 2 * HOUR + 299_000, since), [""; 0]);
    let told = said(&state, &seen, 2 * HOUR + 300_000, since).concat();
    let due = "BackupWaits: the backup of schedule daily is due and no server can be read: db1 is the writer";
    assert!(told.starts_with(due) && told.ends_with("db2 has a node that does not answer"), "{told}");
    state.backups.task = Some(task());
    assert_eq!(said(&state, &seen, 3 * HOUR, since), [""; 0], "it waits for another one");
    let trouble = Trouble::BackupFailed("daily".into(), "why".into());
    assert_eq!(trouble.whose(), Some("daily"));
}

/// Daily backups of 40 days, the newest of day 40, in a store that keeps ten days, the first of each week for 20, and two.
fn stored(state: &mut ClusterState, prunes: bool) {
    let day = 24 * 3_600_000_u64;
    let keep = Keep { all_ms: 10 * day, weekly_ms: 20 * day, at_least: 2, prunes };
    let stores = [("disk".into(), keep)].into();
    state.backups.plan = Some(BackupPlan { stores, grace_ms: day, ..BackupPlan::default() });
    for number in 1..=40 {
        let stores = vec!["disk".into()];
        let backup = Backup { node: name("db2"), began_ms: number * 24 * HOUR, stores, ..Backup::default() };
        state.backups.catalogue.insert(format!("d{number:02}"), backup);
    }
}

#[test]
fn what_a_store_does_not_keep_leaves_it_and_the_rest_stays() {
    let (mut state, mut seen) = managed();
    stored(&mut state, false);
    let now_ms = 40 * 24 * HOUR + 1;
    assert_eq!(next(&state, &seen.observations(), now_ms), None, "Baton may not remove there");
    stored(&mut state, true);
    state.backups.catalogue.get_mut("d03").unwrap().is_pinned = true;
    let damaged = Some(Verified { at_ms: 1, fault: Some("object 0".into()) });
    state.backups.catalogue.get_mut("d05").unwrap().verified = damaged;
    let mut marked = Vec::new();
    while let Some(Pruning::Mark { backup, store }) = next(&state, &seen.observations(), now_ms) {
        let leaving = Leaving { since_ms: now_ms, ..Leaving::default() };
        state.backups.catalogue.get_mut(&backup).unwrap().leaving.insert(store, leaving);
        marked.push(backup);
    }
    let stays: Vec<_> = state.backups.catalogue.iter().filter(|(_, b)| b.leaving.is_empty()).collect();
    let stays: Vec<_> = stays.into_iter().map(|(id, _)| id.as_str()).collect();
    // Day 4 was a Monday, and so day 25.
    let recent: Vec<_> = (31..=40).map(|day| format!("d{day}")).collect();
    let weekly = ["d03", "d25"].into_iter();
    assert_eq!(stays, weekly.chain(recent.iter().map(String::as_str)).collect::<Vec<_>>());
    assert!(marked.contains(&"d05".to_owned()), "damaged, and old");

    let day = 24 * HOUR;
    assert_eq!(next(&state, &seen.observations(), now_ms + day - 2), None, "they can be taken back yet");
    let first = |state: &ClusterState, seen: &Seen, at| match next(state, &seen.observations(), at) {
        Some(Pruning::Remove { backup, store, node }) => format!("{backup} of {store} by {node}"),
        other => format!("{other:?}"),
    };
    // Some more leave by then.
    let late = now_ms + day;
    while let Some(Pruning::Mark { backup, store }) = next(&state, &seen.observations(), late) {
        let leaving = Leaving { since_ms: late, ..Leaving::default() };
        state.backups.catalogue.get_mut(&backup).unwrap().leaving.insert(store, leaving);
    }
    assert_eq!(first(&state, &seen, late), "d01 of disk by db2");
    let failed = Some((late, "the folder is not there".into()));
    state.backups.catalogue.get_mut("d01").unwrap().leaving.get_mut("disk").unwrap().failed = failed;
    assert_eq!(first(&state, &seen, late), "d02 of disk by db2", "another one first");
    assert_eq!(first(&state, &seen, late + HOUR), "d01 of disk by db2", "again after an hour");
    seen.silent("db2");
    assert_eq!(first(&state, &seen, late + HOUR), "None", "who made it is away");
    state.backups.task = Some(task());
    assert_eq!(first(&state, &seen, late + HOUR), "None", "one thing at a time");
}

/// Somebody corrects the rules before what they marked is gone.
#[test]
fn what_rules_marked_stays_once_they_are_others() {
    let (mut state, seen) = managed();
    stored(&mut state, true);
    let now_ms = 40 * 24 * HOUR + 1;
    let mark = |state: &mut ClusterState, backup: &str, by_rule: bool, begun: bool| {
        let leaving = Leaving { since_ms: now_ms, by_rule, begun, ..Leaving::default() };
        state.backups.catalogue.get_mut(backup).unwrap().leaving.insert("disk".into(), leaving);
    };
    while let Some(Pruning::Mark { backup, .. }) = next(&state, &seen.observations(), now_ms) {
        mark(&mut state, &backup, true, false);
    }
    mark(&mut state, "d22", false, false);
    mark(&mut state, "d23", true, true);
    assert_eq!(next(&state, &seen.observations(), now_ms), None);
    let keep = state.backups.plan.as_mut().unwrap().stores.get_mut("disk").unwrap();
    (keep.all_ms, keep.prunes) = (20 * 24 * HOUR.unsigned_abs(), false);
    let mut stays = Vec::new();
    while let Some(Pruning::Stay { backup, store }) = next(&state, &seen.observations(), now_ms) {
        state.backups.catalogue.get_mut(&backup).unwrap().leaving.remove(&store);
        stays.push(backup);
    }
    let wanted = ["d21", "d24", "d26", "d27", "d28", "d29", "d30"];
    assert_eq!(stays, wanted, "not what somebody wants gone, nor what is being removed");
    assert_eq!(next(&state, &seen.observations(), now_ms), None, "and none of them is marked again");
}

/// Three years of weekly full backups and daily increments by the rules that a store has by default, the replica that is read
/// changing now and then and one in a hundred found damaged. Every entry is committed as a leader would.
#[test]
fn three_years_of_chains() {
    const DAY: i64 = 24 * HOUR;
    let (mut state, seen) = managed();
    let day_ms = DAY.unsigned_abs();
    let keep = Keep { all_ms: 30 * day_ms, weekly_ms: 90 * day_ms, at_least: 2, prunes: true };
    let stores = [("disk".into(), keep)].into();
    state.backups.plan = Some(BackupPlan { stores, grace_ms: 3 * day_ms, ..BackupPlan::default() });
    let (mut entries, mut last) = (0_u64, None::<String>);
    for day in 1..=3 * 365_i64 {
        let mut commit = |state: &mut ClusterState, change: Change| {
            entries += 1;
            let (id, at_ms) = (CommandId(entries.to_string()), day * DAY);
            let outcome = state.apply(entries, &Command { id, by: name("db2"), at_ms, change });
            outcome.into_result().map_err(|refused| refused.to_string())
        };
        // A Sunday, or the replica that was read yesterday is another data directory now.
        let is_full = day % 7 == 3 || day % 53 == 0;
        let base = last.filter(|_| !is_full).filter(|base| state.backups.is_restorable(base));
        let (id, verified) = (format!("d{day:04}"), day % 101 == 0);
        let verified = verified.then(|| Verified { at_ms: 1, fault: Some("object 0".into()) });
        let (stores, node, began_ms) = (vec!["disk".into()], name("db2"), day * DAY);
        let backup = Backup { node, base, began_ms, stores, verified, ..Backup::default() };
        state.backups.catalogue.insert(id.clone(), backup);
        last = Some(id);
        let mut steps = 0;
        while let Some(pruning) = next(&state, &seen.observations(), day * DAY) {
            steps += 1;
            assert!(steps < 100, "{day}: it never ends: {pruning:?}");
            match pruning {
                Pruning::Mark { backup, store } => {
                    let (stores, by) = (vec![store], "retention".into());
                    commit(&mut state, Change::LeaveStores { backup, stores, by, by_rule: true }).unwrap();
                }
                Pruning::Stay { backup, store } => {
                    commit(&mut state, Change::StayInStore { backup, store }).unwrap();
                }
                Pruning::Remove { backup, store, node } => {
                    let work = BackupWork::Remove { backup, store };
                    commit(
                        &mut state,
                        Change::BeginBackup(BackupTask { node, work, begun: false, ..task() }),
                    )
                    .unwrap();
                    commit(&mut state, Change::BackupRemoved { task: OperationId("t".into()) }).unwrap();
                }
            }
        }
        let backups = &state.backups;
        for (id, listed) in &backups.catalogue {
            let is_there = |base: &String| backups.catalogue.contains_key(base);
            assert!(listed.base.as_ref().is_none_or(is_there), "{day}: the chain of {id} is broken");
        }
        let recent = |back: &i64| backups.catalogue.contains_key(&format!("d{:04}", day - back));
        assert!((0..day.min(30)).all(|back| recent(&back)), "{day}: one of the last month is gone");
        // A month, the rest of its chains, what is marked, a quarter of weekly ones with those after changes.
        assert!(backups.catalogue.len() <= 30 + 7 + 10 + 14, "{day}: {} backups", backups.catalogue.len());
    }
}
