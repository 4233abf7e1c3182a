//! Who may do what: Baton's own account, and accounts that can do more than they should.

use super::error::SqlError;
use super::fields::text_at;
use super::grants::Grants;
use super::managed::{Account, Privileges};
use super::privileges;
use super::wire::Wire;
use crate::gtid::Dialect;

/// What the account that asks holds, by itself and by its active roles.
pub(super) async fn grants(wire: &mut Wire) -> Result<Grants, SqlError> {
    Ok(Grants::parse(wire.rows("SHOW GRANTS").await?.iter().filter_map(|row| text_at(row, 0))))
}

/// What Baton's own account lacks.
pub(super) async fn privileges(wire: &mut Wire) -> Result<Privileges, SqlError> {
    let caps = wire.caps();
    let account =
        wire.row("SELECT CURRENT_USER()").await?.and_then(|row| text_at(&row, 0)).unwrap_or_default();
    let missing = privileges::missing(&grants(wire).await?, caps.dialect, caps.version.number);
    Ok(Privileges { account, missing })
}

/// Accounts that write while the server is closed, or take their writes out of the binlog, Baton's own left out.
pub(super) async fn overprivileged(wire: &mut Wire) -> Result<Vec<Account>, SqlError> {
    let privileges: &[&str] = match wire.caps().dialect {
        // Each may switch super_read_only off or set sql_log_bin.
        Dialect::Mysql => &["SUPER", "SYSTEM_VARIABLES_ADMIN", "SESSION_VARIABLES_ADMIN"],
        Dialect::Mariadb => &["SUPER", "READ_ONLY ADMIN", "READ ONLY ADMIN", "BINLOG ADMIN"],
    };
    holders(wire, privileges).await
}

/// MariaDB accounts whose writes `read_only` does not stop, Baton's own left out.
pub(super) async fn writers_while_closed(wire: &mut Wire) -> Result<Vec<Account>, SqlError> {
    holders(wire, &["SUPER", "READ_ONLY ADMIN", "READ ONLY ADMIN"]).await
}

async fn holders(wire: &mut Wire, privileges: &[&str]) -> Result<Vec<Account>, SqlError> {
    let list = privileges.iter().map(|p| format!("'{p}'")).collect::<Vec<_>>().join(", ");
    let mut sql = format!(
        "SELECT GRANTEE, PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE IN ({list})"
    );
    if wire.caps().dialect == Dialect::Mysql {
        // mysql.session and its kind are locked: nobody connects as them.
        sql.push_str(
            " AND GRANTEE NOT IN (SELECT CONCAT('\\'', User, '\\'@\\'', Host, '\\'') FROM mysql.user \
             WHERE account_locked = 'Y')",
        );
    }
    let own = wire.connector().user().to_owned();
    let mut accounts: Vec<Account> = Vec::new();
    for row in wire.rows(&sql).await? {
        let (Some(grantee), Some(privilege)) = (text_at(&row, 0), text_at(&row, 1)) else { continue };
        let (user, host) = split(&grantee);
        if user == own {
            continue;
        }
        match accounts.iter_mut().find(|a| a.user == user && a.host == host) {
            Some(account) => account.privileges.push(privilege),
            None => accounts.push(Account { user, host, privileges: vec![privilege] }),
        }
    }
    Ok(accounts)
}

/// `'user'@'host'`, and for a role of MariaDB `'role'@''`.
fn split(grantee: &str) -> (String, String) {
    let (user, host) = grantee.rsplit_once('@').unwrap_or((grantee, ""));
    let bare = |part: &str| part.trim_matches('\'').to_owned();
    (bare(user), bare(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grantees_are_split() {
        assert_eq!(split("'root'@'localhost'"), ("root".into(), "localhost".into()));
        assert_eq!(split("'a@b'@'%'"), ("a@b".into(), "%".into()));
        assert_eq!(split("'role'@''"), ("role".into(), String::new()));
    }
}
