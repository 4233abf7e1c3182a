//! The configuration file, and the files that it names.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::Result;

use crate::bench::Bench;

/// The line that follows the configuration's path in an error about it.
fn at(bench: &Bench, text: &str) -> String {
    let file = fs::read_to_string(bench.files.config()).unwrap_or_default();
    let line = file.lines().position(|line| line.contains(text)).map_or(0, |index| index + 1);
    format!("{}:{line}", bench.files.config().display())
}

#[tokio::test]
async fn an_unknown_key() -> Result<()> {
    let bench = Bench::new().await?;
    bench.replace("[failover]", "[failover]\nlease_tll = \"1s\"")?;
    bench.refuses(&[&at(&bench, "lease_tll"), "failover.lease_tll", "lease_ttl"]).await
}

#[tokio::test]
async fn a_wrong_type() -> Result<()> {
    let bench = Bench::new().await?;
    bench.replace("[failover]", "[failover]\nautomatic = \"perhaps\"")?;
    bench.refuses(&[&at(&bench, "perhaps"), "failover.automatic", "true"]).await
}

#[tokio::test]
async fn a_lease_too_short_for_its_renewals() -> Result<()> {
    let bench = Bench::new().await?;
    bench.replace("[failover]", "[failover]\nlease_ttl = \"300ms\"")?;
    bench.refuses(&[&at(&bench, "lease_ttl"), "failover.lease_ttl", "renewals", "500ms or more"]).await
}

#[tokio::test]
async fn two_nodes_with_one_name() -> Result<()> {
    let bench = Bench::new().await?;
    bench.replace("name = \"db3\"", "name = \"db2\"")?;
    bench.refuses(&["node.name", "two nodes are named \"db2\"", "own name"]).await
}

#[tokio::test]
async fn two_nodes_with_one_address() -> Result<()> {
    let bench = Bench::new().await?;
    let peer = |index: usize| format!("peer = \"{}:7400\"", bench.sandbox.hosts()[index].address());
    bench.replace(&peer(2), &peer(1))?;
    bench.refuses(&["node.peer", "\"db2\"", "\"db3\"", "own address"]).await
}

#[tokio::test]
async fn a_node_that_is_not_in_the_file() -> Result<()> {
    let bench = Bench::new().await?;
    bench.replace("name = \"db1\"", "name = \"db9\"")?;
    bench.refuses(&["node \"db1\" is not in the file", "db9", "--node"]).await
}

#[tokio::test]
async fn a_file_that_is_not_there() -> Result<()> {
    let bench = Bench::new().await?;
    fs::remove_file(bench.files.config())?;
    bench.refuses(&[&bench.files.config().display().to_string(), "does not exist"]).await
}

#[tokio::test]
async fn a_password_file_that_is_not_there() -> Result<()> {
    let bench = Bench::new().await?;
    let path = bench.sandbox.root().join("baton.password");
    fs::remove_file(&path)?;
    bench.refuses(&["server.password_file", &path.display().to_string(), "does not exist", "create it"]).await
}

#[tokio::test]
async fn a_password_file_that_everybody_may_read() -> Result<()> {
    let bench = Bench::new().await?;
    let path = bench.sandbox.root().join("repl.password");
    fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    bench.refuses(&["server.replication_password_file", &format!("chmod o= {}", path.display())]).await
}
