//! Asks real servers how they read what is read here: `--verbose --help` prints the settings in force and starts
//! nothing. Run with `BATON_TEST_MYSQLD` or `BATON_TEST_MARIADBD` naming a program, and `--ignored`.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::guard::testing::Directory;

const SWITCHES: &[&str] = &["read_only", "super_read_only", "skip_slave_start", "relay_log_recovery"];

/// Lines after `[mysqld]`, and arguments. Only what both families know, unless loose.
const CASES: &[(&str, &[&str])] = &[
    ("", &[]),
    ("read_only", &[]),
    ("read-only=on # comment", &[]),
    ("read_only=\"1\"", &[]),
    ("read_only=yes", &[]),
    ("read_only=", &[]),
    ("read_only=1\nskip-read-only", &[]),
    ("disable_read_only=0", &[]),
    ("loose-enable-read-only", &["--relay-log-recovery"]),
    ("loose_super_read_only=TRUE", &[]),
    ("enable_read_only=0", &["--loose-skip-read-only=0"]),
    ("skip_slave_start=ON", &[]),
    ("skip-slave-start=1", &["--skip-read-only"]),
    ("disable-skip-slave-start", &[]),
    ("read_only\n[ mysqld ]\nread_only=0", &[]),
    ("read_only\n[MYSQLD]\nread_only=0", &[]),
    ("read_only\n[client]\nread_only=0\n[server]\nskip_slave_start", &[]),
    ("[mysqld-9.7]\nread_only\n[mysqld-10.11]\nskip_slave_start", &[]),
    ("[mariadb-10.11]\nread_only\n[mariadbd]\nskip_slave_start", &[]),
    ("[mysqld-8.4]\nread_only\n[mysqldump]\nskip_slave_start", &[]),
    ("!include DIRECTORY/d/b.cnf\nread_only=0", &[]),
    ("!includedir DIRECTORY/d", &[]),
    ("!includedir DIRECTORY/d", &["--read-only", "0"]),
    ("event_scheduler=ON", &["--skip-event-scheduler"]),
    ("event_scheduler=2", &[]),
    ("event_scheduler", &[]),
];

#[test]
#[ignore = "needs BATON_TEST_MYSQLD"]
fn reads_as_mysql_does() {
    compare("BATON_TEST_MYSQLD");
}

#[test]
#[ignore = "needs BATON_TEST_MARIADBD"]
fn reads_as_mariadb_does() {
    compare("BATON_TEST_MARIADBD");
}

fn compare(variable: &str) {
    let program = PathBuf::from(std::env::var_os(variable).unwrap());
    let version = version::ask(&program).unwrap();
    let directory = Directory::new();
    let root = directory.path().display().to_string();
    directory.write("data/empty", "");
    directory.write("d/b.cnf", "[mysqld]\nread_only=1\n");
    directory.write("d/B.cnf", "[mysqld]\nread_only=0\nskip_slave_start\n");
    directory.write("d/c.x.cnf", "[mysqld]\nrelay_log_recovery\n");
    directory.write("d/d.cnf.old", "[mysqld]\nread_only=0\n");
    for (lines, more) in CASES {
        let text = format!("[mysqld]\n{}\n", lines.replace("DIRECTORY", &root));
        let file = directory.write("my.cnf", &text);
        let mut arguments =
            vec![format!("--defaults-file={}", file.display()), format!("--datadir={root}/data")];
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let sources =
            read_sources(version, &ServerArguments::parse(&arguments), &Environment::default()).unwrap();
        let ours = effective(version.dialect, sources);
        let output = Command::new(&program)
            .args(&arguments)
            .args(["--user=root", "--verbose", "--help"])
            .output()
            .unwrap();
        let theirs = String::from_utf8_lossy(&output.stdout).into_owned();
        for switch in SWITCHES {
            let Some(value) = printed(&theirs, switch) else { continue };
            // MySQL prints the old name too and both mean the new one.
            let own_name =
                if printed(&theirs, "skip_replica_start").is_some() && *switch == "skip_slave_start" {
                    "skip_replica_start"
                } else {
                    switch
                };
            let implied = version.dialect == Dialect::MySql
                && *switch == "read_only"
                && ours.of("super_read_only").iter().any(Setting::is_on);
            let on = implied || ours.of(own_name).last().is_some_and(Setting::is_on);
            assert_eq!(on, value == "TRUE", "{version}: {switch} with {lines:?} {more:?}");
        }
        let events = ours.of("event_scheduler").last().map(|setting| setting.value.as_deref().unwrap_or("1"));
        let expected = match events {
            Some("0") => "OFF",
            Some("1" | "ON") => "ON",
            Some("2") => "DISABLED",
            _ if version.dialect == Dialect::MySql => "ON",
            _ => "OFF",
        };
        assert_eq!(printed(&theirs, "event_scheduler"), Some(expected), "{lines:?} {more:?}");
    }
}

/// The value in the table of variables: a name with dashes, blanks, the value.
fn printed<'a>(help: &'a str, name: &str) -> Option<&'a str> {
    let name = name.replace('_', "-");
    let mut words = help.lines().find(|line| line.split(' ').next() == Some(&name))?.split_ascii_whitespace();
    words.nth(1)
}
