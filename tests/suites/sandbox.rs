//! The sandbox itself: servers replicate, faults hit what they should and nothing else, and nothing is left over.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use baton_tests::on_both;
use baton_tests::sandbox::{
    Dialect, Hosts, Ledger, LedgerOptions, Sandbox, SandboxOptions, Server, replication, until,
};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

on_both!(
    replicates_and_suffers_faults,
    mysql_replicates_and_suffers_faults,
    mariadb_replicates_and_suffers_faults
);

async fn replicates_and_suffers_faults(dialect: Dialect) -> Result<()> {
    let sandbox = Sandbox::new(SandboxOptions::new(dialect)).await?;
    let mut servers = sandbox.servers().await?;
    starts_closed_and_equal(&servers).await?;
    replication::attach(&servers[0], &[&servers[1], &servers[2]], true).await?;

    let mut ledger = Ledger::start(sandbox.client(), &[servers[0].address()], LedgerOptions::default());
    acknowledged_more(&ledger, 50).await?;

    // One acker is enough, and the source's own host alone is not.
    if sandbox.hosts()[0].namespace().is_some() {
        sandbox.hosts()[1].cut().await?;
        acknowledged_more(&ledger, 50).await?;
        sandbox.hosts()[2].cut().await?;
        no_more_acknowledged(&ledger).await?;
        let healed = Instant::now();
        sandbox.hosts()[1].heal().await?;
        sandbox.hosts()[2].heal().await?;
        acknowledged_more(&ledger, 50).await?;
        ensure!(ledger.gap_after(healed) >= Duration::from_millis(300), "the cut must show as a gap");
    }

    let killed = Instant::now();
    servers[0].kill(Signal::KILL)?;
    servers[0].wait_exit(SOON).await?;
    no_more_acknowledged(&ledger).await?;
    ledger.stop().await;
    ensure!(
        ledger.gap_after(killed) >= Duration::from_millis(300),
        "an outage without an end must show as a gap"
    );
    ensure!(ledger.acknowledged() >= 50, "too few writes: {}", ledger.acknowledged());
    servers[0].start().await?;
    let found = ledger.found(&servers[0]).await?;
    ensure!(found.lost.is_empty() && found.refused.is_empty() && found.doubled == 0, "{found:?}");
    one_replica_has_everything(&ledger, &servers[1..]).await?;

    servers[2].kill(Signal::KILL)?;
    until("the end to be seen", SOON, async || servers[2].exited()).await?;
    servers[2].start().await
}

/// The boot state that Baton demands; and equal data, so that none has transactions of its own.
async fn starts_closed_and_equal(servers: &[Server]) -> Result<()> {
    let variables: &[&str] = match servers[0].dialect() {
        Dialect::MySql => &["super_read_only", "read_only"],
        Dialect::MariaDb => &["read_only"],
    };
    let off: &[&str] = match servers[0].dialect() {
        Dialect::MySql => &["rpl_semi_sync_source_enabled", "rpl_semi_sync_replica_enabled"],
        Dialect::MariaDb => &["rpl_semi_sync_master_enabled", "rpl_semi_sync_slave_enabled"],
    };
    for server in servers {
        for variable in variables {
            ensure!(
                server.query::<bool>(&format!("SELECT @@GLOBAL.{variable}")).await? == [true],
                "{variable}"
            );
        }
        for variable in off {
            ensure!(
                server.query::<bool>(&format!("SELECT @@GLOBAL.{variable}")).await? == [false],
                "{variable}"
            );
        }
        ensure!(server.query::<String>("SELECT @@GLOBAL.event_scheduler").await? == ["OFF"]);
        ensure!(server.executed().await?.is_empty(), "a new server has transactions");
    }
    Ok(())
}

async fn acknowledged_more(ledger: &Ledger, more: usize) -> Result<()> {
    let before = ledger.acknowledged();
    until("more acknowledged writes", Duration::from_secs(15), async || {
        Ok((ledger.acknowledged() >= before + more).then_some(()))
    })
    .await
}

/// Waits for the last writes on their way, then looks for a while: that nothing happens can only be seen in time.
async fn no_more_acknowledged(ledger: &Ledger) -> Result<()> {
    until("the writes to stop", SOON, async || {
        let before = ledger.acknowledged();
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok((ledger.acknowledged() == before).then_some(()))
    })
    .await
}

/// Each write was acknowledged by one replica, but not always by the same.
async fn one_replica_has_everything(ledger: &Ledger, replicas: &[Server]) -> Result<()> {
    until("a replica to apply everything", SOON, async || {
        for replica in replicas {
            let found = ledger.found(replica).await?;
            if found.lost.is_empty() && found.rows > 0 {
                return Ok(Some(()));
            }
        }
        Ok(None)
    })
    .await
}

#[tokio::test]
async fn links_are_cut_in_one_direction_or_both() -> Result<()> {
    if let Err(reason) = Hosts::available() {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let sandbox = Sandbox::new(SandboxOptions::new(Dialect::MySql)).await?;
    let [a, b, c] = sandbox.hosts() else { unreachable!("three hosts") };
    let listener = b.run(async move { Ok(TcpListener::bind(("0.0.0.0", 7000)).await?) }).await?;
    let echo = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&byte).await.is_ok() {}
            });
        }
    };
    b.runtime().spawn(echo);
    let address = b.address();
    let reaches = async |host: &baton_tests::sandbox::Host| {
        let ask = async move {
            let exchange = async {
                let mut stream = TcpStream::connect((address, 7000)).await?;
                stream.write_all(b"x").await?;
                stream.read_exact(&mut [0]).await
            };
            Ok(timeout(Duration::from_millis(700), exchange).await.is_ok_and(|result| result.is_ok()))
        };
        host.run(ask).await
    };

    ensure!(
        reaches(a).await? && reaches(c).await? && reaches(sandbox.client()).await?,
        "all reach b at first"
    );
    a.cut_from(b).await?;
    ensure!(!reaches(a).await? && reaches(c).await?, "only the link a-b is cut");
    a.heal().await?;
    ensure!(reaches(a).await?, "a is healed");
    b.mute_towards(c).await?;
    ensure!(reaches(a).await? && !reaches(c).await?, "b's answers to c are lost");
    c.heal().await?;
    ensure!(reaches(c).await?, "c is healed");
    let heard = b.clone();
    heard.cut().await?;
    ensure!(!reaches(a).await? && !reaches(sandbox.client()).await?, "b is alone");
    ensure!(reaches(b).await?, "b reaches itself");
    Ok(())
}

#[tokio::test]
async fn a_frozen_host_says_nothing_and_a_dead_one_has_no_process() -> Result<()> {
    let sandbox = Sandbox::new(SandboxOptions::new(Dialect::MySql)).await?;
    let [a, b, _] = sandbox.hosts() else { unreachable!("three hosts") };
    let state = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').and_then(|rest| rest.1.trim().chars().next())
    };
    let mut children = Vec::new();
    for host in [a, a, b] {
        children.push(host.command("sleep").arg("600").spawn()?);
    }
    let pids: Vec<u32> = children.iter().filter_map(tokio::process::Child::id).collect();
    until("the children to run", SOON, async || {
        Ok(pids
            .iter()
            .all(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c == "sleep\n"))
            .then_some(()))
    })
    .await?;
    let states = |wanted: [char; 3]| pids.iter().map(|pid| state(*pid)).eq(wanted.map(Some));
    a.freeze();
    until("a alone to stand still", SOON, async || Ok(states(['T', 'T', 'S']).then_some(()))).await?;
    a.thaw();
    until("a to go on", SOON, async || Ok(states(['S', 'S', 'S']).then_some(()))).await?;
    a.freeze();
    a.power_off().await?;
    ensure!(sandbox.processes() == pids[2..], "of {pids:?} run {:?}", sandbox.processes());
    Ok(())
}

#[tokio::test]
async fn a_closure_runs_in_its_hosts_namespace() -> Result<()> {
    let sandbox = Sandbox::new(SandboxOptions::new(Dialect::MySql)).await?;
    for host in sandbox.hosts() {
        let address = host.address();
        // Another host's address could not be bound.
        host.enter(move || Ok(std::net::TcpListener::bind((address, 7001))?)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_dropped_sandbox_leaves_nothing() -> Result<()> {
    let sandbox = Sandbox::new(SandboxOptions::new(Dialect::MySql)).await?;
    let (id, root) = (sandbox.id().to_owned(), sandbox.root().to_owned());
    let spaces: HashSet<PathBuf> =
        sandbox.hosts().iter().filter_map(|host| fs::read_link(host.namespace()?).ok()).collect();
    // One that left its parent and its session, and one that cannot be ended by anything but SIGKILL.
    let mut daemon = sandbox.hosts()[0].command("setsid");
    daemon.args(["--fork", "sleep", "600"]).spawn()?.wait().await?;
    let mut deaf = sandbox.hosts()[1].command("sh");
    let deaf = deaf.args(["-c", "trap '' HUP INT TERM; sleep 600; sleep 600"]).spawn()?;
    until("the processes to run", SOON, async || Ok((sandbox.processes().len() >= 3).then_some(()))).await?;
    drop(sandbox);
    drop(deaf);
    ensure!(
        marked(&id).is_empty() && !root.exists(),
        "processes {:?}, folder {}",
        marked(&id),
        root.display()
    );
    ensure!(namespaces_in_use().is_disjoint(&spaces), "a namespace is left");
    Ok(())
}

/// Set for the process that is killed.
const TO_BE_KILLED: &str = "BATON_TEST_TO_BE_KILLED";

/// The test starts itself once more, as the one that is killed.
#[tokio::test]
async fn a_killed_test_leaves_nothing() -> Result<()> {
    if std::env::var_os(TO_BE_KILLED).is_some() {
        return hang_with_a_sandbox().await;
    }
    let mut test = std::process::Command::new(std::env::current_exe()?)
        .args(["--exact", "a_killed_test_leaves_nothing", "--nocapture"])
        .env(TO_BE_KILLED, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(test.stdout.take().unwrap()).lines();
    let root = lines
        .find_map(|line| line.unwrap().split_once("root: ").map(|found| PathBuf::from(found.1)))
        .unwrap();
    let id = root.file_name().unwrap().to_str().unwrap().to_owned();
    // In the midst of its exec a process has no environment.
    let runs = async || Ok((!marked(&id).is_empty()).then_some(()));
    let ran = until("something to run", SOON, runs).await;
    test.kill()?;
    test.wait()?;
    ran?;
    until("the guardian to clean up", SOON, async || {
        Ok((marked(&id).is_empty() && !Path::new(&root).exists()).then_some(()))
    })
    .await
}

async fn hang_with_a_sandbox() -> Result<()> {
    let sandbox = Sandbox::new(SandboxOptions::new(Dialect::MySql)).await?;
    let mut daemon = sandbox.hosts()[0].command("setsid");
    daemon.args(["--fork", "sleep", "600"]).spawn()?.wait().await?;
    println!("root: {}", sandbox.root().display());
    // Longer than the other waits for the line above; ends by itself if nobody kills it.
    tokio::time::sleep(Duration::from_secs(60)).await;
    Ok(())
}

/// The processes whose environment names the sandbox.
fn marked(id: &str) -> Vec<String> {
    let wanted = format!("BATON_SANDBOX={id}");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let marked = processes.filter(|entry| {
        fs::read(entry.path().join("environ")).is_ok_and(|environ| {
            environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
    });
    marked.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The network namespaces of all threads on this machine.
fn namespaces_in_use() -> HashSet<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let threads =
        processes.filter_map(|entry| fs::read_dir(entry.path().join("task")).ok()).flatten().flatten();
    threads.filter_map(|thread| fs::read_link(thread.path().join("ns/net")).ok()).collect()
}
