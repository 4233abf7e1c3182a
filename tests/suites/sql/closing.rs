//! Closing and opening one server.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_node::sql::{Address, CloseOptions, ManagedServer, Permit, Pinned, SqlError, SqlServer, Switch};
use baton_tests::sandbox::{Dialect, Hosts, Sandbox, SandboxOptions, Server, StallMeter, until};
use mysql_async::prelude::Queryable;

use super::managed::{BOUND, Managed, SOON, connector, insert, opened};

/// Open, close, and all that can stand in the way.
pub(crate) async fn closes_and_opens(dialect: Dialect) -> Result<()> {
    let options =
        SandboxOptions { hosts: 1, servers: 1, kind: Some(Hosts::Loopback), ..SandboxOptions::new(dialect) };
    let sandbox = Sandbox::new(options).await?;
    let mut servers = sandbox.servers().await?;
    {
        let managed = Managed::new(&servers[0]).await?;
        it_is_described(&managed).await.context("described")?;
        only_a_permit_opens(&managed).await.context("permit")?;
        sessions_end(&managed).await.context("sessions")?;
        a_lock_bounds_the_close(&managed).await.context("lock")?;
        a_waiting_commit_bounds_the_close(&managed).await.context("waiting commit")?;
        prepared_transactions_are_seen(&managed).await.context("xa")?;
        leftovers_end(&managed).await.context("leftovers")?;
    }
    a_frozen_server_bounds_every_call(&servers[0]).await.context("frozen")?;
    a_pin_ends_with_its_server(&mut servers[0]).await.context("pin")
}

async fn it_is_described(managed: &Managed<'_>) -> Result<()> {
    let status = managed.sql.status().await?;
    let inventory = &status.inventory;
    ensure!(inventory.identity.server_id == managed.server.server_id());
    let s = &inventory.settings;
    ensure!(s.log_bin && s.gtid_mode && s.gtid_strict && s.log_replica_updates, "{s:?}");
    let skips = (managed.server.dialect() == Dialect::MySql).then_some(true);
    ensure!(s.skip_replica_start == skips, "{s:?}");
    ensure!(!s.relay_log_recovery && s.sync_relay_log == 1 && s.sync_binlog == 1, "{s:?}");
    ensure!(s.socket == managed.server.socket().to_string_lossy(), "{s:?}");
    let p = &status.pulse;
    ensure!(p.replication.is_none() && p.executed.is_empty() && p.received.is_empty(), "{p:?}");
    ensure!(p.semi_sync.source_available && p.semi_sync.replica_available && !p.semi_sync.source_enabled);

    let privileges = managed.sql.privileges().await?;
    ensure!(privileges.missing.is_empty(), "{privileges:?}");
    let accounts = managed.sql.accounts_that_write_while_closed().await?;
    let named = |user: &str| accounts.iter().any(|a| a.user == user);
    ensure!(
        named("root") && named("baton") && !named(managed.connector.user()) && !named("app"),
        "{accounts:?}"
    );
    ensure!(!accounts.iter().any(|a| a.user.starts_with("mysql.")), "{accounts:?}");
    managed.sql.set_event_scheduler(true, &Permit::unconditional()).await?;
    ensure!(managed.sql.inventory().await?.settings.event_scheduler);
    managed.sql.set_event_scheduler(false, &Permit::unconditional()).await?;
    managed.sql.warm_up().await?;
    let begun = Instant::now();
    for _ in 0..100 {
        managed.sql.pulse().await?;
    }
    eprintln!("{}: a pulse takes {:?}", managed.server.dialect(), begun.elapsed() / 100);
    Ok(())
}

async fn only_a_permit_opens(managed: &Managed<'_>) -> Result<()> {
    let mut pin = managed.pin().await?;
    ensure!(Some(pin.pid()) == managed.server.pid(), "{} {:?}", pin.pid(), managed.server.pid());
    let refused = pin.open(&Permit::new(|| false), BOUND).await;
    ensure!(matches!(refused, Err(SqlError::Superseded { .. })), "{refused:?}");
    ensure!(managed.switch().await?.is_closed());
    let refused = managed.sql.set_event_scheduler(true, &Permit::new(|| false)).await;
    ensure!(matches!(refused, Err(SqlError::Superseded { .. })), "{refused:?}");
    let left: Vec<_> = std::fs::read_dir(managed.server.host().folder())?.filter_map(Result::ok).collect();
    ensure!(!left.iter().any(|e| e.file_name().to_string_lossy().starts_with("pin-")), "{left:?}");
    Ok(())
}

async fn sessions_end(managed: &Managed<'_>) -> Result<()> {
    opened(managed).await?;
    let mut client = managed.client().await?;
    let id = u64::from(client.id());
    client.query_drop("BEGIN").await?;
    client.query_drop(insert(1, 1)).await?;
    let begun = Instant::now();
    let proof = managed.sql.close(&CloseOptions::default()).await?;
    eprintln!("{}: a close takes {:?}", managed.server.dialect(), begun.elapsed());
    ensure!(proof.sessions_killed.iter().any(|s| s.id == id && s.user == "app"), "{proof:?}");
    ensure!(proof.sessions_left.is_empty() && proof.xa_prepared == 0, "{proof:?}");
    // MariaDB 10.11 cannot bind administrators, and says who they are.
    let accepted = |a: &baton_node::sql::Account| matches!(a.user.as_str(), "root" | "baton" | "mariadb.sys");
    ensure!(proof.gaps(accepted).is_empty(), "{:?}", proof.gaps(accepted));
    let writers = managed.server.dialect() == Dialect::MariaDb;
    ensure!(proof.gaps(|_| false).is_empty() != writers, "{proof:?}");
    ensure!(client.query_drop("COMMIT").await.is_err(), "a killed session commits");
    ensure!(proof.executed == managed.sql.executed().await?);
    let mut late = managed.client().await?;
    ensure!(late.query_drop(insert(1, 2)).await.is_err(), "a closed server takes a write");
    // Once more: closing what is closed changes nothing and proves as much.
    ensure!(managed.sql.close(&CloseOptions::default()).await?.executed == proof.executed);
    Ok(())
}

async fn a_lock_bounds_the_close(managed: &Managed<'_>) -> Result<()> {
    let machine = StallMeter::start(managed.server.host().folder())?;
    opened(managed).await?;
    let mut client = managed.client().await?;
    // LOCK TABLES is not among an application's rights here.
    let mut locker = managed.server.connect().await?;
    locker.query_drop("LOCK TABLES app.writes WRITE").await?;

    let begun = Instant::now();
    let locked = managed.sql.close(&CloseOptions::default()).await;
    ensure!(locked == Err(SqlError::LockWaitTimeout), "{locked:?}");
    let took = begun.elapsed();
    ensure!(took < Duration::from_secs(3) + machine.since(begun), "{took:?}");
    // Its error is on its way before the session has put the statement's text away.
    until("the closing statement to end", SOON, async || {
        Ok((managed.closing_statements().await? == 0).then_some(()))
    })
    .await?;
    ensure!(managed.switch().await? == Switch::Open);

    let patient = CloseOptions {
        lock_wait: Duration::from_secs(60),
        deadline: Duration::from_secs(1),
        ..CloseOptions::default()
    };
    let begun = Instant::now();
    let late = managed.sql.close(&patient).await;
    ensure!(matches!(late, Err(SqlError::TimedOut { .. })), "{late:?}");
    let took = begun.elapsed();
    ensure!(took < Duration::from_millis(1500) + machine.since(begun), "{took:?}");
    ensure!(managed.closing_statements().await? == 0, "the closing statement is still there");

    // A caller that goes away takes its statement along.
    let cut = tokio::time::timeout(Duration::from_millis(300), managed.sql.close(&patient)).await;
    ensure!(cut.is_err(), "{cut:?}");
    until("the closing statement to end", SOON, async || {
        Ok((managed.closing_statements().await? == 0).then_some(()))
    })
    .await?;

    locker.query_drop("UNLOCK TABLES").await?;
    client.query_drop(insert(2, 1)).await?;
    ensure!(managed.switch().await? == Switch::Open, "the closing statement took effect after all");

    locker.query_drop("LOCK TABLES app.writes WRITE").await?;
    let by_force = CloseOptions { kill_blockers: true, ..CloseOptions::default() };
    managed.sql.close(&by_force).await?;
    ensure!(managed.switch().await?.is_closed());
    Ok(())
}

async fn a_waiting_commit_bounds_the_close(managed: &Managed<'_>) -> Result<()> {
    let mut pin = managed.pin().await?;
    let seen = pin.make_source_wait(1, &Permit::unconditional(), BOUND).await?;
    ensure!(seen.source_enabled && seen.source_active && seen.after_sync && seen.wait_no_replica, "{seen:?}");
    pin.open(&Permit::unconditional(), BOUND).await?;
    let mut client = managed.client().await?;
    let before = managed.sql.executed().await?;
    let commit = tokio::spawn(async move { client.query_drop(insert(3, 1)).await });
    until("the commit to wait", SOON, async || {
        Ok((managed.sql.pulse().await?.semi_sync.waiting_sessions == 1).then_some(()))
    })
    .await?;
    // MySQL counts a transaction once it is committed, MariaDB once it is in the binlog.
    let counts = managed.sql.executed().await? != before;
    ensure!(counts == (managed.server.dialect() == Dialect::MariaDb), "executed counts what waits: {counts}");
    let refused = managed.sql.stop_waiting(&Permit::unconditional()).await;
    ensure!(matches!(refused, Err(SqlError::Unsafe(_))), "{refused:?}");
    let blocked = managed.sql.close(&CloseOptions::default()).await;
    ensure!(blocked == Err(SqlError::LockWaitTimeout), "{blocked:?}");
    ensure!(managed.switch().await? == Switch::Open && !commit.is_finished());
    managed.sql.let_go(&Permit::unconditional()).await?;
    tokio::time::timeout(SOON, commit).await???;
    ensure!(!managed.sql.pulse().await?.semi_sync.source_active);
    managed.sql.close(&CloseOptions::default()).await?;
    managed.sql.stop_waiting(&Permit::unconditional()).await?;
    Ok(())
}

async fn prepared_transactions_are_seen(managed: &Managed<'_>) -> Result<()> {
    opened(managed).await?;
    let mut client = managed.client().await?;
    for statement in ["XA START 'x'", &insert(4, 1), "XA END 'x'", "XA PREPARE 'x'"] {
        client.query_drop(statement).await?;
    }
    client.disconnect().await?;
    let proof = managed.sql.close(&CloseOptions::default()).await?;
    ensure!(proof.xa_prepared == 1 && !proof.xa_can_commit, "{proof:?}");
    ensure!(proof.offline == (managed.server.dialect() == Dialect::MySql), "{proof:?}");
    ensure!(proof.offline == managed.client().await.is_err(), "offline mode lets clients in");
    opened(managed).await?;
    let mut client = managed.client().await?;
    if managed.server.dialect() == Dialect::MySql {
        // Recovering another session's transaction is the right of whoever may see it.
        managed.server.execute(["XA ROLLBACK 'x'"]).await?;
    } else {
        client.query_drop("XA ROLLBACK 'x'").await?;
    }
    managed.sql.close(&CloseOptions::default()).await?;
    Ok(())
}

async fn leftovers_end(managed: &Managed<'_>) -> Result<()> {
    let other = connector(Address::Socket(managed.server.socket()));
    let left = SqlServer::new(&other);
    left.ping().await?;
    ensure!(managed.sql.kill_own_leftovers().await? == 1);
    ensure!(left.ping().await.is_err(), "a killed session answers");
    managed.sql.ping().await?;
    ensure!(managed.sql.kill_own_leftovers().await? == 0);
    Ok(())
}

/// Over TCP, and with a server that accepts connections and answers nothing.
async fn a_frozen_server_bounds_every_call(server: &Server) -> Result<()> {
    let address = Address::Tcp { host: server.address().ip().to_string(), port: server.address().port() };
    let connector = connector(address);
    let sql = SqlServer::new(&connector);
    sql.warm_up().await?;
    sql.pulse().await?;
    server.kill(rustix::process::Signal::STOP)?;
    // The signal is sent; a thread that runs just now may still answer.
    let pid = server.pid().context("a server without a process")?;
    until("every thread to stand still", SOON, async || Ok(stands_still(pid).then_some(()))).await?;
    let machine = StallMeter::start(server.host().folder())?;
    let begun = Instant::now();
    let pulses = [sql.pulse().await, sql.pulse().await];
    let close =
        sql.close(&CloseOptions { deadline: Duration::from_secs(1), ..CloseOptions::default() }).await;
    let took = begun.elapsed();
    server.kill(rustix::process::Signal::CONT)?;
    ensure!(pulses.iter().all(|p| matches!(p, Err(SqlError::TimedOut { .. }))), "{pulses:?}");
    ensure!(matches!(close, Err(SqlError::TimedOut { .. })), "{close:?}");
    ensure!(took < Duration::from_millis(3500) + machine.since(begun), "{took:?}");
    until("the server to answer again", SOON, async || Ok(sql.pulse().await.is_ok().then_some(()))).await
}

/// Whether every thread of a process is stopped: state T in the third field of its stat line.
fn stands_still(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    })
}

async fn a_pin_ends_with_its_server(server: &mut Server) -> Result<()> {
    let connector = connector(Address::Socket(server.socket()));
    let folder = server.host().folder().to_owned();
    let mut pin = Pinned::connect(&connector, &server.socket(), &folder, BOUND).await?;
    let sql = SqlServer::new(&connector);
    sql.pulse().await?;
    server.kill(rustix::process::Signal::KILL)?;
    server.wait_exit(SOON).await?;
    let gone = sql.pulse().await;
    ensure!(matches!(gone, Err(SqlError::Gone { .. })), "{gone:?}");
    let refused = sql.pulse().await;
    ensure!(matches!(refused, Err(SqlError::Refused { .. })), "{refused:?}");
    server.start().await?;
    ensure!(pin.open(&Permit::unconditional(), BOUND).await.is_err(), "a pin outlives its server");
    ensure!(pin.is_broken());
    ensure!(sql.pulse().await?.switch.is_closed());
    Ok(())
}
