//! One setting of a server, from whatever place, under its own name.

use std::fmt;
use std::path::PathBuf;

/// The variables this check is about, and those that lead to them.
pub(super) const KNOWN: &[&str] = &[
    "super_read_only",
    "read_only",
    "skip_replica_start",
    "skip_slave_start",
    "event_scheduler",
    "relay_log_recovery",
    "rpl_semi_sync_source_enabled",
    "rpl_semi_sync_replica_enabled",
    "rpl_semi_sync_master_enabled",
    "rpl_semi_sync_slave_enabled",
    "persisted_globals_load",
    "datadir",
];

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In an option file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// In `mysqld-auto.cnf`, by SET PERSIST.
    Persisted {
        /// The file.
        path: PathBuf,
    },
    /// Among the server's arguments.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Persisted { path } => write!(f, "{}, by SET PERSIST", path.display()),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The variable's name with underscores, prefixes resolved for the variables that matter here.
    pub name: String,
    /// Its value; `None` for an option without one, which switches on.
    pub value: Option<String>,
    /// Where it stands.
    pub origin: Origin,
}

impl Setting {
    /// Reads an option as the server does: `-` and `_` are the same, `loose-` says nothing, and `skip-`, `disable-` and
    /// `enable-` are prefixes unless the name itself begins so. A value of 0 behind one of them turns it round.
    #[must_use]
    pub fn new(key: &str, value: Option<&str>, origin: Origin) -> Self {
        let full = key.replace('-', "_");
        let plain = full.strip_prefix("loose_").unwrap_or(&full);
        let prefixed = [("skip_", false), ("disable_", false), ("enable_", true)]
            .iter()
            .filter(|_| !KNOWN.contains(&plain))
            .find_map(|(prefix, on)| Some((plain.strip_prefix(prefix)?, *on)))
            .filter(|(name, _)| KNOWN.contains(name));
        match prefixed {
            Some((name, on)) => {
                let on = on != (value == Some("0"));
                Self { name: name.to_owned(), value: Some(u8::from(on).to_string()), origin }
            }
            None => Self { name: plain.to_owned(), value: value.map(str::to_owned), origin },
        }
    }

    /// The value of a switch. Like the server, takes anything but these words for off.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.value
            .as_deref()
            .is_none_or(|value| ["1", "on", "true"].iter().any(|word| value.eq_ignore_ascii_case(word)))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value} ({})", self.name, self.origin),
            None => write!(f, "{} ({})", self.name, self.origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling() {
        for (key, value, name, on) in [
            ("super-read-only", None, "super_read_only", true),
            ("super_read-only", Some("on"), "super_read_only", true),
            ("super_read_only", Some("True"), "super_read_only", true),
            ("super_read_only", Some("yes"), "super_read_only", false),
            ("super_read_only", Some(""), "super_read_only", false),
            ("skip-super-read-only", None, "super_read_only", false),
            ("skip-super-read-only", Some("0"), "super_read_only", true),
            ("disable_super_read_only", None, "super_read_only", false),
            ("loose-enable-super-read-only", None, "super_read_only", true),
            ("enable-super-read-only", Some("0"), "super_read_only", false),
            ("loose_skip_super_read_only", None, "super_read_only", false),
            ("skip-replica-start", None, "skip_replica_start", true),
            ("disable-skip-replica-start", None, "skip_replica_start", false),
            ("loose-skip-slave-start", Some("0"), "skip_slave_start", false),
            ("Super_Read_Only", None, "Super_Read_Only", true),
            ("skip-name-resolve", None, "skip_name_resolve", true),
        ] {
            let setting = Setting::new(key, value, Origin::CommandLine);
            assert_eq!((setting.name.as_str(), setting.is_on()), (name, on), "{key}={value:?}");
        }
    }
}
