//! The only place where these tests name a command.

use crate::state::Command;

/// Some command; different ones for different numbers.
pub(crate) fn sample(number: u64) -> Command {
    Command::Set("number".into(), number.to_string())
}
