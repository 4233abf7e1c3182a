//! Whose server is read for the archive of the binlog, and what is wrong with that. A replica, as for backups; the writer only
//! while no replica can be read.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backup::LAG_MAX;
use super::backup::choose::{Server, Wanted, choose};
use super::backup::field::readers;
use super::diagnose::FRESH;
use super::diagnosis::Trouble;
use super::seen::{Observations, Report};
use crate::gtid::{GtidSet, MariadbGtid, MariadbSet};
use crate::state::{Backup, Change, ClusterState, Collector, NodeName, UnixMillis};

/// Whoever has come to nothing so often in a row gives way to another.
const TRIES: u32 = 3;
/// It is told after so many.
const TOLD_AFTER: u32 = 2;
/// One whose uploads fail so often in a row gives way, too, until each has had its turn: the store is away from all then.
const FAILED_UPLOADS: u32 = 5;
/// A server that cannot be read now may have what the others lack: no hole is left before it has been away for so long.
const AWAY_MS: UnixMillis = 600_000;
const AWAY: Duration = Duration::from_millis(AWAY_MS.unsigned_abs());
/// A node that gets on for so long has the turn for good, and whoever failed before it may have one again.
const FORGIVEN_MS: UnixMillis = 600_000;
/// Nobody gives way sooner, unless it cannot be read at all.
const STAYS_MS: UnixMillis = 10_000;
/// What is older was said by a node that is silent now.
const IS_HEARD: Duration = FRESH.saturating_mul(4);
/// For so long a new leader waits for the first reports of all before it takes anybody's turn away.
const HEARD_WITHIN: Duration = Duration::from_secs(10);
/// An archive that is further behind than this is told of.
const BEHIND: Duration = Duration::from_secs(60);

/// How a node archives, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archiving {
    /// Whether it does, and has heard from its server.
    pub works: bool,
    /// Everything that its server had so many milliseconds ago is in the store.
    pub lag_ms: u64,
    /// How many transactions its server has that the store lacks.
    pub behind: u64,
    /// When the last transaction that is archived was committed, in milliseconds since 1970; 0 where that is not known.
    pub archived_ms: u64,
    /// Segments that it brought to the store since it began.
    pub sent: u64,
    /// Uploads that failed, one after the other.
    pub failed: u32,
    /// How often in a row it has begun and come to nothing.
    pub ended: u32,
    /// Why the last upload failed, or why it came to nothing.
    pub error: String,
    /// It came to nothing because its server cannot send what the archive lacks, and for no other reason.
    #[serde(default)]
    pub lacks: bool,
    /// Transactions that are missing in the middle of the archive.
    pub holes: String,
    /// Entries in the store that cannot be read.
    pub unreadable: u64,
    /// Segments that waited on its disk, cannot be read and were set aside there.
    #[serde(default)]
    pub aside: u64,
    /// Why its server is read no further for now; empty while it is.
    #[serde(default)]
    pub waits: String,
    /// What the archive covers without a hole, the oldest first: first and last moment, in milliseconds since 1970.
    #[serde(default)]
    pub stretches: Vec<(u64, u64)>,
    /// For each of these what a backup has to have at least for it, and what there is at its end; `None` where that is not told.
    /// Beside them, and not with them: a node of an earlier release reads and writes those.
    #[serde(default)]
    pub sets: Vec<Option<(GtidSet, GtidSet)>>,
    /// Since when there is this history, in milliseconds since 1970: a backup of an earlier one leads nowhere. 0: there is none.
    #[serde(default)]
    pub since_ms: u64,
    /// The store that it is in; empty where an earlier release does not say.
    #[serde(default)]
    pub store: String,
}

/// A stretch of the archive without a hole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// When its first transaction was committed.
    pub first_ms: UnixMillis,
    /// Up to when it has everything, as far as is known.
    pub last_ms: UnixMillis,
    /// What a backup has to have at least for it, and what there is at its end, where both are known.
    pub sets: Option<(GtidSet, GtidSet)>,
}

impl Archiving {
    /// What the archive covers, the oldest first.
    pub fn covers(&self) -> Vec<Stretch> {
        let at = |ms: u64| UnixMillis::try_from(ms).unwrap_or(UnixMillis::MAX);
        let all = self.stretches.iter().enumerate().map(|(number, (first, last))| Stretch {
            first_ms: at(*first),
            last_ms: at(*last),
            sets: self.sets.get(number).cloned().flatten(),
        });
        let mut all: Vec<_> = all.collect();
        if let Some(newest) = all.last_mut() {
            newest.last_ms = newest.last_ms.max(at(self.archived_ms));
        }
        all
    }
}

/// What the group is to agree on, if anything: whose turn it is. `leading` is for how long this leader has led.
pub fn next(
    state: &ClusterState,
    seen: &Observations,
    leading: Duration,
    now_ms: UnixMillis,
) -> Option<Change> {
    let current = state.collector.as_ref();
    if leading < HEARD_WITHIN && state.data_nodes().any(|(node, _)| seen.of(node).is_none()) {
        return None;
    }
    if !is_wanted(seen) {
        return current.map(|_| collect(None, 0, &BTreeSet::new(), false));
    }
    let servers = readers(state, seen);
    let wanted = wanted(current.map(|now| &now.node));
    let Some(current) = current else {
        let node = choose(&servers, &wanted).ok()?.node.clone();
        return Some(collect(Some(&node), 0, &BTreeSet::new(), false));
    };
    let said = says(seen, &current.node);
    let has_had_it_ms = now_ms.saturating_sub(current.since_ms);
    // What it last said may be of an earlier turn: a node that pauses after a failure says so on and on.
    let had_its_turn = has_had_it_ms >= STAYS_MS;
    if let Some(said) = said.filter(|said| said.ended >= TRIES && had_its_turn) {
        let lost_patience =
            current.lacking_since_ms > 0 && now_ms.saturating_sub(current.lacking_since_ms) >= AWAY_MS;
        let lacks = |node: &NodeName| said.lacks && current.node == *node || current.lacking.contains(node);
        let is_given_up =
            |node: &NodeName| lacks(node) || lost_patience && has_been_away(seen, node, leading) >= AWAY;
        let is_hopeless = state.data_nodes().all(|(node, _)| is_given_up(node));
        return give_way(current, said.lacks, is_hopeless, &servers, &wanted);
    }
    if said.is_some_and(|said| said.failed >= FAILED_UPLOADS) && had_its_turn {
        let each_had_its = usize::try_from(current.turns).unwrap_or(usize::MAX) >= servers.len()
            && has_had_it_ms < FORGIVEN_MS;
        let others = without(&servers, &current.node);
        let other = choose(&others, &wanted).ok().filter(|_| !each_had_its)?;
        let turns = current.turns.saturating_add(1);
        return Some(collect(Some(&other.node), turns, &current.lacking, current.may_leap));
    }
    let best = choose(&servers, &wanted).ok()?;
    if best.node != current.node {
        let can_be_read = choose(&only(&servers, &current.node), &wanted).is_ok();
        // One whose turn it is because another failed keeps it until it gets on, or fails itself.
        let has_stayed = current.turns == 0 && had_its_turn;
        if has_stayed || !can_be_read {
            return Some(collect(Some(&best.node), current.turns, &current.lacking, current.may_leap));
        }
    }
    // Behind a hole nothing is in the store yet: one that has sent nothing there would have to leave it once more.
    let is_well = said.is_some_and(|said| {
        said.works && said.ended == 0 && (said.sent > 0 || said.behind == 0 && !current.may_leap)
    });
    // Not at once: else it is the turn of whoever failed again, fails again, and so on for ever.
    let turns = if has_had_it_ms >= FORGIVEN_MS { 0 } else { current.turns };
    let forgives = is_well && (current.turns > turns || !current.lacking.is_empty() || current.may_leap);
    forgives.then(|| collect(Some(&current.node), turns, &BTreeSet::new(), false))
}

/// What a node says now. What one that is silent said last is no news: others may be able to read their servers.
fn says<'s>(seen: &'s Observations, node: &NodeName) -> Option<&'s Archiving> {
    seen.of(node).filter(|heard| heard.age <= IS_HEARD)?.report.archiving.as_ref()
}

/// What is known of a node's archive. One that is silent has archived what it said last, and whether it still does nobody knows.
/// A replica that is behind has everything of an earlier moment.
pub fn known(seen: &Observations, node: &NodeName) -> Option<Archiving> {
    let last = seen.of(node)?.report.archiving.clone()?;
    let behind = seen.pulse(node).and_then(|(pulse, _)| pulse.channel.as_ref()?.behind).unwrap_or_default();
    let behind_ms = u64::try_from(behind.as_millis()).unwrap_or(u64::MAX);
    Some(Archiving {
        works: says(seen, node).is_some_and(|said| said.works),
        archived_ms: last.archived_ms.saturating_sub(behind_ms),
        ..last
    })
}

/// For how long a server cannot have been read, at least. One that is there and not to be read, for whatever reason, is
/// waited for no longer than the others have lacked something.
fn has_been_away(seen: &Observations, node: &NodeName, leading: Duration) -> Duration {
    let Some(heard) = seen.of(node) else { return leading };
    if heard.age > IS_HEARD {
        return heard.age;
    }
    match seen.pulse(node) {
        Some((_, age)) if age <= IS_HEARD => Duration::MAX,
        Some((_, age)) => age,
        None => leading,
    }
}

fn collect(node: Option<&NodeName>, turns: u32, lacking: &BTreeSet<NodeName>, may_leap: bool) -> Change {
    Change::Collect { node: node.cloned(), turns, lacking: lacking.clone(), may_leap }
}

/// Another one's turn. Once every server that can be read has said that it cannot send what is missing, and it `is_hopeless`
/// to wait for another, the next may leave a hole: nobody can. Any other failure, such as that of a store which is away, says
/// nothing of what there is to read.
fn give_way(
    current: &Collector,
    lacks: bool,
    is_hopeless: bool,
    servers: &[Server],
    wanted: &Wanted,
) -> Option<Change> {
    let others = without(servers, &current.node);
    let fit = |server: &&Server| choose(&only(servers, &server.node), wanted).is_ok();
    let mut lacking = current.lacking.clone();
    if lacks {
        lacking.insert(current.node.clone());
    }
    let all_lack = lacks && servers.iter().filter(fit).all(|server| lacking.contains(&server.node));
    let may_leap = all_lack && is_hopeless || current.may_leap;
    let turns = current.turns.saturating_add(1);
    // A server that has not been asked yet comes before those that lack it.
    let unasked: Vec<Server> =
        others.iter().filter(|server| !lacks || !lacking.contains(&server.node)).cloned().collect();
    match choose(&unasked, wanted).or_else(|_| choose(&others, wanted)) {
        Ok(other) => Some(collect(Some(&other.node), turns, &lacking, may_leap)),
        Err(_) if current.may_leap == may_leap && current.lacking == lacking => None,
        Err(_) => Some(collect(Some(&current.node), turns, &lacking, may_leap)),
    }
}

fn without(servers: &[Server], node: &NodeName) -> Vec<Server> {
    servers.iter().filter(|server| server.node != *node).cloned().collect()
}

fn only(servers: &[Server], node: &NodeName) -> Vec<Server> {
    servers.iter().filter(|server| server.node == *node).cloned().collect()
}

fn wanted(current: Option<&NodeName>) -> Wanted {
    Wanted {
        node: None,
        allow_writer: true,
        lag_max: LAG_MAX,
        chains: current.cloned().into_iter().collect(),
    }
}

/// Whether any node has an archive in its file.
fn is_wanted(seen: &Observations) -> bool {
    seen.iter().any(|(_, heard)| heard.report.archiving.is_some())
}

/// Every trouble with the archive.
pub fn alarms(state: &ClusterState, seen: &Observations) -> Vec<Trouble> {
    if !is_wanted(seen) {
        return Vec::new();
    }
    let mut found: Vec<_> = seen.iter().filter_map(|(node, heard)| set_aside(node, &heard.report)).collect();
    let said = |collector: &Collector| says(seen, &collector.node).cloned();
    let Some((collector, said)) = state.collector.as_ref().and_then(|now| Some((now, said(now)?))) else {
        // Whoever has the turn is not heard: it is another one's soon, unless there is none.
        let nobody = choose(&readers(state, seen), &wanted(None)).err();
        found.extend(nobody.map(|why| Trouble::ArchiveStalled(format!("no server can be read: {why}"))));
        return found;
    };
    found.extend(stalled(&collector.node, &said).map(Trouble::ArchiveStalled));
    if !said.holes.is_empty() && !is_past(state, &said.holes) {
        found.push(Trouble::ArchiveHole(said.holes));
    }
    found
}

/// Whether every backup that is kept has what is missing. Nobody restores across it any more then.
fn is_past(state: &ClusterState, holes: &str) -> bool {
    let is_kept =
        |backup: &&Backup| backup.is_good() && backup.stores.iter().any(|store| backup.stays_in(store));
    let mut kept = state.backups.catalogue.values().filter(is_kept).peekable();
    kept.peek().is_some() && kept.all(|backup| reaches(&backup.gtids, holes))
}

/// Whether a backup has what is missing. MariaDB names the last of each domain alone: it is behind what is missing there.
fn reaches(has: &str, holes: &str) -> bool {
    if let Ok(holes) = GtidSet::parse_mysql(holes) {
        return GtidSet::parse_mysql(has).is_ok_and(|has| has.contains(&holes) == Ok(true));
    }
    let (Ok(GtidSet::Mariadb(has)), Ok(holes)) =
        (GtidSet::parse_mariadb_state(has), holes.parse::<MariadbSet>())
    else {
        return false;
    };
    let is_before = |hole: MariadbGtid| {
        has.last_gtids().any(|last| last.domain == hole.domain && last.sequence >= hole.sequence)
    };
    holes.last_gtids().all(is_before)
}

/// Whosever turn it is: it may be all that there is of these transactions.
fn set_aside(node: &NodeName, report: &Report) -> Option<Trouble> {
    let aside = report.archiving.as_ref()?.aside;
    (aside > 0).then(|| {
        Trouble::ArchiveStalled(format!(
            "{node}: {aside} segments that waited in paths.data/binlog cannot be read; look at the files that end in .aside, \
             then remove them"
        ))
    })
}

fn stalled(node: &NodeName, said: &Archiving) -> Option<String> {
    if said.failed >= TOLD_AFTER {
        return Some(format!("{node}: {} uploads failed, one after the other: {}", said.failed, said.error));
    }
    if said.ended >= TOLD_AFTER {
        return Some(format!("{node}: {}", said.error));
    }
    if !said.waits.is_empty() {
        return Some(format!("{node}: {}", said.waits));
    }
    if said.unreadable > 0 {
        return Some(format!("{} of its entries in the store cannot be read", said.unreadable));
    }
    let lag = Duration::from_millis(said.lag_ms);
    (lag >= BEHIND).then(|| {
        format!(
            "{node}: what was committed {} s ago is not in the store; {} transactions wait",
            lag.as_secs(),
            said.behind
        )
    })
}
