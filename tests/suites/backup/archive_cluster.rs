//! A whole cluster whose binlog is archived: whoever is read, and whoever writes, nothing is missing and nothing is written over.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_node::backup::pipeline::Identity;
use baton_node::backup::run::{StorePlace, StoreSpec};
use baton_node::gtid::{GtidSet, MariadbSet};
use baton_proto::control::{BackupTask, RecoveryReply};
use baton_tests::cluster::Cluster;
use baton_tests::machine::Machine;
use baton_tests::sandbox::{Dialect, LedgerOptions, server_program, until};
use rustix::process::Signal;

use super::ctl::{asked, cluster_with, ctl};
use super::shelf::Shelf;

const SOON: Duration = Duration::from_secs(90);

const ARCHIVE: &str = "[[backup.schedule]]\nname = \"off\"\ncron = \"0 2 * * *\"\nenabled = false\n\
    [archive]\nstore = \"disk\"\nsegment_every = \"1s\"\n";

fn shelf(cluster: &Cluster, escrow: &Identity) -> Result<Shelf> {
    let root = cluster.folder().to_owned();
    let place = StorePlace::Files { path: root.join("store") };
    let store =
        StoreSpec { name: "disk".into(), required: true, place }.open().map_err(anyhow::Error::msg)?;
    Ok(Shelf { root, store, key: escrow.to_secret_text(), dialect: cluster.dialect() })
}

/// Everything that this server has by now is in the store soon.
async fn archived(cluster: &Cluster, shelf: &Shelf, node: &str) -> Result<()> {
    shelf.gets_all(cluster.server(node)?).await.map_err(|error| cluster.explained(error))
}

/// What `batonctl recovery` says is what a restore would come to: from that backup, to the last transaction.
async fn is_told(cluster: &Cluster, escrow: &Identity, backup: &str) -> Result<()> {
    let program = server_program(cluster.dialect()).await?.0;
    let machine = Machine::at(cluster.folder(), &escrow.to_secret_text(), &program)?;
    let look = async || {
        let told: RecoveryReply = asked(cluster, &["recovery"]).await?;
        let plan = machine.planned(&["--into", "/nowhere", "--latest"]).await?;
        let wanted = plan.replay.context("nothing is replayed")?.gtids;
        let [window] = told.windows.as_slice() else { return Ok(None) };
        let reaches = match cluster.dialect() {
            Dialect::MySql => GtidSet::parse_mysql(&window.to_gtids)? == GtidSet::parse_mysql(&wanted)?,
            Dialect::MariaDb => window.to_gtids.parse::<MariadbSet>()?.position() == wanted,
        };
        ensure!(window.backup == backup && plan.backup == backup && told.alone.is_empty(), "{told:?}");
        let is_whole = told.unreached.is_empty() && window.from_ms < window.to_ms;
        Ok((reaches && is_whole).then_some(()))
    };
    until("batonctl recovery to say it", SOON, look).await.map_err(|error| cluster.explained(error))
}

/// Under load: a switchover, and the next writer is killed.
async fn goes_on(dialect: Dialect) -> Result<()> {
    let escrow = Identity::generate()?;
    let engine = if dialect == Dialect::MySql { "clone" } else { "mariadb-backup" };
    let cluster = cluster_with(dialect, engine, &escrow, ARCHIVE).await?;
    let (code, said) = ctl(&cluster, &["recovery"]).await?;
    ensure!(code == 1 && said.contains("nothing can be restored"), "{code}: {said}");
    let shelf = shelf(&cluster, &escrow)?;
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    cluster.writes_go_on(&ledger, SOON).await?;
    archived(&cluster, &shelf, "db1").await?;
    // The writer is read only as long as no replica is known to be fit.
    let newest = async || {
        let entries = shelf.entries().await?;
        let newest = entries.values().max_by_key(|entry| entry.span.last_ms);
        Ok(newest.filter(|entry| entry.server.node != "db1").map(|_| ()))
    };
    until("a replica to be read", SOON, newest).await.map_err(|error| cluster.explained(error))?;
    let before = shelf.stored()?;
    let made: BackupTask = asked(&cluster, &["backup", "now", "--follow"]).await?;
    ensure!(made.error.is_empty(), "{made:?}");

    cluster.settled().await?;
    cluster.moves(&["--to", "db2"]).await?;
    cluster.writes_go_on(&ledger, SOON).await?;
    let writer = cluster.ctl().status().await?.writer;
    ensure!(writer == "db2", "{writer}");
    archived(&cluster, &shelf, "db2").await?;
    shelf.kept(&before)?;
    let before = shelf.stored()?;

    cluster.server(&writer)?.kill(Signal::KILL)?;
    let after = cluster.moved_from(&writer).await?;
    cluster.writes_go_on(&ledger, SOON).await?;
    ledger.stop().await;
    archived(&cluster, &shelf, &after.writer).await?;
    shelf.kept(&before)?;
    // A commit that waited for an acker may come after the ledger's last word.
    let server = cluster.server(&after.writer)?;
    let whole = async || Ok(shelf.has_all(server).await.ok());
    let found = match until("the archive to be whole", SOON, whole).await {
        Ok(found) => found,
        Err(_) => shelf.has_all(server).await.map_err(|error| cluster.explained(error))?,
    };
    shelf.is_beside(&found.side, server).await?;
    let entries = shelf.entries().await?;
    let epochs: Vec<u64> = entries.values().map(|entry| entry.timeline.epoch).collect();
    ensure!(epochs.iter().max().context("none")? - epochs.iter().min().context("none")? >= 2, "{epochs:?}");
    let text = shelf.readable(&entries).await?;
    ensure!(text.contains("writes"), "no rows");
    is_told(&cluster, &escrow, &made.backup).await?;
    Ok(())
}

#[tokio::test]
async fn mysql_archive_goes_on_whoever_writes() -> Result<()> {
    goes_on(Dialect::MySql).await
}

#[tokio::test]
async fn mariadb_archive_goes_on_whoever_writes() -> Result<()> {
    goes_on(Dialect::MariaDb).await
}
