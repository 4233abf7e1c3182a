//! `batonctl rehearse`: refused on a cluster that is not there for that, and on one that is all four cases pass.

use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use baton_tests::cluster::Cluster;
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, within};
use mysql_async::prelude::Queryable;
use tokio::time::sleep;

use crate::{REFUSED, ctl, has, patient};

/// Two servers are killed, started and caught up, and the writer moves twice.
const REHEARSAL: Duration = Duration::from_secs(300);
/// Between two looks at the servers.
const LOOK: Duration = Duration::from_millis(50);

on_both!(four_cases_pass, mysql_four_cases_pass, mariadb_four_cases_pass);

async fn four_cases_pass(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(patient(dialect).proxies(1)).await?;
    let doubles = cluster.proxysql(true).await?;
    let before = cluster.pre_flight().await?;
    let (code, said) = ctl(&cluster, &["rehearse", "--yes"]).await?;
    ensure!(code == REFUSED, "{code}: {said}");
    has(&said, &["takes no part", "server.allow_rehearsal"])?;
    ensure!(cluster.settled().await?.epoch == before.epoch, "something was done");

    for name in ["db1", "db2", "db3"] {
        let node = cluster.node_mut(name)?;
        node.set("server.allow_rehearsal", "true");
        node.restart().await?;
        starts_when_asked_again(&cluster.sandbox().root().join(name))?;
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
    // Whose clients were led where, by connections through the routers and by what ProxySQL has.
    has(&said, &["routers of db1, db2, db3; ProxySQL proxy1", "every row written is found"])?;
    let closed = match dialect {
        Dialect::MySql => "refuses writes: read_only=1, super_read_only=1",
        Dialect::MariaDb => "refuses writes: read_only=1",
    };
    let open = if dialect == Dialect::MySql { "read_only=0, super_read_only=0" } else { "read_only=0" };
    ensure!(said.matches(closed).count() == 2, "{said}");
    has(&said, &[&format!("takes writes: {open}")])?;
    ensure!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    let asked = ["db1", "db2", "db3"].map(|name| cluster.sandbox().root().join(name).join("asked"));
    ensure!(asked.iter().filter(|file| file.exists()).count() >= 1, "no server was slow to start");
    let junit = std::fs::read_to_string(&file)?;
    has(&junit, &["tests=\"4\" failures=\"0\"", "name=\"primary failure\""])?;
    let after = cluster.settled().await?;
    ensure!(after.epoch == before.epoch + 2, "{after:#?}");
    // Nothing of it stays.
    let tables = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA='baton' AND TABLE_NAME='rehearsal'";
    let left: Option<u64> = cluster.server(&after.writer)?.connect().await?.query_first(tables).await?;
    ensure!(left == Some(0), "the table is still there: {left:?}");
    drop(doubles);
    Ok(())
}

/// What supervises a server may be asked for its start and do nothing, the first time.
fn starts_when_asked_again(node: &Path) -> Result<()> {
    let (script, real) = (node.join("start-server"), node.join("start-server.real"));
    std::fs::rename(&script, &real)?;
    let (asked, real) = (node.join("asked"), real.display());
    let text = format!("if [ -e '{0}' ]; then exec /bin/sh '{real}'; fi; : > '{0}'\n", asked.display());
    Ok(std::fs::write(script, text)?)
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
