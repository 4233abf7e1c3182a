//! Replicas that are not fit to be read from are in no reader group, and come back.

use std::time::Duration;

use anyhow::Result;
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::on_both;
use baton_tests::sandbox::Dialect;

use crate::support::{SOON, leads_to, reads_from, was_right_throughout};

/// For a lag to grow beyond `router.reader_max_lag`.
const LAGS: Duration = Duration::from_secs(45);

on_both!(readers_come_and_go, mysql_readers_come_and_go, mariadb_readers_come_and_go);

/// One is in maintenance for a while, and one lags.
async fn readers_come_and_go(dialect: Dialect) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::patient(dialect).proxies(2)).await?;
    let doubles = cluster.proxysql(true).await?;
    let before = cluster.pre_flight().await?;
    leads_to(&cluster, &doubles, &before.writer).await?;
    reads_from(&cluster, &doubles, &["db2", "db3"], SOON).await?;

    cluster.ctl().done(&["maintenance", "db3", "--for", "1h"]).await?;
    reads_from(&cluster, &doubles, &["db2"], SOON).await?;
    cluster.ctl().done(&["maintenance", "db3", "--end"]).await?;
    reads_from(&cluster, &doubles, &["db2", "db3"], LAGS).await?;

    let holding = cluster.held_up(&["db2"]).await?;
    reads_from(&cluster, &doubles, &["db3"], LAGS).await?;
    drop(holding);
    reads_from(&cluster, &doubles, &["db2", "db3"], LAGS).await?;
    was_right_throughout(&doubles)
}
