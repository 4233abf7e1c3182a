//! `batonctl rehearse`: refused on a cluster that is not there for that, and on one that is all four cases pass.

use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use baton_tests::cluster::Cluster;
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, within};
use tokio::time::sleep;

use crate::{REFUSED, ctl, has, patient};

/// Two servers are killed, started and caught up, and the writer moves twice.
const REHEARSAL: Duration = Duration::from_secs(300);
/// Between two looks at the servers.
const LOOK: Duration = Duration::from_millis(50);

on_both!(four_cases_pass, mysql_four_cases_pass, mariadb_four_cases_pass);

async fn four_cases_pass(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(patient(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let (code, said) = ctl(&cluster, &["rehearse", "--yes"]).await?;
    ensure!(code == REFUSED, "{code}: {said}");
    has(&said, &["takes no part", "server.allow_rehearsal"])?;
    ensure!(cluster.settled().await?.epoch == before.epoch, "something was done");

    for name in ["db1", "db2", "db3"] {
        let node = cluster.node_mut(name)?;
        node.set("server.allow_rehearsal", "true");
        node.restart().await?;
    }
    cluster.settled().await?;
    let file = cluster.sandbox().root().join("rehearsal.xml");
    let mut command = cluster.ctl().command(&["rehearse", "--yes", &format!("--junit={}", file.display())]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = within("batonctl rehearse", REHEARSAL, attended(&mut cluster, command.output())).await?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    ensure!(output.status.success(), cluster.explained(anyhow::anyhow!("{}: {said}", output.status)));
    has(&said, &["all 4 cases passed", "replica failure", "switchover", "primary failure", "fencing"])?;
    let junit = std::fs::read_to_string(&file)?;
    has(&junit, &["tests=\"4\" failures=\"0\"", "name=\"primary failure\""])?;
    let after = cluster.settled().await?;
    ensure!(after.epoch == before.epoch + 2, "{after:#?}");
    Ok(())
}

/// Servers that were killed are this process's children: until somebody asks for them they keep their process id, and
/// MySQL does not start beside a socket whose process seems to live.
async fn attended<T>(cluster: &mut Cluster, done: impl Future<Output = std::io::Result<T>>) -> Result<T> {
    let mut done = pin!(done);
    loop {
        tokio::select! {
            done = &mut done => return Ok(done?),
            () = sleep(LOOK) => {
                for name in ["db1", "db2", "db3"] {
                    cluster.server_mut(name)?.exited()?;
                }
            }
        }
    }
}
