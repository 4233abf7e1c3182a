//! MySQL's text form of a set, read as widely and printed as narrowly as the server does it.
//!
//! Read: white space between any two parts; UUIDs and tags in either case; the same UUID or tag again and again; a tag
//! holds for the intervals after it, up to the next tag or UUID; overlapping intervals; an interval that ends before it
//! starts (`7-3`) is empty; a UUID or tag without intervals is empty; commas too many, also at either end.
//! Refused although the server takes it: numbers that are hexadecimal, signed or start with `0`. The server reads them
//! as C does (`010` is 8), never prints them, and who writes one means something else.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::error::is_space;
use super::interval::Interval;
use super::{Dialect, GtidParseError, MysqlSet, ServerUuid, Tag, Tsid};

/// The highest transaction number: 2^63 − 2.
pub(super) const GNO_MAX: u64 = i64::MAX as u64 - 1;

impl FromStr for MysqlSet {
    type Err = GtidParseError;

    /// Reads what `@@gtid_executed` and its kin hold, and what `GTID_SUBSET` takes.
    fn from_str(text: &str) -> Result<Self, GtidParseError> {
        let mut intervals: BTreeMap<Tsid, Vec<Interval>> = BTreeMap::new();
        for entry in text.split(',').map(trim).filter(|entry| !entry.is_empty()) {
            let mut parts = entry.split(':').map(trim);
            let uuid: ServerUuid = parts.next().unwrap_or_default().parse()?;
            let mut list = intervals.entry(uuid.into()).or_default();
            for part in parts {
                if Tag::starts_like(part) {
                    list = intervals.entry(Tsid { uuid, tag: part.parse()? }).or_default();
                } else {
                    list.push(parse_interval(part)?);
                }
            }
        }
        Ok(Self::from_intervals(intervals))
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

fn parse_interval(text: &str) -> Result<Interval, GtidParseError> {
    let refuse = || {
        let expected = "a tag, or an interval such as 5 or 1-5 of numbers from 1 to 9223372036854775806";
        GtidParseError::new(Dialect::Mysql, text, expected)
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (trim(first), trim(last)),
        None => (text, text),
    };
    let start = parse_number(first).filter(|number| *number > 0).ok_or_else(refuse)?;
    let last = parse_number(last).ok_or_else(refuse)?;
    Ok(Interval { start, end: last + 1 })
}

/// A decimal number up to [`GNO_MAX`], without sign or leading zeros.
fn parse_number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok().filter(|number| *number <= GNO_MAX) } else { None }
}

impl fmt::Display for MysqlSet {
    /// As the server: sorted by UUID, then tag, each UUID once, `5` and not `5-5`. Unlike the server no line breaks, so
    /// that a set fits into one log field; the server reads it all the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut previous: Option<&Tsid> = None;
        for (tsid, numbers) in self.iter() {
            if previous.is_none_or(|p| p.uuid != tsid.uuid) {
                write!(f, "{}{}", if previous.is_some() { "," } else { "" }, tsid.uuid)?;
            }
            if previous != Some(tsid) && !tsid.tag.is_empty() {
                write!(f, ":{}", tsid.tag)?;
            }
            previous = Some(tsid);
            match numbers.into_inner() {
                (first, last) if first == last => write!(f, ":{first}")?,
                (first, last) => write!(f, ":{first}-{last}")?,
            }
        }
        Ok(())
    }
}
