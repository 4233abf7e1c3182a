//! How `baton-node check-boot` reads option files, and how real servers do: `--verbose --help` prints the settings in
//! force and starts nothing.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use baton_node::guard::boot::{Dialect as Family, Environment, ServerArguments, ServerVersion, Setting};
use baton_node::guard::boot::{effective, read_sources};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, Sandbox, SandboxOptions, server_program, within};
use tokio::process::Command;

use super::SOON;

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

on_both!(reads_as_the_server_does, reads_as_mysql_does, reads_as_mariadb_does);

async fn reads_as_the_server_does(dialect: Dialect) -> Result<()> {
    let sandbox = Sandbox::new(SandboxOptions::new(dialect)).await?;
    let host = &sandbox.hosts()[0];
    let (program, version) = server_program(dialect).await?;
    let version = ServerVersion::parse(&version).context("a version that is not understood")?;
    let root = host.folder();
    let write = |name: &str, text: &str| fs::write(root.join(name), text);
    fs::create_dir(root.join("data"))?;
    fs::create_dir(root.join("d"))?;
    write("d/b.cnf", "[mysqld]\nread_only=1\n")?;
    write("d/B.cnf", "[mysqld]\nread_only=0\nskip_slave_start\n")?;
    write("d/c.x.cnf", "[mysqld]\nrelay_log_recovery\n")?;
    write("d/d.cnf.old", "[mysqld]\nread_only=0\n")?;
    for (lines, more) in CASES {
        let lines = lines.replace("DIRECTORY", &root.display().to_string());
        write("my.cnf", &format!("[mysqld]\n{lines}\n"))?;
        let mut arguments = vec![
            format!("--defaults-file={}", root.join("my.cnf").display()),
            format!("--datadir={}", root.join("data").display()),
        ];
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let sources = read_sources(version, &ServerArguments::parse(&arguments), &Environment::default())?;
        let ours = effective(version.dialect, sources);
        let theirs = printed_by(host.command(&program), &arguments).await?;
        for switch in SWITCHES {
            let Some(value) = printed(&theirs, switch) else { continue };
            // MySQL prints the old name too and both mean the new one.
            let own_name =
                if printed(&theirs, "skip_replica_start").is_some() && *switch == "skip_slave_start" {
                    "skip_replica_start"
                } else {
                    switch
                };
            let implied = version.dialect == Family::MySql
                && *switch == "read_only"
                && ours.of("super_read_only").iter().any(Setting::is_on);
            let on = implied || ours.of(own_name).last().is_some_and(Setting::is_on);
            ensure!(on == (value == "TRUE"), "{version}: {switch} is {value} with {lines:?} {more:?}");
        }
        let events = ours.of("event_scheduler").last().map(|setting| setting.value.as_deref().unwrap_or("1"));
        let expected = match events {
            Some("0") => "OFF",
            Some("1" | "ON") => "ON",
            Some("2") => "DISABLED",
            _ if version.dialect == Family::MySql => "ON",
            _ => "OFF",
        };
        let said = printed(&theirs, "event_scheduler");
        ensure!(
            said == Some(expected),
            "event_scheduler is {said:?}, not {expected}, with {lines:?} {more:?}"
        );
    }
    Ok(())
}

/// All settings as the server would start with them.
async fn printed_by(mut server: Command, arguments: &[String]) -> Result<String> {
    server.args(arguments).args(["--user=root", "--verbose", "--help"]);
    server.stdout(Stdio::piped()).stderr(Stdio::null());
    let output = within("--verbose --help", SOON, server.output()).await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The value in the table of variables: a name with dashes, blanks, the value.
fn printed<'a>(help: &'a str, name: &str) -> Option<&'a str> {
    let name = name.replace('_', "-");
    let mut words = help.lines().find(|line| line.split(' ').next() == Some(&name))?.split_ascii_whitespace();
    words.nth(1)
}
