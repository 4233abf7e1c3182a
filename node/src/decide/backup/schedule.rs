//! Whether a backup is due by its schedule. The leader decides; which slots were taken is in the replicated state.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::cron::Cron;
use crate::state::{BackupKind, Backups, Schedule, SlotTry, UnixMillis};

/// Pauses before the second, the third and each later try of a slot: a role change is over within the first, a host that
/// restarts within the second.
const PAUSES: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(600), Duration::from_secs(1800)];

/// A time zone by its name; `None` where this host knows none such.
pub type Zones<'z> = &'z dyn Fn(&str) -> Option<TimeZone>;

/// A backup that is to be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// For which slot.
    pub slot: SlotTry,
    /// Since when it might have begun.
    pub since_ms: UnixMillis,
    /// Whether the writer is read when no replica will do.
    pub at_writer: bool,
    /// What is made.
    pub kind: BackupKind,
}

/// What is to be made now: of several the one that has been due for longest, and of these a full one first, which an increment
/// can then add to.
pub fn due(backups: &Backups, now_ms: UnixMillis, zones: Zones<'_>) -> Option<Due> {
    let plan = backups.plan.as_ref()?;
    let all =
        plan.schedules.iter().filter_map(|(name, schedule)| due_of(backups, name, schedule, now_ms, zones));
    all.min_by(|a, b| (a.since_ms, a.kind, &a.slot.schedule).cmp(&(b.since_ms, b.kind, &b.slot.schedule)))
}

fn due_of(
    backups: &Backups,
    name: &str,
    schedule: &Schedule,
    now_ms: UnixMillis,
    zones: Zones<'_>,
) -> Option<Due> {
    let slot = backups.slots.get(name)?;
    let (cron, zone) = (Cron::parse(&schedule.cron).ok()?, zones(&schedule.zone)?);
    let due = |at_ms, number, since_ms| Due {
        slot: SlotTry { schedule: name.to_owned(), at_ms, number },
        since_ms,
        at_writer: schedule.at_writer,
        kind: schedule.kind,
    };
    // A newer slot is worth more than the one that failed.
    if let Some(at_ms) = cron.last(slot.after_ms(now_ms), now_ms, &zone) {
        return Some(due(at_ms, 1, at_ms));
    }
    let again_ms = retried_ms(backups, name).filter(|again_ms| *again_ms <= now_ms)?;
    Some(due(slot.at_ms, slot.next_try()?.0, again_ms))
}

/// When a slot that failed is tried again.
pub fn retried_ms(backups: &Backups, name: &str) -> Option<UnixMillis> {
    let (number, failed) = backups.slots.get(name)?.next_try()?;
    let pause = PAUSES.iter().take(usize::try_from(number).ok()?.saturating_sub(1)).next_back()?;
    Some(failed.at_ms.saturating_add(i64::try_from(pause.as_millis()).ok()?))
}

/// When a schedule's next slot is due.
///
/// # Errors
/// Why nobody can say.
pub fn next_ms(schedule: &Schedule, now_ms: UnixMillis, zones: Zones<'_>) -> Result<UnixMillis, String> {
    let zone = zones(&schedule.zone);
    let zone =
        zone.ok_or_else(|| format!("this host knows no time zone {}; install tzdata", schedule.zone))?;
    Cron::parse(&schedule.cron)?.next(now_ms, &zone).ok_or_else(|| "it never comes".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::{BackupPlan, Slot, SlotFailed, TRIES_MAX};

    const DAY: i64 = 86_400_000;
    const HOUR: i64 = 3_600_000;

    fn zones(name: &str) -> Option<TimeZone> {
        (name == "UTC").then_some(TimeZone::UTC)
    }

    /// Daily at two; the slot of day `day` was taken, or the schedule begins then.
    fn backups(day: i64, tries: u32, failed: Option<SlotFailed>) -> Backups {
        let schedule = Schedule {
            cron: "0 2 * * *".into(),
            zone: "UTC".into(),
            at_writer: false,
            ..Schedule::default()
        };
        let slot = Slot { at_ms: day * DAY + 2 * HOUR, tries, failed, lost: None };
        Backups {
            plan: Some(BackupPlan {
                schedules: [("daily".into(), schedule)].into(),
                ..BackupPlan::default()
            }),
            slots: [("daily".into(), slot)].into(),
            ..Backups::default()
        }
    }

    fn failed(at_ms: i64, by_hand: bool) -> Option<SlotFailed> {
        Some(SlotFailed { at_ms, why: "the disk is full".into(), by_hand })
    }

    /// Day and number of the try that is due.
    fn is_due(backups: &Backups, now_ms: i64) -> Option<(i64, u32)> {
        due(backups, now_ms, &zones).map(|due| (due.slot.at_ms / DAY, due.slot.number))
    }

    #[test]
    fn each_slot_once_and_a_missed_one_once() {
        let taken = backups(10, 1, None);
        assert_eq!(is_due(&taken, 10 * DAY + 3 * HOUR), None, "it is taken");
        assert_eq!(is_due(&taken, 11 * DAY + 2 * HOUR - 1), None);
        assert_eq!(is_due(&taken, 11 * DAY + 2 * HOUR), Some((11, 1)));
        assert_eq!(is_due(&taken, 40 * DAY), Some((39, 1)), "a month was missed, and one is made up");
        assert_eq!(is_due(&backups(39, 1, None), 40 * DAY), None, "and no other one");
        assert_eq!(is_due(&Backups::default(), DAY), None, "nothing is scheduled");
    }

    #[test]
    fn what_failed_is_tried_again_after_pauses_and_not_for_ever() {
        let now = 10 * DAY + 5 * HOUR;
        for (tries, pause) in [(1, 60_000), (2, 600_000), (3, 1_800_000)] {
            let failing = backups(10, tries, failed(now, false));
            assert_eq!(is_due(&failing, now + pause - 1), None, "{tries}");
            assert_eq!(is_due(&failing, now + pause), Some((10, tries + 1)), "{tries}");
        }
        let given_up = backups(10, TRIES_MAX, failed(now, false));
        assert_eq!(is_due(&given_up, now + 10 * HOUR), None);
        assert_eq!(is_due(&given_up, 11 * DAY + 2 * HOUR), Some((11, 1)), "the next slot is another one");
        let ended = backups(10, 1, failed(now, true));
        assert_eq!(is_due(&ended, now + 10 * HOUR), None, "somebody wanted it to end");
        let newer = backups(10, 1, failed(11 * DAY + 2 * HOUR - 1, false));
        assert_eq!(is_due(&newer, 11 * DAY + 3 * HOUR), Some((11, 1)), "the newer slot");
    }

    #[test]
    fn a_clock_that_was_ahead_takes_no_slots_away() {
        let by_an_hour = backups(11, 1, None);
        assert_eq!(is_due(&by_an_hour, 11 * DAY + HOUR), None, "that slot was taken already");
        let by_years = backups(4000, 1, None);
        assert_eq!(is_due(&by_years, 11 * DAY + 3 * HOUR), Some((11, 1)));
    }

    #[test]
    fn the_one_that_waits_for_longest_is_first() {
        let mut two = backups(10, 1, None);
        let plan = two.plan.as_mut().unwrap();
        let hourly =
            Schedule { cron: "0 * * * *".into(), zone: "UTC".into(), at_writer: true, ..Schedule::default() };
        plan.schedules.insert("a".into(), hourly);
        two.slots.insert("a".into(), Slot { at_ms: 11 * DAY + 2 * HOUR, tries: 1, ..Slot::default() });
        let first = |two: &Backups| due(two, 11 * DAY + 3 * HOUR, &zones).unwrap();
        let due = first(&two);
        assert_eq!((due.slot.schedule.as_str(), due.at_writer), ("daily", false));
        let plan = two.plan.as_mut().unwrap();
        let kind = BackupKind::Incremental;
        let incremental = Schedule { kind, ..plan.schedules["daily"].clone() };
        plan.schedules.insert("a".into(), incremental);
        two.slots.insert("a".into(), two.slots["daily"].clone());
        assert_eq!(first(&two).slot.schedule, "daily", "the full one of the same minute");
    }

    #[test]
    fn when_it_comes_next() {
        let of = |zone: &str| Schedule {
            cron: "0 2 * * *".into(),
            zone: zone.into(),
            at_writer: false,
            ..Schedule::default()
        };
        assert_eq!(next_ms(&of("UTC"), 10 * DAY, &zones), Ok(10 * DAY + 2 * HOUR));
        let said = next_ms(&of("Mars/Olympus"), 0, &zones).unwrap_err();
        assert_eq!(said, "this host knows no time zone Mars/Olympus; install tzdata");
        assert_eq!(retried_ms(&backups(10, 1, failed(5, false)), "daily"), Some(60_005));
        assert_eq!(retried_ms(&backups(10, 1, None), "daily"), None);
    }
}
