//! MariaDB's text forms: states and positions as the server prints them, and differences with ranges.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::error::is_space;
use super::mariadb_domain::DomainSet;
use super::{Dialect, GtidParseError, MariadbSet};

const EXPECTED_GTID: &str = "a GTID such as 0-1-100 (domain-server-sequence)";
const EXPECTED_ONE_PER_SERVER: &str = "one GTID for each server id of a domain";
const EXPECTED_ONE_PER_DOMAIN: &str = "one GTID for each domain";

/// `0-1-100`, which stands for everything up to 100, or `0-1-101..105`.
struct Entry<'a> {
    text: &'a str,
    domain: u32,
    server_id: u32,
    first: u64,
    last: u64,
    is_range: bool,
}

impl MariadbSet {
    /// Reads `gtid_binlog_state`. White space around a GTID is skipped; an empty text is an empty set; a comma too many
    /// is refused, as the server refuses it.
    pub fn parse_state(text: &str) -> Result<Self, GtidParseError> {
        plain(text, |entry| (entry.domain, Some(entry.server_id)), EXPECTED_ONE_PER_SERVER)
    }

    /// Reads a position: `gtid_slave_pos`, `gtid_binlog_pos`, `Gtid_IO_Pos`. A domain named twice is refused, as the
    /// server refuses it.
    pub fn parse_position(text: &str) -> Result<Self, GtidParseError> {
        plain(text, |entry| (entry.domain, None), EXPECTED_ONE_PER_DOMAIN)
    }
}

impl FromStr for MariadbSet {
    type Err = GtidParseError;

    /// Reads what `Display` prints: a state, or a difference with ranges.
    fn from_str(text: &str) -> Result<Self, GtidParseError> {
        entries(text).collect::<Result<Vec<_>, _>>().map(collect)
    }
}

/// Reads GTIDs without ranges, no two of which have the same key.
fn plain(
    text: &str,
    key: fn(&Entry<'_>) -> (u32, Option<u32>),
    expected_unique: &'static str,
) -> Result<MariadbSet, GtidParseError> {
    let mut seen = BTreeSet::new();
    let mut list = Vec::new();
    for entry in entries(text) {
        let entry = entry?;
        if entry.is_range {
            return Err(refuse(entry.text, EXPECTED_GTID));
        }
        if !seen.insert(key(&entry)) {
            return Err(refuse(entry.text, expected_unique));
        }
        list.push(entry);
    }
    Ok(collect(list))
}

fn collect(entries: Vec<Entry<'_>>) -> MariadbSet {
    let mut domains: BTreeMap<u32, DomainSet> = BTreeMap::new();
    for entry in entries {
        domains.entry(entry.domain).or_default().add(entry.server_id, entry.first, entry.last);
    }
    MariadbSet::from_domains(domains)
}

fn entries(text: &str) -> impl Iterator<Item = Result<Entry<'_>, GtidParseError>> {
    let text = text.trim_matches(is_space);
    let pieces = if text.is_empty() { None } else { Some(text.split(',')) };
    pieces.into_iter().flatten().map(|piece| {
        let piece = piece.trim_matches(is_space);
        parse_entry(piece).ok_or_else(|| refuse(piece, EXPECTED_GTID))
    })
}

fn parse_entry(text: &str) -> Option<Entry<'_>> {
    let (domain, rest) = text.split_once('-')?;
    let (server_id, sequence) = rest.split_once('-')?;
    let (domain, server_id) = (number(domain)?.try_into().ok()?, number(server_id)?.try_into().ok()?);
    let (first, last, is_range) = match sequence.split_once("..") {
        Some((first, last)) => (number(first)?, number(last)?, true),
        // Sequence number 0 comes out as an empty range: `0-1-0` is a position before the first transaction.
        None => (1, number(sequence)?, false),
    };
    if is_range && (first == 0 || last < first) {
        return None;
    }
    Some(Entry { text, domain, server_id, first, last, is_range })
}

/// Digits only (`parse` alone would take a sign), and below `u64::MAX`, so that a half-open interval can end after it.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok().filter(|number| *number < u64::MAX) } else { None }
}

fn refuse(piece: &str, expected: &'static str) -> GtidParseError {
    GtidParseError::new(Dialect::Mariadb, piece, expected)
}

impl fmt::Display for MariadbSet {
    /// Domains rising. A prefix prints as `gtid_binlog_state` does, the last GTID of each server id with the domain's last
    /// one at the end, so that `SET GLOBAL gtid_binlog_state` takes it: `0-1-100,0-2-150`. Any other part prints its
    /// ranges in the line's order, one number alone as a range too: `0-1-101..105,0-2-106..106`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (domain, set) in self.domains() {
            if set.is_prefix() {
                for (sequence, server_id) in set.by_number() {
                    write!(f, "{comma}{domain}-{server_id}-{sequence}")?;
                    comma = ",";
                }
                continue;
            }
            for (server_id, numbers) in set.segments() {
                for range in numbers.iter() {
                    write!(f, "{comma}{domain}-{server_id}-{}..{}", range.start, range.last())?;
                    comma = ",";
                }
            }
        }
        Ok(())
    }
}
