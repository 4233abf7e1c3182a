//! What Baton's account needs, one list for each dialect: a test compares it with what `batonctl grants` prints. Pure.

use std::fmt;

use super::grants::{Grants, Place};
use crate::gtid::Dialect;

/// Major, minor, patch.
type Number = (u16, u16, u16);

/// A privilege that Baton's account needs.
#[derive(Debug, PartialEq, Eq)]
pub struct Needed {
    /// As in `GRANT`.
    pub name: &'static str,
    /// As in `ON`.
    pub on: Place,
    /// What is not done without it, in words that follow a colon; `None` where Baton cannot do its main job.
    pub part: Option<&'static str>,
    /// The first version of the server that has it, and the first that does not any more.
    versions: (Number, Option<Number>),
}

impl fmt::Display for Needed {
    /// For people: the place is left out where it is everywhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.on {
            Place::Everywhere => f.write_str(self.name),
            place => write!(f, "{} ON {place}", self.name),
        }
    }
}

impl Needed {
    const fn main(name: &'static str, on: Place) -> Self {
        Self { name, on, part: None, versions: ((0, 0, 0), None) }
    }

    const fn for_part(name: &'static str, on: Place, part: &'static str) -> Self {
        Self { part: Some(part), ..Self::main(name, on) }
    }

    const fn in_versions(self, from: Number, before: Option<Number>) -> Self {
        Self { versions: (from, before), ..self }
    }

    fn is_known(&self, version: Number) -> bool {
        let (from, before) = self.versions;
        from <= version && before.is_none_or(|before| version < before)
    }
}

const EVERYWHERE: Place = Place::Everywhere;
const BATON: Place = Place::Schema("baton");

const ARCHIVE: &str = "its binlog is not archived, nor are transactions that this server alone has";
const EVENTS: &str = "events do not follow the writer, whatever server.events says";
const REHEARSAL: &str = "nothing is rehearsed";
const ADMINISTRATORS: &str =
    "sessions of administrators are not ended, and a close with one of them open proves nothing";
const SET_DEFINER_SINCE: Number = (8, 2, 0);

const MYSQL: &[Needed] = &[
    // Stop, start and forget replication.
    Needed::main("REPLICATION_SLAVE_ADMIN", EVERYWHERE),
    // See replication, process list, everything of the server's state.
    Needed::main("REPLICATION CLIENT", EVERYWHERE),
    Needed::main("PROCESS", EVERYWHERE),
    // RESET REPLICA, FLUSH.
    Needed::main("RELOAD", EVERYWHERE),
    // super_read_only, semi-sync, offline_mode.
    Needed::main("SYSTEM_VARIABLES_ADMIN", EVERYWHERE),
    // KILL, and a connection under offline_mode and max_connections.
    Needed::main("CONNECTION_ADMIN", EVERYWHERE),
    // See prepared XA transactions.
    Needed::main("XA_RECOVER_ADMIN", EVERYWHERE),
    Needed::main("SELECT", Place::Schema("performance_schema")),
    // Without it the server shows one's own account alone, as if nobody else could write while it is closed.
    Needed::main("SELECT", Place::Schema("mysql")),
    // The commit that proves that a writer takes one.
    Needed::main("DROP", BATON),
    // KILL a session of an account that has it too, such as root.
    Needed::for_part("SYSTEM_USER", EVERYWHERE, ADMINISTRATORS),
    Needed::for_part(
        "SERVICE_CONNECTION_ADMIN",
        EVERYWHERE,
        "a server whose every connection is taken is not reached by its administrative port",
    ),
    Needed::for_part("REPLICATION SLAVE", EVERYWHERE, ARCHIVE),
    Needed::for_part("CLONE_ADMIN", EVERYWHERE, "this server is not rebuilt from another one (CLONE)"),
    Needed::for_part(
        "BACKUP_ADMIN",
        EVERYWHERE,
        "backups by clone are not made, and no server is rebuilt from this one",
    ),
    Needed::for_part("EVENT", EVERYWHERE, EVENTS),
    Needed::for_part("SET_ANY_DEFINER", EVERYWHERE, EVENTS).in_versions(SET_DEFINER_SINCE, None),
    // `batonctl grants` cannot name it: no one statement takes both on all versions.
    Needed::for_part("SET_USER_ID", EVERYWHERE, EVENTS).in_versions((0, 0, 0), Some(SET_DEFINER_SINCE)),
    Needed::for_part("CREATE", BATON, REHEARSAL),
    Needed::for_part("INSERT", BATON, REHEARSAL),
    Needed::for_part("SELECT", BATON, REHEARSAL),
];

const MARIADB: &[Needed] = &[
    Needed::main("REPLICATION SLAVE ADMIN", EVERYWHERE),
    Needed::main("REPLICATION MASTER ADMIN", EVERYWHERE),
    Needed::main("SLAVE MONITOR", EVERYWHERE),
    Needed::main("BINLOG MONITOR", EVERYWHERE),
    Needed::main("PROCESS", EVERYWHERE),
    Needed::main("RELOAD", EVERYWHERE),
    Needed::main("READ ONLY ADMIN", EVERYWHERE),
    Needed::main("CONNECTION ADMIN", EVERYWHERE),
    // The event scheduler is switched by SUPER alone.
    Needed::main("SUPER", EVERYWHERE),
    // As on MySQL.
    Needed::main("SELECT", Place::Schema("mysql")),
    Needed::main("DROP", BATON),
    // gtid_binlog_state, for a server that runs with a copy of another one's data.
    Needed::for_part("BINLOG ADMIN", EVERYWHERE, "this server is not rebuilt from another one"),
    Needed::for_part("REPLICATION SLAVE", EVERYWHERE, ARCHIVE),
    Needed::for_part(
        "LOCK TABLES",
        EVERYWHERE,
        "backups by mariadb-backup are not made, and no server is rebuilt from this one",
    ),
    Needed::for_part("EVENT", EVERYWHERE, EVENTS),
    Needed::for_part("SET USER", EVERYWHERE, EVENTS),
    Needed::for_part("CREATE", BATON, REHEARSAL),
    Needed::for_part("INSERT", BATON, REHEARSAL),
    Needed::for_part("SELECT", BATON, REHEARSAL),
];

/// Everything that the account needs on a server of this version.
pub(crate) fn needed(dialect: Dialect, version: Number) -> impl Iterator<Item = &'static Needed> {
    let list = match dialect {
        Dialect::Mysql => MYSQL,
        Dialect::Mariadb => MARIADB,
    };
    list.iter().filter(move |needed| needed.is_known(version))
}

/// What of it is not held.
pub(super) fn missing(grants: &Grants, dialect: Dialect, version: Number) -> Vec<&'static Needed> {
    needed(dialect, version).filter(|needed| !grants.holds(needed.name, needed.on)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sql::grants::{ALL, canonical};

    const NEW: [(Dialect, Number); 2] = [(Dialect::Mysql, (9, 7, 4)), (Dialect::Mariadb, (11, 8, 2))];

    /// The GRANT statements for Baton's own account, as `batonctl grants` prints them.
    fn printed(dialect: Dialect) -> Vec<String> {
        let accounts = batonctl::grants::Accounts {
            user: "baton".into(),
            password: None,
            replication_user: "repl".into(),
            replication_password: None,
            host: "%".into(),
        };
        let dialect = match dialect {
            Dialect::Mysql => batonctl::cli::Dialect::Mysql,
            Dialect::Mariadb => batonctl::cli::Dialect::Mariadb,
        };
        let sql = batonctl::grants::sql(dialect, &accounts).unwrap();
        // As a server reads it that is new enough.
        let sql = sql.replace("/*!80200", "").replace("*/", "");
        let own = |line: &&str| line.starts_with("GRANT ") && line.ends_with(" TO 'baton'@'%';");
        sql.lines().filter(own).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn what_batonctl_prints_is_what_is_needed_and_no_more() {
        for (dialect, version) in NEW {
            let printed = Grants::parse(printed(dialect));
            assert_eq!(missing(&printed, dialect, version), Vec::<&Needed>::new());
            let everywhere = printed.everywhere.iter().map(|name| ("*.*".to_owned(), name));
            let schemas = printed.schemas.iter();
            let schemas = schemas.flat_map(|(on, names)| names.iter().map(move |n| (format!("{on}.*"), n)));
            for (on, name) in everywhere.chain(schemas) {
                let is_meant = |needed: &Needed| {
                    needed.on.to_string() == on && (name == ALL || canonical(needed.name) == *name)
                };
                assert!(needed(dialect, version).any(is_meant), "{dialect}: nothing needs {name} ON {on}");
            }
        }
    }

    #[test]
    fn each_statement_left_out_is_missed() {
        for (dialect, version) in NEW {
            let printed = printed(dialect);
            assert!(printed.len() > 8, "{printed:?}");
            for without in &printed {
                let rest = Grants::parse(printed.iter().filter(|one| *one != without));
                assert!(!missing(&rest, dialect, version).is_empty(), "{dialect}: {without}");
            }
        }
    }

    #[test]
    fn all_privileges_are_enough() {
        for (dialect, version) in NEW {
            let all = Grants::parse(["GRANT ALL PRIVILEGES ON *.* TO `baton`@`%` WITH GRANT OPTION"]);
            assert_eq!(missing(&all, dialect, version), Vec::<&Needed>::new());
            let main = missing(&Grants::default(), dialect, version);
            assert_eq!(main.len(), needed(dialect, version).count());
        }
    }

    #[test]
    fn an_older_server_is_asked_for_what_it_knows() {
        let definers = |version| {
            let names = needed(Dialect::Mysql, version).map(|needed| needed.name);
            names.filter(|name| name.starts_with("SET_")).collect::<Vec<_>>()
        };
        assert_eq!(definers((8, 0, 36)), ["SET_USER_ID"]);
        assert_eq!(definers((8, 2, 0)), ["SET_ANY_DEFINER"]);
        assert_eq!(definers((9, 7, 4)), ["SET_ANY_DEFINER"]);
    }
}
