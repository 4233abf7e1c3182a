//! What can be restored now: from a good backup on, for as long as a stretch of the archive has no hole.
//!
//! It goes by what the group knows, and asks no store. What the segments alone tell is left to the plan of a restore: of MariaDB, for
//! one, that a server which writes again had lost what a backup ends with.

use crate::decide::archive::{Archiving, Stretch};
use crate::gtid::{DialectMismatch, GtidSet};
use crate::state::{Backup, Backups, UnixMillis};

/// A backup with its id.
pub type Named<'s> = (&'s str, &'s Backup);

/// What can be restored.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovery<'s> {
    /// Every moment of each can be restored; the oldest first.
    pub windows: Vec<Window<'s>>,
    /// Good backups within none of these, whose own moments can be; the oldest first.
    pub alone: Vec<Named<'s>>,
    /// Stretches of the archive that no good backup leads to; the oldest first.
    pub unreached: Vec<Stretch>,
    /// The good backup that was read again last.
    pub read_again: Option<Named<'s>>,
    /// What the newest moment is restored from; `None` where nothing can be.
    pub newest: Option<Work<'s>>,
}

/// The moment whose state a backup has: when it ended, but a dump reads what there was at its beginning.
pub fn state_ms(backup: &Backup) -> UnixMillis {
    if backup.engine == "dump" { backup.began_ms } else { backup.ended_ms }
}

/// A stretch of time of which every moment can be restored: from the end of a backup to that of a stretch of the archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Window<'s> {
    /// The first backup that leads there.
    pub first: Named<'s>,
    /// The last one, which a restore of its end begins with.
    pub last: Named<'s>,
    /// What goes on from it.
    pub stretch: Stretch,
}

impl Window<'_> {
    /// Its beginning: before it the backup is not whole.
    pub fn from_ms(&self) -> UnixMillis {
        self.first.1.ended_ms
    }

    fn has(&self, at_ms: UnixMillis) -> bool {
        (self.from_ms()..=self.stretch.last_ms).contains(&at_ms)
    }
}

/// What a restore is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work<'s> {
    /// The moment that it brings back.
    pub at_ms: UnixMillis,
    /// A full backup and its increments, in the order in which they are restored.
    pub backups: Vec<&'s str>,
    /// Bytes of all of them, as they were read.
    pub bytes: u64,
    /// In a second, while the full one was made; `None` where it says nothing of that.
    pub rate: Option<u64>,
    /// Seconds for all of them at that rate. What is replayed comes on top.
    pub seconds: Option<u64>,
    /// Transactions that are replayed after them; `None` where that is not known.
    pub replayed: Option<u64>,
}

/// By what the group has listed and the node says that archives, if any does.
pub fn recovery<'s>(backups: &'s Backups, archive: Option<&Archiving>) -> Recovery<'s> {
    let all = backups.catalogue.iter().map(|(id, backup)| (id.as_str(), backup));
    let is_whole =
        |(id, backup): &Named<'s>| backup.stores.iter().any(|store| backups.is_whole_in(id, store));
    let mut good: Vec<Named<'s>> = all.filter(is_whole).collect();
    good.sort_by_key(|(_, backup)| backup.ended_ms);
    let since_ms =
        archive.map_or(0, |archive| UnixMillis::try_from(archive.since_ms).unwrap_or(UnixMillis::MAX));
    // A restore goes on from what is in the same store.
    let store = archive.map(|archive| archive.store.as_str()).filter(|store| !store.is_empty());
    let is_beside = |id: &str| store.is_none_or(|store| backups.is_whole_in(id, store));
    let (mut windows, mut unreached) = (Vec::new(), Vec::new());
    for stretch in archive.map(Archiving::covers).unwrap_or_default() {
        let leads = |(id, backup): &&Named<'s>| {
            is_beside(id) && backup.began_ms >= since_ms && leads_to(backup, &stretch)
        };
        let (first, last) = (good.iter().find(leads), good.iter().rfind(leads));
        match first.zip(last) {
            Some((first, last)) => windows.push(Window { first: *first, last: *last, stretch }),
            None => unreached.push(stretch),
        }
    }
    let is_alone = |(_, backup): &&Named<'s>| !windows.iter().any(|window| window.has(backup.ended_ms));
    Recovery {
        alone: good.iter().filter(is_alone).copied().collect(),
        read_again: good.iter().filter_map(read_again).max_by_key(|(at_ms, _)| *at_ms).map(|(_, one)| one),
        newest: newest(backups, &good, &windows),
        windows,
        unreached,
    }
}

fn read_again<'s>(one: &Named<'s>) -> Option<(UnixMillis, Named<'s>)> {
    one.1.verified.as_ref().map(|verified| (verified.at_ms, *one))
}

/// Whether the archive goes on from a backup there. By transactions where they are known; else by time, and then the whole of
/// the backup has to lie in it.
fn leads_to(backup: &Backup, stretch: &Stretch) -> bool {
    if backup.ended_ms > stretch.last_ms {
        return false;
    }
    match &stretch.sets {
        Some((from, to)) => {
            set_of(backup, from).is_some_and(|has| is_between(&has, from, to).unwrap_or_default())
        }
        None => backup.began_ms >= stretch.first_ms,
    }
}

/// Everything that a backup has, in the terms of a set of the same cluster.
fn set_of(backup: &Backup, alike: &GtidSet) -> Option<GtidSet> {
    match alike {
        // What it has is not known.
        _ if backup.gtids.is_empty() => None,
        GtidSet::Mysql(_) => GtidSet::parse_mysql(&backup.gtids).ok(),
        GtidSet::Mariadb(_) => GtidSet::parse_mariadb_pos(&backup.gtids).ok(),
    }
}

/// Whether it has what the stretch goes on from, and nothing that is not on the line: a part of that the cluster went on without.
fn is_between(has: &GtidSet, from: &GtidSet, to: &GtidSet) -> Result<bool, DialectMismatch> {
    let is_on_line = match (to, has) {
        // A position names the last transaction of each domain alone.
        (GtidSet::Mariadb(to), GtidSet::Mariadb(has)) => to.contains_position(has),
        (to, has) => to.contains(has)?,
    };
    Ok(is_on_line && has.numbers().contains(&from.numbers())?)
}

/// The newest moment of all: the end of a window, or a backup.
fn newest<'s>(backups: &'s Backups, good: &[Named<'s>], windows: &[Window<'s>]) -> Option<Work<'s>> {
    let (id, last) = *good.last()?;
    let window = windows.iter().max_by_key(|window| window.stretch.last_ms);
    match window.filter(|window| window.stretch.last_ms >= last.ended_ms) {
        Some(window) => {
            Some(work(backups, window.last, window.stretch.last_ms, after(window.last.1, &window.stretch)))
        }
        None => Some(work(backups, (id, last), state_ms(last), Some(0))),
    }
}

/// How many transactions of the stretch come after a backup.
fn after(backup: &Backup, stretch: &Stretch) -> Option<u64> {
    let (_, to) = stretch.sets.as_ref()?;
    let after = to.numbers().subtract(&set_of(backup, to)?.numbers());
    after.ok().map(|after| after.count())
}

fn work<'s>(backups: &'s Backups, last: Named<'s>, at_ms: UnixMillis, replayed: Option<u64>) -> Work<'s> {
    let mut chain: Vec<_> = std::iter::once(last).chain(backups.bases(last.0)).collect();
    chain.reverse();
    let bytes = chain.iter().fold(0_u64, |sum, (_, backup)| sum.saturating_add(backup.bytes));
    let full = chain.first().map_or(last.1, |(_, full)| *full);
    let took_ms = u64::try_from(full.ended_ms.saturating_sub(full.began_ms)).unwrap_or_default();
    let rate = full.bytes.saturating_mul(1000).checked_div(took_ms).filter(|rate| *rate > 0);
    Work {
        at_ms,
        backups: chain.iter().map(|(id, _)| *id).collect(),
        bytes,
        rate,
        seconds: rate.map(|rate| bytes.div_ceil(rate)),
        replayed,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;
    use crate::state::{Leaving, Verified};

    const HOUR: i64 = 3_600_000;
    const A: &str = "aaaaaaaa-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "bbbbbbbb-71ca-11e1-9e33-c80aa9429562";

    /// `a1-5` is what server a wrote as 1 to 5; of two servers with a comma.
    fn gtids(text: &str) -> String {
        text.replace('a', &format!("{A}:")).replace('b', &format!("{B}:"))
    }

    /// A full one that took six minutes and ended at that hour.
    fn full(hour: i64, has: &str) -> Backup {
        Backup {
            began_ms: hour * HOUR - HOUR / 10,
            ended_ms: hour * HOUR,
            gtids: gtids(has),
            bytes: 36_000,
            stores: vec!["disk".into()],
            ..Backup::default()
        }
    }

    fn increment(hour: i64, has: &str, base: i64) -> Backup {
        Backup { base: Some(format!("{base:03}")), bytes: 4_000, ..full(hour, has) }
    }

    fn looked_at(backup: Backup, hour: i64, fault: &str) -> Backup {
        let fault = (!fault.is_empty()).then(|| fault.to_owned());
        Backup { verified: Some(Verified { at_ms: hour * HOUR, fault }), ..backup }
    }

    /// Each under the hour at which it ended.
    fn listed(all: impl IntoIterator<Item = Backup>) -> Backups {
        let named = |one: Backup| (format!("{:03}", one.ended_ms / HOUR), one);
        Backups { catalogue: all.into_iter().map(named).collect(), ..Backups::default() }
    }

    /// Stretches between two hours with their sets; without any where `from` is "?".
    fn archive(stretches: &[(u64, u64, &str, &str)]) -> Archiving {
        let hour = u64::try_from(HOUR).unwrap();
        let my = |text: &str| GtidSet::parse_mysql(&gtids(text)).unwrap();
        let sets = |(_, _, from, to): &(u64, u64, &str, &str)| (*from != "?").then(|| (my(from), my(to)));
        Archiving {
            stretches: stretches.iter().map(|(first, last, ..)| (first * hour, last * hour)).collect(),
            sets: stretches.iter().map(sets).collect(),
            ..Archiving::default()
        }
    }

    /// "10..100 of 010; alone 005; unreached 7..8": hours and ids.
    fn told(backups: &Backups, archive: Option<&Archiving>) -> String {
        let found = recovery(backups, archive);
        let hours = |from: i64, to: i64| format!("{}..{}", from / HOUR, to / HOUR);
        let windows = found.windows.iter().map(|window| {
            format!("{} of {}", hours(window.from_ms(), window.stretch.last_ms), window.first.0)
        });
        let alone = found.alone.iter().map(|(id, _)| format!("alone {id}"));
        let unreached = found.unreached.iter().map(|s| format!("unreached {}", hours(s.first_ms, s.last_ms)));
        windows.chain(alone).chain(unreached).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn from_the_first_good_backup_within_a_stretch_to_its_end() {
        let backups = listed([full(5, "a1-3"), full(10, "a1-5"), full(20, "a1-9")]);
        let found = archive(&[(8, 90, "a1-4", "a1-50")]);
        assert_eq!(told(&backups, Some(&found)), "10..90 of 010; alone 005");
        let archived_ms = u64::try_from(99 * HOUR).unwrap();
        let whole = Archiving { archived_ms, ..found };
        assert_eq!(told(&backups, Some(&whole)), "10..99 of 010; alone 005", "nothing came since");
        assert_eq!(told(&backups, None), "alone 005; alone 010; alone 020");
        assert_eq!(told(&backups, Some(&Archiving::default())), "alone 005; alone 010; alone 020");
    }

    #[test]
    fn nothing_at_all() {
        let nothing = Backups::default();
        let none = recovery(&nothing, Some(&archive(&[(8, 90, "a1-4", "a1-50")])));
        assert_eq!((none.windows.len(), none.alone.len(), none.unreached.len()), (0, 0, 1));
        assert_eq!((none.read_again, none.newest), (None, None));
        assert_eq!(told(&Backups::default(), None), "");
    }

    #[test]
    fn a_dump_has_what_there_was_at_its_beginning() {
        let dump = |has: &str| Backup { engine: "dump".into(), began_ms: 42 * HOUR, ..full(46, has) };
        let two = archive(&[(0, 40, "a1", "a1-20"), (44, 100, "a1-30", "a1-50")]);
        assert_eq!(
            told(&listed([dump("a1-25")]), Some(&two)),
            "alone 046; unreached 0..40; unreached 44..100"
        );
        let found = listed([dump("a1-30")]);
        assert_eq!(told(&found, Some(&two)), "46..100 of 046; unreached 0..40", "a restore goes by its end");
        assert_eq!(state_ms(&dump("a1-30")), 42 * HOUR);
    }

    #[test]
    fn a_hole_needs_a_backup_behind_it() {
        let two = archive(&[(0, 40, "a1", "a1-20"), (44, 100, "a1-30", "a1-50")]);
        let before = [full(10, "a1-5"), full(30, "a1-15")];
        assert_eq!(told(&listed(before.clone()), Some(&two)), "10..40 of 010; unreached 44..100");
        let within = before.clone().into_iter().chain([full(42, "a1-25")]);
        assert_eq!(told(&listed(within), Some(&two)), "10..40 of 010; alone 042; unreached 44..100");
        // It has all that is missing, although nothing had been committed behind it yet.
        let behind = before.clone().into_iter().chain([full(43, "a1-30")]);
        assert_eq!(told(&listed(behind), Some(&two)), "10..40 of 010; 43..100 of 043");
        let later = before.into_iter().chain([full(60, "a1-40")]);
        assert_eq!(told(&listed(later), Some(&two)), "10..40 of 010; 60..100 of 060");
    }

    #[test]
    fn transactions_count_and_not_times() {
        let one = archive(&[(8, 90, "a1-4", "a1-50")]);
        let lags = listed([full(10, "a1-3")]);
        assert_eq!(
            told(&lags, Some(&one)),
            "alone 010; unreached 8..90",
            "it lacks what precedes the stretch"
        );
        let beside = listed([full(10, "a1-5,b1")]);
        assert_eq!(told(&beside, Some(&one)), "alone 010; unreached 8..90", "the cluster went on without b1");
        for odd in ["", "0-1-100", "?"] {
            assert_eq!(told(&listed([full(10, odd)]), Some(&one)), "alone 010; unreached 8..90", "{odd:?}");
        }
        let again = Archiving { since_ms: u64::try_from(11 * HOUR).unwrap(), ..one };
        let backups = listed([full(10, "a1-5"), full(12, "a1-6")]);
        assert_eq!(told(&backups, Some(&again)), "12..90 of 012; alone 010", "of a history before a reset");
    }

    #[test]
    fn times_count_where_transactions_are_not_told() {
        let one = archive(&[(8, 90, "?", "?")]);
        let backups = listed([full(8, "a1-3"), full(10, "a1-5")]);
        assert_eq!(told(&backups, Some(&one)), "10..90 of 010; alone 008", "one began before");
        let earlier = Archiving { sets: Vec::new(), ..one };
        assert_eq!(
            told(&backups, Some(&earlier)),
            "10..90 of 010; alone 008",
            "an earlier release tells none"
        );
    }

    #[test]
    fn mariadb_by_the_last_of_each_domain() {
        let maria = |text: &str| GtidSet::Mariadb(text.parse().unwrap());
        let sets = (maria("0-1-100"), maria("0-1-120,0-2-130"));
        let stretch = Stretch { first_ms: 8 * HOUR, last_ms: 90 * HOUR, sets: Some(sets) };
        let leads = |has: &str| leads_to(&Backup { gtids: has.into(), ..full(10, "") }, &stretch);
        let found = ["0-1-99", "0-1-100", "0-1-120", "0-1-121", "0-2-125", "0-3-125", "1-1-5"].map(leads);
        assert_eq!(found, [false, true, true, false, true, false, false]);
    }

    #[test]
    fn a_restore_goes_on_in_one_store() {
        let one = Archiving { store: "bucket".into(), ..archive(&[(8, 90, "a1-4", "a1-50")]) };
        let lies_in = |hour: i64, stores: &[&str]| {
            let stores = stores.iter().map(|store| (*store).to_owned()).collect();
            Backup { stores, ..full(hour, "a1-5") }
        };
        let backups = listed([lies_in(10, &["disk"]), lies_in(20, &["disk", "bucket"]), lies_in(30, &[])]);
        assert_eq!(told(&backups, Some(&one)), "20..90 of 020; alone 010", "what no store has is no backup");
        let on_disk = Backup { stores: vec!["disk".into()], ..increment(40, "a1-9", 50) };
        let apart = listed([lies_in(50, &["bucket"]), on_disk]);
        assert_eq!(told(&apart, Some(&one)), "50..90 of 050", "an increment and what it adds to are apart");
        let leaving = BTreeMap::from([("bucket".to_owned(), Leaving::default())]);
        let going = listed([Backup { leaving, ..lies_in(20, &["bucket"]) }]);
        assert_eq!(told(&going, Some(&one)), "unreached 8..90", "it is being removed");
    }

    #[test]
    fn what_is_damaged_or_needs_that_begins_nothing() {
        let one = archive(&[(0, 90, "a1", "a1-50")]);
        let chain = |fault: &str| {
            let base = looked_at(full(10, "a1-5"), 11, fault);
            listed([base, increment(12, "a1-7", 10), increment(14, "a1-9", 12), full(40, "a1-20")])
        };
        assert_eq!(told(&chain(""), Some(&one)), "10..90 of 010");
        assert_eq!(told(&chain("object 0"), Some(&one)), "40..90 of 040", "its increments are worth nothing");
        let lacks = listed([increment(12, "a1-7", 10)]);
        assert_eq!(told(&lacks, Some(&one)), "unreached 0..90", "what it adds to is not listed");
    }

    #[test]
    fn what_was_read_again_last_counts_unless_it_was_damaged() {
        let backups = listed([
            looked_at(full(10, "a1-5"), 30, ""),
            looked_at(full(20, "a1-9"), 25, ""),
            looked_at(full(21, "a1-9"), 40, "object 0"),
            full(50, "a1-9"),
        ]);
        assert_eq!(recovery(&backups, None).read_again.map(|(id, _)| id), Some("010"));
    }

    #[test]
    fn what_a_restore_of_the_newest_moment_is_made_of() {
        let chain = [full(10, "a1-5"), increment(12, "a1-7", 10), increment(14, "a1-9", 12)];
        let backups = listed(chain.clone());
        let one = archive(&[(0, 90, "a1", "a1-50")]);
        let newest = |backups: &Backups, archive: &Archiving| {
            let Work { at_ms, backups, bytes, rate, seconds, replayed } =
                recovery(backups, Some(archive)).newest.unwrap();
            (at_ms / HOUR, backups.join(" "), bytes, rate, seconds, replayed)
        };
        let all = "010 012 014".to_owned();
        assert_eq!(newest(&backups, &one), (90, all.clone(), 44_000, Some(100), Some(440), Some(41)));
        let not_told = archive(&[(0, 90, "?", "?")]);
        assert_eq!(newest(&backups, &not_told).5, None);
        let over = archive(&[(0, 13, "a1", "a1-8")]);
        assert_eq!(
            newest(&backups, &over),
            (14, all, 44_000, Some(100), Some(440), Some(0)),
            "a backup is newer"
        );
        for unknown in
            [Backup { bytes: 0, ..full(10, "a1-5") }, Backup { began_ms: 10 * HOUR, ..full(10, "a1-5") }]
        {
            let (.., rate, seconds, _) = newest(&listed([unknown]), &one);
            assert_eq!((rate, seconds), (None, None));
        }
    }

    #[test]
    fn clocks_far_off_break_nothing() {
        let mut odd = full(10, "a1-5");
        (odd.began_ms, odd.ended_ms, odd.bytes) = (i64::MIN, i64::MAX, u64::MAX);
        let stretches = vec![(0, u64::MAX), (u64::MAX, 0)];
        let archive =
            Archiving { stretches, since_ms: u64::MAX, works: true, archived_ms: u64::MAX, ..archive(&[]) };
        recovery(&listed([odd]), Some(&archive));
    }
}
