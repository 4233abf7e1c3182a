//! `batonctl grants`: what it prints is enough, and no more than `batonctl check` asks for.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_tests::cluster::{Cluster, ReturnOfOldWriter};
use baton_tests::on_both;
use baton_tests::sandbox::{Account, Dialect, LedgerOptions, Server, until};
use mysql_async::Row;
use rustix::process::Signal;

use crate::{SOON, done, patient};

const USER: &str = "least";
const REPLICATION_USER: &str = "least_repl";
/// With everything that quoting can get wrong.
const PASSWORD: &str = "it's a \\ \"least\" one";
/// MySQL takes 32 bytes for a source's password.
const REPLICATION_PASSWORD: &str = "r'e\\p\"l";

on_both!(runs_on_least_privileges, mysql_runs_on_least_privileges, mariadb_runs_on_least_privileges);

async fn runs_on_least_privileges(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::observing(patient(dialect)).await?;
    let root = cluster.sandbox().root().to_owned();
    let (file, replication_file) = (root.join("least.password"), root.join("least_repl.password"));
    write_secret(&file, PASSWORD)?;
    write_secret(&replication_file, REPLICATION_PASSWORD)?;
    let sql = printed(&cluster, &file, &replication_file).await?;
    let writer = cluster.server("db1")?;
    writer.execute(statements(&sql)).await?;
    // Nothing of Baton's may work by the account from before.
    let Account { user: all, .. } = Account::BATON;
    writer.execute([format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{all}'@'%'")]).await?;
    use_accounts(&cluster, &file, &replication_file)?;
    for name in ["db1", "db2", "db3"] {
        cluster.node_mut(name)?.restart().await?;
    }
    let well = async || {
        let check = cluster.ctl().check().await?;
        let errors: Vec<_> = check.findings.iter().filter(|finding| finding.level == "error").collect();
        ensure!(errors.is_empty(), "{errors:#?}");
        let all_seen = check.findings.iter().any(|finding| finding.what == "the servers fit together");
        ensure!(all_seen, "{check:#?}");
        Ok(Some(()))
    };
    until("a check without an error", SOON, well).await.map_err(|error| cluster.explained(error))?;

    cluster.ctl().adopt("db1").await.map_err(|error| cluster.explained(error))?;
    let before = cluster.pre_flight().await?;
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    let more = async || Ok((ledger.acknowledged() > 20).then_some(()));
    until("acknowledged writes", SOON, more).await?;
    cluster.server("db1")?.kill(Signal::KILL)?;
    cluster.server_mut("db1")?.wait_exit(Duration::from_secs(10)).await?;
    cluster.moved_from(&before.writer).await?;
    cluster.server_mut("db1")?.start().await?;
    let out: &[&str] = match cluster.old_writer_returns("db1").await? {
        ReturnOfOldWriter::Follows => &[],
        ReturnOfOldWriter::Quarantined(_) => &["db1"],
    };
    ledger.stop().await;
    let after = cluster.post_check(&ledger, out).await?;
    for name in cluster.data_nodes().filter(|name| *name != after.writer && !out.contains(name)) {
        ensure!(
            source_user(cluster.server(name)?).await? == REPLICATION_USER,
            "{name} replicates as somebody else"
        );
    }
    Ok(())
}

/// As whom a replica replicates.
async fn source_user(server: &Server) -> Result<String> {
    let (query, name) = match server.dialect() {
        Dialect::MySql => ("SHOW REPLICA STATUS", "Source_User"),
        Dialect::MariaDb => ("SHOW SLAVE STATUS", "Master_User"),
    };
    let rows: Vec<Row> = server.query(query).await?;
    rows.first().and_then(|row| row.get(name)).context("no channel")
}

fn write_secret(path: &Path, secret: &str) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(writeln!(file, "{secret}")?)
}

async fn printed(cluster: &Cluster, file: &Path, replication_file: &Path) -> Result<String> {
    let (file, replication_file) = (file.display().to_string(), replication_file.display().to_string());
    let arguments = ["grants", cluster.dialect().name(), "--user", USER, "--password-file", &file];
    let replication =
        ["--replication-user", REPLICATION_USER, "--replication-password-file", &replication_file];
    done(cluster, &[&arguments[..], &replication[..]].concat()).await
}

/// As a client splits a script: at a semicolon that ends a line.
fn statements(sql: &str) -> Vec<String> {
    let lines = sql.lines().filter(|line| !line.starts_with("--") && !line.is_empty());
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split(";\n").map(|one| one.trim_end_matches(';').to_owned()).filter(|one| !one.is_empty()).collect()
}

fn use_accounts(cluster: &Cluster, file: &Path, replication_file: &Path) -> Result<()> {
    let text = fs::read_to_string(cluster.config())?;
    let root = cluster.sandbox().root().display();
    let text = text
        .replace(
            &format!("user = \"{}\"\npassword_file", Account::BATON.user),
            &format!("user = \"{USER}\"\npassword_file"),
        )
        .replace(&format!("\"{}\"", Account::REPL.user), &format!("\"{REPLICATION_USER}\""))
        .replace(&format!("{root}/baton.password"), &file.display().to_string())
        .replace(&format!("{root}/repl.password"), &replication_file.display().to_string());
    Ok(fs::write(cluster.config(), text)?)
}
