//! The only place where these tests name a command.

use crate::state::{Change, Command, CommandId, NodeName};

/// Some command; different ones for different numbers.
pub(crate) fn sample(number: u64) -> Command {
    Command {
        id: CommandId(number.to_string()),
        by: NodeName::from("db1"),
        at_ms: 0,
        change: Change::Decided { what: "number".into(), why: number.to_string() },
    }
}
