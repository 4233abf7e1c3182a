//! What must hold for a server to start closed.

use std::fmt;

use thiserror::Error;

use super::effective::Effective;
use super::setting::{KNOWN, Origin, Setting};
use super::version::{Dialect, ServerVersion};

/// Names that are a prefix of a watched one and yet another variable's.
const OTHER_VARIABLES: &[&str] = &["relay_log"];
/// Shorter beginnings of a name are no abbreviation that a server takes for one of ours.
const SHORTEST_ABBREVIATION: usize = 5;

/// One thing that would be open after a start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{variable} {problem}: {mend}")]
pub struct OpenAtBoot {
    /// The variable.
    pub variable: String,
    /// What is wrong, and where it stands.
    pub problem: String,
    /// What to do about it.
    pub mend: String,
}

/// What a variable has to be.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    On,
    Off,
    /// `OFF` or `DISABLED`; its own numbers.
    EventsOff,
    /// On; from MariaDB 12 also the two ways of being it without a lock.
    ReadOnly,
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    variable: &'static str,
    wanted: Wanted,
    /// Whether the server's own default is right.
    default_is_right: bool,
    /// The line for the option file.
    line: &'static str,
}

const fn off(variable: &'static str, line: &'static str) -> Rule {
    Rule { variable, wanted: Wanted::Off, default_is_right: true, line }
}

const fn set(variable: &'static str, wanted: Wanted, line: &'static str) -> Rule {
    Rule { variable, wanted, default_is_right: false, line }
}

const MYSQL: &[Rule] = &[
    set("super_read_only", Wanted::On, "super_read_only=ON"),
    set("skip_replica_start", Wanted::On, "skip_replica_start=ON"),
    set("event_scheduler", Wanted::EventsOff, "event_scheduler=OFF"),
    off("rpl_semi_sync_source_enabled", "rpl_semi_sync_source_enabled=OFF"),
    off("rpl_semi_sync_replica_enabled", "rpl_semi_sync_replica_enabled=OFF"),
];

const MARIADB: &[Rule] = &[
    set("read_only", Wanted::ReadOnly, "read_only=ON"),
    set("skip_slave_start", Wanted::On, "skip_slave_start"),
    Rule {
        variable: "event_scheduler",
        wanted: Wanted::EventsOff,
        default_is_right: true,
        line: "event_scheduler=OFF",
    },
];

/// Both families know these names, MySQL for its older plugins.
const COMMON: &[Rule] = &[
    off("rpl_semi_sync_master_enabled", "rpl_semi_sync_master_enabled=OFF"),
    off("rpl_semi_sync_slave_enabled", "rpl_semi_sync_slave_enabled=OFF"),
    off("relay_log_recovery", "relay_log_recovery=OFF"),
];

/// Says whether the server would start closed.
///
/// # Errors
/// Everything that would be open, in the order of the rules.
pub fn verdict(server: ServerVersion, effective: &Effective) -> Result<(), Vec<OpenAtBoot>> {
    let own = match server.dialect {
        Dialect::MySql => MYSQL,
        Dialect::MariaDb => MARIADB,
    };
    let mut open: Vec<OpenAtBoot> =
        own.iter().chain(COMMON).flat_map(|rule| rule.broken_by(server, effective)).collect();
    open.extend(effective.settings().filter_map(abbreviation));
    if open.is_empty() { Ok(()) } else { Err(open) }
}

impl Rule {
    fn broken_by(self, server: ServerVersion, effective: &Effective) -> Vec<OpenAtBoot> {
        let settings = effective.of(self.variable);
        if settings.is_empty() && !self.default_is_right {
            return vec![OpenAtBoot {
                variable: self.variable.to_owned(),
                problem: "is not set".to_owned(),
                mend: format!("add {} to [mysqld]", self.line),
            }];
        }
        let wrong = settings.iter().filter(|setting| !self.wanted.is_met(server, setting));
        wrong.map(|setting| self.finding(setting)).collect()
    }

    fn finding(self, setting: &Setting) -> OpenAtBoot {
        let value = setting.value.as_deref().unwrap_or("ON");
        let mend = match &setting.origin {
            Origin::File { .. } => format!("make that line {}", self.line),
            // Tried on MySQL 9.7.4: the statement clears the file though it was not loaded.
            Origin::Persisted { .. } => format!(
                "start it once with --persisted-globals-load=OFF and run RESET PERSIST IF EXISTS {}",
                setting.name
            ),
            Origin::CommandLine => {
                format!("take it off the command line, and have {} in [mysqld]", self.line)
            }
        };
        OpenAtBoot {
            variable: setting.name.clone(),
            problem: format!("is {value:?} ({})", setting.origin),
            mend,
        }
    }
}

impl Wanted {
    fn is_met(self, server: ServerVersion, setting: &Setting) -> bool {
        let is_one_of = |words: &[&str]| {
            let value = setting.value.as_deref();
            value.is_some_and(|value| words.iter().any(|word| value.eq_ignore_ascii_case(word)))
        };
        match self {
            Self::On => setting.is_on(),
            Self::Off => !setting.is_on(),
            Self::EventsOff => is_one_of(&["OFF", "DISABLED", "0", "2"]),
            // An older server takes these words for OFF.
            Self::ReadOnly if is_one_of(&["NO_LOCK", "NO_LOCK_NO_ADMIN"]) => server.major >= 12,
            Self::ReadOnly => setting.is_on(),
        }
    }
}

/// MariaDB takes the beginning of a name for the name where it is the only one, MySQL 9 does not: neither is guessed.
fn abbreviation(setting: &Setting) -> Option<OpenAtBoot> {
    let name = setting.name.as_str();
    if name.len() < SHORTEST_ABBREVIATION || KNOWN.contains(&name) || OTHER_VARIABLES.contains(&name) {
        return None;
    }
    let full = KNOWN.iter().find(|known| known.starts_with(name))?;
    Some(OpenAtBoot {
        variable: (*full).to_owned(),
        problem: format!("is abbreviated to {name} ({})", setting.origin),
        mend: "write the name in full".to_owned(),
    })
}

/// A list for one message, a line each.
pub(super) struct Findings<'a>(pub(super) &'a [OpenAtBoot]);

impl fmt::Display for Findings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::effective::{Sources, effective};
    use super::*;

    const MYSQL_9: ServerVersion = ServerVersion { dialect: Dialect::MySql, major: 9, minor: 7 };
    const MARIADB_10: ServerVersion = ServerVersion { dialect: Dialect::MariaDb, major: 10, minor: 11 };
    const MARIADB_12: ServerVersion = ServerVersion { dialect: Dialect::MariaDb, major: 12, minor: 1 };

    fn settings(text: &str, origin: impl Fn(usize) -> Origin) -> Vec<Setting> {
        text.split_ascii_whitespace()
            .enumerate()
            .map(|(index, option)| match option.split_once('=') {
                Some((key, value)) => Setting::new(key, Some(value), origin(index + 1)),
                None => Setting::new(option, None, origin(index + 1)),
            })
            .collect()
    }

    /// The variables that are found open.
    fn open(server: ServerVersion, files: &str, persisted: &str, command_line: &str) -> Vec<String> {
        let sources = Sources {
            files: settings(files, |line| Origin::File { path: "/my.cnf".into(), line }),
            persisted: settings(persisted, |_| Origin::Persisted { path: "/auto".into() }),
            command_line: settings(command_line, |_| Origin::CommandLine),
        };
        let findings = verdict(server, &effective(server.dialect, sources)).err().unwrap_or_default();
        findings.into_iter().map(|finding| finding.variable).collect()
    }

    const CLOSED: &str = "super_read_only=ON skip-replica-start event_scheduler=OFF ";
    const CLOSED_MARIADB: &str = "read_only skip-slave-start ";

    #[test]
    fn a_closed_server_passes() {
        let none: [&str; 0] = [];
        for more in [
            "",
            "event_scheduler=disabled relay_log=x",
            "relay-log-recovery=0",
            "loose_rpl_semi_sync_source_enabled=OFF rpl_semi_sync_replica_enabled=FALSE",
            "skip-super-read-only super_read_only=1",
            "skip_slave_start=ON",
        ] {
            assert_eq!(open(MYSQL_9, &format!("{CLOSED} {more}"), "", ""), none, "{more}");
        }
        for more in ["", "read_only=TRUE", "event_scheduler=0", "rpl_semi_sync_slave_enabled=0"] {
            assert_eq!(open(MARIADB_10, &format!("{CLOSED_MARIADB} {more}"), "", ""), none, "{more}");
        }
        assert_eq!(open(MARIADB_12, "read_only=NO_LOCK_NO_ADMIN skip_slave_start", "", ""), none);
        assert_eq!(
            open(MYSQL_9, "", "super_read_only=ON", "--skip-replica-start event_scheduler=OFF").len(),
            1
        );
    }

    #[test]
    fn each_way_to_be_open_is_found() {
        assert_eq!(open(MYSQL_9, "", "", ""), ["super_read_only", "skip_replica_start", "event_scheduler"]);
        assert_eq!(open(MARIADB_10, "", "", ""), ["read_only", "skip_slave_start"]);
        for (more, variable) in [
            ("super_read_only=OFF", "super_read_only"),
            ("skip-super-read-only", "super_read_only"),
            ("super_read_only=yes", "super_read_only"),
            ("skip_slave_start=0", "skip_slave_start"),
            ("event_scheduler", "event_scheduler"),
            ("event_scheduler=1", "event_scheduler"),
            ("loose-rpl_semi_sync_source_enabled", "rpl_semi_sync_source_enabled"),
            ("rpl_semi_sync_replica_enabled=1", "rpl_semi_sync_replica_enabled"),
            ("rpl_semi_sync_slave_enabled=ON", "rpl_semi_sync_slave_enabled"),
            ("relay-log-recovery", "relay_log_recovery"),
            ("super_read=0", "super_read_only"),
        ] {
            assert_eq!(open(MYSQL_9, &format!("{CLOSED} {more}"), "", ""), [variable], "{more}");
        }
        for more in ["read_only=NO_LOCK", "read_only=2", "disable-read-only", "enable_read_only=0"] {
            assert_eq!(
                open(MARIADB_10, &format!("{CLOSED_MARIADB} {more}"), "", ""),
                ["read_only"],
                "{more}"
            );
        }
        // MariaDB 10.11 does not know the new name.
        assert_eq!(open(MARIADB_10, "read_only skip_replica_start", "", ""), ["skip_slave_start"]);
    }

    #[test]
    fn persisted_settings_and_arguments_win_over_files() {
        assert_eq!(open(MYSQL_9, CLOSED, "super_read_only=OFF", ""), ["super_read_only"]);
        assert_eq!(open(MYSQL_9, CLOSED, "", "super_read_only=OFF"), ["super_read_only"]);
        // Which of these two wins is not certain, so neither may be open.
        assert_eq!(open(MYSQL_9, "", "super_read_only=OFF", CLOSED), ["super_read_only"]);
        assert_eq!(open(MYSQL_9, CLOSED, "super_read_only=ON", "super_read_only=OFF"), ["super_read_only"]);
        let none: [&str; 0] = [];
        assert_eq!(open(MYSQL_9, "event_scheduler=ON", CLOSED, ""), none);
        // Persisted settings that are not loaded neither open nor close.
        let ignored = "persisted_globals_load=OFF";
        assert_eq!(open(MYSQL_9, &format!("{CLOSED} {ignored}"), "super_read_only=OFF", ""), none);
        assert_eq!(open(MYSQL_9, ignored, CLOSED, "").len(), 3);
    }

    #[test]
    fn a_finding_names_place_and_mend() {
        let files =
            settings("super_read_only=OFF", |_| Origin::File { path: "/etc/my.cnf".into(), line: 12 });
        let effective = effective(Dialect::MySql, Sources { files, ..Sources::default() });
        let findings = verdict(MYSQL_9, &effective).unwrap_err();
        assert_eq!(
            findings[0].to_string(),
            r#"super_read_only is "OFF" (/etc/my.cnf line 12): make that line super_read_only=ON"#
        );
        assert_eq!(
            findings[1].to_string(),
            "skip_replica_start is not set: add skip_replica_start=ON to [mysqld]"
        );
    }
}
