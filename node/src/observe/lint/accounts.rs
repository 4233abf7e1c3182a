//! Who can do too much, and whether Baton's own account can do enough.

use super::Findings;
use crate::gtid::Dialect;
use crate::sql::{Account, Needed, Place, Privileges};

/// Baton's own account. What keeps Baton from its main job is one error, and each part that is not done without others a
/// warning.
pub(super) fn own(privileges: &Privileges, found: &mut Findings) {
    let mut parts: Vec<(Option<&str>, Vec<&Needed>)> = Vec::new();
    for &needed in &privileges.missing {
        match parts.iter_mut().find(|(part, _)| *part == needed.part) {
            Some((_, missing)) => missing.push(needed),
            None => parts.push((needed.part, vec![needed])),
        }
    }
    for (part, missing) in parts {
        let names = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let what = format!("Baton's account {} lacks {names}", privileges.account);
        let mend = granting(&privileges.account, &missing);
        match part {
            None => found.error(what, mend),
            Some(part) => found.warning(format!("{what}: {part}"), mend),
        }
    }
}

/// What gives the account all of these, a statement for each place.
fn granting(account: &str, missing: &[&Needed]) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
    let mut places: Vec<(Place, Vec<&str>)> = Vec::new();
    for &needed in missing {
        match places.iter_mut().find(|(on, _)| *on == needed.on) {
            Some((_, names)) => names.push(needed.name),
            None => places.push((needed.on, vec![needed.name])),
        }
    }
    let grant = |(on, names): &(Place, Vec<&str>)| {
        format!("GRANT {} ON {on} TO {}", names.join(", "), quoted(user, host))
    };
    // On a replica the statement would make a transaction of its own that the writer lacks.
    format!("on the writer: {}", places.iter().map(grant).collect::<Vec<_>>().join("; "))
}

/// Accounts that write while the server is closed, or may take their writes out of the binlog. Who is on the host anyway
/// could do worse, so an account for local use is only worth a warning.
pub(super) fn others(dialect: Dialect, accounts: &[Account], found: &mut Findings) {
    for account in accounts {
        let name = quoted(&account.user, &account.host);
        let held = account.privileges.iter().map(|p| grantable(dialect, p)).collect::<Vec<_>>().join(", ");
        let what = format!("{name} can write while the server is closed or past the binlog: it holds {held}");
        let revoke = format!("REVOKE {held} ON *.* FROM {name}");
        let local = is_local(&account.host);
        let or = if local { "nobody should work with it while Baton is in charge; or " } else { "" };
        let mend = format!("{or}on the writer: {revoke}");
        let mend_here =
            format!("{or}here alone, other servers do not have it: {}", unlogged(dialect, &revoke));
        found.push(!local, what, mend, Some(mend_here));
    }
}

/// `statement` in a session of its own that leaves nothing in the binlog: replayed where the account does not exist, it
/// would stop that replica (error 1141). `super_read_only` refuses it even so.
fn unlogged(dialect: Dialect, statement: &str) -> String {
    let alone = format!("SET sql_log_bin=0; {statement};");
    match dialect {
        Dialect::Mariadb => alone,
        Dialect::Mysql => format!("{alone}\nbetween SET GLOBAL super_read_only=OFF; and =ON; on a replica"),
    }
}

fn is_local(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

/// MariaDB lists one privilege under a name that GRANT and REVOKE do not take.
fn grantable(dialect: Dialect, privilege: &str) -> &str {
    match (dialect, privilege) {
        (Dialect::Mariadb, "READ_ONLY ADMIN") => "READ ONLY ADMIN",
        _ => privilege,
    }
}

fn quoted(user: &str, host: &str) -> String {
    let quote = |part: &str| format!("'{}'", part.replace('\\', "\\\\").replace('\'', "''"));
    // A role of MariaDB has no host.
    if host.is_empty() { quote(user) } else { format!("{}@{}", quote(user), quote(host)) }
}
