//! The page for people.

use anyhow::{Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::{Dialect, until};
use rustix::process::Signal;

use super::SOON;

/// On its own host every node shows the cluster, also what has just become of it; elsewhere none does.
#[tokio::test]
async fn the_page_shows_a_failover_on_its_own_host_alone() -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::patient(Dialect::MariaDb)).await?;
    let before = cluster.pre_flight().await?;
    for node in ["db2", "db3"] {
        let (code, page) = cluster.page_seen_from(cluster.host(node)?, node, "/").await?;
        ensure!(
            code == 200
                && page.contains("LOSSLESS")
                && page.contains("next writer") | page.contains("candidate"),
            "{page}"
        );
    }
    let (code, said) = cluster.page("db2", "/").await?;
    ensure!(code == 403 && said.contains("ssh -L"), "{code}: {said}");

    cluster.server(&before.writer)?.kill(Signal::KILL)?;
    let after = cluster.moved_from(&before.writer).await?;
    let epochs = format!("failover {} → {}", before.epoch, after.epoch);
    let look = async || {
        let (_, page) = cluster.page_seen_from(cluster.host("db3")?, "db3", "/").await?;
        ensure!(
            page.contains(&epochs) && page.contains("class=\"draws\"") && page.contains("A failover now?"),
            "{page}"
        );
        Ok(Some(()))
    };
    until("the failover on the page", SOON, look).await.map_err(|error| cluster.explained(error))
}
