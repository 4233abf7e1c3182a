//! Starting, stopping and pausing Baton around servers that go on: on real servers, both dialects.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_proto::control::StatusReply;
use baton_tests::cluster::{Cluster, ClusterOptions, Layout, OpenWatch, is_open};
use baton_tests::sandbox::{Dialect, Ledger, LedgerOptions, Outcome, until, within};
use mysql_async::prelude::Queryable;
use rustix::process::Signal;
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(10);
/// The longest pause of writes where the writer stays.
const GAP: Duration = Duration::from_secs(1);
/// Longer than any ordinary lease, by enough to tell.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(4);

macro_rules! scenario {
    ($name:ident, $mysql:ident, $mariadb:ident) => {
        #[tokio::test]
        async fn $mysql() -> Result<()> {
            $name(Dialect::MySql).await
        }

        #[tokio::test]
        async fn $mariadb() -> Result<()> {
            $name(Dialect::MariaDb).await
        }
    };
}

scenario!(
    restart_of_the_writers_node,
    mysql_restart_of_the_writers_node,
    mariadb_restart_of_the_writers_node
);
scenario!(all_nodes_stop_in_a_pause, mysql_all_nodes_stop_in_a_pause, mariadb_all_nodes_stop_in_a_pause);
scenario!(
    stop_of_the_writers_node_for_good,
    mysql_stop_of_the_writers_node_for_good,
    mariadb_stop_of_the_writers_node_for_good
);
scenario!(
    orderly_stop_of_a_server_whose_commits_wait,
    mysql_orderly_stop_of_a_server_whose_commits_wait,
    mariadb_orderly_stop_of_a_server_whose_commits_wait
);
scenario!(quorum_lost, mysql_quorum_lost, mariadb_quorum_lost);

/// A planned restart of the daemon on the writer's host, under load and longer than a lease: no write refused, no session
/// cut but those through its own router.
async fn restart_of_the_writers_node(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let writer = before.writer.clone();
    let watch = OpenWatch::start(&cluster);
    let mut ledger = cluster.ledger(&[&writer], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;

    let began = Instant::now();
    cluster.node_mut(&writer)?.terminate().await?;
    let stopped = began.elapsed();
    // The point of it: without a hand-over the keeper would have killed the server by now.
    sleep(LONGER_THAN_A_LEASE.saturating_sub(stopped)).await;
    ensure!(is_open(cluster.server(&writer)?).await?, "the writer was closed in the restart");
    cluster.node_mut(&writer)?.start()?;
    has_an_ordinary_lease(&cluster, &writer).await?;
    eprintln!("stopped within {stopped:?}, guarded again {:?} after the signal", began.elapsed());
    // At once, as `systemctl restart` does it.
    cluster.node_mut(&writer)?.terminate().await?;
    cluster.node_mut(&writer)?.start()?;
    has_an_ordinary_lease(&cluster, &writer).await?;
    writes_go_on(&cluster, &ledger).await?;
    ledger.stop().await;

    every_write_was_acknowledged(&ledger)?;
    ensure!(
        ledger.gap_after(began) < GAP + cluster.stood_still(began),
        "writes paused for {:?}",
        ledger.gap_after(began)
    );
    let after = cluster.post_check(&ledger, &[]).await?;
    ensure!((after.epoch, &after.writer) == (before.epoch, &before.writer), "the writer moved");
    watch.never_two()
}

/// In a pause all daemons stop, and writes go on; they start again, and the pause is ended.
async fn all_nodes_stop_in_a_pause(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let writer = before.writer.clone();
    let names: Vec<&str> = cluster.nodes().iter().map(|node| node.name()).collect();
    let watch = OpenWatch::start(&cluster);
    let address = cluster.server(&writer)?.address();
    let mut ledger = Ledger::start(cluster.sandbox().client(), &[address], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;

    let began = Instant::now();
    cluster.ctl().pause("30m").await.map_err(|error| cluster.explained(error))?;
    cluster.reaches("a lease without end", SOON, |s| lease_ms(s, &writer) > 1_000_000).await?;
    for name in &names {
        cluster.node_mut(name)?.terminate().await?;
    }
    sleep(LONGER_THAN_A_LEASE).await;
    writes_go_on(&cluster, &ledger).await?;
    for name in &names {
        cluster.node_mut(name)?.start()?;
    }
    cluster.reaches("the nodes to be back", SOON * 3, |s| s.voters_answering == s.voters).await?;
    cluster.ctl().resume().await.map_err(|error| cluster.explained(error))?;
    has_an_ordinary_lease(&cluster, &writer).await?;
    sleep(LONGER_THAN_A_LEASE).await;
    writes_go_on(&cluster, &ledger).await?;
    ledger.stop().await;

    every_write_was_acknowledged(&ledger)?;
    ensure!(
        ledger.gap_after(began) < GAP + cluster.stood_still(began),
        "writes paused for {:?}",
        ledger.gap_after(began)
    );
    let after = cluster.post_check(&ledger, &[]).await?;
    ensure!((after.epoch, &after.writer) == (before.epoch, &before.writer), "the writer moved");
    watch.never_two()
}

/// `baton-node stop` refuses on the writer's host, and names the ways; with `--force` it closes the server, and another
/// takes over.
async fn stop_of_the_writers_node_for_good(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let writer = before.writer.clone();
    let watch = OpenWatch::start(&cluster);
    let mut ledger = cluster.ledger(&[&writer], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;

    let (went_well, said) = tool(&cluster, &writer, &["stop"]).await?;
    ensure!(!went_well && said.contains("batonctl failover --force"), "{said}");
    ensure!(is_open(cluster.server(&writer)?).await?, "a refusal changes nothing");
    let replica = cluster.data_nodes().find(|name| *name != writer).unwrap();
    let (went_well, said) = tool(&cluster, replica, &["stop"]).await?;
    ensure!(went_well, "{said}");

    let (went_well, said) = tool(&cluster, &writer, &["stop", "--force"]).await?;
    ensure!(went_well, "{said}{}", cluster.logs());
    cluster.node_mut(&writer)?.terminate().await?;
    let after = cluster.moved_from(&writer).await?;
    ensure!(after.epoch == before.epoch + 1, "{after:#?}");
    writes_go_on(&cluster, &ledger).await?;
    if cluster.server_mut(&writer)?.exited()?.is_some() {
        // Its commits still waited when the daemon tried to close it.
        cluster.server_mut(&writer)?.start().await?;
    }
    cluster.node_mut(&writer)?.start()?;
    let out = match cluster.old_writer_returns(&writer).await? {
        baton_tests::cluster::ReturnOfOldWriter::Follows => Vec::new(),
        baton_tests::cluster::ReturnOfOldWriter::Quarantined(_) => vec![writer.as_str()],
    };
    ledger.stop().await;
    cluster.post_check(&ledger, &out).await?;
    watch.never_two()
}

/// The server's unit stops a writer whose commit waits for an acker that is gone: the client is not told OK.
async fn orderly_stop_of_a_server_whose_commits_wait(dialect: Dialect) -> Result<()> {
    let options = ClusterOptions::new(dialect).layout(Layout::TwoServersAndWitness);
    let mut cluster = Cluster::managed(options).await?;
    let before = cluster.pre_flight().await?;
    let writer = before.writer.clone();
    let replica = cluster.data_nodes().find(|name| *name != writer).unwrap();
    // Without its daemons nobody lets the server go on without the acker.
    cluster.ctl().pause("30m").await.map_err(|error| cluster.explained(error))?;
    cluster.reaches("a lease without end", SOON, |s| lease_ms(s, &writer) > 1_000_000).await?;
    let names: Vec<&str> = cluster.nodes().iter().map(|node| node.name()).collect();
    for name in names {
        cluster.node_mut(name)?.terminate().await?;
    }
    cluster.server(replica)?.kill(Signal::KILL)?;
    cluster.server_mut(replica)?.wait_exit(SOON).await?;

    let mut session = cluster.server(&writer)?.connect().await?;
    let insert = tokio::spawn(async move {
        session.query_drop("INSERT INTO app.writes (client, seq, at_us) VALUES (-7, 1, 1)").await
    });
    let waits = async || {
        let waiting = cluster
            .server(&writer)?
            .query::<String>(
                "SELECT STATE FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO app%'",
            )
            .await?;
        Ok(waiting.iter().any(|state| state.to_lowercase().contains("semi-sync")).then_some(()))
    };
    until("a commit that waits for its acker", SOON, waits).await?;

    let pid = cluster.server(&writer)?.pid().context("the server runs")?.to_string();
    let (went_well, said) = tool(&cluster, &writer, &["stop-server", "--pid", &pid]).await?;
    ensure!(went_well && said.contains("SIGKILL"), "{said}");
    cluster.server_mut(&writer)?.wait_exit(SOON).await?;
    let answer = within("the client's answer", SOON, async { Ok::<_, anyhow::Error>(insert.await?) }).await?;
    ensure!(answer.is_err(), "a commit that no acker has was answered OK");

    // One without such commits is closed, and may then be stopped in an orderly way.
    cluster.server_mut(replica)?.start().await?;
    let pid = cluster.server(replica)?.pid().context("the server runs")?.to_string();
    let (went_well, said) = tool(&cluster, replica, &["stop-server", "--pid", &pid]).await?;
    ensure!(went_well && said.contains("orderly"), "{said}");
    let exit = cluster.server_mut(replica)?.wait_exit(SOON).await?;
    ensure!(exit.success(), "{exit}");
    Ok(())
}

/// The leader is lost, and a client of the writer notices nothing. With two of three voters gone nothing is promoted, the
/// writer closes when its lease ends, and who asks is told.
async fn quorum_lost(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let writer = before.writer.clone();
    let apart = |status: &StatusReply| !status.leader.is_empty() && status.leader != writer;
    let leader = cluster.reaches("the leader to leave the writer's host", SOON, apart).await?.leader;
    let watch = OpenWatch::start(&cluster);
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    let mut others: Vec<&str> =
        cluster.nodes().iter().map(|node| node.name()).filter(|n| *n != writer).collect();
    others.sort_by_key(|name| *name != leader);
    // Not by way of the routers that are lost.
    let mut beside = cluster.ledger(&others, LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;
    writes_go_on(&cluster, &beside).await?;
    let killed = Instant::now();
    cluster.node_mut(others[0])?.kill().await?;
    sleep(LONGER_THAN_A_LEASE).await;
    ensure!(is_open(cluster.server(&writer)?).await?, "a majority still grants");
    writes_go_on(&cluster, &ledger).await?;
    beside.stop().await;
    every_write_was_acknowledged(&beside)?;
    let gap = beside.gap_after(killed);
    ensure!(gap < GAP + cluster.stood_still(killed), "without the leader writes paused for {gap:?}");
    let next = |status: &StatusReply| !status.leader.is_empty() && status.leader != leader;
    let next = cluster.reaches("another leader", SOON, next).await?;
    ensure!(next.epoch == before.epoch && next.term > before.term, "{next:#?} after {before:#?}");

    cluster.node_mut(others[1])?.kill().await?;
    let server = cluster.server(&writer)?;
    let closed = async || {
        Ok(match is_open(server).await {
            // Its commits may have been in the way of the close.
            Ok(false) | Err(_) => Some(()),
            Ok(true) => None,
        })
    };
    until("the writer to close", SOON, closed).await.map_err(|error| cluster.explained(error))?;
    cluster
        .reaches("the loss of the quorum to be told", SOON, |s| {
            s.warnings.iter().any(|w| w.contains("QuorumLost: 1 of 3")) && s.writer == writer
        })
        .await?;
    for name in &others {
        cluster.node_mut(name)?.start()?;
    }
    if cluster.server_mut(&writer)?.exited()?.is_some() {
        cluster.server_mut(&writer)?.start().await?;
    }
    let after =
        cluster.reaches("a writer again", SOON * 4, |s| s.writer_open && s.epoch > before.epoch).await?;
    ensure!(!after.writer.is_empty(), "{after:#?}");
    writes_go_on(&cluster, &ledger).await?;
    ledger.stop().await;
    watch.never_two()
}

/// Whether it went well, and what it said.
async fn tool(cluster: &Cluster, node: &str, arguments: &[&str]) -> Result<(bool, String)> {
    let mut command = cluster.node(node)?.tool(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = within(arguments[0], SOON * 3, command.output()).await?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

fn lease_ms(status: &StatusReply, node: &str) -> u64 {
    status.nodes.iter().find(|n| n.name == node).map_or(0, |n| n.lease_left_ms)
}

/// The daemon is back, and holds what it would without a restart.
async fn has_an_ordinary_lease(cluster: &Cluster, node: &str) -> Result<()> {
    let ordinary = |status: &StatusReply| {
        status.voters_answering == status.voters && (1..=1500).contains(&lease_ms(status, node))
    };
    cluster.reaches("an ordinary lease", SOON * 2, ordinary).await.map(drop)
}

fn every_write_was_acknowledged(ledger: &Ledger) -> Result<()> {
    ledger.no_session_was_cut()?;
    let faults: Vec<_> =
        ledger.writes().into_iter().filter(|write| write.outcome != Outcome::Acknowledged).collect();
    ensure!(faults.is_empty(), "not acknowledged: {faults:?}");
    Ok(())
}

/// Waits for more acknowledged writes.
async fn writes_go_on(cluster: &Cluster, ledger: &Ledger) -> Result<()> {
    cluster.writes_go_on(ledger, SOON).await
}
