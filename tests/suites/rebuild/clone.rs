//! MySQL: by CLONE.

use anyhow::{Result, ensure};
use baton_tests::cluster::Scenario;
use baton_tests::sandbox::Dialect;

use super::bench::{REFUSED, are_alike, ctl, patient, rebuilt};

/// A healthy replica on the list of ackers: it leaves the list, gets its data anew and is an acker again. The writer is
/// never rebuilt.
#[tokio::test]
async fn mysql_replica_is_rebuilt() -> Result<()> {
    let mut scenario = Scenario::begin("mysql_replica_is_rebuilt", patient(Dialect::MySql), &[]).await?;
    let (code, said) = ctl(&scenario.cluster, &["rebuild", "db1", "--yes"]).await?;
    ensure!(code == REFUSED && said.contains("a writer is never rebuilt"), "{code}: {said}");
    let said = rebuilt(&mut scenario, "db3", &[]).await?;
    ensure!(said.contains("rebuilt from db2"), "a replica is the source: {said}");
    scenario.cluster.settled().await?;
    scenario.writes_go_on().await?;
    scenario.ledger.stop().await;
    are_alike(scenario.cluster.server("db1")?, scenario.cluster.server("db3")?).await?;
    scenario.ends(None).await
}
