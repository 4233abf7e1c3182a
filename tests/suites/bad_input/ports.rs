//! Ports and the keeper's folder that somebody else has.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use baton_tests::cluster::{HTTP_PORT, Node};
use rustix::fs::{FlockOperation, flock};
use tokio::net::TcpListener;

use crate::bench::{Bench, NODE, says};

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

/// The same name on a second host, with folders of its own: its address is the first one's.
#[tokio::test]
async fn another_host_has_a_living_daemon_of_this_name() -> Result<()> {
    let mut bench = Bench::new().await?;
    let mut living = Node::new(bench.host(), NODE, bench.files.config())?;
    living.start()?;
    says(&living, "waiting for all").await?;
    let second = &bench.sandbox.hosts()[1];
    let text = fs::read_to_string(bench.files.config())?;
    let config = bench.sandbox.root().join("second.toml");
    fs::write(&config, text.replace("{node}/baton/", "db2/baton/"))?;
    bench.node = Node::new(second, NODE, &config)?;
    let peer = living.host().address().to_string();
    bench.refuses_within(&[], &[&peer, "node.peer", "not an address of this host"]).await?;
    ensure!(living.runs()?, "the living one has ended");
    living.terminate().await?;
    living.signal_keeper(rustix::process::Signal::TERM)
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
