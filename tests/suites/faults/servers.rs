//! What users and settings do to a server: locks, transactions, connections, accounts, replicas that lag.

use anyhow::{Context, Result};
use baton_tests::cluster::{ClusterOptions, Layout, Scenario};
use baton_tests::sandbox::{Account, Dialect, within};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use rustix::process::Signal;

use super::alerts::begin;
use super::{DEGRADES, GAP, NOTHING, OUTAGE, SOON, fault};

/// `max_connections` of the servers.
const CONNECTIONS: usize = 200;

fault!(connections_exhausted: mysql mysql_connections_exhausted, mariadb mariadb_connections_exhausted);
fault!(lock_and_long_transaction: both mysql_lock_and_long_transaction, mariadb_lock_and_long_transaction);
fault!(replica_lags: mariadb mariadb_replica_lags, mysql mysql_replica_lags);
fault!(only_replica_lags: mysql mysql_only_replica_lags, mariadb mariadb_only_replica_lags);
fault!(replication_user_locked_out: mysql mysql_replication_user_locked_out, mariadb mariadb_replication_user_locked_out);

/// Applications take all connections: nobody new gets in, and what is connected writes on. No failover.
async fn connections_exhausted(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &[]).await?;
    scenario.fault();
    let mut held = Vec::new();
    while let Ok(session) = application(&scenario, "db1").await {
        held.push(session);
        anyhow::ensure!(held.len() <= CONNECTIONS, "the server takes more connections than it should");
    }
    scenario.stays(NOTHING, GAP).await?;
    drop(held);
    scenario.ends(None).await
}

/// A user locks a table and another has a transaction open when the writer is moved by force: the close does not wait
/// for them.
async fn lock_and_long_transaction(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.cluster.server("db1")?.execute(["CREATE TABLE app.locked (id INT PRIMARY KEY)"]).await?;
    let mut long = application(&scenario, "db1").await?;
    within("a transaction", SOON, long.query_drop("BEGIN")).await?;
    within("a row", SOON, long.query_drop("INSERT INTO app.writes (client, seq, at_us) VALUES (-1, 1, 1)"))
        .await?;
    let mut locker = administrator(&scenario, "db1").await?;
    within("a lock", SOON, locker.query_drop("LOCK TABLES app.locked WRITE")).await?;
    scenario.fault();
    scenario.cluster.ctl().force_failover("db2", "locks are tested").await?;
    scenario.moves(OUTAGE).await?;
    drop((long, locker));
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// One replica has much to apply when the primary dies: the other one takes over.
async fn replica_lags(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    let mut locker = administrator(&scenario, "db2").await?;
    within("a lock on the replica", SOON, locker.query_drop("LOCK TABLES app.writes READ")).await?;
    scenario.writes_go_on().await?;
    scenario.fault();
    scenario.cluster.server("db1")?.kill(Signal::KILL)?;
    scenario.cluster.server_mut("db1")?.wait_exit(SOON).await?;
    let after = scenario.moves(OUTAGE).await?;
    // Under load it may be the only one that received the last commit: then the lock is ended for it.
    anyhow::ensure!(
        after.writer == "db3" || lock_ended(&scenario, &after.writer).await?,
        "the replica that lags was promoted: {after:#?}"
    );
    drop(locker);
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// The only replica has much to apply when the primary dies, and somebody's lock keeps it from that: the lock is ended, and
/// the replica is opened only after it has applied everything.
async fn only_replica_lags(name: &'static str, dialect: Dialect) -> Result<()> {
    let options = ClusterOptions::new(dialect).layout(Layout::TwoServersAndWitness);
    let mut scenario = begin(name, options, &["db1"]).await?;
    let mut locker = administrator(&scenario, "db2").await?;
    within("a lock on the replica", SOON, locker.query_drop("LOCK TABLES app.writes READ")).await?;
    scenario.writes_go_on().await?;
    scenario.fault();
    scenario.cluster.server("db1")?.kill(Signal::KILL)?;
    scenario.cluster.server_mut("db1")?.wait_exit(SOON).await?;
    scenario.moves(OUTAGE).await?;
    anyhow::ensure!(lock_ended(&scenario, "db2").await?, "nobody says who held it up");
    drop(locker);
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// Whether the failover ended sessions for `node` to apply what it had received.
async fn lock_ended(scenario: &Scenario, node: &str) -> Result<bool> {
    let operation = scenario.cluster.operation_from(scenario.before.epoch).await?;
    Ok(operation
        .steps
        .iter()
        .any(|s| s.node == node && s.name == "applied" && s.detail.contains("sessions ended for it")))
}

/// Nobody can replicate any more: the writer goes on without ackers, and is covered again when the account is.
async fn replication_user_locked_out(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &[]).await?;
    let repl = Account::REPL.user;
    let writer = scenario.cluster.server("db1")?;
    let dumps: Vec<u64> =
        writer.query(&format!("SELECT id FROM information_schema.processlist WHERE user = '{repl}'")).await?;
    scenario.fault();
    let lock = format!("ALTER USER '{repl}'@'%' ACCOUNT LOCK");
    let kills = dumps.iter().map(|id| format!("KILL {id}"));
    writer_of(&scenario)?.execute([lock].into_iter().chain(kills)).await?;
    scenario.stays(NOTHING, DEGRADES).await?;
    writer_of(&scenario)?.execute([format!("ALTER USER '{repl}'@'%' ACCOUNT UNLOCK")]).await?;
    scenario.ends(None).await
}

fn writer_of(scenario: &Scenario) -> Result<&baton_tests::sandbox::Server> {
    scenario.cluster.server("db1")
}

/// An application's session straight to a server.
async fn application(scenario: &Scenario, node: &str) -> Result<Conn> {
    let address = scenario.cluster.server(node)?.address();
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .prefer_socket(false)
        .user(Some(Account::APP.user))
        .pass(Some(Account::APP.password));
    let client = scenario.cluster.sandbox().client();
    client.run(async move { Ok(Conn::new(options).await?) }).await.context("an application's session")
}

/// An administrator's session, through the server's socket.
async fn administrator(scenario: &Scenario, node: &str) -> Result<Conn> {
    scenario.cluster.server(node)?.connect().await
}
