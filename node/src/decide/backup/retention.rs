//! Which backups may go. A chain goes by its ends: an increment is worth nothing without what it adds to, so a base lives as
//! long as anything that needs it. Nothing goes for its age alone while no newer full backup is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::state::UnixMillis;

const DAY_MS: i64 = 24 * 3600 * 1000;
#[cfg(test)]
const DAY: Duration = Duration::from_secs(24 * 3600);
/// 1970 began with a Thursday: weeks begin with Mondays.
const DAYS_TO_MONDAY: i64 = 3;

/// How long backups are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Every backup, for so long.
    pub all: Duration,
    /// After that the first full one of each week, up to that age.
    pub weekly: Duration,
    /// So many full ones at least, whatever their age; never fewer than one.
    pub fulls_min: usize,
}

/// A backup, as retention sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub backup: String,
    /// What it adds to; `None` of a full one.
    pub base: Option<String>,
    /// When it began.
    pub began_ms: UnixMillis,
    /// Somebody wants it kept.
    pub is_pinned: bool,
    /// It is to go already. It counts for none of the last ones, and still as the first of its week: the next one of a week
    /// that is not kept any more must not take its place.
    pub is_leaving: bool,
    /// It, or what it needs, was found damaged: it counts for none of those that are kept at least, and takes no other's place.
    pub is_damaged: bool,
}

/// Why a backup stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stays {
    /// None that is newer and good stays.
    Newest,
    /// Somebody pinned it.
    Pinned,
    /// It is of the days of which everything stays.
    Recent,
    /// The first full one of its week.
    Weekly,
    /// One of the last full ones that there are.
    Last,
    /// That one needs it.
    BaseOf(String),
}

impl std::fmt::Display for Stays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newest => f.write_str("no newer good one is kept"),
            Self::Pinned => f.write_str("pinned"),
            Self::Recent => f.write_str("recent"),
            Self::Weekly => f.write_str("first of its week"),
            Self::Last => f.write_str("one of the last"),
            Self::BaseOf(other) => write!(f, "base of {other}"),
        }
    }
}

/// Says of each backup why it stays; `None` may go.
#[must_use]
pub fn judge(held: &[Held], policy: &Policy, now_ms: UnixMillis) -> BTreeMap<String, Option<Stays>> {
    let by_id: BTreeMap<&str, &Held> = held.iter().map(|h| (h.backup.as_str(), h)).collect();
    let last = last_fulls(held, policy.fulls_min.max(1));
    let weekly = first_of_weeks(held);
    // Somebody may mend it, or read what is left of it.
    let is_lone = |one: &Held| one.is_damaged && one.base.is_none();
    let mut judged: BTreeMap<String, Option<Stays>> = BTreeMap::new();
    for one in held {
        let age = u64::try_from(now_ms.saturating_sub(one.began_ms)).unwrap_or_default();
        let is_younger = |than: Duration| Duration::from_millis(age) < than;
        let stays = if one.is_pinned {
            Some(Stays::Pinned)
        } else if is_younger(policy.all) {
            Some(Stays::Recent)
        } else if is_younger(policy.weekly) && (weekly.contains(one.backup.as_str()) || is_lone(one)) {
            Some(Stays::Weekly)
        } else if last.contains(one.backup.as_str()) {
            Some(Stays::Last)
        } else {
            None
        };
        judged.insert(one.backup.clone(), stays);
    }
    for one in held {
        if judged.get(&one.backup).is_some_and(Option::is_some) {
            keep_bases(one, &by_id, &mut judged);
        }
    }
    judged
}

/// Follows the chain down. A base that is missing was lost already; a ring, which no honest store has, ends.
fn keep_bases(from: &Held, by_id: &BTreeMap<&str, &Held>, judged: &mut BTreeMap<String, Option<Stays>>) {
    let (mut at, mut steps) = (from, by_id.len());
    while let Some(base) = at.base.as_deref().and_then(|base| by_id.get(base)) {
        if let Some(stays) = judged.get_mut(&base.backup) {
            stays.get_or_insert_with(|| Stays::BaseOf(from.backup.clone()));
        }
        steps = steps.saturating_sub(1);
        if steps == 0 {
            return;
        }
        at = base;
    }
}

fn last_fulls(held: &[Held], count: usize) -> BTreeSet<&str> {
    let mut fulls: Vec<_> =
        held.iter().filter(|h| h.base.is_none() && !h.is_leaving && !h.is_damaged).collect();
    fulls.sort_by(|a, b| (b.began_ms, &b.backup).cmp(&(a.began_ms, &a.backup)));
    fulls.into_iter().take(count).map(|h| h.backup.as_str()).collect()
}

fn first_of_weeks(held: &[Held]) -> BTreeSet<&str> {
    let mut firsts: BTreeMap<i64, &Held> = BTreeMap::new();
    for one in held.iter().filter(|h| h.base.is_none() && !h.is_damaged) {
        let week = (one.began_ms.div_euclid(DAY_MS) + DAYS_TO_MONDAY).div_euclid(7);
        let first = firsts.entry(week).or_insert(one);
        if (one.began_ms, &one.backup) < (first.began_ms, &first.backup) {
            *first = one;
        }
    }
    firsts.into_values().map(|h| h.backup.as_str()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn held(id: impl ToString, base: Option<&str>, day: i64) -> Held {
        let began_ms = day * DAY_MS;
        Held {
            backup: id.to_string(),
            base: base.map(Into::into),
            began_ms,
            is_pinned: false,
            is_leaving: false,
            is_damaged: false,
        }
    }

    /// A month of everything, a quarter of the weekly ones, and never fewer than two.
    const POLICY: Policy =
        Policy { all: DAY.saturating_mul(30), weekly: DAY.saturating_mul(90), fulls_min: 2 };

    fn at(day: i64) -> UnixMillis {
        day * DAY_MS
    }

    /// A full one each Monday, an increment on the last one each other day, pruned each day, for three years.
    #[test]
    fn three_years_of_weeks() {
        let mut store: Vec<Held> = Vec::new();
        for day in 0..3 * 365 {
            let is_monday = (day + DAYS_TO_MONDAY) % 7 == 0;
            let base = store.last().map(|h| h.backup.clone()).filter(|_| !is_monday);
            store.push(held(format!("d{day:04}"), base.as_deref(), day));
            let judged = judge(&store, &POLICY, at(day));
            store.retain(|h| judged.get(&h.backup).unwrap().is_some());
            let is_there = |id: &str| store.iter().any(|h| h.backup == id);
            for back in 0..day.min(29) {
                assert!(is_there(&format!("d{:04}", day - back)), "{day}: {back} days ago");
            }
            assert!(store.iter().all(|h| h.base.as_deref().is_none_or(is_there)), "{day}: a chain is broken");
            let oldest = store.first().unwrap().began_ms / DAY_MS;
            assert!(day - oldest <= 90, "{day}: {oldest} is still there");
            // 30 days, the rest of the chains that they belong to, and nine or ten weeks of full ones.
            assert!(store.len() <= 30 + 6 + 10, "{day}: {} backups", store.len());
        }
    }

    #[test]
    fn the_last_ones_stay_when_no_newer_ones_come() {
        let store = [held("a", None, 0), held("b", None, 1), held("c", Some("b"), 2), held("d", None, 3)];
        let judged = judge(&store, &POLICY, at(1000));
        let of = |id: &str| judged.get(id).unwrap().clone();
        assert_eq!(of("a"), None);
        assert_eq!(of("b"), Some(Stays::Last));
        assert_eq!(of("c"), None);
        assert_eq!(of("d"), Some(Stays::Last));
    }

    #[test]
    fn what_is_pinned_keeps_its_chain() {
        let mut pinned = held("c", Some("b"), 3);
        pinned.is_pinned = true;
        let recent = [held("x", None, 990), held("y", None, 991)];
        let old = [held("a", None, 0), held("b", Some("a"), 2), pinned, held("d", Some("c"), 4)];
        let judged = judge(&[&old[..], &recent].concat(), &POLICY, at(1000));
        let of = |id: &str| judged.get(id).unwrap().clone();
        assert_eq!(of("c"), Some(Stays::Pinned));
        assert_eq!(of("a"), Some(Stays::BaseOf("c".into())));
        assert_eq!(of("b"), Some(Stays::BaseOf("c".into())));
        assert_eq!(of("d"), None);
    }

    proptest! {
        /// Whatever a store holds, rings and missing bases included.
        #[test]
        fn nothing_that_is_needed_goes(
            store in prop::collection::vec((0_i64..400, prop::option::of(0_usize..30), any::<bool>()), 1..30),
            now in 0_i64..800,
        ) {
            let store: Vec<Held> = store.into_iter().enumerate().map(|(id, (day, base, is_pinned))| {
                let base = base.map(|b| b.to_string());
                Held { is_pinned, ..held(id, base.as_deref(), day) }
            }).collect();
            let judged = judge(&store, &POLICY, at(now));
            let stays = |id: &str| judged.get(id).is_some_and(Option::is_some);
            for one in &store {
                prop_assert!(!one.is_pinned || stays(&one.backup));
                let base = one.base.as_deref().filter(|base| judged.contains_key(*base));
                prop_assert!(!stays(&one.backup) || base.is_none_or(stays), "{} needs its base", one.backup);
                if one.base.is_none() && !stays(&one.backup) {
                    let newer = |h: &&Held| h.base.is_none() && stays(&h.backup) && h.began_ms >= one.began_ms;
                    prop_assert!(store.iter().filter(newer).count() >= 2, "{} has no successors", one.backup);
                }
            }
        }
    }
}
