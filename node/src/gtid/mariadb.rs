//! MariaDB's GTIDs, treated as sets.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::GtidParseError;
use super::mariadb_domain::DomainSet;

/// One MariaDB transaction's name, `domain-server-sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MariadbGtid {
    /// The replication domain (`gtid_domain_id`).
    pub domain: u32,
    /// The server that committed it first (`server_id`).
    pub server_id: u32,
    /// Its number within the domain, from 1.
    pub sequence: u64,
}

impl fmt::Display for MariadbGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server_id, self.sequence)
    }
}

/// A set of MariaDB transactions: per domain, a part of a line of history.
///
/// Under `gtid_strict_mode`, which Baton requires, the sequence numbers of a domain only rise, whoever writes. What a
/// server has is then a prefix of that line, and `gtid_binlog_state` describes it by the last GTID of each server id.
/// A difference ([`Self::subtract`]) is a later part; it prints with ranges: `0-1-101..105`.
///
/// Known limits, which come from what MariaDB keeps:
///
/// - A server id that wrote, lost those transactions, and wrote again under the same numbers cannot be told from one that
///   never lost them. Strict mode on the source refuses such a replica when it connects.
/// - A position names the last GTID only. A set made from one alone seems to lack every other server id that ever wrote:
///   compare `gtid_binlog_state`, joined with the position where one runs ahead (`Gtid_IO_Pos`). A replica that was seeded
///   by `gtid_slave_pos` with an empty binlog has this gap for good unless `gtid_binlog_state` was set as well;
///   [`Self::contains_position`] asks less.
/// - Gaps in the sequence numbers (filters, `SET gtid_seq_no`) are counted as if they were transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MariadbSet {
    /// No entry is empty.
    domains: BTreeMap<u32, DomainSet>,
}

impl MariadbSet {
    pub(super) fn from_domains(domains: impl IntoIterator<Item = (u32, DomainSet)>) -> Self {
        Self { domains: domains.into_iter().filter(|(_, set)| !set.is_empty()).collect() }
    }

    pub(super) fn domains(&self) -> impl Iterator<Item = (u32, &DomainSet)> {
        self.domains.iter().map(|(domain, set)| (*domain, set))
    }

    /// Adds a GTID and with it everything before it in its domain, as a server does that logs it. Sequence number 0 adds
    /// nothing, `u64::MAX` counts as one less.
    pub fn advance(&mut self, gtid: MariadbGtid) {
        let last = gtid.sequence.min(u64::MAX - 1);
        if last > 0 {
            self.domains.entry(gtid.domain).or_default().add(gtid.server_id, 1, last);
        }
    }

    /// Whether there is no transaction in it.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// How many sequence numbers are in it over all domains, at most `u64::MAX`. A number counts once per domain, also when
    /// a union holds two transactions that share it (see [`Self::diverges`]).
    pub fn count(&self) -> u64 {
        self.domains.values().fold(0, |sum: u64, set| sum.saturating_add(set.count()))
    }

    /// The last GTID of each domain, domains rising.
    pub fn last_gtids(&self) -> impl Iterator<Item = MariadbGtid> {
        self.domains.iter().filter_map(|(domain, set)| {
            let (server_id, sequence) = set.last()?;
            Some(MariadbGtid { domain: *domain, server_id, sequence })
        })
    }

    /// The last GTID of each domain as `SET GLOBAL gtid_slave_pos` takes it: `0-2-150,1-1-7`.
    pub fn position(&self) -> String {
        self.last_gtids().map(|gtid| gtid.to_string()).collect::<Vec<_>>().join(",")
    }

    /// The part up to `position`, as far as the last numbers of the server ids tell, and the position itself: what a copy
    /// has that stands at `position`. A server id that wrote on both sides of it shows only where it is the position's own.
    pub fn up_to(&self, position: &Self) -> Self {
        let domains = position.domains.iter().map(|(domain, end)| {
            let mut part = DomainSet::default();
            let known = self.domains.get(domain).map(DomainSet::by_number).unwrap_or_default();
            let ends = end.last().map(|(server_id, sequence)| (sequence, server_id));
            let last = ends.map_or(0, |(sequence, _)| sequence);
            for (sequence, server_id) in known.into_iter().filter(|(n, _)| *n <= last).chain(ends) {
                part.add(server_id, 1, sequence);
            }
            (*domain, part)
        });
        Self::from_domains(domains)
    }

    /// The same numbers, whoever wrote them. On one line of history a number names one transaction, and sets of numbers
    /// have an exact algebra, which positions alone do not.
    pub fn numbers(&self) -> Self {
        Self::from_domains(self.domains().map(|(domain, set)| (domain, set.by_nobody())))
    }

    /// The same numbers with the server ids that `line` has for them, as far as it shows them. Numbers that it does not have
    /// are left out.
    pub fn named_by(&self, line: &Self) -> Self {
        let named =
            |(domain, set): (u32, &DomainSet)| Some((domain, set.named_by(line.domains.get(&domain)?)));
        Self::from_domains(self.domains().filter_map(named))
    }

    /// Everything that is in either.
    pub fn union(&self, other: &Self) -> Self {
        let mut domains = self.domains.clone();
        for (domain, theirs) in &other.domains {
            let entry = domains.entry(*domain).or_default();
            *entry = entry.union(theirs);
        }
        Self { domains }
    }

    /// Everything of `self` that `other` lacks. Starts after the last transaction that both have of a domain, as far as
    /// their server ids show it.
    pub fn subtract(&self, other: &Self) -> Self {
        let lost = self.domains.iter().map(|(domain, ours)| match other.domains.get(domain) {
            Some(theirs) => (*domain, ours.subtract(theirs)),
            None => (*domain, ours.clone()),
        });
        Self::from_domains(lost)
    }

    /// Everything that is in both, as far as their server ids show it.
    pub fn intersect(&self, other: &Self) -> Self {
        let shared = self
            .domains
            .iter()
            .filter_map(|(domain, ours)| Some((*domain, ours.intersect(other.domains.get(domain)?))));
        Self::from_domains(shared)
    }

    /// Whether `self` has everything of `other`: in each domain each server id of `other`, at least as far.
    pub fn contains(&self, other: &Self) -> bool {
        other
            .domains
            .iter()
            .all(|(domain, theirs)| self.domains.get(domain).is_some_and(|ours| ours.contains(theirs)))
    }

    /// Whether `self` has the last GTID of each domain of `other`. On one line that is as good as [`Self::contains`], and
    /// it holds for a replica that was seeded by position too; but it does not see an older transaction that only `other`
    /// has, should replication ever have gone on past one.
    pub fn contains_position(&self, other: &Self) -> bool {
        other.last_gtids().all(|gtid| {
            self.domains.get(&gtid.domain).is_some_and(|ours| ours.last_of(gtid.server_id) >= gtid.sequence)
        })
    }

    /// Whether the two can be seen to have parted: in some domain either both went on past the last transaction they
    /// share, or two server ids have the same sequence number as their last. Neither can then follow the other.
    ///
    /// Give it complete states. Two sets that share no server id in a domain are not called parted for that alone.
    pub fn diverges(&self, other: &Self) -> bool {
        self.domains
            .iter()
            .any(|(domain, ours)| other.domains.get(domain).is_some_and(|theirs| ours.diverges(theirs)))
    }
}

impl From<MariadbSet> for String {
    fn from(set: MariadbSet) -> Self {
        set.to_string()
    }
}

impl TryFrom<String> for MariadbSet {
    type Error = GtidParseError;

    fn try_from(text: String) -> Result<Self, GtidParseError> {
        text.parse()
    }
}
