//! When backups are made by themselves: what was agreed on that, and which slots were taken. A slot is taken by the entry that
//! begins its backup, so that no two leaders take it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Backup, BackupKind, Backups, ClusterState, Keep, Refusal, UnixMillis};

/// How often a slot is tried: a replica that was lost, or became the writer, is no reason to go without for a day, and one whose
/// engine fails is not read over and over.
pub const TRIES_MAX: u32 = 4;
/// A clock that was so far ahead was wrong: the slots that it took hold up none.
const AHEAD_MAX_MS: i64 = 24 * 3600 * 1000;

/// What the leader's file says of backups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPlan {
    /// Schedules that are switched on, by their names.
    pub schedules: BTreeMap<String, Schedule>,
    /// A newest backup that is older is told of; in milliseconds.
    pub stale_after_ms: u64,
    /// How long stores keep backups, by their names.
    #[serde(default)]
    pub stores: BTreeMap<String, Keep>,
    /// For how long a backup that is to leave can be kept after all; in milliseconds.
    #[serde(default)]
    pub grace_ms: u64,
}

/// When backups are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// An expression of cron.
    pub cron: String,
    /// The time zone in which it counts.
    pub zone: String,
    /// Whether the writer is read when no replica will do.
    pub at_writer: bool,
    /// What is made.
    #[serde(default)]
    pub kind: BackupKind,
}

/// How far a schedule is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its latest slot that was taken; before the first, when the schedule was agreed on. None up to it is taken any more.
    pub at_ms: UnixMillis,
    /// How often that slot was tried; 0 before the first.
    pub tries: u32,
    /// How its last try failed.
    pub failed: Option<SlotFailed>,
    /// The earlier slot that was given up, while nothing has come of a later one.
    #[serde(default)]
    pub lost: Option<SlotFailed>,
}

/// A try that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotFailed {
    /// When.
    pub at_ms: UnixMillis,
    /// Why.
    pub why: String,
    /// Somebody ended it: it is not tried again, nor told.
    pub by_hand: bool,
}

/// The slot for which a backup is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotTry {
    /// Of which schedule.
    pub schedule: String,
    /// When it was due.
    pub at_ms: UnixMillis,
    /// Counts from 1.
    pub number: u32,
}

impl Slot {
    /// Only slots after this are due.
    pub fn after_ms(&self, now_ms: UnixMillis) -> UnixMillis {
        let yesterday = now_ms.saturating_sub(AHEAD_MAX_MS);
        if self.at_ms > now_ms.saturating_add(AHEAD_MAX_MS) { yesterday } else { self.at_ms }
    }

    /// The try that follows on the last one, which failed then; `None` when none does.
    pub fn next_try(&self) -> Option<(u32, &SlotFailed)> {
        let failed = self.failed.as_ref().filter(|failed| !failed.by_hand)?;
        (self.tries < TRIES_MAX).then_some((self.tries.saturating_add(1), failed))
    }

    /// Why nothing came of the slot once nobody tries it any more, or of an earlier one, while nothing has come of this.
    pub fn given_up(&self) -> Option<&SlotFailed> {
        let failed = self.failed.as_ref().filter(|failed| !failed.by_hand && self.tries >= TRIES_MAX);
        failed.or(self.lost.as_ref())
    }
}

impl Backups {
    /// When the newest backup was over that is not known to be damaged, nor to need one that is.
    pub fn newest_ms(&self) -> Option<UnixMillis> {
        self.newest().map(|backup| backup.ended_ms)
    }

    /// That backup.
    pub fn newest(&self) -> Option<&Backup> {
        self.restorable().max_by_key(|backup| backup.ended_ms)
    }

    /// When the objects of a backup were last read again and found as they were written, which nothing has spoken against since.
    pub fn read_again_ms(&self) -> Option<UnixMillis> {
        self.restorable().filter_map(|backup| backup.verified.as_ref()).map(|verified| verified.at_ms).max()
    }

    fn restorable(&self) -> impl Iterator<Item = &Backup> {
        self.catalogue.iter().filter(|(id, _)| self.is_restorable(id)).map(|(_, backup)| backup)
    }
}

/// A schedule that is new or another one begins now: nothing is made up for the time before.
pub(super) fn agree(state: &mut ClusterState, at: UnixMillis, plan: &BackupPlan) -> Result<(), Refusal> {
    let backups = &mut state.backups;
    let before = backups.plan.take().unwrap_or_default();
    let old = std::mem::take(&mut backups.slots);
    for (name, schedule) in &plan.schedules {
        let is_same =
            before.schedules.get(name).is_some_and(|b| b.cron == schedule.cron && b.zone == schedule.zone);
        let kept = old.get(name).filter(|_| is_same).cloned();
        let slot = kept.unwrap_or(Slot { at_ms: at, ..Slot::default() });
        backups.slots.insert(name.clone(), slot);
    }
    if backups.planned_ms == 0 || before.schedules.is_empty() {
        backups.planned_ms = at;
    }
    backups.plan = Some(plan.clone());
    Ok(())
}

/// The cluster is managed from now on: nothing is made up for the time before.
pub(super) fn adopted(backups: &mut Backups, at: UnixMillis) {
    for slot in backups.slots.values_mut() {
        *slot = Slot { at_ms: slot.at_ms.max(at), ..Slot::default() };
    }
    if backups.planned_ms != 0 {
        backups.planned_ms = at;
    }
}

/// Takes a slot, or tries one again.
pub(super) fn take(state: &mut ClusterState, at: UnixMillis, wanted: &SlotTry) -> Result<(), Refusal> {
    // A failover must not find a server that has just begun to be read.
    if let Some(operation) = &state.operation {
        return Err(Refusal::UnderWay(operation.id.clone()));
    }
    let Some(slot) = state.backups.slots.get_mut(&wanted.schedule) else {
        return Err(Refusal::NoSuchSchedule(wanted.schedule.clone()));
    };
    let is_free = match wanted.at_ms == slot.at_ms {
        true => slot.next_try().is_some_and(|(number, _)| number == wanted.number),
        false => wanted.number == 1 && wanted.at_ms > slot.after_ms(at) && wanted.at_ms <= at,
    };
    if !is_free {
        return Err(Refusal::SlotTaken(wanted.schedule.clone()));
    }
    let lost = slot.given_up().cloned();
    *slot = Slot { at_ms: wanted.at_ms, tries: wanted.number, failed: None, lost };
    Ok(())
}

/// A try is over. Nothing, where its schedule has become another one meanwhile.
pub(super) fn over(state: &mut ClusterState, tried: &SlotTry, failed: Option<SlotFailed>) {
    let slot = state.backups.slots.get_mut(&tried.schedule);
    if let Some(slot) = slot.filter(|slot| slot.at_ms == tried.at_ms && slot.tries == tried.number) {
        if failed.is_none() {
            slot.lost = None;
        }
        slot.failed = failed;
    }
}
