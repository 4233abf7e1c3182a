//! What clients of the routers' writer port see of a switchover: new connections wait, and sessions of the old writer end
//! between two statements with one error.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions, WRITER_PORT};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, LedgerOptions, Outcome, within};
use mysql_async::prelude::Queryable;

use super::{SOON, app_at, switchover, writes_go_on};

/// The servers' word for a write on a closed server.
const READ_ONLY: u16 = 1290;
/// The router's word for a session that is ended between two statements.
const NOTHING_UNDER_WAY: &str = "No statement was under way";

on_both!(
    sessions_end_between_statements,
    mysql_sessions_end_between_statements,
    mariadb_sessions_end_between_statements
);

async fn sessions_end_between_statements(dialect: Dialect) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::patient(dialect)).await?;
    cluster.pre_flight().await?;
    // Without a pause between two statements: each session has one under way at the moment of the move.
    let options = LedgerOptions { pace: None, ..LedgerOptions::default() };
    let mut ledger = cluster.ledger(&[], options);
    writes_go_on(&cluster, &ledger).await?;
    let mut idle = app_at(&cluster, (cluster.host("db3")?.address(), WRITER_PORT).into()).await?;
    idle.query_drop("SELECT 1").await?;

    switchover(&cluster, "db2").await?;
    let told = within("an idle session's error", SOON, idle.query_drop("SELECT 1")).await;
    let told = format!("{:#}", told.err().context("an idle session outlived its writer")?);
    writes_go_on(&cluster, &ledger).await?;
    ledger.stop().await;
    let after = cluster.post_check(&ledger, &[]).await?;

    let query = "SELECT client, seq FROM app.writes";
    let there: HashSet<(i32, i64)> = cluster.server(&after.writer)?.query(query).await?.into_iter().collect();
    let writes = ledger.writes();
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for write in &writes {
        *outcomes.entry(format!("{:?}", write.outcome)).or_default() += 1;
        match &write.outcome {
            Outcome::Refused(READ_ONLY) => anyhow::bail!("a client was led to a closed server: {write:?}"),
            Outcome::Unknown(why) if why.contains(NOTHING_UNDER_WAY) => {
                let row = (write.client, write.seq);
                ensure!(!there.contains(&row), "{row:?} was told that it was not under way, and is there");
            }
            _ => {}
        }
    }
    println!("{dialect:?}: idle: {told}; {outcomes:#?}");
    Ok(())
}
