//! Certificates that are no good, or somebody else's.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::Result;
use baton_tests::cluster::NAME;
use jiff::{Timestamp, ToSpan};

use crate::bench::{Bench, NODE};

/// Has the node use the certificates of another folder, made for `cluster` so many days ago.
pub(crate) fn other(bench: &Bench, cluster: &str, days_ago: u32) -> Result<String> {
    let folder = bench.sandbox.root().join("other-tls");
    let made = Timestamp::now() - (24 * i64::from(days_ago)).hours();
    batonctl::certs::make_all(cluster, &[NODE.to_owned()], "admin", &folder, false, made)?;
    let root = bench.sandbox.root().display();
    bench.replace(&format!("cert = \"{root}/tls/"), &format!("cert = \"{root}/other-tls/"))?;
    bench.replace(&format!("key = \"{root}/tls/"), &format!("key = \"{root}/other-tls/"))?;
    Ok(folder.join(format!("{NODE}.pem")).display().to_string())
}

#[tokio::test]
async fn an_expired_one() -> Result<()> {
    let bench = Bench::new().await?;
    let certificate = other(&bench, NAME, batonctl::certs::LEAF_DAYS + 1)?;
    bench.refuses(&[&certificate, "expired on", "batonctl certs node db1 --force"]).await
}

#[tokio::test]
async fn another_nodes() -> Result<()> {
    let bench = Bench::new().await?;
    bench.replace("/tls/{node}.pem", "/tls/db2.pem")?;
    bench.replace("/tls/{node}.key", "/tls/db2.key")?;
    let certificate = bench.files.certificate("db2.pem").display().to_string();
    bench.refuses(&[&certificate, "db2", "db1", "batonctl certs node db1"]).await
}

#[tokio::test]
async fn another_clusters() -> Result<()> {
    let bench = Bench::new().await?;
    let certificate = other(&bench, "warehouse", 0)?;
    bench.refuses(&[&certificate, "warehouse", NAME, "tls.cert"]).await
}

#[tokio::test]
async fn one_of_another_ca() -> Result<()> {
    let bench = Bench::new().await?;
    let certificate = other(&bench, NAME, 0)?;
    let ca = bench.files.certificate("ca.pem").display().to_string();
    bench.refuses(&[&certificate, &ca, "not signed by", "of one cluster"]).await
}

#[tokio::test]
async fn one_without_its_key() -> Result<()> {
    let bench = Bench::new().await?;
    bench.replace("/tls/{node}.key", "/tls/db2.key")?;
    let key = bench.files.certificate("db2.key").display().to_string();
    bench.refuses(&[&key, "does not belong to", "batonctl certs"]).await
}

#[tokio::test]
async fn a_key_that_everybody_may_read() -> Result<()> {
    let bench = Bench::new().await?;
    let key = bench.files.certificate("db1.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644))?;
    bench.refuses(&[&format!("chmod o= {}", key.display())]).await
}

#[tokio::test]
async fn one_that_is_not_there() -> Result<()> {
    let bench = Bench::new().await?;
    let certificate = bench.files.certificate("db1.pem");
    fs::remove_file(&certificate)?;
    bench.refuses(&[&certificate.display().to_string(), "cannot be read", "batonctl certs"]).await
}
