//! Pictures of the page for the documents, of a real cluster: `script/screenshots` builds this and runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_tests::browser::{Browser, Look};
use baton_tests::cluster::{Cluster, ClusterOptions, HTTP_PORT};
use baton_tests::sandbox::{Dialect, LedgerOptions, within};
use clap::Parser;
use rustix::process::Signal;

/// For one step, on a machine that does other things too.
const STEP: Duration = Duration::from_secs(60);
/// What a picture may have: readers of the documents load it, and everybody who clones the repository.
const BYTES_MAX: usize = 150 * 1024;
/// Below that a picture says nothing new.
const HEIGHT_MAX: f64 = 1_600.0;

/// Takes pictures of the page: in light and dark, and on a phone.
#[derive(Debug, Parser)]
#[command(name = "script/screenshots", version)]
struct Cli {
    /// Where they go
    folder: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match taken(&Cli::parse().folder).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("screenshots: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn taken(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let cluster = Cluster::backed_up(ClusterOptions::new(Dialect::MySql)).await?;
    let ledger = cluster.ledger(&[], LedgerOptions::default());
    cluster.writes_go_on(&ledger, STEP).await?;
    for _ in 0..2 {
        ctl(&cluster, &["backup", "now", "--follow"]).await?;
    }
    let listed = ctl(&cluster, &["backup", "list", "--json"]).await?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let oldest = listed["backups"][1]["id"].as_str().context("two backups")?.to_owned();
    ctl(&cluster, &["backup", "verify", &oldest, "--follow"]).await?;
    cluster.moves(&["--to", "db2"]).await?;
    cluster.settled().await?;

    let browser = Browser::start(cluster.host("db1")?).await?;
    browser.open(&format!("http://{}:{HTTP_PORT}/", cluster.host("db1")?.address())).await?;
    browser.until("document.getElementById('live').textContent.startsWith('Live')", STEP).await?;
    cluster.server("db2")?.kill(Signal::KILL)?;
    let operation = cluster.operation_from(cluster_epoch(&cluster).await?).await?;
    let shown = format!("document.getElementById('op-{}')", operation.id);
    browser.until(&shown, STEP).await?;
    // The failover's steps, as somebody sees them who asks what has happened.
    browser.run(&format!("{shown}.open = true")).await?;
    browser.until("document.querySelector('.badges').textContent.includes('◆')", STEP).await?;
    for (name, look) in [
        ("page-light", Look { width: 920, ..Look::LIGHT }),
        ("page-dark", Look { width: 920, ..Look::DARK }),
        ("page-phone", Look { scheme: "dark", ..Look::PHONE }),
    ] {
        browser.show(look).await?;
        let picture = browser.picture(HEIGHT_MAX).await?;
        let path = folder.join(format!("{name}.png"));
        println!("{}: {} bytes", path.display(), picture.len());
        fs::write(&path, &picture)?;
        ensure!(picture.len() <= BYTES_MAX, "{} is too large", path.display());
    }
    browser.close().await
}

/// The epoch that the failover ends: the one after the switchover's.
async fn cluster_epoch(cluster: &Cluster) -> Result<u64> {
    let operations = cluster.ctl().history(5).await?;
    let last =
        operations.iter().find(|operation| operation.kind == "switchover").context("the switchover")?;
    Ok(last.to_epoch)
}

async fn ctl(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let mut command = cluster.ctl().command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = within(&arguments.join(" "), STEP, command.output()).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}
