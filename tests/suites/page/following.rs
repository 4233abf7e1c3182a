//! The page while the writer moves.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_proto::control::Operation;
use baton_tests::browser::Browser;
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, LedgerOptions};
use rustix::process::Signal;

use super::{SOON, number, opened, quiet, url};

/// From the moment at which the next writer opened to the page that shows it.
const SHOWN: Duration = Duration::from_millis(500);
/// Everything that the first page needs, headers too.
const BYTES: f64 = 150.0 * 1024.0;
/// Until it stands there, of the programs that people use. A development build takes some times as long.
const LOADED: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 200 });
/// Times that it is loaded for that.
const LOADS: usize = 9;

/// Notes when the page first shows the next epoch with an open writer. What is set on `window` is gone after a reload.
const WATCH: &str = "
  window.marker = 'set before';
  window.shown = {};
  const look = () => {
    const epoch = /epoch (\\d+)/.exec(document.querySelector('.badges').textContent)?.[1];
    const open = /\\bopen\\b/.test(document.querySelector('.writers').textContent);
    if (open) window.shown[epoch] ??= Date.now();
  };
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true, attributes: true});
  look();
";

on_both!(
    it_follows_the_writer_by_itself,
    mysql_it_follows_the_writer_by_itself,
    mariadb_it_follows_the_writer_by_itself
);

async fn it_follows_the_writer_by_itself(dialect: Dialect) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let before = cluster.pre_flight().await?;
    // Neither the leader, which knows everything first, nor the one that will be away.
    let apart = |name: &&str| *name != before.writer && *name != before.leader;
    let node = cluster.data_nodes().find(apart).context("a third node")?;
    let browser = opened(&cluster, node).await?;
    first_page(&cluster, &browser, node).await?;

    browser.run(WATCH).await?;
    let ledger = cluster.ledger(&[&before.writer], LedgerOptions::default());
    cluster.writes_go_on(&ledger, SOON).await?;
    let began = Instant::now();
    cluster.server(&before.writer)?.kill(Signal::KILL)?;
    let operation = cluster.operation_from(before.epoch).await?;
    shown(&cluster, &browser, &operation, began).await?;
    cluster.writes_go_on(&ledger, SOON).await?;

    let marker = browser.run("return window.marker").await?;
    ensure!(marker == "set before", "the page was loaded anew");
    let history = format!("document.getElementById('op-{}')", operation.id);
    browser.until(&history, SOON).await?;
    quiet(&browser).await?;
    browser.close().await
}

/// How soon the page showed the writer that an operation opened.
async fn shown(cluster: &Cluster, browser: &Browser, operation: &Operation, began: Instant) -> Result<()> {
    let seen = format!("window.shown[{}]", operation.to_epoch);
    browser.until(&seen, SOON).await.map_err(|error| cluster.explained(error))?;
    let seen_ms = number(&browser.run(&format!("return {seen}")).await?)?;
    let opened = operation.steps.iter().find(|step| step.name == "open").context("it did not open")?;
    let late = Duration::from_secs_f64((seen_ms - opened.at_ms as f64).max(0.0) / 1000.0);
    println!("shown {} ms after the writer had opened", late.as_millis());
    ensure!(late <= SHOWN + cluster.stood_still(began), "shown {late:?} after the writer had opened");
    Ok(())
}

/// Bytes over the wire, and how long it takes.
async fn first_page(cluster: &Cluster, browser: &Browser, node: &str) -> Result<()> {
    let began = Instant::now();
    let (mut times, mut bytes) = (Vec::new(), 0.0);
    for _ in 0..LOADS {
        browser.open(&url(cluster, node)?).await?;
        browser.until("performance.getEntriesByType('navigation')[0].loadEventEnd > 0", SOON).await?;
        let took = browser.run("return performance.getEntriesByType('navigation')[0].loadEventEnd").await?;
        times.push(Duration::from_secs_f64(number(&took)? / 1000.0));
        let sum = "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
          .reduce((sum, entry) => sum + entry.transferSize, 0)";
        bytes = number(&browser.run(sum).await?)?;
    }
    times.sort();
    let (median, worst) = (times[LOADS / 2], times[LOADS - 1]);
    println!("the first page: {bytes} bytes, loaded in {median:?}, at worst in {worst:?}");
    ensure!(bytes > 1024.0 && bytes <= BYTES, "{bytes} bytes");
    ensure!(median <= LOADED + cluster.stood_still(began), "{times:?}");
    Ok(())
}
