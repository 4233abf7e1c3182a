//! MySQL: by CLONE.

use anyhow::{Result, ensure};
use baton_proto::control::RebuildStatus;
use baton_tests::cluster::Scenario;
use baton_tests::sandbox::Dialect;
use rustix::process::Signal;

use super::bench::{
    REBUILD, REFUSED, SOON, are_alike, counts_again, ctl, dies_and_comes_back_with_a_row_of_its_own, patient,
    reaches, rebuilt,
};

/// Rows of some 200 bytes, so that a copy at [`SLOWLY`] takes long enough to be disturbed.
const ROWS: u32 = 100_000;
/// MiB a second, the least that MySQL can be told.
const SLOWLY: &str = "SET GLOBAL clone_max_data_bandwidth=6";

/// The old primary comes back with a transaction of its own. It is rebuilt from the replica and counts again. Then the
/// same server is rebuilt once more and everything goes wrong: its source dies in the middle, and its own node too. What
/// remains is the writer as the source, and the rebuild ends well all the same.
#[tokio::test]
#[ignore = "two minutes, most of it waiting; script/test --full runs it"]
async fn mysql_old_writer_is_rebuilt() -> Result<()> {
    let mut scenario =
        Scenario::begin("mysql_old_writer_is_rebuilt", patient(Dialect::MySql), &["db1"]).await?;
    let (code, said) = ctl(&scenario.cluster, &["rebuild", "db1", "--yes"]).await?;
    ensure!(code == REFUSED && said.contains("a writer is never rebuilt"), "{code}: {said}");
    fill(scenario.cluster.server("db1")?).await?;

    let writer = dies_and_comes_back_with_a_row_of_its_own(&mut scenario).await?;
    let (code, said) = ctl(&scenario.cluster, &["rebuild", &writer, "--yes"]).await?;
    ensure!(code == REFUSED && said.contains("a writer is never rebuilt"), "{code}: {said}");
    let replica = if writer == "db2" { "db3" } else { "db2" };
    let said = rebuilt(&mut scenario, "db1", &[]).await?;
    ensure!(said.contains(&format!("from {replica} in")), "a replica is the source: {said}");
    counts_again(&scenario.cluster).await?;

    scenario.cluster.server("db1")?.execute([SLOWLY]).await?;
    let (cluster, ledger) = (&mut scenario.cluster, &scenario.ledger);
    let before = ledger.acknowledged();
    let rebuild = cluster.ctl().command(&["rebuild", "db1", "--yes"]).kill_on_drop(true).spawn()?;
    let copying = |attempt| move |r: &RebuildStatus| r.step == "copy" && r.attempt == attempt && r.bytes > 0;
    reaches(cluster, "the copy", copying(1)).await?;
    cluster.server(replica)?.kill(Signal::KILL)?;
    reaches(cluster, "the copy from somebody else", copying(2)).await?;
    cluster.node_mut("db1")?.restart().await?;
    let output = baton_tests::sandbox::within("batonctl rebuild", REBUILD, rebuild.wait_with_output()).await;
    let output = output.map_err(|error| cluster.explained(error))?;
    ensure!(output.status.success(), "{}", cluster.explained(anyhow::anyhow!("batonctl: {}", output.status)));
    let last = cluster.ctl().history(1).await?.remove(0);
    ensure!(
        last.kind == "rebuild" && last.from_node == writer,
        "from the writer, for want of others: {last:?}"
    );
    ensure!(ledger.acknowledged() > before, "the writer wrote on");

    // Without ackers the writer runs ahead of what a busy machine's replicas can apply.
    scenario.ledger.stop().await;
    let cluster = &mut scenario.cluster;
    let server = cluster.server_mut(replica)?;
    server.wait_exit(SOON).await?;
    server.start().await?;
    counts_again(cluster).await?;
    scenario.stop_direct().await;
    let cluster = &scenario.cluster;
    are_alike(cluster.server(&writer)?, cluster.server("db1")?).await?;
    let own: Vec<u64> = cluster.server("db1")?.query("SELECT COUNT(*) FROM app.big WHERE id = 0").await?;
    ensure!(own == [0], "what it alone had is gone");
    Ok(())
}

async fn fill(server: &baton_tests::sandbox::Server) -> Result<()> {
    let fill = format!(
        "INSERT INTO app.big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
         SELECT i, REPEAT('x', 200) FROM n"
    );
    let mut connection = server.connect().await?;
    for statement in [
        "CREATE TABLE app.big (id INT PRIMARY KEY, text VARCHAR(200))",
        "SET SESSION cte_max_recursion_depth=10000000",
        &fill,
    ] {
        mysql_async::prelude::Queryable::query_drop(&mut connection, statement).await?;
    }
    Ok(connection.disconnect().await?)
}
