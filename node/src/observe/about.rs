//! What seldom changes about a server, read together.

use crate::decide::seen::{About, LintFinding};
use crate::sql::{self, Account, Inventory, ManagedServer, Privileges, SqlError};

use super::lint::lint;

/// What was read; the lint runs over it again with every pulse.
pub(super) struct Facts {
    inventory: Inventory,
    accounts: Result<Vec<Account>, SqlError>,
    privileges: Result<Privileges, SqlError>,
}

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    /// That of the inventory. Without the rest the lint says so: an account that lacks privileges is when it matters.
    pub(super) async fn read(server: &dyn ManagedServer) -> Result<Self, SqlError> {
        let inventory = server.inventory().await?;
        let accounts = server.accounts_that_write_while_closed().await;
        Ok(Self { inventory, accounts, privileges: server.privileges().await })
    }

    /// With the lint's findings; `accepts` names accounts that the policy allows to write while the server is closed.
    pub(super) fn about(&self, pulse: &sql::Pulse, accepts: &dyn Fn(&Account) -> bool) -> About {
        let accounts = self.accounts.iter().flatten().filter(|a| !accepts(a)).cloned().collect::<Vec<_>>();
        let unread = Privileges { account: String::new(), missing: Vec::new() };
        let privileges = self.privileges.as_ref().unwrap_or(&unread);
        let mut findings = lint(&self.inventory, &accounts, privileges, pulse);
        let errors = [self.accounts.as_ref().err(), self.privileges.as_ref().err()];
        findings.extend(errors.into_iter().flatten().map(|error| LintFinding {
            error: true,
            what: format!("the account tables cannot be read: {error}"),
            mend: "give Baton's account what `batonctl grants` prints".into(),
            mend_here: None,
        }));
        About {
            dialect: self.inventory.dialect,
            version: self.inventory.version.text.clone(),
            number: self.inventory.version.number,
            server_uuid: self.inventory.identity.server_uuid.clone(),
            server_id: self.inventory.identity.server_id,
            findings,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fake;
    use super::*;
    use crate::gtid::Dialect;

    fn account(user: &str) -> Account {
        Account { user: user.into(), host: "%".into(), privileges: vec!["SUPER".into()] }
    }

    fn facts() -> Facts {
        Facts {
            inventory: fake::inventory(Dialect::Mysql, "9.7.4"),
            accounts: Ok(Vec::new()),
            privileges: Ok(Privileges { account: "baton@%".into(), missing: Vec::new() }),
        }
    }

    #[test]
    fn accepted_accounts_are_no_finding() {
        let facts = Facts { accounts: Ok(vec![account("dba"), account("app")]), ..facts() };
        let about = facts.about(&fake::writer(), &|account| account.user == "dba");
        let [finding] = about.findings.as_slice() else { panic!("{:?}", about.findings) };
        assert!(finding.error && finding.what.contains("'app'@'%'"), "{finding:?}");
    }

    #[test]
    fn account_tables_that_cannot_be_read_are_an_error() {
        let denied = || SqlError::MissingPrivilege { message: "SELECT".into() };
        for facts in
            [Facts { accounts: Err(denied()), ..facts() }, Facts { privileges: Err(denied()), ..facts() }]
        {
            let about = facts.about(&fake::writer(), &|_| false);
            let [finding] = about.findings.as_slice() else { panic!("{:?}", about.findings) };
            assert!(finding.error && finding.what.contains("cannot be read"), "{finding:?}");
        }
    }
}
