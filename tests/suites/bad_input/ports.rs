//! Ports and the keeper's folder that somebody else has.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use baton_tests::cluster::HTTP_PORT;
use rustix::fs::{FlockOperation, flock};
use tokio::net::TcpListener;

use crate::bench::Bench;

/// Somebody listens on the address that is free on the node's host otherwise.
async fn in_use(bench: &Bench, address: SocketAddr, key: &str) -> Result<()> {
    let _taken = bench.host().run(async move { Ok(TcpListener::bind(address).await?) }).await?;
    bench.refuses(&[&address.to_string(), key, "in use"]).await
}

#[tokio::test]
async fn the_peer_port_is_in_use() -> Result<()> {
    let bench = Bench::new().await?;
    in_use(&bench, (bench.host().address(), 7400).into(), "node.peer").await
}

#[tokio::test]
async fn the_http_port_is_in_use() -> Result<()> {
    let bench = Bench::new().await?;
    bench.replace(&format!("listen = \"0.0.0.0:{HTTP_PORT}\""), "listen = \"127.0.0.1:7999\"")?;
    in_use(&bench, (Ipv4Addr::LOCALHOST, 7999).into(), "http.listen").await
}

#[tokio::test]
async fn the_routers_port_is_in_use() -> Result<()> {
    let bench = Bench::new().await?;
    bench.replace("reader_listen = \"0.0.0.0:6447\"", "reader_listen = \"127.0.0.1:6999\"")?;
    in_use(&bench, (Ipv4Addr::LOCALHOST, 6999).into(), "router.reader_listen").await
}

#[tokio::test]
async fn another_daemon_has_the_run_folder() -> Result<()> {
    let bench = Bench::new().await?;
    let lock = File::create(bench.run().join("node.lock"))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    bench.refuses(&["paths.run", &bench.run().display().to_string(), "another baton-node"]).await
}

#[tokio::test]
async fn another_keeper_has_the_run_folder() -> Result<()> {
    let bench = Bench::new().await?;
    fs::write(bench.run().join("node.lock"), "")?;
    let lock = File::create(bench.run().join("keeper.lock"))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    bench.refuses(&["keeper", &bench.run().display().to_string(), "stop it first"]).await
}

#[tokio::test]
async fn the_run_folder_is_a_file() -> Result<()> {
    let bench = Bench::new().await?;
    fs::remove_dir(bench.run())?;
    fs::write(bench.run(), "")?;
    bench.refuses(&["paths.run", &bench.run().display().to_string(), "directory"]).await
}
