//! What this node makes backups with, as its configuration has it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::engine::Engine;
use super::pipeline::Recipients;
use super::program::{is_program, on_path};
use super::run::{AccountSpec, StoreSpec};
use crate::gtid::Dialect;

/// A way to read a server, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// mariadb-backup.
    MariadbBackup,
    /// MySQL's CLONE.
    Clone,
    /// mysqldump or mariadb-dump.
    Dump,
}

/// What backups are made with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who can read them.
    pub recipients: Recipients,
    /// Where they go.
    pub stores: Vec<StoreSpec>,
    /// Those of them from which this node may remove backups.
    pub prunes: Vec<String>,
    /// What reads the server; `None` for what suits its family best.
    pub way: Option<Way>,
    /// Where CLONE may make its copy.
    pub stage: Option<PathBuf>,
    /// mariadb-backup, where it is not on the search path.
    pub mariadb_backup: Option<PathBuf>,
    /// mysqldump or mariadb-dump, where it is not there.
    pub dump: Option<PathBuf>,
    /// The search path.
    pub path: OsString,
    /// The most that is read in a second.
    pub bytes_per_s: Option<u64>,
    /// The account that reads the server.
    pub account: AccountSpec,
    /// A folder for what ends with a backup.
    pub run: PathBuf,
}

impl Settings {
    /// The engine for a server of this family.
    ///
    /// # Errors
    /// What is missing here, in words that follow the node's name.
    pub fn engine(&self, dialect: Dialect) -> Result<Engine, String> {
        let best = match dialect {
            Dialect::Mariadb => Way::MariadbBackup,
            Dialect::Mysql if self.stage.is_some() => Way::Clone,
            Dialect::Mysql => Way::Dump,
        };
        match (self.way.unwrap_or(best), dialect) {
            (Way::MariadbBackup, Dialect::Mariadb) => {
                let program = self.program(self.mariadb_backup.as_deref(), "mariadb-backup")?;
                Ok(Engine::MariadbBackup { program })
            }
            (Way::MariadbBackup, Dialect::Mysql) => {
                Err("has a MySQL server, which mariadb-backup does not read; set backup.engine".into())
            }
            (Way::Clone, Dialect::Mysql) => {
                let stage = self.stage.clone().ok_or("has no backup.stage, which clone needs")?;
                Ok(Engine::Clone { stage })
            }
            (Way::Clone, Dialect::Mariadb) => {
                Err("has a MariaDB server, which knows no CLONE; set backup.engine".into())
            }
            (Way::Dump, _) => {
                let name = match dialect {
                    Dialect::Mysql => "mysqldump",
                    Dialect::Mariadb => "mariadb-dump",
                };
                Ok(Engine::Dump { program: self.program(self.dump.as_deref(), name)?, dialect })
            }
        }
    }

    fn program(&self, configured: Option<&Path>, name: &str) -> Result<PathBuf, String> {
        if let Some(path) = configured {
            let missing = || format!("has no program {}; install it, or correct its path", path.display());
            return Some(path.to_owned()).filter(|path| is_program(path)).ok_or_else(missing);
        }
        on_path(&self.path, name).ok_or_else(|| format!("has no {name} on its PATH; install it"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backup::pipeline::Identity;

    fn settings() -> Settings {
        let account =
            AccountSpec { user: String::new(), password_file: PathBuf::new(), socket: PathBuf::new() };
        Settings {
            recipients: Recipients::new([Identity::generate().unwrap().recipient()], []).unwrap(),
            stores: Vec::new(),
            prunes: Vec::new(),
            way: None,
            stage: None,
            mariadb_backup: Some("/bin/sh".into()),
            dump: Some("/bin/sh".into()),
            path: "/nowhere".into(),
            bytes_per_s: None,
            account,
            run: PathBuf::new(),
        }
    }

    #[test]
    fn each_family_has_its_best_way_and_others_are_refused() {
        let all = settings();
        assert_eq!(all.engine(Dialect::Mariadb).unwrap().name(), "mariadb-backup");
        assert_eq!(all.engine(Dialect::Mysql).unwrap().name(), "dump");
        let staged = Settings { stage: Some("/stage".into()), ..settings() };
        assert_eq!(staged.engine(Dialect::Mysql).unwrap().name(), "clone");
        let clone = Settings { way: Some(Way::Clone), ..settings() };
        assert!(clone.engine(Dialect::Mariadb).unwrap_err().contains("knows no CLONE"));
        assert!(clone.engine(Dialect::Mysql).unwrap_err().contains("no backup.stage"));
        let files = Settings { way: Some(Way::MariadbBackup), ..settings() };
        assert!(files.engine(Dialect::Mysql).unwrap_err().contains("does not read"));
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let none = Settings { dump: None, mariadb_backup: Some("/nowhere/mb".into()), ..settings() };
        assert_eq!(none.engine(Dialect::Mysql).unwrap_err(), "has no mysqldump on its PATH; install it");
        let error = none.engine(Dialect::Mariadb).unwrap_err();
        assert_eq!(error, "has no program /nowhere/mb; install it, or correct its path");
    }
}
