//! Daemon, keeper and server killed or stopped, in every combination that differs.

use anyhow::{Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions, Scenario};
use baton_tests::sandbox::Dialect;
use rustix::process::Signal;

use super::alerts::begin;
use super::{GAP, OUTAGE, SOON, cannot_cut, fault};

fault!(daemon_killed: mysql mysql_daemon_killed, mariadb mariadb_daemon_killed);
fault!(daemon_restarted: mariadb mariadb_daemon_restarted, mysql mysql_daemon_restarted);
fault!(daemon_stopped: mariadb mariadb_daemon_stopped, mysql mysql_daemon_stopped);
fault!(keeper_killed: mysql mysql_keeper_killed, mariadb mariadb_keeper_killed);
fault!(keeper_stopped: mariadb mariadb_keeper_stopped, mysql mysql_keeper_stopped);
fault!(both_killed: mysql mysql_daemon_and_keeper_killed, mariadb mariadb_daemon_and_keeper_killed);
fault!(both_stopped: mariadb mariadb_daemon_and_keeper_stopped, mysql mysql_daemon_and_keeper_stopped);
fault!(daemon_killed_and_cut: mariadb mariadb_daemon_killed_and_cut_off, mysql mysql_daemon_killed_and_cut_off);
fault!(daemon_stopped_and_cut: mysql mysql_daemon_stopped_and_cut_off, mariadb mariadb_daemon_stopped_and_cut_off);
fault!(keeper_killed_and_cut: mysql mysql_keeper_killed_and_cut_off, mariadb mariadb_keeper_killed_and_cut_off);
fault!(keeper_stopped_and_cut: mariadb mariadb_keeper_stopped_and_cut_off, mysql mysql_keeper_stopped_and_cut_off);
fault!(both_killed_and_cut: mysql mysql_both_killed_and_cut_off, mariadb mariadb_both_killed_and_cut_off);
fault!(both_stopped_and_cut: mariadb mariadb_both_stopped_and_cut_off, mysql mysql_both_stopped_and_cut_off);
fault!(all_killed: mysql mysql_all_killed, mariadb mariadb_all_killed);
fault!(server_hung: both mysql_server_hung, mariadb_server_hung);
fault!(host_frozen: mysql mysql_host_frozen, mariadb mariadb_host_frozen);

/// The daemon beside the writer is gone and nobody starts it: its keeper ends the server with the lease.
async fn daemon_killed(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    scenario.cluster.node_mut("db1")?.kill().await?;
    scenario.moves(OUTAGE).await?;
    ensure!(
        scenario.cluster.server_mut("db1")?.exited()?.is_some(),
        "a server without a daemon outlived its lease"
    );
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// systemd starts the daemon again before the lease ends: it takes the lease over, and nothing happens.
async fn daemon_restarted(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    scenario.cluster.node_mut("db1")?.restart().await?;
    scenario.stays(super::NOTHING, GAP).await?;
    scenario.ends(None).await
}

/// A daemon that stands still renews nothing. When it goes on, its server is another's or gone.
async fn daemon_stopped(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    scenario.cluster.node("db1")?.signal(Signal::STOP)?;
    scenario.moves(OUTAGE).await?;
    scenario.cluster.node("db1")?.signal(Signal::CONT)?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// Without a keeper there is no lease: the daemon closes the server and ends.
async fn keeper_killed(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    scenario.cluster.node("db1")?.signal_keeper(Signal::KILL)?;
    scenario.moves(OUTAGE).await?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// A keeper that stands still takes no extension, so the daemon closes its server in time.
async fn keeper_stopped(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    scenario.cluster.node("db1")?.signal_keeper(Signal::STOP)?;
    scenario.moves(OUTAGE).await?;
    // It finds its deadline passed before it reads that the server is closed.
    scenario.cluster.node("db1")?.signal_keeper(Signal::CONT)?;
    scenario.cluster.server_mut("db1")?.wait_exit(SOON).await?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// Nobody beside the server is left, and it serves on: alone, as nobody is promoted beside it. The next daemon finds no
/// lease to take over, so it closes the server, and the next epoch is granted.
async fn both_killed(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    scenario.cluster.node("db1")?.signal_keeper(Signal::KILL)?;
    scenario.cluster.node_mut("db1")?.kill().await?;
    scenario.stays(super::NOTHING, GAP).await?;
    scenario.fault();
    scenario.cluster.node_mut("db1")?.start()?;
    goes_on_under_the_next_epoch(scenario).await
}

/// The same, and later both go on as if nothing had been: the keeper finds its deadline passed.
async fn both_stopped(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    scenario.cluster.node("db1")?.signal_keeper(Signal::STOP)?;
    scenario.cluster.node("db1")?.signal(Signal::STOP)?;
    scenario.stays(super::NOTHING, GAP).await?;
    scenario.fault();
    scenario.cluster.node("db1")?.signal_keeper(Signal::CONT)?;
    scenario.cluster.node("db1")?.signal(Signal::CONT)?;
    goes_on_under_the_next_epoch(scenario).await
}

/// Whoever is the writer then.
async fn goes_on_under_the_next_epoch(mut scenario: Scenario) -> Result<()> {
    let before = scenario.before.epoch;
    let next = scenario.cluster.reaches("the next epoch", SOON, |s| s.epoch > before && s.writer_open);
    let after = next.await?;
    scenario.writes_go_on().await?;
    scenario.ends_within(OUTAGE)?;
    let out = match after.writer.as_str() {
        "db1" => None,
        _ => scenario.comes_back("db1").await?,
    };
    scenario.ends(out).await
}

/// Nobody can close the server, inside or outside: it stays open, and acknowledges nothing for want of an acker.
async fn both_killed_and_cut(name: &'static str, dialect: Dialect) -> Result<()> {
    cut_off(name, dialect, &[Strikes::Keeper(Signal::KILL), Strikes::Daemon(Signal::KILL)]).await
}

/// The same, and later both go on.
async fn both_stopped_and_cut(name: &'static str, dialect: Dialect) -> Result<()> {
    cut_off(name, dialect, &[Strikes::Keeper(Signal::STOP), Strikes::Daemon(Signal::STOP)]).await
}

/// Its keeper alone ends the server.
async fn daemon_killed_and_cut(name: &'static str, dialect: Dialect) -> Result<()> {
    cut_off(name, dialect, &[Strikes::Daemon(Signal::KILL)]).await
}

/// The same, and the daemon goes on when all is over.
async fn daemon_stopped_and_cut(name: &'static str, dialect: Dialect) -> Result<()> {
    cut_off(name, dialect, &[Strikes::Daemon(Signal::STOP)]).await
}

/// The daemon alone closes the server.
async fn keeper_killed_and_cut(name: &'static str, dialect: Dialect) -> Result<()> {
    cut_off(name, dialect, &[Strikes::Keeper(Signal::KILL)]).await
}

/// The same, and the keeper finds its deadline passed.
async fn keeper_stopped_and_cut(name: &'static str, dialect: Dialect) -> Result<()> {
    cut_off(name, dialect, &[Strikes::Keeper(Signal::STOP)]).await
}

/// What gets which signal.
#[derive(Clone, Copy)]
enum Strikes {
    Daemon(Signal),
    Keeper(Signal),
}

impl Strikes {
    fn send(self, cluster: &Cluster, signal: Option<Signal>) -> Result<()> {
        match self {
            Self::Daemon(own) => cluster.node("db1")?.signal(signal.unwrap_or(own)),
            Self::Keeper(own) => cluster.node("db1")?.signal_keeper(signal.unwrap_or(own)),
        }
    }

    fn stops(self) -> bool {
        matches!(self, Self::Daemon(Signal::STOP) | Self::Keeper(Signal::STOP))
    }
}

/// The writer's host is cut off, and these of its processes are struck at the same time. What was stopped goes on when
/// the writer has moved, and the network is whole again after that.
async fn cut_off(name: &'static str, dialect: Dialect, strikes: &[Strikes]) -> Result<()> {
    if cannot_cut() {
        return Ok(());
    }
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    scenario.cluster.host("db1")?.cut().await?;
    strikes.iter().try_for_each(|strike| strike.send(&scenario.cluster, None))?;
    scenario.moves(OUTAGE).await?;
    let stopped = strikes.iter().filter(|strike| strike.stops());
    stopped.clone().try_for_each(|strike| strike.send(&scenario.cluster, Some(Signal::CONT)))?;
    if strikes.iter().any(|strike| matches!(strike, Strikes::Keeper(Signal::STOP))) {
        // It finds its deadline passed before it reads anything.
        scenario.cluster.server_mut("db1")?.wait_exit(SOON).await?;
    }
    scenario.cluster.host("db1")?.heal().await?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// Daemon, keeper and server are gone at once, and the host is there: nobody is left to say so, and its ports refuse.
async fn all_killed(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    scenario.cluster.node("db1")?.signal_keeper(Signal::KILL)?;
    scenario.cluster.server("db1")?.kill(Signal::KILL)?;
    scenario.cluster.node_mut("db1")?.kill().await?;
    scenario.moves(OUTAGE).await?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// The server's process stands still: its port takes connections and nobody answers. Going on, it acknowledges nothing.
async fn server_hung(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    scenario.cluster.server("db1")?.kill(Signal::STOP)?;
    scenario.moves(OUTAGE).await?;
    // Its keeper may have killed it, and then there is nothing to let go on.
    if scenario.cluster.server_mut("db1")?.exited()?.is_none() {
        scenario.cluster.server("db1")?.kill(Signal::CONT)?;
    }
    scenario.writes_go_on().await?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// A virtual machine is paused for longer than a lease, and goes on. Its keeper finds its deadline passed.
async fn host_frozen(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    scenario.cluster.host("db1")?.freeze();
    scenario.moves(OUTAGE).await?;
    // An acknowledgement that was on its way to a client when the host froze is none of the next epoch's.
    scenario.gives_up_on("db1").await?;
    scenario.cluster.host("db1")?.thaw();
    scenario.cluster.server_mut("db1")?.wait_exit(SOON).await?;
    let after = scenario.cluster.reaches("the old writer to be closed", SOON, |status| {
        status.nodes.iter().any(|node| node.name == "db1" && !node.open)
    });
    after.await?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}
