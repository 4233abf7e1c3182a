//! An old writer comes back with transactions of its own: they are archived, shown, given up, and no longer held against
//! the server once the writer has them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_proto::control::{QuarantineEntry, QuarantineListReply, QuarantineShowReply};
use baton_tests::cluster::{Cluster, ReturnOfOldWriter, executed};
use baton_tests::sandbox::{Dialect, server_program, until, within};
use rustix::process::Signal;
use tokio::process::Command;

use crate::{REFUSED, SOON, ctl, done, has, patient};

/// Baton retries what failed every ten seconds.
const ARCHIVED: Duration = Duration::from_secs(45);

#[tokio::test]
async fn mysql_extra_transactions_are_archived() -> Result<()> {
    extra_transactions_are_archived(Dialect::MySql).await
}

#[tokio::test]
async fn mariadb_extra_transactions_are_archived() -> Result<()> {
    extra_transactions_are_archived(Dialect::MariaDb).await
}

async fn extra_transactions_are_archived(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(patient(dialect)).await?;
    cluster
        .server("db1")?
        .execute([
            "CREATE TABLE app.goods (id INT PRIMARY KEY, name VARCHAR(40), price DECIMAL(8,2), big BIGINT UNSIGNED, \
             at TIMESTAMP(3) NULL, raw VARBINARY(8))",
            "INSERT INTO app.goods VALUES (1, 'everywhere', 1, 1, NULL, NULL), (2, 'to be changed', 2, 2, NULL, NULL)",
        ])
        .await?;
    cluster.settled().await?;
    write_alone(&mut cluster, dialect).await?;
    let judged = cluster.old_writer_returns("db1").await?;
    ensure!(matches!(judged, ReturnOfOldWriter::Quarantined(_)), "{judged:?}");

    let entry = archived(&cluster).await?;
    let shown = look(&cluster, &entry).await?;
    readable_by_the_server(dialect, &cluster, &entry, &shown).await?;
    kept_once(&mut cluster, &entry).await?;
    released(&cluster, &entry).await?;
    if dialect == Dialect::MySql {
        taken_back(&cluster, &entry).await?;
    }
    Ok(())
}

/// db1 dies, another becomes the writer, and db1's server gets rows of its own before its node is there to see it.
async fn write_alone(cluster: &mut Cluster, dialect: Dialect) -> Result<()> {
    cluster.node_mut("db1")?.kill().await?;
    let server = cluster.server_mut("db1")?;
    server.kill(Signal::KILL)?;
    server.wait_exit(SOON).await?;
    cluster.moved_from("db1").await?;
    let server = cluster.server_mut("db1")?;
    server.start().await?;
    let (open, close) = match dialect {
        Dialect::MySql => ("SET GLOBAL super_read_only = OFF", "SET GLOBAL super_read_only = ON"),
        // There root may write while it is on.
        Dialect::MariaDb => ("SET GLOBAL read_only = ON", "SET GLOBAL read_only = ON"),
    };
    server
        .execute([
            open,
            "SET time_zone = '+00:00'",
            "INSERT INTO app.goods VALUES (3, 'only\\'s here', 9.50, 18446744073709551615, '2024-05-06 07:08:09.125', 0xFF00)",
            "FLUSH LOCAL BINARY LOGS",
            "UPDATE app.goods SET name = 'changed here' WHERE id = 2",
            "DELETE FROM app.goods WHERE id = 1",
            close,
        ])
        .await?;
    cluster.node_mut("db1")?.start()
}

async fn list(cluster: &Cluster) -> Result<Vec<QuarantineEntry>> {
    let said = done(cluster, &["quarantine", "list", "--json"]).await?;
    let reply: QuarantineListReply = serde_json::from_str(&said).with_context(|| said.clone())?;
    Ok(reply.entries)
}

async fn archived(cluster: &Cluster) -> Result<QuarantineEntry> {
    let look = async || {
        let entries = list(cluster).await?;
        let [entry] = entries.as_slice() else { anyhow::bail!("one is in quarantine: {entries:?}") };
        ensure!(entry.node == "db1" && entry.state == "archived", "{entry:?}");
        Ok(Some(entry.clone()))
    };
    let entry = until("the archive", ARCHIVED, look).await.map_err(|error| cluster.explained(error))?;
    // Of both, so that it is known to be that set and no other.
    let status = cluster.ctl().status().await?;
    let extra = executed(cluster.server("db1")?)
        .await?
        .subtract(&executed(cluster.server(&status.writer)?).await?)?;
    ensure!(entry.gtids == extra.to_string() && entry.transactions == 3, "{entry:?} is not {extra}");
    let node = status.nodes.iter().find(|node| node.name == "db1").context("db1 is no node")?;
    has(&node.note, &["quarantined", "3 transactions", "archived as", &entry.id])?;
    Ok(entry)
}

async fn look(cluster: &Cluster, entry: &QuarantineEntry) -> Result<QuarantineShowReply> {
    let text = done(cluster, &["quarantine", "list"]).await?;
    println!("{text}");
    has(&text, &["db1", "3 transactions", "archived", &entry.id])?;
    let text = done(cluster, &["quarantine", "show", &entry.id]).await?;
    println!("{text}");
    let expected = [
        "INSERT INTO `app`.`goods` (`id`, `name`, `price`, `big`, `at`, `raw`) VALUES (3, 'only\\'s here', 9.50, \
         18446744073709551615, '2024-05-06 07:08:09.125000', 0xFF00);",
        "UPDATE `app`.`goods` SET `id` = 2, `name` = 'changed here'",
        "DELETE FROM `app`.`goods` WHERE `id` = 1 AND `name` = 'everywhere'",
    ];
    has(&text, &expected)?;
    ensure!(!text.contains("VALUES (1, 'everywhere'"), "what everybody has is not extra: {text}");
    has(&done(cluster, &["quarantine", "show", "db1", "--sql"]).await?, &expected)?;
    let (code, said) = ctl(cluster, &["quarantine", "show", "db9"]).await?;
    ensure!(code != 0 && said.contains("neither an archive nor a node in quarantine"), "{code}: {said}");
    let said = done(cluster, &["quarantine", "show", &entry.id, "--json"]).await?;
    let shown: QuarantineShowReply = serde_json::from_str(&said).with_context(|| said.clone())?;
    ensure!(shown.transactions == 3 && shown.files.len() == 3 && shown.sql_left == 0, "{shown:?}");
    Ok(shown)
}

/// The server's own program reads the binlog files, and finds in them what was written and nothing else.
async fn readable_by_the_server(
    dialect: Dialect,
    cluster: &Cluster,
    entry: &QuarantineEntry,
    shown: &QuarantineShowReply,
) -> Result<()> {
    let program = match dialect {
        Dialect::MySql => "mysqlbinlog",
        Dialect::MariaDb => "mariadb-binlog",
    };
    let program: PathBuf = server_program(dialect).await?.0.with_file_name(program);
    let mut said = String::new();
    for file in shown.files.iter().filter(|file| !file.from.is_empty()) {
        ensure!(file.name == format!("extra-{}.binlog", file.from) && file.from.is_ascii(), "{file:?}");
        let path = Path::new(&entry.path).join(&file.name);
        ensure!(std::fs::metadata(&path)?.len() == file.bytes, "{file:?}");
        let mut command = Command::new(&program);
        command
            .args(["--no-defaults", "--verify-binlog-checksum", "-v", "--base64-output=DECODE-ROWS"])
            .arg(path);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = within("reading the archive", SOON, command.output()).await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        said += &String::from_utf8_lossy(&output.stdout);
    }
    let explained = |error| cluster.explained(error);
    has(
        &said,
        &["### INSERT INTO `app`.`goods`", "### UPDATE `app`.`goods`", "### DELETE FROM `app`.`goods`"],
    )
    .map_err(explained)?;
    let changes = said
        .lines()
        .filter(|line| ["### INSERT", "### UPDATE", "### DELETE"].iter().any(|c| line.starts_with(c)));
    ensure!(changes.count() == 3, "{said}");
    Ok(())
}

/// The node finds its archive again and writes no other.
async fn kept_once(cluster: &mut Cluster, entry: &QuarantineEntry) -> Result<()> {
    let node = cluster.node_mut("db1")?;
    node.kill().await?;
    node.start()?;
    cluster
        .reaches("db1's node to be there again", SOON, |status| {
            status.nodes.iter().any(|node| node.name == "db1" && node.node_answers && node.role == "out")
        })
        .await?;
    // The node says of its archive what it has found on its disk, which it looks at after its start.
    let found = async || {
        let entries = list(cluster).await?;
        ensure!(entries.as_slice() == [entry.clone()], "{entries:?}");
        Ok(Some(()))
    };
    until("the archive to be found again", SOON, found).await.map_err(|error| cluster.explained(error))?;
    let folder = Path::new(&entry.path).parent().context("no folder")?;
    ensure!(
        std::fs::read_dir(folder)?.count() == 1,
        "one archive, and nothing half-written, in {}",
        folder.display()
    );
    Ok(())
}

async fn released(cluster: &Cluster, entry: &QuarantineEntry) -> Result<()> {
    let (code, said) = ctl(cluster, &["quarantine", "release", "db2", "--reason", "x"]).await?;
    ensure!(code == REFUSED && said.contains("db2 is not in quarantine"), "{code}: {said}");
    let said = done(cluster, &["quarantine", "release", "db1", "--reason", "sold twice, refunded"]).await?;
    println!("{said}");
    has(&said, &["3 transactions", &entry.id, "stays out until it is rebuilt"])?;
    let entries = list(cluster).await?;
    ensure!(entries[0].released.contains("sold twice, refunded"), "{entries:?}");
    let status = cluster.ctl().status().await?;
    ensure!(status.nodes.iter().any(|node| node.name == "db1" && node.role == "out"), "{status:#?}");
    Ok(())
}

/// Somebody brings the transactions to the writer under their own names: nothing is extra any more.
async fn taken_back(cluster: &Cluster, entry: &QuarantineEntry) -> Result<()> {
    let status = cluster.ctl().status().await?;
    let (uuid, numbers) = entry.gtids.split_once(':').context("a GTID set")?;
    let (first, last) = numbers.split_once('-').context("three transactions")?;
    let (first, last): (u64, u64) = (first.parse()?, last.parse()?);
    let each = (first..=last).flat_map(|number| {
        [format!("SET SESSION gtid_next = '{uuid}:{number}'"), "BEGIN".to_owned(), "COMMIT".to_owned()]
    });
    cluster.server(&status.writer)?.execute(each).await?;
    let back = cluster.reaches("db1 to follow the writer", SOON, |status| {
        status.nodes.iter().any(|node| node.name == "db1" && node.role == "replica" && node.replicating)
    });
    back.await?;
    let entries = list(cluster).await?;
    ensure!(entries.len() == 1 && !entries[0].quarantined && entries[0].id == entry.id, "{entries:?}");
    Ok(())
}
