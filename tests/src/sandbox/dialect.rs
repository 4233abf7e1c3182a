//! The two families of servers, and the accounts on each.

use std::fmt;

/// A family of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Oracle's MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl Dialect {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::MySql, Self::MariaDb];

    /// The word of the command line and of folders: `mysql` or `mariadb`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
        })
    }
}

/// An account that every server of a sandbox has, usable from everywhere.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// The account's name.
    pub user: &'static str,
    /// A password for tests, no secret.
    pub password: &'static str,
    grant: &'static str,
}

impl Account {
    /// Baton's own, with all rights. `batonctl grants` prints the least set.
    pub const BATON: Self = Self {
        user: "baton",
        password: "baton-test",
        grant: "ALL PRIVILEGES ON *.* TO 'baton'@'%' WITH GRANT OPTION",
    };
    /// The replicas'.
    pub const REPL: Self =
        Self { user: "repl", password: "repl-test", grant: "REPLICATION SLAVE ON *.* TO 'repl'@'%'" };
    /// An application's, with ordinary rights on the schema `app`.
    pub const APP: Self = Self {
        user: "app",
        password: "app-test",
        grant: "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER ON app.* TO 'app'@'%'",
    };

    const ALL: [Self; 3] = [Self::BATON, Self::REPL, Self::APP];
}

/// What a new server holds, a statement per line: the accounts, and the table of the ledger.
pub(super) fn initial_sql() -> String {
    let accounts = Account::ALL.map(|Account { user, password, grant }| {
        format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}';\nGRANT {grant};\n")
    });
    format!(
        "CREATE DATABASE app;\n\
         CREATE TABLE app.writes (id BIGINT PRIMARY KEY AUTO_INCREMENT, client INT NOT NULL, seq BIGINT NOT NULL, \
         at_us BIGINT NOT NULL);\n{}",
        accounts.concat()
    )
}
