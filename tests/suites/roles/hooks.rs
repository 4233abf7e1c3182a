//! The operator's programs around real moves: where they run, what they are told, and what they may stop.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_proto::control::SwitchoverReply;
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::{Dialect, LedgerOptions, until};
use rustix::process::Signal;
use serde_json::Value;

use super::{SOON, switchover, writes_go_on};

/// A cluster whose nodes write down what each hook is told, in a folder: `NAME.NODE.json`. The hook `gate` fails
/// while there is a file `gate-closed`, and hangs while there is `gate-stuck`.
async fn with_hooks(dialect: Dialect) -> Result<(Cluster, PathBuf)> {
    let to = "{root}/hooks";
    let write = format!("cat > {to}/$0.$BATON_NODE.new; mv {to}/$0.$BATON_NODE.new {to}/$0.$BATON_NODE.json");
    let gate = format!(
        "{write}; if [ -e {to}/gate-stuck ]; then sleep 600; fi; if [ -e {to}/gate-closed ]; then echo not now; exit 1; fi"
    );
    let hook = |name: &str, rest: &str, script: &str| {
        let command = serde_json::json!(["/bin/sh", "-c", script, name]);
        format!("\n[[hook]]\nname = \"{name}\"\n{rest}\ncommand = {command}\n")
    };
    let sections = [
        hook("gate", "at = \"before_close\"\non = \"old_writer\"\ntimeout = \"2s\"", &gate),
        hook("ask", "at = \"before_close\"", &write),
        hook("opened", "at = \"after_open\"\non = \"new_writer\"", &write),
        hook("left", "at = \"after_open\"\non = \"old_writer\"", &write),
        hook("routed", "at = \"after_route\"", &write),
        hook("unplanned", "at = \"after_open\"\nwhen = \"unplanned\"", &write),
        hook("failed", "at = \"after_failure\"\nwhen = \"planned\"", &write),
        // Longer than the whole failover: nothing waits for it.
        hook(
            "slow",
            "at = \"after_open\"\nwhen = \"unplanned\"\non = \"old_writer\"\ntimeout = \"60s\"",
            "sleep 30",
        ),
    ];
    let options = ClusterOptions { sections: sections.concat(), ..ClusterOptions::patient(dialect) };
    let cluster = Cluster::observing(options).await?;
    let folder = cluster.folder().join("hooks");
    fs::create_dir(&folder)?;
    cluster.ctl().adopt("db1").await?;
    cluster.settled().await?;
    Ok((cluster, folder))
}

/// Waits for what a hook was told on a node, and forgets it.
async fn told(folder: &Path, hook: &str, node: &str) -> Result<Value> {
    let file = folder.join(format!("{hook}.{node}.json"));
    let look = async || Ok(Some(serde_json::from_slice(&fs::read(&file)?)?));
    let told = until(&format!("hook {hook} on {node}"), SOON, look).await?;
    fs::remove_file(&file)?;
    Ok(told)
}

/// Every hook that has been run and not asked for yet, as `NAME.NODE`.
fn left(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".json").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

async fn asked(cluster: &Cluster, arguments: &[&str]) -> Result<SwitchoverReply> {
    cluster.ctl().switchover(arguments).await.map_err(|error| cluster.explained(error))
}

#[tokio::test]
async fn hooks_are_told_of_a_switchover_and_may_stop_it() -> Result<()> {
    let (cluster, folder) = with_hooks(Dialect::MySql).await?;
    let before = cluster.pre_flight().await?;
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;
    ensure!(left(&folder)?.is_empty(), "an adoption is no move: {:?}", left(&folder)?);

    let plan = asked(&cluster, &["--to", "db2", "--dry-run"]).await?;
    let listed: Vec<_> = plan.steps.iter().filter(|step| step.what.contains("hook")).collect();
    ensure!(listed.len() == 5 && listed[0].what.contains("gate") && listed[0].node == "db1", "{listed:#?}");
    ensure!(left(&folder)?.is_empty(), "a dry run runs nothing: {:?}", left(&folder)?);

    fs::write(folder.join("gate-closed"), "")?;
    let stopped = asked(&cluster, &["--to", "db2", "--max-pause", "2s"]).await?;
    ensure!(stopped.tried && !stopped.moved, "{stopped:#?}");
    ensure!(stopped.message.contains("hook gate") && stopped.message.contains("not now"), "{stopped:#?}");
    told(&folder, "gate", "db1").await?;
    let failed = told_by_leader(&cluster, &folder, "failed").await?;
    ensure!(failed["why"].as_str().is_some_and(|why| why.contains("hook gate")), "{failed}");
    ensure!(left(&folder)?.is_empty(), "{:?}", left(&folder)?);
    fs::remove_file(folder.join("gate-closed"))?;

    fs::write(folder.join("gate-stuck"), "")?;
    let began = Instant::now();
    let stopped = asked(&cluster, &["--to", "db2", "--max-pause", "2s"]).await?;
    ensure!(stopped.message.contains("was killed") && began.elapsed() < SOON, "{stopped:#?}");
    let after = cluster.settled().await?;
    ensure!((after.epoch, &after.writer) == (before.epoch, &before.writer), "{after:#?}");
    told(&folder, "gate", "db1").await?;
    told_by_leader(&cluster, &folder, "failed").await?;
    fs::remove_file(folder.join("gate-stuck"))?;
    writes_go_on(&cluster, &ledger).await?;

    let moved = switchover(&cluster, "db2").await?;
    let gate = told(&folder, "gate", "db1").await?;
    ensure!(gate["point"] == "before_close" && gate["to"] == "db2" && gate["to_epoch"].is_null(), "{gate}");
    ensure!(gate["cluster"] == "shop" && gate["node"] == "db1" && gate["planned"] == true, "{gate}");
    let opened = told(&folder, "opened", "db2").await?;
    ensure!(opened["operation"] == moved.id.as_str() && opened["to_epoch"] == before.epoch + 1, "{opened}");
    told(&folder, "left", "db1").await?;
    told_by_leader(&cluster, &folder, "ask").await?;
    told_by_leader(&cluster, &folder, "routed").await?;
    cluster.settled().await?;
    ensure!(!left(&folder)?.iter().any(|name| name.starts_with("unplanned")), "{:?}", left(&folder)?);
    ledger.stop().await;
    cluster.post_check(&ledger, &[]).await.map(drop)
}

/// What a hook of the leader was told; leadership may have moved since.
async fn told_by_leader(cluster: &Cluster, folder: &Path, hook: &str) -> Result<Value> {
    let look = async || {
        let found = left(folder)?.into_iter().find(|name| name.starts_with(&format!("{hook}.")));
        Ok(found)
    };
    let name = until(&format!("hook {hook} on the leader"), SOON, look)
        .await
        .map_err(|error| cluster.explained(error))?;
    let (_, node) = name.split_once('.').context("a file of a hook")?;
    told(folder, hook, node).await
}

#[tokio::test]
async fn a_failover_waits_for_no_hook() -> Result<()> {
    let (mut cluster, folder) = with_hooks(Dialect::MariaDb).await?;
    let before = cluster.pre_flight().await?;
    fs::write(folder.join("gate-stuck"), "")?;
    let mut ledger = cluster.ledger(&[&before.writer], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;
    let began = Instant::now();
    cluster.server(&before.writer)?.kill(Signal::KILL)?;
    let after = cluster.moved_from(&before.writer).await?;
    cluster.operation_from(before.epoch).await?;
    ensure!(
        began.elapsed() < Duration::from_secs(25) + cluster.stood_still(began),
        "the failover took {:?}: it waited for a hook",
        began.elapsed()
    );
    let opened = told(&folder, "opened", &after.writer).await?;
    ensure!(opened["planned"] == false && opened["kind"] == "failover", "{opened}");
    told_by_leader(&cluster, &folder, "unplanned").await?;
    told_by_leader(&cluster, &folder, "routed").await?;
    told(&folder, "left", &before.writer).await?;
    ensure!(left(&folder)?.is_empty(), "{:?}", left(&folder)?);
    cluster.power_on(&before.writer).await?;
    let out = cluster.out_after_return(&before.writer).await?;
    ledger.stop().await;
    cluster.post_check(&ledger, &out).await.map(drop)
}
