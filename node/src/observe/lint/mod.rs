//! What is unsafe about a server's settings, and the exact statement or option-file line that mends it. Pure.
//!
//! An error is something that Baton's promises do not survive; such a server becomes no acker. A warning is something
//! that Baton copes with, at a price that the finding names.

mod accounts;
mod fleet;
mod semi_sync;
mod settings;
#[cfg(test)]
mod tests;

pub use fleet::lint_fleet;

use crate::decide::seen::LintFinding;
use crate::gtid::Dialect;
use crate::sql::{Account, Inventory, Privileges, Pulse};

/// All findings about one server, errors first. `accounts` are those besides Baton's that can write while the server is
/// closed and that the policy does not accept.
pub fn lint(
    inventory: &Inventory,
    accounts: &[Account],
    privileges: &Privileges,
    pulse: &Pulse,
) -> Vec<LintFinding> {
    let mut found = Findings::default();
    settings::check(inventory, pulse, &mut found);
    semi_sync::check(inventory, pulse, &mut found);
    accounts::own(privileges, &mut found);
    accounts::others(inventory.dialect, accounts, &mut found);
    found.0.sort_by_key(|finding| !finding.error);
    found.0
}

#[derive(Default)]
struct Findings(Vec<LintFinding>);

impl Findings {
    fn error(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.push(true, what, mend, None);
    }

    fn warning(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.push(false, what, mend, None);
    }

    fn push(
        &mut self,
        error: bool,
        what: impl Into<String>,
        mend: impl Into<String>,
        mend_here: Option<String>,
    ) {
        self.0.push(LintFinding { error, what: what.into(), mend: mend.into(), mend_here });
    }
}

/// A line that takes effect only with the server's next start.
fn option_line(line: &str) -> String {
    format!("option file, section [mysqld]: {line}\nthen restart the server")
}

/// A setting that can be changed now and must be in the option file too, or the next start undoes it. SET PERSIST would
/// be one statement on MySQL, and would hide the value where nobody looks for it.
fn set_global(name: &str, value: &str) -> String {
    format!("SET GLOBAL {name}={value};\nand in the option file, section [mysqld]: {name}={value}")
}

/// MySQL has said `replica` and `source` since 8.0.26; MariaDB still takes the old names everywhere.
fn new_names(inventory: &Inventory) -> bool {
    inventory.dialect == Dialect::Mysql && inventory.version.number >= (8, 0, 26)
}
