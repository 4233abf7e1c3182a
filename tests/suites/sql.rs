//! Everything that sends SQL, on real servers of both dialects, under the account that `grants` prints.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_node::gtid;
use baton_node::sql::{
    Address, CloseOptions, Connector, ManagedServer, Permit, Pinned, Source, SqlError, SqlServer, Switch,
    grants_sql,
};
use baton_tests::sandbox::{Account, Dialect, Hosts, Sandbox, SandboxOptions, Server, until};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

const SOON: Duration = Duration::from_secs(10);
const BOUND: Duration = Duration::from_secs(5);
const LEAST: &str = "baton_least";
const LEAST_PASSWORD: &str = "least-test";

#[tokio::test]
async fn mysql_closes_and_opens() -> Result<()> {
    closes_and_opens(Dialect::MySql).await
}

#[tokio::test]
async fn mariadb_closes_and_opens() -> Result<()> {
    closes_and_opens(Dialect::MariaDb).await
}

#[tokio::test]
async fn mysql_moves_the_writer() -> Result<()> {
    moves_the_writer(Dialect::MySql).await
}

#[tokio::test]
async fn mariadb_moves_the_writer() -> Result<()> {
    moves_the_writer(Dialect::MariaDb).await
}

/// A server with what a test needs to reach it as Baton does.
struct Managed<'a> {
    server: &'a Server,
    connector: Connector,
    sql: SqlServer,
}

impl<'a> Managed<'a> {
    async fn new(server: &'a Server) -> Result<Self> {
        let grants = grants_sql(dialect(server), LEAST, "%").replace("<password>", LEAST_PASSWORD);
        // Without the binlog, so that the servers stay equal.
        let mut statements = vec!["SET GLOBAL read_only=OFF".to_owned(), "SET sql_log_bin=0".to_owned()];
        statements.extend(grants.split(";\n").filter(|s| !s.trim().is_empty()).map(str::to_owned));
        let close = if server.dialect() == Dialect::MySql {
            "SET GLOBAL super_read_only=ON"
        } else {
            "SET GLOBAL read_only=ON"
        };
        statements.push(close.to_owned());
        server.execute(&statements).await?;
        let connector =
            Connector::new(Address::Socket(server.socket()), LEAST, LEAST_PASSWORD.to_owned().into());
        Ok(Self { server, sql: SqlServer::new(&connector), connector })
    }

    async fn pin(&self) -> Result<Pinned, SqlError> {
        Pinned::connect(&self.connector, &self.server.socket(), self.server.host().folder(), BOUND).await
    }

    async fn switch(&self) -> Result<Switch> {
        Ok(self.sql.pulse().await?.switch)
    }

    async fn client(&self) -> Result<Conn> {
        let Account { user, password, .. } = Account::APP;
        let options = OptsBuilder::default()
            .ip_or_hostname(self.server.address().ip().to_string())
            .tcp_port(self.server.address().port())
            .user(Some(user))
            .pass(Some(password))
            .prefer_socket(false);
        Ok(Conn::new(options).await?)
    }

    fn as_source(&self) -> Source {
        Source {
            host: self.server.host().address().to_string(),
            port: self.server.address().port(),
            user: Account::REPL.user.into(),
            password: Account::REPL.password.to_owned().into(),
            tls: None,
        }
    }

    /// How many sessions run a closing statement.
    async fn closing_statements(&self) -> Result<usize> {
        let infos: Vec<mysql_async::Row> = self.server.query("SHOW FULL PROCESSLIST").await?;
        let info =
            |row: &mysql_async::Row| row.get::<Option<String>, _>("Info").flatten().unwrap_or_default();
        Ok(infos.iter().filter(|row| info(row).contains("read_only=ON")).count())
    }
}

fn dialect(server: &Server) -> gtid::Dialect {
    match server.dialect() {
        Dialect::MySql => gtid::Dialect::Mysql,
        Dialect::MariaDb => gtid::Dialect::Mariadb,
    }
}

fn insert(client: i32, seq: i64) -> String {
    format!("INSERT INTO app.writes (client, seq, at_us) VALUES ({client}, {seq}, 0)")
}

async fn closes_and_opens(dialect: Dialect) -> Result<()> {
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
    ensure!(named("root") && named("baton") && !named(LEAST) && !named("app"), "{accounts:?}");
    ensure!(!accounts.iter().any(|a| a.user.starts_with("mysql.")), "{accounts:?}");
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

async fn opened(managed: &Managed<'_>) -> Result<()> {
    let after = managed.pin().await?.open(&Permit::unconditional(), BOUND).await?;
    ensure!(after.switch == Switch::Open && !after.offline_mode, "{after:?}");
    ensure!(managed.switch().await? == Switch::Open);
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
    opened(managed).await?;
    let mut client = managed.client().await?;
    // LOCK TABLES is not among an application's rights here.
    let mut locker = managed.server.connect().await?;
    locker.query_drop("LOCK TABLES app.writes WRITE").await?;

    let begun = Instant::now();
    let locked = managed.sql.close(&CloseOptions::default()).await;
    ensure!(locked == Err(SqlError::LockWaitTimeout), "{locked:?}");
    ensure!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    ensure!(managed.closing_statements().await? == 0 && managed.switch().await? == Switch::Open);

    let patient = CloseOptions {
        lock_wait: Duration::from_secs(60),
        deadline: Duration::from_secs(1),
        ..CloseOptions::default()
    };
    let begun = Instant::now();
    let late = managed.sql.close(&patient).await;
    ensure!(matches!(late, Err(SqlError::TimedOut { .. })), "{late:?}");
    ensure!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    ensure!(managed.closing_statements().await? == 0, "the closing statement is still there");
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
    let commit = tokio::spawn(async move { client.query_drop(insert(3, 1)).await });
    until("the commit to wait", SOON, async || {
        Ok((managed.sql.pulse().await?.semi_sync.waiting_sessions == 1).then_some(()))
    })
    .await?;
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
    let other =
        Connector::new(Address::Socket(managed.server.socket()), LEAST, LEAST_PASSWORD.to_owned().into());
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
    let connector = Connector::new(address, LEAST, LEAST_PASSWORD.to_owned().into());
    let sql = SqlServer::new(&connector);
    sql.warm_up().await?;
    sql.pulse().await?;
    server.kill(rustix::process::Signal::STOP)?;
    let begun = Instant::now();
    let pulses = [sql.pulse().await, sql.pulse().await];
    let close =
        sql.close(&CloseOptions { deadline: Duration::from_secs(1), ..CloseOptions::default() }).await;
    let took = begun.elapsed();
    server.kill(rustix::process::Signal::CONT)?;
    ensure!(pulses.iter().all(|p| matches!(p, Err(SqlError::TimedOut { .. }))), "{pulses:?}");
    ensure!(matches!(close, Err(SqlError::TimedOut { .. })), "{close:?}");
    ensure!(took < Duration::from_millis(3500), "{took:?}");
    until("the server to answer again", SOON, async || Ok(sql.pulse().await.is_ok().then_some(()))).await
}

async fn a_pin_ends_with_its_server(server: &mut Server) -> Result<()> {
    let connector = Connector::new(Address::Socket(server.socket()), LEAST, LEAST_PASSWORD.to_owned().into());
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

async fn moves_the_writer(dialect: Dialect) -> Result<()> {
    let options = SandboxOptions { kind: Some(Hosts::Loopback), ..SandboxOptions::new(dialect) };
    let sandbox = Sandbox::new(options).await?;
    let servers = sandbox.servers().await?;
    let mut managed = Vec::new();
    for server in &servers {
        managed.push(Managed::new(server).await?);
    }
    let [a, b, c] = &managed[..] else { unreachable!("three servers") };
    let permit = Permit::unconditional();

    // The beginning: b and c follow a, acknowledging.
    for replica in [b, c] {
        replica.sql.set_acker(true, &permit).await?;
        replica.sql.follow(&a.as_source(), &permit).await?;
    }
    let mut pin = a.pin().await?;
    pin.make_source_wait(1, &permit, BOUND).await?;
    ackers(a, 2).await?;
    pin.open(&permit, BOUND).await?;
    let mut client = a.client().await?;
    for seq in 0..20 {
        client.query_drop(insert(1, seq)).await?;
    }
    let everything = a.sql.executed().await?;
    for replica in [b, c] {
        ensure!(replica.sql.wait_applied(&everything, SOON).await?, "not applied");
        let seen = replica.sql.pulse().await?;
        ensure!(
            seen.executed == everything && seen.all_applied() && seen.semi_sync.replica_acking,
            "{seen:?}"
        );
        let channel = seen.replication.context("no channel")?;
        ensure!(channel.io_running && channel.sql_running && channel.auto_position, "{channel:?}");
        ensure!(channel.source_id == Some(1) && channel.events_marker > 0, "{channel:?}");
        heartbeats_rise(replica).await?;
    }
    let refused = a.sql.follow(&b.as_source(), &permit).await;
    ensure!(matches!(refused, Err(SqlError::Unsafe(_))), "an open server follows: {refused:?}");
    receivers_starve_and_feed(a, [b, c], &mut client).await.context("starve")?;
    received_is_not_thrown_away(c, &mut client).await.context("received")?;
    an_acker_comes_and_goes(a, c).await.context("acker")?;

    move_to(b, a, &[c]).await.context("there")?;
    move_to(a, b, &[c]).await.context("and back")?;
    let last = a.sql.executed().await?;
    for replica in [b, c] {
        ensure!(replica.sql.wait_applied(&last, SOON).await?, "not applied");
        ensure!(replica.sql.executed().await? == last);
    }
    // An ending: forgetting twice is as good as once.
    b.sql.forget_source(&permit).await?;
    b.sql.forget_source(&permit).await?;
    ensure!(b.sql.pulse().await?.replication.is_none());
    lets_go_of_a_dead_acker(a, c.server).await.context("let go")
}

/// The last acker dies: the writer's commits wait until it is let go, and then neither they nor new connections do.
async fn lets_go_of_a_dead_acker(writer: &Managed<'_>, acker: &Server) -> Result<()> {
    const QUICK: Duration = Duration::from_millis(400);
    let permit = Permit::unconditional();
    acker.kill(rustix::process::Signal::KILL)?;
    for _again in 0..2 {
        let mut client = writer.client().await?;
        let commit = tokio::spawn(async move { client.query_drop(insert(6, 1)).await });
        until("the commit to wait", SOON, async || {
            Ok((writer.sql.pulse().await?.semi_sync.waiting_sessions == 1).then_some(()))
        })
        .await?;
        let begun = Instant::now();
        let (gone, released) = tokio::join!(writer.sql.let_go(&permit), async {
            tokio::time::timeout(QUICK, commit).await???;
            anyhow::Ok(begun.elapsed())
        });
        eprintln!(
            "{}: released after {:?}, all of it took {:?}",
            writer.server.dialect(),
            released?,
            begun.elapsed()
        );
        gone?;
        let mut late = writer.client().await?;
        late.query_drop(insert(6, 2)).await?;
        ensure!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        // And it can be made to wait again.
        let mut pin = writer.pin().await?;
        pin.make_source_wait(1, &permit, BOUND).await?;
    }
    Ok(())
}

async fn ackers(source: &Managed<'_>, wanted: u32) -> Result<()> {
    until("the ackers to connect", SOON, async || {
        Ok((source.sql.pulse().await?.semi_sync.ackers == wanted).then_some(()))
    })
    .await
}

async fn heartbeats_rise(replica: &Managed<'_>) -> Result<()> {
    let beats =
        async || Ok::<_, SqlError>(replica.sql.pulse().await?.replication.map_or(0, |c| c.heartbeats));
    let before = beats().await?;
    until("a heartbeat", SOON, async || Ok((beats().await? > before).then_some(()))).await
}

/// Without receivers the source's commits wait; with one again they end.
async fn receivers_starve_and_feed(
    a: &Managed<'_>,
    replicas: [&Managed<'_>; 2],
    client: &mut Conn,
) -> Result<()> {
    let permit = Permit::unconditional();
    for replica in replicas {
        replica.sql.stop_receiver(&permit).await?;
        replica.sql.stop_receiver(&permit).await?;
        let channel = replica.sql.pulse().await?.replication.context("no channel")?;
        ensure!(!channel.io_started && channel.sql_running, "{channel:?}");
    }
    let commit = client.query_drop(insert(2, 1));
    let feed = async {
        until("the commit to wait", SOON, async || {
            Ok((a.sql.pulse().await?.semi_sync.waiting_sessions == 1).then_some(()))
        })
        .await?;
        for replica in replicas {
            replica.sql.start_receiver(&permit).await?;
        }
        anyhow::Ok(())
    };
    let (commit, feed) = tokio::time::timeout(SOON, async { tokio::join!(commit, feed) }).await?;
    commit?;
    feed
}

/// The switch takes effect on a running replica, both ways.
async fn an_acker_comes_and_goes(source: &Managed<'_>, replica: &Managed<'_>) -> Result<()> {
    let permit = Permit::unconditional();
    for (on, wanted) in [(false, 1), (true, 2)] {
        replica.sql.set_acker(on, &permit).await?;
        ackers(source, wanted).await?;
        until("the replica to stream", SOON, async || {
            let seen = replica.sql.pulse().await?;
            let streams = seen.replication.is_some_and(|c| c.io_running && c.sql_running);
            Ok((streams && seen.semi_sync.replica_acking == on).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// With the applier stopped and events received, nothing that would lose them is done.
async fn received_is_not_thrown_away(replica: &Managed<'_>, client: &mut Conn) -> Result<()> {
    let permit = Permit::unconditional();
    let stop = match replica.server.dialect() {
        Dialect::MySql => "STOP REPLICA SQL_THREAD",
        Dialect::MariaDb => "STOP SLAVE SQL_THREAD",
    };
    replica.server.execute([stop]).await?;
    client.query_drop(insert(3, 1)).await?;
    until(
        "the event to arrive",
        SOON,
        async || Ok((!replica.sql.pulse().await?.all_applied()).then_some(())),
    )
    .await?;
    let received = replica.sql.received().await?;
    ensure!(!replica.sql.wait_applied(&received, BOUND).await?, "applied without an applier");
    let refused = replica.sql.forget_source(&permit).await;
    ensure!(matches!(refused, Err(SqlError::Unsafe(_))), "{refused:?}");
    if replica.server.dialect() == Dialect::MariaDb {
        let refused = replica.sql.stop_receiver(&permit).await;
        ensure!(matches!(refused, Err(SqlError::Unsafe(_))), "{refused:?}");
    }
    ensure!(replica.sql.received().await?.contains(&received)?);
    replica.sql.start_applier(&permit).await?;
    replica.sql.start_receiver(&permit).await?;
    ensure!(replica.sql.wait_applied(&received, SOON).await?);
    Ok(())
}

/// A planned switchover as the operation will do it, from `old` to `new`, siblings last.
async fn move_to(new: &Managed<'_>, old: &Managed<'_>, siblings: &[&Managed<'_>]) -> Result<()> {
    let permit = Permit::unconditional();
    new.sql.warm_up().await?;
    old.sql.warm_up().await?;
    let mut pin = new.pin().await?;
    let begun = Instant::now();
    let proof = old.sql.close(&CloseOptions::default()).await?;
    ensure!(new.sql.wait_applied(&proof.executed, SOON).await?, "not applied");
    ensure!(new.sql.executed().await? == old.sql.executed().await?, "not equal");
    new.sql.forget_source(&permit).await?;
    new.sql.set_acker(false, &permit).await?;
    let attach = async {
        old.sql.set_acker(true, &permit).await?;
        old.sql.follow(&new.as_source(), &permit).await?;
        pin.make_source_wait(1, &permit, BOUND).await?;
        ackers(new, 1).await?;
        pin.open(&permit, BOUND).await?;
        eprintln!("{}: the SQL of a switchover takes {:?}", new.server.dialect(), begun.elapsed());
        let mut client = new.client().await?;
        tokio::time::timeout(SOON, client.query_drop(insert(5, 1))).await??;
        for sibling in siblings {
            sibling.sql.follow(&new.as_source(), &permit).await?;
        }
        ackers(new, 2).await
    };
    let (attached, stopped) = tokio::join!(attach, old.sql.stop_waiting(&permit));
    attached?;
    stopped?;
    ensure!(!old.sql.pulse().await?.semi_sync.source_enabled);
    Ok(())
}
