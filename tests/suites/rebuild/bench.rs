//! What every rebuild is looked at for.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use baton_proto::control::{RebuildStatus, StatusReply};
use baton_tests::cluster::{Cluster, ClusterOptions, Scenario};
use baton_tests::sandbox::{Dialect, Server, until, within};
use rustix::process::Signal;

/// Longer than a rebuild of these small servers takes on a busy machine.
pub(super) const REBUILD: Duration = Duration::from_secs(180);
/// For what takes moments otherwise.
pub(super) const SOON: Duration = Duration::from_secs(45);
/// No rebuild may cost the writer's clients more than an ordinary hiccup of a busy machine.
const GAP: Duration = Duration::from_secs(5);
/// Exit status of a refusal.
pub(super) const REFUSED: i32 = 5;

/// Speed is not what these tests are about: on a machine that is busy with other things no lease ends by itself.
pub(super) fn patient(dialect: Dialect) -> ClusterOptions {
    ClusterOptions::patient(dialect)
}

/// Runs `batonctl`: its exit status and what it printed, errors included.
pub(super) async fn ctl(cluster: &Cluster, arguments: &[&str]) -> Result<(i32, String)> {
    let mut command = cluster.ctl().command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = within(&arguments.join(" "), REBUILD, command.output()).await?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code().unwrap_or(-1), said.into_owned()))
}

/// Rebuilds `node`, and looks whether it then has the writer's data, follows it, and cost the clients nothing.
pub(super) async fn rebuilt(scenario: &mut Scenario, node: &str, arguments: &[&str]) -> Result<String> {
    scenario.fault();
    let command: Vec<&str> =
        ["rebuild", node, "--yes"].into_iter().chain(arguments.iter().copied()).collect();
    let (code, said) = ctl(&scenario.cluster, &command).await?;
    if code != 0 {
        return Err(scenario.cluster.explained(anyhow::anyhow!("batonctl rebuild: {code}: {said}")));
    }
    ensure!(said.contains(&format!("{node} is rebuilt from ")), "{said}");
    let gap = scenario.outage();
    ensure!(gap < GAP, "no write for {gap:?} during the rebuild");
    Ok(said)
}

/// Waits until both servers have the same rows, by the server's own checksum; writes must have stopped.
pub(super) async fn are_alike(one: &Server, other: &Server) -> Result<()> {
    let checksum = async |server: &Server| {
        let rows: Vec<(String, Option<u64>)> = server.query("CHECKSUM TABLE app.writes").await?;
        Ok::<_, anyhow::Error>(rows)
    };
    until("equal data", SOON, async || {
        let (one, other) = (checksum(one).await?, checksum(other).await?);
        Ok((one == other && one.iter().all(|row| row.1.is_some())).then_some(()))
    })
    .await
}

/// Waits until every other server is a replica that acknowledges.
pub(super) async fn counts_again(cluster: &Cluster) -> Result<StatusReply> {
    let all_ack = |status: &StatusReply| {
        status.durability == "lossless"
            && status
                .nodes
                .iter()
                .all(|n| n.role == "writer" || n.role == "replica" && n.acker && n.replicating)
    };
    cluster.reaches("every replica to be an acker", REBUILD, all_ack).await
}

pub(super) async fn reaches(
    cluster: &Cluster,
    what: &str,
    is_there: impl Fn(&RebuildStatus) -> bool,
) -> Result<()> {
    let there = |status: &StatusReply| status.rebuild.as_ref().is_some_and(&is_there);
    cluster.reaches(what, REBUILD, there).await.map(drop)
}

/// The host of db1 is lost, another takes over, and db1 comes back with a transaction that was written past Baton. Returns
/// the new writer, once that transaction is archived.
pub(super) async fn dies_and_comes_back_with_a_row_of_its_own(scenario: &mut Scenario) -> Result<String> {
    let cluster = &mut scenario.cluster;
    cluster.settled().await?;
    cluster.node_mut("db1")?.kill().await?;
    cluster.server("db1")?.kill(Signal::KILL)?;
    let writer = cluster.moved_from("db1").await?.writer;
    let server = cluster.server_mut("db1")?;
    server.wait_exit(SOON).await?;
    server.start().await?;
    server
        .execute([
            // Which switches super_read_only off besides.
            "SET GLOBAL read_only=0",
            "INSERT INTO app.big VALUES (0, 'mine')",
            match server.dialect() {
                Dialect::MySql => "SET GLOBAL super_read_only=1",
                Dialect::MariaDb => "SET GLOBAL read_only=1",
            },
        ])
        .await?;
    cluster.node_mut("db1")?.restart().await?;
    let archived = |status: &StatusReply| {
        let node = status.nodes.iter().find(|node| node.name == "db1");
        node.is_some_and(|node| node.role == "out" && node.note.contains("archived as"))
    };
    cluster.reaches("the archive", SOON, archived).await?;
    let (code, said) = ctl(cluster, &["rebuild", "db1", "--dry-run"]).await?;
    ensure!(code == 0 && said.contains("would rebuild db1 from"), "{code}: {said}");
    Ok(writer)
}
