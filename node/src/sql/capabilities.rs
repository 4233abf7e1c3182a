//! What a server can do and how it calls it, found by asking. Names changed between versions (`slave` → `replica`,
//! `master` → `source`), and semi-sync is a plugin that may be absent.

use super::error::SqlError;
use super::fields::{Fields, text_at};
use super::status::Version;
use super::wire::Wire;
use crate::gtid::Dialect;

/// Answered by the server itself; see [`Capabilities::ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// MySQL or MariaDB.
    pub dialect: Dialect,
    /// The version, for people.
    pub version: Version,
    /// Names of the source side of semi-sync; none where the plugin is absent.
    pub source: Option<SourceNames>,
    /// Name prefix of the replica side of semi-sync.
    pub replica: Option<&'static str>,
    /// `replica_net_timeout` under its name here.
    pub net_timeout: &'static str,
    /// MariaDB: `read_only` takes NO_LOCK_NO_ADMIN, which binds administrators too.
    pub closes_to_all: bool,
    /// The version in the handshake, by which a restart into another version is noticed.
    pub(super) handshake: (u16, u16, u16),
}

/// Names of the source side of semi-sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceNames {
    /// Prefix of variables and status counters.
    pub prefix: &'static str,
    /// The switch for waiting without any acker connected.
    pub wait_no_replica: &'static str,
    /// How many ackers a commit waits for; none on MariaDB, where it is always one.
    pub wait_count: Option<&'static str>,
    /// The longest timeout in milliseconds.
    pub max_timeout_ms: u64,
}

const MYSQL_SOURCE: SourceNames = SourceNames {
    prefix: "rpl_semi_sync_source",
    wait_no_replica: "rpl_semi_sync_source_wait_no_replica",
    wait_count: Some("rpl_semi_sync_source_wait_for_replica_count"),
    max_timeout_ms: u32::MAX as u64,
};
const MYSQL_MASTER: SourceNames = SourceNames {
    prefix: "rpl_semi_sync_master",
    wait_no_replica: "rpl_semi_sync_master_wait_no_slave",
    wait_count: Some("rpl_semi_sync_master_wait_for_slave_count"),
    max_timeout_ms: u32::MAX as u64,
};
const MARIADB_MASTER: SourceNames =
    SourceNames { wait_count: None, max_timeout_ms: u64::MAX, ..MYSQL_MASTER };

const ASK: &str = "SELECT VERSION(); SHOW GLOBAL VARIABLES WHERE Variable_name IN ('gtid_executed', 'gtid_slave_pos', \
     'rpl_semi_sync_source_enabled', 'rpl_semi_sync_master_enabled', 'rpl_semi_sync_replica_enabled', \
     'rpl_semi_sync_slave_enabled', 'replica_net_timeout', 'slave_net_timeout')";
/// MariaDB only. A number in older versions, an enumeration from 12 on.
const ASK_READ_ONLY: &str =
    "SELECT ENUM_VALUE_LIST FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = 'READ_ONLY'";

impl Default for Capabilities {
    /// Knows nothing yet.
    fn default() -> Self {
        Self {
            dialect: Dialect::Mysql,
            version: Version::parse(""),
            source: None,
            replica: None,
            net_timeout: "replica_net_timeout",
            closes_to_all: false,
            handshake: (0, 0, 0),
        }
    }
}

impl Capabilities {
    /// Asks the server.
    ///
    /// # Errors
    /// [`SqlError::Unsupported`] for a server without GTIDs or one that is too old.
    pub(super) async fn ask(wire: &mut Wire, handshake: (u16, u16, u16)) -> Result<Self, SqlError> {
        let mut sets = wire.sets(ASK).await?.into_iter();
        let version = sets.next().and_then(|rows| text_at(rows.first()?, 0)).unwrap_or_default();
        let variables = Fields::of_pairs(&sets.next().unwrap_or_default());
        let mut found = Self::from_answers(&version, &variables)?;
        found.handshake = handshake;
        if found.dialect == Dialect::Mariadb {
            let values = wire.row(ASK_READ_ONLY).await?.and_then(|row| text_at(&row, 0)).unwrap_or_default();
            found.closes_to_all = values.split(',').any(|v| v == "NO_LOCK_NO_ADMIN");
        }
        Ok(found)
    }

    pub(super) fn from_answers(version: &str, variables: &Fields) -> Result<Self, SqlError> {
        let version = Version::parse(version);
        let dialect = match (variables.has("gtid_slave_pos"), variables.has("gtid_executed")) {
            (true, _) => Dialect::Mariadb,
            (_, true) => Dialect::Mysql,
            _ => return Err(SqlError::Unsupported(format!("{version} has no GTIDs"))),
        };
        let oldest = if dialect == Dialect::Mysql { (8, 0, 23) } else { (10, 6, 0) };
        if version.number < oldest {
            let (major, minor, patch) = oldest;
            let why = format!("{version} is too old: Baton needs {dialect} {major}.{minor}.{patch} or newer");
            return Err(SqlError::Unsupported(why));
        }
        let source = if variables.has("rpl_semi_sync_source_enabled") {
            Some(MYSQL_SOURCE)
        } else if variables.has("rpl_semi_sync_master_enabled") {
            Some(if dialect == Dialect::Mysql { MYSQL_MASTER } else { MARIADB_MASTER })
        } else {
            None
        };
        let replica = ["rpl_semi_sync_replica", "rpl_semi_sync_slave"]
            .into_iter()
            .find(|prefix| variables.has(&format!("{prefix}_enabled")));
        let net_timeout =
            if variables.has("replica_net_timeout") { "replica_net_timeout" } else { "slave_net_timeout" };
        Ok(Self { dialect, version, source, replica, net_timeout, ..Self::default() })
    }

    /// Nothing that could still appear while the server runs (INSTALL PLUGIN) is missing.
    pub(super) fn complete(&self) -> bool {
        self.source.is_some() && self.replica.is_some()
    }

    /// # Errors
    /// [`SqlError::NoSuchThing`] with the mend.
    pub(super) fn source_side(&self) -> Result<SourceNames, SqlError> {
        self.source.ok_or_else(|| SqlError::NoSuchThing {
            message:
                "semi-sync source plugin; INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'"
                    .into(),
        })
    }

    /// # Errors
    /// [`SqlError::NoSuchThing`] with the mend.
    pub(super) fn replica_side(&self) -> Result<&'static str, SqlError> {
        self.replica.ok_or_else(|| SqlError::NoSuchThing {
            message:
                "semi-sync replica plugin; INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'"
                    .into(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_what_the_server_has() {
        let old = Fields::of(&[
            ("gtid_executed", ""),
            ("slave_net_timeout", "60"),
            ("rpl_semi_sync_master_enabled", "OFF"),
        ]);
        let old = Capabilities::from_answers("8.0.25", &old).unwrap();
        assert_eq!(old.source_side().unwrap(), MYSQL_MASTER);
        assert_eq!(old.net_timeout, "slave_net_timeout");
        assert!(!old.complete() && old.replica_side().is_err());

        let new = Fields::of(&[
            ("gtid_executed", ""),
            ("replica_net_timeout", "60"),
            ("rpl_semi_sync_source_enabled", "OFF"),
            ("rpl_semi_sync_replica_enabled", "OFF"),
        ]);
        let new = Capabilities::from_answers("9.7.4", &new).unwrap();
        assert_eq!((new.source, new.replica), (Some(MYSQL_SOURCE), Some("rpl_semi_sync_replica")));
        assert!(new.complete());

        let maria = Fields::of(&[
            ("gtid_slave_pos", ""),
            ("rpl_semi_sync_master_enabled", "OFF"),
            ("rpl_semi_sync_slave_enabled", "OFF"),
        ]);
        let maria = Capabilities::from_answers("10.11.19-MariaDB", &maria).unwrap();
        assert_eq!(maria.dialect, Dialect::Mariadb);
        assert_eq!(maria.source.unwrap().wait_count, None);
    }

    #[test]
    fn what_is_too_old_is_refused() {
        let gtid = Fields::of(&[("gtid_executed", "")]);
        assert!(matches!(Capabilities::from_answers("5.7.44", &gtid), Err(SqlError::Unsupported(_))));
        assert!(matches!(
            Capabilities::from_answers("8.4.0", &Fields::default()),
            Err(SqlError::Unsupported(_))
        ));
    }
}
