//! Which server is to be started: it decides which groups of an option file count and which values exist.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::error::BootError;

/// How long `--version` may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);
const VERSION_POLL: Duration = Duration::from_millis(5);
/// The answer is one line.
const MAX_ANSWER_BYTES: u64 = 4096;

/// The two families of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL and Percona Server.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// A server's family and release series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    /// Its family.
    pub dialect: Dialect,
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl ServerVersion {
    /// Reads what `mysqld --version` prints: `mysqld  Ver 9.7.4 for Linux …`, `mariadbd  Ver 10.11.19-MariaDB …`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.split_ascii_whitespace().skip_while(|word| *word != "Ver").nth(1)?;
        let mut parts = number.split(|c: char| !c.is_ascii_digit());
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        let dialect = if text.contains("MariaDB") { Dialect::MariaDb } else { Dialect::MySql };
        Some(Self { dialect, major, minor })
    }

    /// The groups of an option file that this server reads, in lower case.
    pub(super) fn groups(self, suffix: &str) -> Vec<String> {
        let names: &[&str] = match self.dialect {
            Dialect::MySql => &["mysql_cluster", "mysqld", "server"],
            Dialect::MariaDb => &["mysqld", "server", "mariadb", "mariadbd", "client-server", "galera"],
        };
        let versioned: &[&str] = match self.dialect {
            Dialect::MySql => &["mysqld"],
            Dialect::MariaDb => &["mysqld", "mariadb", "mariadbd"],
        };
        let mut groups: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        groups.extend(versioned.iter().map(|name| format!("{name}-{}.{}", self.major, self.minor)));
        if !suffix.is_empty() {
            let suffixed: Vec<_> =
                groups.iter().map(|group| format!("{group}{suffix}").to_lowercase()).collect();
            groups.extend(suffixed);
        }
        groups
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.dialect {
            Dialect::MySql => "MySQL",
            Dialect::MariaDb => "MariaDB",
        };
        write!(f, "{name} {}.{}", self.major, self.minor)
    }
}

/// Asks the program itself, bounded.
pub(super) fn ask(program: &Path) -> Result<ServerVersion, BootError> {
    let failed = |problem: String| BootError::Version { program: program.to_owned(), problem };
    let mut child = Command::new(program)
        .args(["--no-defaults", "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let started = Instant::now();
    while child.try_wait().map_err(|error| failed(error.to_string()))?.is_none() {
        if started.elapsed() > VERSION_TIMEOUT {
            drop(child.kill());
            drop(child.wait());
            return Err(failed(format!("no answer within {} s", VERSION_TIMEOUT.as_secs())));
        }
        #[expect(clippy::disallowed_methods, reason = "a command without a runtime")]
        std::thread::sleep(VERSION_POLL);
    }
    let mut text = String::new();
    if let Some(output) = child.stdout.take() {
        output.take(MAX_ANSWER_BYTES).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    }
    ServerVersion::parse(&text).ok_or_else(|| failed(format!("it printed {:?}", text.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_print() {
        let read = |text| ServerVersion::parse(text).map(|version| version.to_string());
        assert_eq!(
            read("/usr/sbin/mysqld  Ver 9.7.4 for Linux on x86_64 (Debian)").as_deref(),
            Some("MySQL 9.7")
        );
        assert_eq!(
            read("mariadbd  Ver 10.11.19-MariaDB-deb12 for debian-linux-gnu on x86_64").as_deref(),
            Some("MariaDB 10.11")
        );
        assert_eq!(read("nonsense"), None);
        assert_eq!(read("mysqld Ver nine"), None);
    }

    #[test]
    fn groups_follow_version_and_suffix() {
        let server = ServerVersion { dialect: Dialect::MariaDb, major: 10, minor: 11 };
        let groups = server.groups("_A");
        for wanted in ["mysqld", "mariadb-10.11", "mysqld-10.11", "mariadbd", "mysqld_a", "mariadb-10.11_a"] {
            assert!(groups.iter().any(|group| group == wanted), "{wanted}");
        }
        assert!(!groups.iter().any(|group| group == "mysqld-9.7" || group == "client"));
    }
}
