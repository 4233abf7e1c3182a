//! Which writes a drained server still gets.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_tests::proxysql::{ProxySql, ProxySqlOptions};
use baton_tests::sandbox::{Account, Dialect, Sandbox, SandboxOptions};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::time::timeout;

use crate::support::both;

const INSERT: &str = "INSERT INTO app.writes (client, seq, at_us) VALUES (1, 1, 1)";
/// For a server that answers, far too long.
const LONG: Duration = Duration::from_secs(2);

/// A session that was given an AUTO_INCREMENT value writes where it was, drained or not, unless that is turned off. Then its
/// writes wait.
#[tokio::test]
async fn a_session_with_a_new_id_stays_at_a_drained_server() -> Result<()> {
    let options = SandboxOptions { hosts: 1, servers: 1, ..SandboxOptions::new(Dialect::MySql) };
    let sandbox = Sandbox::new(options).await?;
    let servers = sandbox.servers().await?;
    let server = servers.first().context("no server")?;
    server.execute(["SET GLOBAL super_read_only = OFF, GLOBAL read_only = OFF"]).await?;
    for (port, stays_for_ids) in [(6032, true), (6040, false)] {
        let options = ProxySqlOptions { stays_for_ids, ..ProxySqlOptions::at(port) };
        for proxy in both(&sandbox, options).await? {
            let writes = writes_when_drained(&sandbox, &proxy, server.address()).await;
            let writes = writes.with_context(|| proxy.to_string())?;
            ensure!(writes == stays_for_ids, "{proxy}: {writes}, not {stays_for_ids}");
        }
    }
    Ok(())
}

/// Whether a session that has just written writes again at once after its server was drained.
async fn writes_when_drained(sandbox: &Sandbox, proxy: &ProxySql, server: SocketAddr) -> Result<bool> {
    let (host, port) = (server.ip(), server.port());
    let row =
        format!("INSERT INTO mysql_servers (hostgroup_id, hostname, port) VALUES (10, '{host}', {port})");
    for statement in [row.as_str(), "LOAD MYSQL SERVERS TO RUNTIME"] {
        proxy.edit(statement).await?;
    }
    let data = proxy.data();
    let wrote = async move {
        let mut conn = Conn::new(application(data)).await?;
        conn.query_drop(INSERT).await?;
        Ok(conn)
    };
    let mut conn = sandbox.client().run(wrote).await?;
    for statement in ["UPDATE mysql_servers SET status='OFFLINE_SOFT'", "LOAD MYSQL SERVERS TO RUNTIME"] {
        proxy.edit(statement).await?;
    }
    let again = async move {
        match timeout(LONG, conn.query_drop(INSERT)).await {
            Ok(answered) => answered.map(|()| true).map_err(Into::into),
            Err(_) => Ok(false),
        }
    };
    sandbox.client().run(again).await
}

fn application(at: SocketAddr) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(at.ip().to_string())
        .tcp_port(at.port())
        .user(Some(Account::APP.user))
        .pass(Some(Account::APP.password))
        .prefer_socket(false)
        .max_allowed_packet(Some(1 << 24))
        .wait_timeout(Some(100))
        .into()
}
