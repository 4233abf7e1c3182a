//! The archive of the binlog, of real servers: what the writer has is in the store, once and whole, and the servers' own
//! programs read it.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_node::archive::run::{ArchiveSpec, Ended, Progress, run_unless};
use baton_node::backup::engine::{Engine, Extent};
use baton_tests::bench::Bench;
use baton_tests::sandbox::{Dialect, until};
use tokio::sync::oneshot;

use super::shelf::{Shelf, level};

const SOON: Duration = Duration::from_secs(60);

/// Reads the bench's server `index`.
pub(super) fn spec(bench: &Bench, index: usize, epoch: u64, is_writer: bool) -> Result<ArchiveSpec> {
    let run = bench.spec("unused", Engine::Clone { stage: PathBuf::new() }, Extent::Full)?;
    let mut account = run.account.context("no account")?;
    account.socket = bench.servers[index].socket();
    Ok(ArchiveSpec {
        cluster: "shop".into(),
        epoch,
        is_writer,
        node: format!("db{}", index + 1),
        account,
        recipients: run.recipients,
        store: run.stores.into_iter().next().context("no store")?,
        spool: bench.sandbox.root().join(format!("spool{index}")),
        spool_bytes: 256 << 20,
        segment_bytes: 64 << 10,
        segment_ms: 500,
        keep_free_bytes: 0,
        follows: true,
        may_leap: false,
    })
}

pub(super) fn shelf(bench: &Bench) -> Result<Shelf> {
    Ok(Shelf {
        root: bench.sandbox.root().to_owned(),
        store: bench.store()?,
        key: bench.key_text(),
        dialect: bench.dialect,
    })
}

/// An archiver at work.
pub(super) struct Archiver<'p> {
    said: &'p Mutex<Progress>,
}

impl Archiver<'_> {
    /// Everything that the bench's replica has, which is everything that the writer has, is in the store.
    async fn caught_up(&self, bench: &Bench) -> Result<()> {
        level(&bench.servers[0], &bench.servers[1]).await?;
        shelf(bench)?.gets_all(&bench.servers[1]).await?;
        self.until("the archive to say so", |said| said.behind == 0 && said.archived_ms > 0).await
    }

    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Progress) -> bool) -> Result<()> {
        let look = async || Ok(holds(&self.said.lock().expect("poisoned")).then_some(()));
        let waited = until(what, SOON, look).await;
        waited.with_context(|| format!("{:?}", self.said.lock().expect("poisoned")))
    }
}

/// Archives while `what` happens. How the archiver ended.
pub(super) async fn archiving(
    spec: &ArchiveSpec,
    what: impl AsyncFnOnce(Archiver<'_>) -> Result<()>,
) -> Result<Result<(), Ended>> {
    let said = Mutex::new(Progress::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let told = |now| *said.lock().expect("poisoned") = now;
    let run = run_unless(spec, told, async { drop(stopped.await) });
    let whatever = async {
        let done = what(Archiver { said: &said }).await;
        drop(stop);
        done
    };
    let (ended, done) = tokio::join!(Box::pin(run), Box::pin(whatever));
    done.with_context(|| format!("the archiver ended: {ended:?}"))?;
    Ok(ended)
}

/// The replica is read under load; its archiver is cut off, another reads the writer, and the first goes on. A statement that
/// stands alone, a transaction of many events, and one that is prepared.
async fn every_transaction_once(dialect: Dialect) -> Result<()> {
    let mut bench = Bench::begin(dialect).await?;
    let replica = spec(&bench, 1, 1, false)?;
    archiving(&replica, async |archiver| {
        bench.writes_on(200).await?;
        bench.servers[0].execute(["ALTER TABLE app.noise ADD COLUMN note INT", "FLUSH BINARY LOGS"]).await?;
        bench.servers[1].execute(["FLUSH BINARY LOGS"]).await?;
        bench.servers[0].execute(["UPDATE app.noise SET note = 1"]).await?;
        let xa = [
            "XA START 'x'",
            "UPDATE app.noise SET note = 2 LIMIT 1",
            "XA END 'x'",
            "XA PREPARE 'x'",
            "XA COMMIT 'x'",
        ];
        bench.servers[0].execute(xa).await?;
        bench.writes_on(50).await?;
        archiver.until("segments", |said| said.sent > 3).await
    })
    .await?
    .map_err(anyhow::Error::msg)?;
    let before = shelf(&bench)?.stored()?;
    // Cut off in the middle: what it had read and not sent is asked for again, of another server in another epoch.
    let writer = spec(&bench, 0, 2, true)?;
    archiving(&writer, async |archiver| {
        bench.writes_on(100).await?;
        archiver.until("segments", |said| said.sent > 1).await
    })
    .await?
    .map_err(anyhow::Error::msg)?;
    let again = spec(&bench, 1, 3, false)?;
    archiving(&again, async |archiver| {
        bench.writes_on(100).await?;
        bench.ledger.stop().await;
        archiver.caught_up(&bench).await
    })
    .await?
    .map_err(anyhow::Error::msg)?;
    shelf(&bench)?.kept(&before)?;
    let replica = &bench.servers[1];
    let found = shelf(&bench)?.has_all(replica).await?;
    ensure!(found.side.is_empty(), "{}", found.side);
    let entries = shelf(&bench)?.entries().await?;
    ensure!(entries.len() > 5, "{} segments", entries.len());
    // The first process of the replica left a shelf, and the second one has found it.
    shelf(&bench)?.rolled_as_written().await?;
    let text = shelf(&bench)?.readable(&entries).await?;
    ensure!(text.contains("ADD COLUMN note") && text.contains("XA COMMIT"), "a statement is missing");
    Ok(())
}

#[tokio::test]
async fn mysql_every_transaction_is_archived_once() -> Result<()> {
    every_transaction_once(Dialect::MySql).await
}

#[tokio::test]
async fn mariadb_every_transaction_is_archived_once() -> Result<()> {
    every_transaction_once(Dialect::MariaDb).await
}

/// What a server has purged before it was archived: nobody goes on over it unless told to, and then it is a hole.
async fn a_gap_is_told(dialect: Dialect) -> Result<()> {
    let mut bench = Bench::begin(dialect).await?;
    let writer = spec(&bench, 0, 1, true)?;
    let sent = async |archiver: Archiver<'_>| archiver.until("segments", |said| said.sent > 0).await;
    archiving(&writer, sent).await?.map_err(anyhow::Error::msg)?;
    bench.writes_on(50).await?;
    bench.ledger.stop().await;
    bench.servers[0].execute(["FLUSH BINARY LOGS"]).await?;
    let files: Vec<mysql_async::Row> = bench.servers[0].query("SHOW BINARY LOGS").await?;
    let newest: String = files.last().and_then(|file| file.get(0)).context("no binlog")?;
    // MariaDB keeps what a replica has not confirmed yet.
    let purge = format!("PURGE BINARY LOGS TO '{newest}'");
    until("the purge", SOON, async || {
        bench.servers[0].execute([&purge]).await?;
        let files: Vec<mysql_async::Row> = bench.servers[0].query("SHOW BINARY LOGS").await?;
        Ok((files.len() == 1).then_some(()))
    })
    .await?;
    let run = run_unless(&writer, |_| {}, std::future::pending());
    let why = tokio::time::timeout(SOON, Box::pin(run)).await?.err().context("it was told to stop")?;
    ensure!(matches!(why, Ended::Lacks(_)), "{why}");
    ensure!(shelf(&bench)?.covered().await?.holes.is_empty());

    let leaps = ArchiveSpec { may_leap: true, ..writer };
    archiving(&leaps, async |archiver| {
        bench.servers[0].execute(["UPDATE app.noise SET data = 'x' LIMIT 1"]).await?;
        archiver.until("the gap", |said| said.sent > 0 && !said.holes.is_empty()).await
    })
    .await?
    .map_err(anyhow::Error::msg)?;
    let found = shelf(&bench)?.covered().await?;
    ensure!(!found.holes.is_empty() && found.windows.len() == 2, "{found:?}");
    // The replica has what the writer purged: read there, the hole is closed.
    let replica = spec(&bench, 1, 1, false)?;
    archiving(&replica, async |archiver| archiver.caught_up(&bench).await)
        .await?
        .map_err(anyhow::Error::msg)?;
    shelf(&bench)?.has_all(&bench.servers[1]).await.map(drop)
}

#[tokio::test]
async fn mysql_what_was_purged_is_a_hole_until_another_has_it() -> Result<()> {
    a_gap_is_told(Dialect::MySql).await
}

#[tokio::test]
async fn mariadb_what_was_purged_is_a_hole_until_another_has_it() -> Result<()> {
    a_gap_is_told(Dialect::MariaDb).await
}

/// A writer whose history is begun anew uses its numbers again: what they named before stays, and what they name now is kept.
async fn a_reset_is_another_history(dialect: Dialect) -> Result<()> {
    let mut bench = Bench::begin(dialect).await?;
    let writer = spec(&bench, 0, 1, true)?;
    let sent = async |archiver: Archiver<'_>| archiver.until("segments", |said| said.sent > 0).await;
    archiving(&writer, sent).await?.map_err(anyhow::Error::msg)?;
    bench.ledger.stop().await;
    let before = shelf(&bench)?.stored()?;
    let reset = match dialect {
        Dialect::MySql => "RESET BINARY LOGS AND GTIDS",
        Dialect::MariaDb => "RESET MASTER",
    };
    bench.servers[0].execute([reset, "UPDATE app.noise SET data = 'after' LIMIT 1"]).await?;
    archiving(&writer, sent).await?.map_err(anyhow::Error::msg)?;
    shelf(&bench)?.kept(&before)?;
    shelf(&bench)?.has_all(&bench.servers[0]).await?;
    let entries = shelf(&bench)?.entries().await?;
    let resets: Vec<u32> = entries.values().map(|entry| entry.timeline.reset).collect();
    ensure!(resets.contains(&0) && resets.iter().filter(|reset| **reset == 1).count() == 1, "{resets:?}");
    Ok(())
}

#[tokio::test]
async fn mysql_a_reset_is_another_history() -> Result<()> {
    a_reset_is_another_history(Dialect::MySql).await
}

#[tokio::test]
async fn mariadb_a_reset_is_another_history() -> Result<()> {
    a_reset_is_another_history(Dialect::MariaDb).await
}

/// A store that takes nothing for a while: failures are counted, what was read waits on disk, and nothing is lost.
#[tokio::test]
async fn mysql_a_store_that_fails_is_told_and_waited_for() -> Result<()> {
    let mut bench = Bench::begin(Dialect::MySql).await?;
    let replica = spec(&bench, 1, 1, false)?;
    let (store, away) = (bench.sandbox.root().join("store"), bench.sandbox.root().join("away"));
    archiving(&replica, async |archiver| {
        archiver.until("segments", |said| said.sent > 0).await?;
        fs::rename(&store, &away)?;
        archiver
            .until("two failures", |said| said.failed >= 2 && said.lag_ms > 1000 && said.behind > 0)
            .await?;
        ensure!(archiver.said.lock().expect("poisoned").error.contains("store disk"));
        Ok(())
    })
    .await?
    .map_err(anyhow::Error::msg)?;
    fs::rename(&away, &store)?;
    ensure!(fs::read_dir(&replica.spool)?.count() > 1, "nothing waits");
    archiving(&replica, async |archiver| {
        bench.ledger.stop().await;
        archiver.caught_up(&bench).await
    })
    .await?
    .map_err(anyhow::Error::msg)?;
    shelf(&bench)?.has_all(&bench.servers[1]).await.map(drop)
}
