//! Shelves: an archive lies in folders of a bounded size, so that whoever looks for the newest of it lists no more than that.
//! One process alone puts entries on a shelf, and leaves it for another when it is full; nobody ever goes back to one.

use std::fmt;
use std::str::FromStr;

use super::entry::Timeline;

/// So many entries are on a shelf. At one every few seconds that is the better part of an hour.
pub(super) const ENTRIES_MAX: u64 = 512;
/// Digits of the time in a name, so that names of one line sort as they were begun.
const MS_DIGITS: usize = 13;

/// The name of one: what it is of, and whose. The time and the chance in it only tell it from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shelf {
    /// The line of history of all its entries.
    pub timeline: Timeline,
    /// When it was begun, in milliseconds since 1970, by its node's clock.
    pub begun_ms: u64,
    /// By chance.
    pub drawn: u32,
    /// The node that puts entries there. One process of it archives at a time, so that a shelf of its that it has not
    /// begun itself has all that it will ever have.
    pub node: String,
}

impl fmt::Display for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { timeline, begun_ms, drawn, node } = self;
        write!(f, "{timeline}.{begun_ms:0MS_DIGITS$}-{drawn:08x}.{node}")
    }
}

impl FromStr for Shelf {
    type Err = ();

    /// Only what [`fmt::Display`] makes, so that two names are never the same shelf.
    fn from_str(text: &str) -> Result<Self, ()> {
        let read = || {
            let mut words = text.splitn(3, '.');
            let (line, when, node) = (words.next()?, words.next()?, words.next()?);
            let ((epoch, reset), (begun_ms, drawn)) = (line.split_once('-')?, when.split_once('-')?);
            let timeline = Timeline { epoch: epoch.parse().ok()?, reset: reset.parse().ok()? };
            let (begun_ms, drawn) = (begun_ms.parse().ok()?, u32::from_str_radix(drawn, 16).ok()?);
            Some(Self { timeline, begun_ms, drawn, node: node.to_owned() })
        };
        read().filter(|shelf: &Self| shelf.to_string() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backup::store::check_key;

    #[test]
    fn a_name_says_whose_it_is() {
        let timeline = Timeline { epoch: 12, reset: 1 };
        let shelf = Shelf { timeline, begun_ms: 1_795_165_200_000, drawn: 0xab, node: "db2".into() };
        let name = shelf.to_string();
        assert_eq!(name, "0000000012-1.1795165200000-000000ab.db2");
        assert_eq!(name.parse(), Ok(shelf));
        assert_eq!(check_key(&name), Ok(()));
        for odd in ["rollups", "0000000012-1", "12-1.1795165200000-000000ab.db2", ""] {
            assert!(odd.parse::<Shelf>().is_err(), "{odd}");
        }
    }
}
