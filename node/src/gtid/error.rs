//! What can be wrong with a GTID set that came from outside.

use super::Dialect;

/// How much of the offending text an error quotes, in characters.
const QUOTED_CHARS: usize = 80;

/// Two sets of different dialects were put into one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {left} GTID set cannot be combined with a {right} one: the servers belong to different clusters")]
pub struct DialectMismatch {
    /// The dialect of the set that was asked.
    pub left: Dialect,
    /// The dialect of the set it was given.
    pub right: Dialect,
}

/// A text is not a GTID set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {dialect} GTID set: found `{piece}` where {expected} must stand")]
pub struct GtidParseError {
    /// The dialect the text was read as.
    pub dialect: Dialect,
    /// The piece that was refused, cut to its first 80 characters.
    pub piece: String,
    /// What would have been right there.
    pub expected: &'static str,
}

impl GtidParseError {
    pub(super) fn new(dialect: Dialect, piece: &str, expected: &'static str) -> Self {
        let mut quoted: String = piece.chars().take(QUOTED_CHARS).collect();
        if quoted.len() < piece.len() {
            quoted.push('…');
        }
        Self { dialect, piece: quoted, expected }
    }
}

/// What both dialects' servers skip between the parts of a set: C's `isspace`, not Unicode's.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}
