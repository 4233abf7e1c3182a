//! Who is led where on real clusters: the role endpoints and HAProxy, readers, the sessions of a writer that moves, the
//! operator's programs around that, and servers without a node.
#![allow(clippy::unwrap_used)]

mod examples;
mod followers;
mod haproxy;
mod hooks;
mod http;
mod page;
mod readers;
mod sessions;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_proto::control::SwitchoverReply;
use baton_tests::cluster::Cluster;
use baton_tests::sandbox::{Account, Ledger, until, within};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

/// For what has to come about at all.
const SOON: Duration = Duration::from_secs(20);
/// For a lag to grow beyond `router.reader_max_lag`.
const LAGS: Duration = Duration::from_secs(45);

async fn switchover(cluster: &Cluster, to: &str) -> Result<SwitchoverReply> {
    Ok(cluster.moves(&["--to", to, "--max-pause", "2s"]).await?.1)
}

/// Waits for more acknowledged writes.
async fn writes_go_on(cluster: &Cluster, ledger: &Ledger) -> Result<()> {
    cluster.writes_go_on(ledger, SOON).await
}

/// An application's session through a router or a load balancer, from the client's host.
async fn app_at(cluster: &Cluster, address: SocketAddr) -> Result<Conn> {
    let connecting = cluster.sandbox().client().run(async move {
        let options = OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .tcp_port(address.port())
            .prefer_socket(false)
            // Asked of the server otherwise, in a statement of its own.
            .max_allowed_packet(Some(1 << 20))
            .wait_timeout(Some(28_800))
            .user(Some(Account::APP.user))
            .pass(Some(Account::APP.password));
        Ok(Conn::new(options).await?)
    });
    within("a connection", SOON, connecting).await
}

/// Waits until eight connections in a row go to exactly these nodes' servers.
async fn reads_from(cluster: &Cluster, address: SocketAddr, names: &[&str]) -> Result<()> {
    let mut wanted = BTreeSet::new();
    for name in names {
        wanted.insert(cluster.server(name)?.server_id());
    }
    let look = async || {
        let mut found = BTreeSet::new();
        for _ in 0..8 {
            let mut session = app_at(cluster, address).await?;
            let id: Option<u32> = within("a read", SOON, session.query_first("SELECT @@server_id")).await?;
            found.insert(id.context("no answer")?);
            session.disconnect().await?;
        }
        ensure!(found == wanted, "reads went to {found:?}, not to {wanted:?}");
        Ok(Some(()))
    };
    until("reads from the right servers", LAGS, look).await.map_err(|error| cluster.explained(error))
}
