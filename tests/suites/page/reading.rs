//! The page for everybody: in light and dark, on a phone, by keyboard, and without scripts.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_tests::browser::{Browser, Look};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::{Dialect, until, within};
use rustix::process::Signal;
use serde_json::Value;

use super::{SOON, opened, quiet, url};

const AUDIT: &str = include_str!("audit.js");
const TAB: char = '\u{e004}';
/// Longer than one takes of these small servers on a busy machine.
const BACKUP: Duration = Duration::from_secs(60);
/// What can be acted on, as far as it is shown.
const INTERACTIVE: &str =
    "return [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')]
  .filter((element) => element.checkVisibility()).map((element) => element.id || element.parentElement.id)";
/// What has the focus, and whether that is seen.
const FOCUSED: &str = "const element = document.activeElement;
  const seen = getComputedStyle(element).outlineStyle !== 'none';
  return element === document.body ? '' : (element.id || element.parentElement.id) + (seen ? '' : ' without an outline')";

#[tokio::test]
async fn it_can_be_read_by_everybody() -> Result<()> {
    let cluster = Cluster::backed_up(ClusterOptions::patient(Dialect::MariaDb)).await?;
    let before = cluster.pre_flight().await?;
    let made = within("a backup", BACKUP, cluster.ctl().command(&["backup", "now", "--follow"]).output());
    ensure!(made.await?.status.success(), "there is no backup");
    let moved = cluster.ctl().switchover(&["--max-pause", "5s"]).await?;
    ensure!(moved.moved, "{moved:#?}");
    let status = cluster.settled().await?;
    let node = cluster.data_nodes().find(|name| *name == status.writer).context("the writer")?;
    let browser = opened(&cluster, node).await?;
    browser
        .until("document.querySelector('.line .plain') && document.querySelector('.month .plain')", SOON)
        .await?;
    browser.until("document.querySelector('.line .covered')", SOON).await?;
    audited(&browser, "a healthy cluster").await?;

    // Something of every tone.
    cluster.server(&before.writer)?.kill(Signal::KILL)?;
    browser
        .until("document.querySelector('.card.bad') && document.querySelector('.warnings li')", SOON)
        .await?;
    audited(&browser, "a cluster without one server").await?;
    reached_by_keyboard(&browser).await?;
    quiet(&browser).await?;
    without_scripts(&cluster, &browser, node).await?;
    browser.close().await
}

/// Nothing is wrong with it, however it is looked at; with everything that can be opened open.
async fn audited(browser: &Browser, what: &str) -> Result<()> {
    for look in [Look::LIGHT, Look::DARK, Look::PHONE, Look { scheme: "dark", ..Look::PHONE }] {
        browser.show(look).await?;
        browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })").await?;
        let faults = browser.run(AUDIT).await?;
        ensure!(faults == Value::Array(Vec::new()), "{what}, {look:?}: {faults:#}");
        let dark = browser.run("return matchMedia('(prefers-color-scheme: dark)').matches").await?;
        ensure!(dark == Value::Bool(look.scheme == "dark"), "{look:?} is not what is shown");
    }
    Ok(())
}

/// All that can be acted on has its turn by Tab, and shows that it has. The page goes on changing meanwhile.
async fn reached_by_keyboard(browser: &Browser) -> Result<()> {
    let wanted = browser.run(INTERACTIVE).await?;
    let wanted = wanted.as_array().context("no list")?.iter().filter_map(Value::as_str).map(str::to_owned);
    let wanted: BTreeSet<String> = wanted.collect();
    ensure!(!wanted.is_empty() && !wanted.contains(""), "what can be acted on: {wanted:?}");
    browser.run("document.activeElement.blur(); window.scrollTo(0, 0)").await?;
    let mut reached = BTreeSet::new();
    for _ in 0..=wanted.len() {
        browser.press(TAB).await?;
        reached.extend(browser.run(FOCUSED).await?.as_str().map(str::to_owned));
    }
    reached.remove("");
    ensure!(reached == wanted, "reached: {reached:?}, and not: {:?}", wanted.difference(&reached));
    Ok(())
}

/// The same is there to be read, and looked at anew.
async fn without_scripts(cluster: &Cluster, browser: &Browser, node: &str) -> Result<()> {
    let sections = "return [...document.querySelectorAll('h1, h2, .card .name')].map((e) => e.textContent)";
    let with = browser.run(sections).await?;
    browser.scripts(false).await?;
    browser.open(&url(cluster, node)?).await?;
    let without = browser.run(sections).await?;
    ensure!(with == without, "with scripts {with}, without {without}");
    let note = browser.run("return document.getElementById('live').textContent").await?;
    ensure!(note.as_str().is_some_and(|note| note.starts_with("As of")), "a script has run: {note}");
    let faults = browser.run(AUDIT).await?;
    ensure!(faults == Value::Array(Vec::new()), "without scripts: {faults:#}");
    let loaded = browser.run("return performance.timeOrigin").await?;
    let anew = async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok((browser.run("return performance.timeOrigin").await? != loaded).then_some(()))
    };
    until("the page to be looked at anew", SOON, anew).await
}
