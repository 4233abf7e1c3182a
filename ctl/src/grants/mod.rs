//! The SQL of Baton's accounts: what the daemon needs, each privilege with its reason, and nothing more.

mod mariadb;
mod mysql;

use crate::cli::Dialect;
use crate::error::Error;

/// Whose accounts, and from where they may connect.
#[derive(Clone)]
pub struct Accounts {
    /// Baton's own account.
    pub user: String,
    /// Its password; `None` leaves a gap that the server refuses to run.
    pub password: Option<String>,
    /// The account of the replicas.
    pub replication_user: String,
    /// Its password.
    pub replication_password: Option<String>,
    /// The host part, `%` for any.
    pub host: String,
}

// By hand, because a password must not reach a log.
impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("user", &self.user)
            .field("replication_user", &self.replication_user)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// Privileges that are granted in one statement.
struct Right {
    /// What it is for; becomes a comment.
    why: &'static str,
    /// As in `GRANT … ON`.
    privileges: &'static str,
    /// As in `ON …`.
    on: &'static str,
}

/// The whole script for one dialect.
///
/// # Errors
/// A name or host that is no name, before it becomes SQL.
pub fn sql(dialect: Dialect, accounts: &Accounts) -> Result<String, Error> {
    for (what, name) in
        [("user", &accounts.user), ("user", &accounts.replication_user), ("host", &accounts.host)]
    {
        if name.is_empty() || name.len() > 255 || name.contains(|c: char| c.is_control()) {
            return Err(Error::usage(
                format!("{name:?} is no {what} name"),
                "see CREATE USER in the server's manual",
            ));
        }
    }
    if accounts.user == accounts.replication_user {
        return Err(Error::usage(
            "one account for Baton and for replication",
            "name two: the replicas' password lies in every server, and must open nothing else",
        ));
    }
    let (about, rights) = match dialect {
        Dialect::Mysql => (mysql::ABOUT, mysql::RIGHTS),
        Dialect::Mariadb => (mariadb::ABOUT, mariadb::RIGHTS),
    };
    let baton = format!("{}@{}", quote(&accounts.user), quote(&accounts.host));
    let replication = format!("{}@{}", quote(&accounts.replication_user), quote(&accounts.host));
    let mut text = format!("{about}\n");
    if accounts.password.is_none() || accounts.replication_password.is_none() {
        text += "-- Fill in the passwords: the server refuses the statements as they stand.\n";
    }
    if text_of(accounts).any(|text| text.contains('\\')) {
        text += "SET SESSION sql_mode = REPLACE(@@SESSION.sql_mode, 'NO_BACKSLASH_ESCAPES', '');\n";
    }
    text += "\nCREATE DATABASE IF NOT EXISTS baton;\n";
    text += &create(&baton, accounts.password.as_deref());
    for right in rights {
        text += &format!("-- {}\nGRANT {} ON {} TO {baton};\n", right.why, right.privileges, right.on);
    }
    text += &format!("\n{}", create(&replication, accounts.replication_password.as_deref()));
    text += &format!(
        "-- What a replica connects with, and nothing else.\nGRANT REPLICATION SLAVE ON *.* TO {replication};\n"
    );
    Ok(text)
}

/// Everything of the operator's that becomes part of a literal.
fn text_of(accounts: &Accounts) -> impl Iterator<Item = &String> {
    let names = [&accounts.user, &accounts.replication_user, &accounts.host];
    names.into_iter().chain(&accounts.password).chain(&accounts.replication_password)
}

fn create(account: &str, password: Option<&str>) -> String {
    // No quotes around the gap: left unfilled it is a syntax error, not a password that everybody knows.
    let password = password.map_or_else(|| "<password>".to_owned(), quote);
    format!("CREATE USER IF NOT EXISTS {account} IDENTIFIED BY {password};\n")
}

/// A string literal, under the sql_mode that [`sql`] sees to.
fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("'{escaped}'")
}

#[cfg(test)]
mod tests;
