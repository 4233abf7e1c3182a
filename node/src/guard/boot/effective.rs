//! Which settings a server will start with.

use std::collections::BTreeMap;

use super::setting::Setting;
use super::version::Dialect;

/// All settings, in the order they are read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Of the option files.
    pub files: Vec<Setting>,
    /// Of `mysqld-auto.cnf`.
    pub persisted: Vec<Setting>,
    /// Of the command line.
    pub command_line: Vec<Setting>,
}

/// The settings in force after a start, by variable.
#[derive(Clone, Debug, Default)]
pub struct Effective(BTreeMap<String, Vec<Setting>>);

impl Effective {
    /// The setting of `name`, none for the server's default. Two, where `mysqld-auto.cnf` and the command line both
    /// speak: MySQL's manual has the file win, 9.7.4 has the command line win (tried), so both have to be right.
    #[must_use]
    pub fn of(&self, name: &str) -> &[Setting] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// All variables that are set.
    pub fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.0.values().flatten()
    }
}

/// Lets the last setting of each source win, and persisted settings and the command line win over option files.
#[must_use]
pub fn effective(dialect: Dialect, sources: Sources) -> Effective {
    let files = last_of_each(dialect, sources.files);
    let command_line = last_of_each(dialect, sources.command_line);
    let ignored = |source: &BTreeMap<String, Setting>| {
        source.get("persisted_globals_load").map(|setting| !setting.is_on())
    };
    let persisted = if ignored(&command_line).or_else(|| ignored(&files)).unwrap_or(false) {
        BTreeMap::new()
    } else {
        last_of_each(dialect, sources.persisted)
    };
    let mut winners: BTreeMap<String, Vec<Setting>> = BTreeMap::new();
    for (name, setting) in persisted.into_iter().chain(command_line) {
        winners.entry(name).or_default().push(setting);
    }
    for (name, setting) in files {
        winners.entry(name).or_insert_with(|| vec![setting]);
    }
    Effective(winners)
}

fn last_of_each(dialect: Dialect, settings: Vec<Setting>) -> BTreeMap<String, Setting> {
    settings.into_iter().map(|setting| (canonical(dialect, &setting.name).to_owned(), setting)).collect()
}

/// Two names of one variable must meet, so that the last one wins. MariaDB 10.11 knows only the old one.
fn canonical(dialect: Dialect, name: &str) -> &str {
    match (dialect, name) {
        (Dialect::MySql, "skip_slave_start") => "skip_replica_start",
        (_, other) => other,
    }
}
