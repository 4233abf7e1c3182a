//! Which servers the routers' reader port leads to.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions, READER_PORT};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, Host, within};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rustix::process::Signal;

use super::{SOON, app_at, reads_from, switchover};

on_both!(readers_come_and_go, mysql_readers_come_and_go, mariadb_readers_come_and_go);

/// One lags, one dies, and at last the writer reads; then they come back.
async fn readers_come_and_go(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::patient(dialect)).await?;
    cluster.pre_flight().await?;
    let port = reader_port(cluster.host("db1")?);
    reads_from(&cluster, port, &["db2", "db3"]).await?;
    let mut session = app_at(&cluster, port).await?;
    let mut served_by = server_of(&mut session).await?;
    if served_by != cluster.server("db2")?.server_id() {
        session = app_at(&cluster, port).await?;
        served_by = server_of(&mut session).await?;
    }
    ensure!(served_by == cluster.server("db2")?.server_id(), "connections do not take turns");

    let holding = cluster.held_up(&["db2"]).await?;
    reads_from(&cluster, port, &["db3"]).await?;
    let over = within("the session's end", SOON, session.query_drop("SELECT 1")).await;
    ensure!(over.is_err(), "a session stays on a server that lags");

    cluster.server("db3")?.kill(Signal::KILL)?;
    reads_from(&cluster, port, &["db1"]).await?;
    cluster.power_on("db3").await?;
    reads_from(&cluster, port, &["db3"]).await?;
    drop(holding);
    cluster.settled().await?;
    reads_from(&cluster, port, &["db2", "db3"]).await?;

    // Readers that stay readers are not cut by a planned move.
    let mut stays = Vec::new();
    for _ in 0..4 {
        let mut session = app_at(&cluster, port).await?;
        if server_of(&mut session).await? == cluster.server("db3")?.server_id() {
            stays.push(session);
        }
    }
    switchover(&cluster, "db2").await?;
    cluster.settled().await?;
    ensure!(!stays.is_empty(), "no session came to db3");
    for mut session in stays {
        session.query_drop("SELECT 1").await.context("a reader's session was cut by a switchover")?;
    }
    reads_from(&cluster, port, &["db1", "db3"]).await
}

fn reader_port(host: &Host) -> SocketAddr {
    (host.address(), READER_PORT).into()
}

async fn server_of(session: &mut Conn) -> Result<u32> {
    session.query_first("SELECT @@server_id").await?.context("no answer")
}
