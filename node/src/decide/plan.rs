//! A choice in words: the line of the dry run and of the journal.

use std::fmt;

use super::candidates::Field;
use super::choose::{Answer, Choice};
use crate::gtid::GtidSet;
use crate::state::{Durability, NodeName};

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; must have applied {}; ", self.node, self.why, Text(&self.must_apply))?;
        begins(f, &self.durability)?;
        match self.ackers.len() {
            0 => f.write_str(", no acker")?,
            _ => write!(f, ", ackers {}", list(&self.ackers))?,
        }
        if !self.runners_up.is_empty() {
            write!(f, "; should it not get ready: {}", list(&self.runners_up))?;
        }
        write!(f, "; {}", self.loss)
    }
}

/// Why this one; goes on from its name.
pub(super) fn why(field: &Field<'_>, chosen: &Answer, equals: &[NodeName]) -> String {
    let count = field.answers.len();
    match equals {
        _ if !field.has_all(chosen) => {
            format!("has the most of {count} servers that may be promoted")
        }
        [] if count == 1 => "alone has answered".to_owned(),
        [] => format!("has everything that any of {count} servers received"),
        rest => {
            let rest: Vec<_> = rest.iter().map(NodeName::as_str).collect();
            format!(
                "has everything that any of {count} servers received, as has {}; comes first",
                rest.join(", ")
            )
        }
    }
}

fn begins(f: &mut fmt::Formatter<'_>, durability: &Durability) -> fmt::Result {
    match durability {
        Durability::Lossless { .. } => f.write_str("begins lossless"),
        Durability::Unknown => f.write_str("begins without a promise"),
        Durability::Degraded { reason, may_let_go, .. } => {
            write!(f, "begins degraded ({reason})")?;
            f.write_str(if *may_let_go { ", commits do not wait" } else { ", commits wait" })
        }
    }
}

/// A set, or that there is none.
struct Text<'a>(&'a GtidSet);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("nothing") } else { self.0.fmt(f) }
    }
}

fn list<'a>(nodes: impl IntoIterator<Item = &'a NodeName>) -> String {
    nodes.into_iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}
