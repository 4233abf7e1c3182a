//! The main job on real servers, both dialects: a fault, what Baton makes of it, and that nothing is lost.
//!
//! Every scenario begins with a check that all is well and ends with one: roles, replication, rows acknowledged = rows
//! found on every server, and never two servers open at once.
#![allow(clippy::unwrap_used)]

mod adoption;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use baton_proto::control::StatusReply;
use baton_tests::cluster::{Cluster, ClusterOptions, Layout, OpenWatch, is_open};
use baton_tests::on_both;
use baton_tests::sandbox::{Account, Dialect, Hosts, Ledger, LedgerOptions};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(10);
/// The longest write outage that a test lets pass, on a machine that does other things beside it. How long it should be
/// stands in docs/benchmarks.md.
const OUTAGE: Duration = Duration::from_secs(5);
/// The same where the writer stays.
const GAP: Duration = Duration::from_secs(1);

on_both!(primary_dies, mysql_primary_dies, mariadb_primary_dies);
on_both!(replica_dies, mysql_replica_dies, mariadb_replica_dies);
on_both!(
    leader_and_primary_die_together,
    mysql_leader_and_primary_die_together,
    mariadb_leader_and_primary_die_together
);
on_both!(
    leader_dies_with_the_primary,
    mysql_leader_dies_with_the_primary,
    mariadb_leader_dies_with_the_primary
);
on_both!(primary_is_cut_off, mysql_primary_is_cut_off, mariadb_primary_is_cut_off);
on_both!(fencing_closes_for_all, mysql_fencing_closes_for_all, mariadb_fencing_closes_for_all);
on_both!(fencing_under_load, mysql_fencing_under_load, mariadb_fencing_under_load);

/// The primary's server is killed: a replica takes over, clients come back through the routers by themselves, and the
/// dead server follows when it is started again, unless it has transactions of its own.
async fn primary_dies(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let watch = OpenWatch::start(&cluster);
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;

    let old = before.writer.clone();
    let killed = Instant::now();
    cluster.server(&old)?.kill(Signal::KILL)?;
    cluster.server_mut(&old)?.wait_exit(SOON).await?;
    let after = cluster.moved_from(&old).await?;
    ensure!(
        after.epoch == before.epoch + 1,
        "one failover, one epoch: {} after {}",
        after.epoch,
        before.epoch
    );
    writes_go_on(&cluster, &ledger).await?;

    cluster.server_mut(&old)?.start().await?;
    let out = cluster.out_after_return(&old).await?;
    writes_go_on(&cluster, &ledger).await?;
    ledger.stop().await;
    ensure!(
        ledger.gap_after(killed) < OUTAGE + cluster.stood_still(killed),
        "writes were out for {:?}",
        ledger.gap_after(killed)
    );

    let operation = cluster.operation_from(before.epoch).await?;
    ensure!(operation.kind == "failover" && operation.to_node == after.writer, "{operation:#?}");
    ensure!(operation.proof.contains("gone"), "a process that was seen to exit is the proof: {operation:#?}");
    ensure!(!operation.steps.is_empty() && !operation.evidence.is_empty(), "{operation:#?}");
    cluster.post_check(&ledger, &out).await?;
    watch.never_two()
}

/// A replica's server is killed: the primary serves on, no session is cut.
async fn replica_dies(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let watch = OpenWatch::start(&cluster);
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;

    let replica = cluster.data_nodes().find(|name| *name != before.writer).unwrap();
    let killed = Instant::now();
    cluster.server(replica)?.kill(Signal::KILL)?;
    cluster.server_mut(replica)?.wait_exit(SOON).await?;
    let seen = cluster.reaches("the replica to be missed", SOON, |status| {
        status.nodes.iter().any(|node| node.name == replica && !node.server_answers)
    });
    seen.await?;
    writes_go_on(&cluster, &ledger).await?;
    cluster.server_mut(replica)?.start().await?;
    cluster.settled().await?;
    writes_go_on(&cluster, &ledger).await?;
    ledger.stop().await;

    ensure!(
        ledger.gap_after(killed) < GAP + cluster.stood_still(killed),
        "writes paused for {:?}",
        ledger.gap_after(killed)
    );
    ledger.no_session_was_cut()?;
    let after = cluster.post_check(&ledger, &[]).await?;
    ensure!((after.epoch, &after.writer) == (before.epoch, &before.writer), "the writer moved");
    watch.never_two()
}

/// The writer's host is lost while its node leads the group: an election first, then the failover.
async fn leader_dies_with_the_primary(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let writer = cluster.pre_flight().await?.writer;
    let watch = OpenWatch::start(&cluster);
    let ledger = cluster.ledger(&[&writer], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;

    let before = cluster.ctl().status().await?;
    cluster.stop_leader_beside_writer(&writer).await?;
    let died = Instant::now();
    cluster.host(&writer)?.power_off().await?;
    moved_after_an_election(&mut cluster, &before, ledger, died).await?;
    watch.never_two()
}

/// The group's leader and the writer's host are lost in the same moment, on two hosts: an election first, then the
/// failover. The leader's daemon comes back, because two of three nodes are needed.
async fn leader_and_primary_die_together(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let writer = cluster.pre_flight().await?.writer;
    let apart = |status: &StatusReply| !status.leader.is_empty() && status.leader != status.writer;
    let before = cluster.reaches("the leader to leave the writer's host", SOON, apart).await?;
    let watch = OpenWatch::start(&cluster);
    let ledger = cluster.ledger(&[&writer, &before.leader], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;

    let leader = before.leader.clone();
    let host = cluster.host(&writer)?.clone();
    let died = Instant::now();
    cluster.node_mut(&leader)?.signal(Signal::KILL)?;
    host.power_off().await?;
    cluster.node_mut(&leader)?.restart().await?;
    moved_after_an_election(&mut cluster, &before, ledger, died).await?;
    watch.never_two()
}

/// After the loss of the writer's host and of the leader: the writer moves under a new leader, the host comes back, and
/// all is well again.
async fn moved_after_an_election(
    cluster: &mut Cluster,
    before: &StatusReply,
    mut ledger: Ledger,
    died: Instant,
) -> Result<()> {
    let old = &before.writer;
    let after = cluster.moved_from(old).await?;
    ensure!(after.epoch > before.epoch && after.term > before.term, "{after:#?} after {before:#?}");
    writes_go_on(cluster, &ledger).await?;

    cluster.power_on(old).await?;
    let out = cluster.out_after_return(old).await?;
    ledger.stop().await;
    ensure!(
        ledger.gap_after(died) < 2 * OUTAGE + cluster.stood_still(died),
        "writes were out for {:?}",
        ledger.gap_after(died)
    );
    cluster.post_check(&ledger, &out).await.map(drop)
}

/// The primary's host is cut off from everybody. It closes by itself (or is killed at the end of its lease) before the
/// other side opens; healed, its server follows, unless it has transactions of its own.
async fn primary_is_cut_off(dialect: Dialect) -> Result<()> {
    if let Err(reason) = Hosts::available() {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let old = before.writer.clone();
    let watch = OpenWatch::start(&cluster);
    let mut ledger = cluster.ledger(&[&old], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;

    let host = cluster.host(&old)?.clone();
    let cut = Instant::now();
    host.cut().await?;
    let after = cluster.moved_from(&old).await?;
    ensure!(
        after.epoch == before.epoch + 1,
        "one failover, one epoch: {} after {}",
        after.epoch,
        before.epoch
    );
    let dead = cluster.server_mut(&old)?.exited()?.is_some();
    ensure!(dead || !is_open(cluster.server(&old)?).await?, "the server that was cut off is open");
    writes_go_on(&cluster, &ledger).await?;
    host.heal().await?;
    if cluster.server_mut(&old)?.exited()?.is_some() {
        cluster.server_mut(&old)?.start().await?;
    }
    let out = cluster.out_after_return(&old).await?;
    writes_go_on(&cluster, &ledger).await?;
    ledger.stop().await;
    ensure!(
        ledger.gap_after(cut) < 2 * OUTAGE + cluster.stood_still(cut),
        "writes were out for {:?}",
        ledger.gap_after(cut)
    );
    let operation = cluster.operation_from(before.epoch).await?;
    // Nobody could ask it: what its voters had granted ran out.
    ensure!(operation.proof.starts_with("expired"), "{operation:#?}");
    ensure!(operation.proof.contains("old writer unreachable"), "nobody is warned: {operation:#?}");
    cluster.post_check(&ledger, &out).await?;
    watch.never_two()
}

/// A forced failover away from a healthy writer: both flags are set on it, its sessions are gone, and a write is refused.
async fn fencing_closes_for_all(dialect: Dialect) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::new(dialect).layout(Layout::TwoServersAndWitness)).await?;
    let before = cluster.pre_flight().await?;
    let watch = OpenWatch::start(&cluster);

    // No load: a commit that waits for its acker would block the close, and then the fence is the keeper's SIGKILL.
    // A session past the router, in the middle of a transaction.
    let old = cluster.server(&before.writer)?;
    let mut session = application(&cluster, &before.writer).await?;
    session.query_drop("BEGIN").await?;
    let insert = "INSERT INTO app.writes (client, seq, at_us) VALUES (-1, 1, 1)";
    session.query_drop(insert).await?;

    let to = cluster.data_nodes().find(|name| *name != before.writer).unwrap();
    cluster.ctl().force_failover(to, "fencing is tested").await.map_err(|error| cluster.explained(error))?;
    let after = cluster.moved_from(&before.writer).await?;
    ensure!(after.writer == to && after.epoch == before.epoch + 1, "{after:#?}");
    let flags: &[&str] = match dialect {
        Dialect::MySql => &["read_only", "super_read_only"],
        Dialect::MariaDb => &["read_only"],
    };
    for flag in flags {
        ensure!(old.query::<bool>(&format!("SELECT @@GLOBAL.{flag}")).await? == [true], "{flag} is off");
    }
    ensure!(session.query_drop("COMMIT").await.is_err(), "a session survived the fence");
    let mut session = application(&cluster, &before.writer).await?;
    let refused = session.query_drop(insert).await;
    ensure!(matches!(&refused, Err(Error::Server(error)) if error.code == 1290), "{refused:?}");
    session.disconnect().await?;

    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;
    let out = cluster.out_after_return(&before.writer).await?;
    ledger.stop().await;
    let operation = cluster.operation_from(before.epoch).await?;
    // A word is no proof where a better one can be had.
    ensure!(operation.proof.starts_with("closed"), "{operation:#?}");
    ensure!(operation.reason.starts_with("fencing is tested, by "), "{operation:#?}");
    cluster.post_check(&ledger, &out).await?;
    let rows: Vec<i64> =
        cluster.server(to)?.query("SELECT COUNT(*) FROM app.writes WHERE client = -1").await?;
    ensure!(rows == [0], "a transaction that was never committed is there");
    watch.never_two()
}

/// A forced failover away from a healthy writer under load. Its commits wait for ackers that no longer receive and block
/// the close, so that it may be its keeper that ends it. Forced, the new one may be open before that; what counts is that
/// nothing acknowledged is lost.
async fn fencing_under_load(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let old = before.writer.clone();
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;

    let to = cluster.data_nodes().find(|name| *name != old).unwrap();
    cluster.ctl().force_failover(to, "fencing is tested").await.map_err(|error| cluster.explained(error))?;
    let after = cluster.moved_from(&old).await?;
    ensure!(after.writer == to && after.epoch == before.epoch + 1, "{after:#?}");
    writes_go_on(&cluster, &ledger).await?;
    if cluster.server_mut(&old)?.exited()?.is_some() {
        cluster.server_mut(&old)?.start().await?;
    }
    let out = cluster.out_after_return(&old).await?;
    ledger.stop().await;
    cluster.post_check(&ledger, &out).await.map(drop)
}

/// Waits for more acknowledged writes.
async fn writes_go_on(cluster: &Cluster, ledger: &Ledger) -> Result<()> {
    cluster.writes_go_on(ledger, SOON).await
}

/// An application's session straight to the server of a node, not through a router.
async fn application(cluster: &Cluster, name: &str) -> Result<Conn> {
    let Account { user, password, .. } = Account::APP;
    let address = cluster.server(name)?.address();
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .prefer_socket(false)
        .user(Some(user))
        .pass(Some(password));
    cluster.sandbox().client().run(async move { Ok(Conn::new(options).await?) }).await
}
