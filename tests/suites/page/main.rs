//! The page for people in a real browser, on real clusters: it follows a failover by itself, and it can be read by everybody.
#![allow(clippy::unwrap_used)]

mod following;
mod reading;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_tests::browser::Browser;
use baton_tests::cluster::{Cluster, HTTP_PORT};
use serde_json::Value;

/// For what has to come about at all.
const SOON: Duration = Duration::from_secs(20);

/// A browser on a node's own host, with the page of that node.
async fn opened(cluster: &Cluster, node: &str) -> Result<Browser> {
    let browser = Browser::start(cluster.host(node)?).await?;
    browser.open(&url(cluster, node)?).await?;
    browser.until("document.getElementById('live').textContent.startsWith('Live')", SOON).await?;
    Ok(browser)
}

fn url(cluster: &Cluster, node: &str) -> Result<String> {
    Ok(format!("http://{}:{HTTP_PORT}/", cluster.host(node)?.address()))
}

/// Nothing was refused by the page's policy, and nothing failed.
async fn quiet(browser: &Browser) -> Result<()> {
    let said = browser.console().await?;
    ensure!(said.is_empty(), "the console: {said:#?}");
    Ok(())
}

/// A number that a script returned.
fn number(value: &Value) -> Result<f64> {
    value.as_f64().with_context(|| format!("not a number: {value}"))
}
