//! Whether a server lets the replication account in, and lets it replicate.

use std::time::Duration;

use super::accounts;
use super::connector::{Address, Connector, Limits};
use super::error::SqlError;
use super::grants::Place;
use super::managed::Source;
use super::wire::Wire;

/// Logs in as a replica of `source` does, asks the server what the account may do there, and leaves, within `bound`.
/// Nothing is registered as a replica, and no binlog is read.
///
/// # Errors
/// [`SqlError::AccessDenied`] when the account is not let in, [`SqlError::MissingPrivilege`] when it may not replicate; any
/// other says nothing about the account.
pub async fn may_replicate(source: &Source, bound: Duration) -> Result<(), SqlError> {
    let address = Address::Tcp { host: source.host.clone(), port: source.port };
    let limits = Limits { connect: bound, query: bound, command: bound };
    let connector = Connector::new(address, source.user.clone(), source.password.clone()).with_limits(limits);
    let mut wire = Wire::open(&connector, None, "try the replication account", bound).await?;
    if accounts::grants(&mut wire).await?.holds("REPLICATION SLAVE", Place::Everywhere) {
        return Ok(());
    }
    Err(SqlError::MissingPrivilege { message: "REPLICATION SLAVE ON *.*".into() })
}
