//! Who a MySQL transaction comes from: server UUID and tag.

use std::fmt;
use std::str::FromStr;

use super::{Dialect, GtidParseError};

/// A server's UUID as in `@@server_uuid`. Ordered by its bytes, as the server orders sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUuid([u8; 16]);

/// The bytes before which the text form has a dash.
const DASH_BEFORE: [usize; 4] = [4, 6, 8, 10];

impl ServerUuid {
    /// From its 16 bytes, in the order in which the text shows them.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes, in the order in which the text shows them.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl FromStr for ServerUuid {
    type Err = GtidParseError;

    /// Reads the form with four dashes, in either case. It is the only one that the server takes inside a set.
    fn from_str(text: &str) -> Result<Self, GtidParseError> {
        let refuse = || {
            let expected = "a server UUID such as 3e11fa47-71ca-11e1-9e33-c80aa9429562";
            GtidParseError::new(Dialect::Mysql, text, expected)
        };
        let mut digits = text.bytes();
        let mut bytes = [0; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            if DASH_BEFORE.contains(&index) && digits.next() != Some(b'-') {
                return Err(refuse());
            }
            let high = digits.next().and_then(hex_value).ok_or_else(refuse)?;
            let low = digits.next().and_then(hex_value).ok_or_else(refuse)?;
            *byte = high << 4 | low;
        }
        if digits.next().is_some() { Err(refuse()) } else { Ok(Self(bytes)) }
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for ServerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if DASH_BEFORE.contains(&index) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A GTID tag (MySQL 8.3 and later), in lower case; empty for GTIDs without one, and then first in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// The longest tag the server takes, in characters.
const TAG_MAX_CHARS: usize = 32;

impl Tag {
    /// Whether this stands for "no tag".
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a part of a set that starts like this is meant as a tag and not as an interval.
    pub(super) fn starts_like(text: &str) -> bool {
        text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    }
}

impl FromStr for Tag {
    type Err = GtidParseError;

    /// Reads 1 to 32 of letters, digits and `_`, not starting with a digit. Case does not count: the server keeps tags
    /// in lower case.
    fn from_str(text: &str) -> Result<Self, GtidParseError> {
        let all_known = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if Self::starts_like(text) && all_known && text.len() <= TAG_MAX_CHARS {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        let expected = "a tag of at most 32 letters, digits and underscores that does not start with a digit";
        Err(GtidParseError::new(Dialect::Mysql, text, expected))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What numbers its transactions on its own: a server UUID with a tag, or without one. The server's word for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tsid {
    /// The server on which the transactions were first committed.
    pub uuid: ServerUuid,
    /// Their tag, or the empty one.
    pub tag: Tag,
}

impl From<ServerUuid> for Tsid {
    fn from(uuid: ServerUuid) -> Self {
        Self { uuid, tag: Tag::default() }
    }
}
