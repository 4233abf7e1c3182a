//! What people and service managers do to a server.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use baton_tests::cluster::{ClusterOptions, PEER_PORT};
use baton_tests::sandbox::{Account, Dialect, Ledger, LedgerOptions, Outcome, SERVER_PORT, until};
use rustix::process::Signal;

use super::alerts::begin;
use super::{OUTAGE, SOON, fault};

fault!(restarted_at_once: mysql mysql_restarted_at_once, mariadb mariadb_restarted_at_once);
fault!(orderly_stop_without_ackers: mysql mysql_orderly_stop_without_ackers, mariadb mariadb_orderly_stop_without_ackers);
fault!(closed_by_hand: mysql mysql_closed_by_hand, mariadb mariadb_closed_by_hand);
fault!(superuser_on_the_old_primary: mariadb mariadb_superuser_on_the_old_primary, mysql mysql_superuser_on_the_old_primary);
fault!(store_lost: mariadb mariadb_store_lost, mysql mysql_store_lost);

/// How long a writer that a person closed is left alone here; a minute would be long for a test.
const LEFT_ALONE: Duration = Duration::from_secs(4);
/// A server that gives a superuser no answer for so long gives none.
const STRAY_ANSWER: Duration = Duration::from_secs(2);

/// systemd starts a server that died again within a second: whichever is sooner, it or a replica, goes on.
async fn restarted_at_once(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &[]).await?;
    scenario.fault();
    scenario.cluster.server("db1")?.kill(Signal::KILL)?;
    scenario.cluster.server_mut("db1")?.wait_exit(SOON).await?;
    scenario.cluster.server_mut("db1")?.launch()?;
    scenario.writes_go_on().await?;
    scenario.ends_within(OUTAGE)?;
    let after = scenario.cluster.ctl().status().await?;
    ensure!(after.epoch > scenario.before.epoch, "a server that was restarted is open under its old epoch");
    let out = match after.writer.as_str() {
        "db1" => None,
        _ => scenario.comes_back("db1").await?,
    };
    scenario.ends(out).await
}

/// The primary is stopped in an orderly way while its commits wait for ackers that stand still. MySQL then answers those
/// clients OK, so that it alone may have acknowledged rows: nobody else is promoted without them.
async fn orderly_stop_without_ackers(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &[]).await?;
    for replica in ["db2", "db3"] {
        scenario.cluster.server(replica)?.kill(Signal::STOP)?;
    }
    let still = Instant::now();
    let waits = async || Ok((scenario.ledger.gap_after(still).as_millis() > 300).then_some(()));
    until("commits to wait for ackers", SOON, waits).await?;
    scenario.fault();
    scenario.cluster.server("db1")?.kill(Signal::TERM)?;
    scenario.cluster.server_mut("db1")?.wait_exit(SOON).await?;
    for replica in ["db2", "db3"] {
        scenario.cluster.server(replica)?.kill(Signal::CONT)?;
    }
    scenario.cluster.server_mut("db1")?.start().await?;
    scenario.writes_go_on().await?;
    scenario.ends_within(2 * OUTAGE)?;
    let out = match scenario.cluster.ctl().status().await?.writer.as_str() {
        "db1" => None,
        _ => scenario.comes_back("db1").await?,
    };
    scenario.ends(out).await
}

/// A person sets the writer read_only: told at once, left alone for a while, and then the same server is opened again,
/// under the next epoch.
async fn closed_by_hand(name: &'static str, dialect: Dialect) -> Result<()> {
    let left_alone = format!("closed_by_hand_for = \"{}s\"", LEFT_ALONE.as_secs());
    let options = ClusterOptions { failover: vec![left_alone], ..ClusterOptions::new(dialect) };
    let mut scenario = begin(name, options, &[]).await?;
    scenario.fault();
    scenario.cluster.server("db1")?.execute(["SET GLOBAL read_only = ON"]).await?;
    scenario.is_diagnosed("WriterClosedByHand", LEFT_ALONE).await?;
    let epoch = scenario.before.epoch;
    let next = scenario.cluster.reaches("the next epoch", SOON, |s| s.epoch > epoch && s.writer_open);
    let after = next.await?;
    ensure!(after.writer == "db1", "it moved: {after:#?}");
    scenario.writes_go_on().await?;
    ensure!(scenario.outage() > LEFT_ALONE, "it was opened before its time: {:?}", scenario.outage());
    scenario.ends_within(LEFT_ALONE + OUTAGE)?;
    scenario.ends(None).await
}

/// Somebody with all rights writes to the old primary on and on while the writer moves and after. MySQL's super_read_only
/// stops him too; on MariaDB his rows make the server one that is out.
async fn superuser_on_the_old_primary(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    let old = scenario.cluster.server("db1")?;
    let options = LedgerOptions {
        account: Account::BATON,
        sessions: 1,
        connect_timeout: STRAY_ANSWER,
        write_timeout: STRAY_ANSWER,
        stays_when_refused: true,
        ..LedgerOptions::default()
    };
    let mut stray = Ledger::start(old.host(), &[old.address()], options);
    scenario.fault();
    scenario.cluster.ctl().force_failover("db2", "a superuser writes to the old primary").await?;
    scenario.moves(2 * OUTAGE).await?;
    let moved = Instant::now();
    let out = scenario.comes_back("db1").await?;
    stray.stop().await;
    let stray = stray.writes().into_iter().filter(|w| w.sent > moved && w.outcome == Outcome::Acknowledged);
    let stray = stray.count();
    ensure!((stray > 0) <= out.is_some(), "{stray} rows were written to a server that follows the writer");
    ensure!(dialect == Dialect::MariaDb || stray == 0, "{stray} rows were written to a closed server");
    println!("{name}: {stray} rows were written to the old primary after the move");
    scenario.ends(out).await
}

/// The store of the writer's node is lost, and systemd starts the daemon at once. It knows no lease that it could take over
/// and is nobody in the group, so its keeper ends the server; it comes back as a new member.
async fn store_lost(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    let node = scenario.cluster.node_mut("db1")?;
    node.kill().await?;
    node.lose_store()?;
    node.start()?;
    scenario.moves(OUTAGE).await?;
    if scenario.cluster.server_mut("db1")?.exited()?.is_some() {
        scenario.cluster.server_mut("db1")?.start().await?;
    }
    let host = scenario.cluster.host("db1")?.clone();
    let says = async || {
        let status = scenario.cluster.ctl().status_of(&host).await?;
        let warnings = format!("{:?}", status.warnings);
        ensure!(warnings.contains("batonctl node remove db1"), "{warnings}");
        Ok(Some(()))
    };
    until("it to say that its store is new", SOON, says).await?;
    let (peer, server) =
        (format!("{}:{PEER_PORT}", host.address()), format!("{}:{SERVER_PORT}", host.address()));
    let ctl = scenario.cluster.ctl();
    // Its server has left the list of ackers by then, or is waited for.
    let remove = async || ctl.done(&["node", "remove", "db1"]).await.map(Some);
    until("its removal", 2 * SOON, remove).await?;
    ctl.done(&["node", "add", "db1", "--peer", &peer, "--server", &server]).await?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}
