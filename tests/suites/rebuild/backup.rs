//! MariaDB: by mariadb-backup, streamed from node to node.

use anyhow::{Result, ensure};
use baton_node::state::StepName;
use baton_proto::control::RebuildStatus;
use baton_tests::cluster::{Cluster, Scenario};
use baton_tests::sandbox::{Dialect, until, within};
use rustix::process::Signal;

use super::bench::{
    REBUILD, REFUSED, SOON, are_alike, counts_again, ctl, dies_and_comes_back_with_a_row_of_its_own, patient,
    reaches, rebuilt,
};

/// What a data directory has until it is replaced.
const OLD: &str = "old.mark";
/// Where a copy is made, or the old data kept, beside the data directory.
const BESIDE: &str = "data.baton-rebuild";

/// A rebuild that is ended while the copy comes in leaves the replica as it was. Then the replica gets its data anew from
/// the other one under load: every acknowledged row is there afterwards, and it acknowledges again. Nothing is left beside
/// its data.
#[tokio::test]
async fn mariadb_replica_is_rebuilt() -> Result<()> {
    let options = patient(Dialect::MariaDb);
    let mut scenario = Scenario::begin("mariadb_replica_is_rebuilt", options, &[]).await?;
    let (code, said) = ctl(&scenario.cluster, &["rebuild", "db1", "--yes"]).await?;
    ensure!(code == REFUSED && said.contains("a writer is never rebuilt"), "{code}: {said}");
    let (code, said) = ctl(&scenario.cluster, &["rebuild", "db3", "--dry-run"]).await?;
    ensure!(code == 0 && said.contains("copied beside its own, with mariadb-backup"), "{code}: {said}");
    mark_old(&scenario, "db3").await?;
    ended_while_the_copy_comes_in(&scenario.cluster).await?;
    let said = rebuilt(&mut scenario, "db3", &["--from", "db2"]).await?;
    ensure!(said.contains("from db2 in"), "{said}");
    is_new(&scenario, "db3").await?;
    counts_again(&scenario.cluster).await?;
    scenario.ends([]).await
}

/// The old primary comes back with a transaction of its own. Once that is archived it is rebuilt from the replica, follows
/// the new writer, and knows the transactions of both writers and not its own.
#[tokio::test]
#[ignore = "a minute; script/test --full runs it"]
async fn mariadb_old_writer_is_rebuilt() -> Result<()> {
    let mut scenario =
        Scenario::begin("mariadb_old_writer_is_rebuilt", patient(Dialect::MariaDb), &["db1"]).await?;
    let server = scenario.cluster.server("db1")?;
    server.execute(["CREATE TABLE app.big (id INT PRIMARY KEY, text VARCHAR(200))"]).await?;
    let writer = dies_and_comes_back_with_a_row_of_its_own(&mut scenario).await?;
    let replica = if writer == "db2" { "db3" } else { "db2" };
    let said = rebuilt(&mut scenario, "db1", &[]).await?;
    ensure!(said.contains(&format!("from {replica} in")), "a replica is the source: {said}");
    counts_again(&scenario.cluster).await?;
    let server = scenario.cluster.server("db1")?;
    let own: Vec<u64> = server.query("SELECT COUNT(*) FROM app.big WHERE id = 0").await?;
    ensure!(own == [0], "what it alone had is gone");
    let states: Vec<String> = server.query("SELECT @@gtid_binlog_state").await?;
    let state = states.concat();
    let ids: Vec<&str> = state.split(',').filter_map(|gtid| gtid.split('-').nth(1)).collect();
    ensure!(ids.len() == 2, "it knows of both writers: {state}");
    // Clients that write straight to db1 had rows there, too, while it was open by hand: they are gone, as they should be.
    scenario.ledger.stop().await;
    scenario.stop_direct().await;
    has_every_row(&scenario, &writer, "db1").await
}

/// Everything goes wrong: the source dies in the middle, so that the writer has to give the copy, and the node of the
/// server that is rebuilt is ended in the middle of that one. It ends well all the same.
#[tokio::test]
#[ignore = "a minute; script/test --full runs it"]
async fn mariadb_rebuild_survives_its_source_and_its_node() -> Result<()> {
    let options = patient(Dialect::MariaDb);
    let name = "mariadb_rebuild_survives_its_source_and_its_node";
    let mut scenario = Scenario::begin(name, options, &["db2", "db3"]).await?;
    mark_old(&scenario, "db3").await?;
    scenario.fault();
    let cluster = &mut scenario.cluster;
    for source in ["db1", "db2"] {
        cluster.server(source)?.hold_copy(true)?;
    }
    let rebuild = cluster.ctl().command(&["rebuild", "db3", "--yes"]).kill_on_drop(true).spawn()?;
    let coming = |attempt| {
        move |r: &RebuildStatus| {
            r.step == "prepare" && r.attempt == attempt && r.bytes > 0 && r.total_bytes > 0
        }
    };
    reaches(cluster, "the copy", coming(1)).await?;
    cluster.server(source_of(1))?.kill(Signal::KILL)?;
    reaches(cluster, "the copy from somebody else", coming(2)).await?;
    cluster.node_mut("db3")?.restart().await?;
    reaches(cluster, "the copy, begun anew", coming(2)).await?;
    cluster.server(source_of(2))?.hold_copy(false)?;
    let output = within("batonctl rebuild", REBUILD, rebuild.wait_with_output()).await;
    let output = output.map_err(|error| cluster.explained(error))?;
    ensure!(output.status.success(), "{}", cluster.explained(anyhow::anyhow!("batonctl: {}", output.status)));
    let last = cluster.ctl().history(1).await?.remove(0);
    ensure!(
        last.kind == "rebuild" && last.from_node == "db1",
        "from the writer, for want of others: {last:?}"
    );
    is_new(&scenario, "db3").await?;

    // Without ackers the writer runs ahead of what a busy machine's replicas can apply.
    scenario.ledger.stop().await;
    scenario.stop_direct().await;
    let server = scenario.cluster.server_mut("db2")?;
    server.wait_exit(SOON).await?;
    server.start().await?;
    counts_again(&scenario.cluster).await?;
    has_every_row(&scenario, "db1", "db3").await
}

/// The node of the server that is rebuilt is ended at the two worst moments: while the server is stopped and still has its
/// old data, and when it has the new and nothing is set yet. Each time its next process goes on from there.
#[tokio::test]
#[ignore = "a minute; script/test --full runs it"]
async fn mariadb_rebuild_goes_on_where_its_node_was_cut_off() -> Result<()> {
    let options = patient(Dialect::MariaDb);
    let name = "mariadb_rebuild_goes_on_where_its_node_was_cut_off";
    let mut scenario = Scenario::begin(name, options, &["db3"]).await?;
    mark_old(&scenario, "db3").await?;
    let cluster = &mut scenario.cluster;
    cluster.server("db3")?.hold_stop(true)?;
    let rebuild = cluster.ctl().command(&["rebuild", "db3", "--yes"]).kill_on_drop(true).spawn()?;
    reaches(cluster, "the point of no return", |r| r.step == "copy").await?;
    let stopped = async || Ok((!cluster.server("db3")?.has_pid_file()).then_some(()));
    until("the server's stop", SOON, stopped).await?;
    cluster.node_mut("db3")?.restart().await?;
    ensure!(cluster.server("db3")?.data_directory().join(OLD).exists(), "the old data is there");
    cluster.node("db3")?.stop_after(StepName::Start)?;
    cluster.server("db3")?.hold_stop(false)?;
    cluster.node("db3")?.stopped(REBUILD).await.map_err(|error| cluster.explained(error))?;
    cluster.node_mut("db3")?.restart().await?;
    let output = within("batonctl rebuild", REBUILD, rebuild.wait_with_output()).await;
    let output = output.map_err(|error| cluster.explained(error))?;
    ensure!(output.status.success(), "{}", cluster.explained(anyhow::anyhow!("batonctl: {}", output.status)));
    let last = cluster.ctl().history(1).await?.remove(0);
    let copies = last.steps.iter().filter(|step| step.name == "copy").count();
    ensure!(copies == 1, "one copy was enough: {last:?}");
    is_new(&scenario, "db3").await?;
    counts_again(&scenario.cluster).await?;
    scenario.ends([]).await
}

/// The server has what the writer has, and of the application's writes exactly those that were acknowledged.
async fn has_every_row(scenario: &Scenario, writer: &str, name: &str) -> Result<()> {
    let cluster = &scenario.cluster;
    are_alike(cluster.server(writer)?, cluster.server(name)?).await?;
    let found = scenario.ledger.found(cluster.server(name)?).await?;
    ensure!(
        found.lost.is_empty() && found.refused.is_empty() && found.doubled == 0,
        "{name}: acknowledged and lost {:?}, refused and there {:?}, doubled {}",
        found.lost,
        found.refused,
        found.doubled
    );
    Ok(())
}

/// Of three servers: the replica first, then the writer.
fn source_of(attempt: u32) -> &'static str {
    if attempt == 1 { "db2" } else { "db1" }
}

/// Ends a rebuild of db3 by hand while db2 gives its data. db3 keeps its own, and acknowledges again.
async fn ended_while_the_copy_comes_in(cluster: &Cluster) -> Result<()> {
    cluster.server("db2")?.hold_copy(true)?;
    let rebuild = cluster.ctl().command(&["rebuild", "db3", "--yes"]).kill_on_drop(true).spawn()?;
    reaches(cluster, "the copy", |r| r.step == "prepare" && r.bytes > 0).await?;
    let data = cluster.server("db3")?.data_directory();
    ensure!(data.with_file_name(BESIDE).exists(), "the copy is made beside the data");
    let (code, said) = ctl(cluster, &["rebuild", "db3", "--cancel", "--yes"]).await?;
    ensure!(code == 0 && said.contains("keeps its data"), "{code}: {said}");
    drop(rebuild);
    cluster.server("db2")?.hold_copy(false)?;
    counts_again(cluster).await?;
    ensure!(data.join(OLD).exists(), "db3 has its data");
    nothing_beside(cluster, "db3").await
}

/// Leaves a file in the data directory that a new one has not.
async fn mark_old(scenario: &Scenario, name: &str) -> Result<()> {
    let server = scenario.cluster.server(name)?;
    Ok(std::fs::write(server.data_directory().join(OLD), "old")?)
}

/// The data is another one, and what it was copied beside is gone soon.
async fn is_new(scenario: &Scenario, name: &str) -> Result<()> {
    let data = scenario.cluster.server(name)?.data_directory();
    ensure!(!data.join(OLD).exists(), "{name} has its old data");
    nothing_beside(&scenario.cluster, name).await
}

async fn nothing_beside(cluster: &Cluster, name: &str) -> Result<()> {
    let beside = cluster.server(name)?.data_directory().with_file_name(BESIDE);
    let gone = async || Ok((!beside.exists()).then_some(()));
    until("the old data to be removed", SOON, gone).await
}
