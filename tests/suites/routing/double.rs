//! The double is as strict as a real ProxySQL 2.7: each of its peculiarities that a client could trip over. Where a real one
//! can be had, it is shown to be no different.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_node::config::HostPort;
use baton_node::proxysql::{Admin, AdminError, Groups, Limits};
use baton_tests::proxysql::{ADMIN, ProxySql, ProxySqlOptions, Status, WRITER_GROUP};
use baton_tests::sandbox::{Dialect, Sandbox, SandboxOptions, until};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder, Row};
use secrecy::SecretString;
use tokio::time::timeout;

use crate::support::both;

const PORT: u16 = 6032;

/// For one that a signal or its own fault ends.
const SOON: Duration = Duration::from_secs(10);

/// A sandbox without servers, and what is on its client's host.
async fn alone() -> Result<(Sandbox, Vec<ProxySql>)> {
    let sandbox =
        Sandbox::new(SandboxOptions { hosts: 1, servers: 0, ..SandboxOptions::new(Dialect::MySql) }).await?;
    let proxies = both(&sandbox, ProxySqlOptions::at(PORT)).await?;
    Ok((sandbox, proxies))
}

fn options(at: SocketAddr, (user, password): (&str, &str)) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname(at.ip().to_string())
        .tcp_port(at.port())
        .user(Some(user))
        .pass(Some(password))
        .prefer_socket(false)
}

/// The options that keep the driver from asking for two variables at once.
fn quiet(at: SocketAddr) -> Opts {
    options(at, ADMIN).max_allowed_packet(Some(1 << 24)).wait_timeout(Some(100)).stmt_cache_size(0).into()
}

/// What one says to a statement: its error, or its rows as text.
async fn said(
    sandbox: &Sandbox,
    at: SocketAddr,
    statement: &'static str,
) -> Result<Result<Vec<String>, (u16, String)>> {
    let ask = async move {
        let mut conn = Conn::new(quiet(at)).await?;
        match conn.query::<Row, _>(statement).await {
            Ok(rows) => {
                let text = |row: Row| -> String {
                    row.unwrap().into_iter().map(|value| value.as_sql(true)).collect::<Vec<_>>().join(" ")
                };
                Ok(Ok(rows.into_iter().map(text).collect()))
            }
            Err(Error::Server(error)) => Ok(Err((error.code, error.message))),
            Err(other) => Err(other.into()),
        }
    };
    sandbox.client().run(ask).await
}

#[tokio::test]
async fn every_error_is_1045_and_only_its_text_tells_which() -> Result<()> {
    let (sandbox, proxies) = alone().await?;
    let wrong: [(&str, &str); 8] = [
        ("SELEC 1", "ProxySQL Admin Error: near \"SELEC\": syntax error"),
        ("SELECT * FROM nosuch", "ProxySQL Admin Error: no such table: nosuch"),
        ("SELECT NOW()", "no such function: NOW"),
        ("SELECT @@max_allowed_packet,@@wait_timeout", "near \",\": syntax error"),
        ("INSERT INTO mysql_servers (hostname, port) VALUES ('a', 70000)", "CHECK constraint failed: port"),
        ("/* trace */ LOAD MYSQL SERVERS TO RUNTIME", "near \"LOAD\": syntax error"),
        ("LOAD MYSQL SERVERS TO RUNTIME; SAVE MYSQL SERVERS TO DISK", "near \"LOAD\": syntax error"),
        ("-- nothing", "ProxySQL Admin Error: not an error"),
    ];
    for (proxy, (statement, expected)) in proxies.iter().flat_map(|proxy| wrong.map(|wrong| (proxy, wrong))) {
        let (code, message) = said(&sandbox, proxy.admin(), statement).await?.err().context(statement)?;
        ensure!(code == 1045 && message.contains(expected), "{proxy}: {statement}: {code} {message}");
    }
    Ok(())
}

#[tokio::test]
async fn there_are_no_transactions_and_no_second_statements() -> Result<()> {
    let (sandbox, proxies) = alone().await?;
    for proxy in &proxies {
        let at = proxy.admin();
        sandbox.client().run(runs_single_statements(at)).await.with_context(|| proxy.to_string())?;
    }
    Ok(())
}

async fn runs_single_statements(at: SocketAddr) -> Result<()> {
    let mut conn = Conn::new(quiet(at)).await?;
    conn.query_drop("INSERT INTO mysql_servers (hostname) VALUES ('a'), ('b')").await?;
    conn.query_drop("BEGIN").await?;
    conn.query_drop("DELETE FROM mysql_servers WHERE hostname='a'").await?;
    conn.query_drop("ROLLBACK").await?;
    conn.query_drop("UPDATE mysql_servers SET weight=7; DELETE FROM mysql_servers").await?;
    let left: Vec<(String, String)> = conn.query("SELECT hostname, weight FROM mysql_servers").await?;
    ensure!(left == [("b".to_owned(), "7".to_owned())], "{left:?}");
    // The error of a SET is in the text of an OK.
    conn.query_drop("SET sql_mode=''").await?;
    ensure!(conn.info().contains("ERROR: Unknown global variable"), "{}", conn.info());
    Ok(())
}

#[tokio::test]
async fn prepared_statements_and_resets_fail_as_they_do() -> Result<()> {
    let (sandbox, proxies) = alone().await?;
    for proxy in &proxies {
        let at = proxy.admin();
        sandbox.client().run(fails_the_usual_driver(at)).await.with_context(|| proxy.to_string())?;
    }
    Ok(())
}

async fn fails_the_usual_driver(at: SocketAddr) -> Result<()> {
    let asks_for_settings = Conn::new(Opts::from(options(at, ADMIN))).await;
    ensure!(asks_for_settings.is_err(), "a driver that asks for two variables at once got in");
    let mut conn = Conn::new(quiet(at)).await?;
    let prepared = conn.exec_drop("SELECT ?", (1,)).await;
    ensure!(prepared.is_err_and(|error| error.to_string().contains("Command not supported")));
    conn.query_drop("SELECT 1").await?;
    ensure!(
        conn.reset().await.is_err(),
        "the sequence of the answer is wrong, and the driver has not seen it"
    );
    let denied = Conn::new(Opts::from(options(at, (ADMIN.0, "wrong")))).await;
    ensure!(denied.is_err_and(|error| error.to_string().contains("ProxySQL Error: Access denied")));
    Ok(())
}

#[tokio::test]
async fn a_lone_semicolon_ends_it() -> Result<()> {
    let (sandbox, proxies) = alone().await?;
    for proxy in &proxies {
        ensure!(said(&sandbox, proxy.admin(), "SELECT 1;").await?.is_ok() && !proxy.has_crashed());
        ensure!(said(&sandbox, proxy.admin(), ";").await.is_err(), "{proxy}: there was an answer");
        until("its end", SOON, async || Ok(proxy.has_crashed().then_some(()))).await?;
        ensure!(said(&sandbox, proxy.admin(), "SELECT 1").await.is_err(), "{proxy} still answers");
    }
    Ok(())
}

/// Memory, run time and disk are three copies.
#[tokio::test]
async fn what_is_edited_counts_when_loaded_and_stays_when_saved() -> Result<()> {
    let (_sandbox, mut proxies) = alone().await?;
    for proxy in &mut proxies {
        counts_when_loaded(proxy).await.with_context(|| proxy.to_string())?;
        stays_when_saved(proxy).await.with_context(|| proxy.to_string())?;
    }
    Ok(())
}

async fn counts_when_loaded(proxy: &ProxySql) -> Result<()> {
    proxy
        .edit("INSERT INTO mysql_servers (hostgroup_id, hostname) VALUES (10, '10.9.9.1'), (20, '10.9.9.2')")
        .await?;
    ensure!(proxy.placed().await?.is_empty(), "an edit counts without being loaded");
    proxy.edit("load  mysql servers to run;").await?;
    let placed = proxy.placed().await?;
    ensure!(placed.len() == 2, "{placed:?}");
    proxy.edit("UPDATE mysql_servers SET status='OFFLINE_HARD' WHERE hostgroup_id=20").await?;
    proxy.edit("INSERT INTO runtime_mysql_servers (hostgroup_id, hostname) VALUES (10, 'vanishes')").await?;
    proxy.edit("LOAD MYSQL SERVERS TO RUNTIME").await?;
    let [only] = proxy.placed().await?.try_into().map_err(|rows| anyhow::anyhow!("{rows:?}"))?;
    ensure!(only.group == WRITER_GROUP && only.status == Status::Online);
    Ok(())
}

async fn stays_when_saved(proxy: &mut ProxySql) -> Result<()> {
    proxy.restart().await?;
    ensure!(proxy.placed().await?.is_empty(), "what was never saved was there after a restart");
    proxy.edit("INSERT INTO mysql_servers (hostgroup_id, hostname) VALUES (10, '10.9.9.1')").await?;
    proxy.edit("LOAD MYSQL SERVERS TO RUNTIME").await?;
    proxy.edit("SAVE MYSQL SERVERS TO DISK").await?;
    proxy.restart().await?;
    ensure!(proxy.placed().await?.len() == 1, "what was saved was not there after a restart");
    proxy.wipe().await?;
    ensure!(proxy.placed().await?.is_empty(), "what was saved outlived its disk");
    proxy.edit("PROXYSQL READONLY").await?;
    let refused = proxy.edit("DELETE FROM mysql_users").await.err().context("it was written to")?;
    ensure!(format!("{refused:#}").contains("attempt to write a readonly database"), "{refused:#}");
    Ok(())
}

/// Baton's own client gets along with all of that, and says what is wrong.
#[tokio::test]
async fn batons_client_gets_along_with_it() -> Result<()> {
    let (sandbox, proxies) = alone().await?;
    for proxy in &proxies {
        proxy
            .edit("INSERT INTO mysql_servers (hostgroup_id, hostname, comment) VALUES (10, 'o''db\\', 'ü')")
            .await?;
        proxy.edit("LOAD MYSQL SERVERS TO RUNTIME").await?;
        let at = proxy.admin().to_string().parse().map_err(anyhow::Error::msg)?;
        sandbox.client().run(gets_along(at)).await.with_context(|| proxy.to_string())?;
        ensure!(!proxy.has_crashed(), "{proxy}");
    }
    Ok(())
}

async fn connect(at: &HostPort, user: &str, password: &str, limits: Limits) -> Result<Admin, AdminError> {
    Admin::connect(at, user, &SecretString::from(password), limits).await
}

async fn gets_along(at: HostPort) -> Result<()> {
    let mut admin = connect(&at, ADMIN.0, ADMIN.1, Limits::default()).await?;
    let actual = admin.actual(Groups { writer: 10, reader: 20 }).await?;
    ensure!(actual.runtime == actual.memory && !actual.monitored, "{actual:?}");
    let [row] = actual.memory.as_slice() else { anyhow::bail!("{actual:?}") };
    ensure!(row.address.host == "o'db\\" && row.tuning.comment == "ü", "{row:?}");
    let wrong = admin.run("UPDATE mysql_servers SET hostgroup_id=-1").await;
    ensure!(
        matches!(&wrong, Err(AdminError::Statement { message, .. }) if message.starts_with("CHECK")),
        "{wrong:?}"
    );
    admin.run("SELECT 1").await?;
    let denied = connect(&at, ADMIN.0, "wrong", Limits::default()).await;
    ensure!(matches!(denied, Err(AdminError::Denied { .. })), "{denied:?}");
    let nobody = HostPort { port: 1, ..at };
    let refused = connect(&nobody, ADMIN.0, ADMIN.1, Limits::default()).await;
    ensure!(matches!(refused, Err(AdminError::Refused(_))), "{refused:?}");
    Ok(())
}

/// One that is stopped, as by a debugger, takes connections and answers nobody: no call lasts longer than its bound.
#[tokio::test]
async fn batons_client_waits_for_no_answer_for_ever() -> Result<()> {
    let (sandbox, proxies) = alone().await?;
    for proxy in &proxies {
        waits_not_for_ever(&sandbox, proxy).await.with_context(|| proxy.to_string())?;
    }
    Ok(())
}

async fn waits_not_for_ever(sandbox: &Sandbox, proxy: &ProxySql) -> Result<()> {
    let at: HostPort = proxy.admin().to_string().parse().map_err(anyhow::Error::msg)?;
    let brief = Limits { connect: Duration::from_millis(300), statement: Duration::from_millis(300) };
    let before = at.clone();
    let admin = async move { Ok(connect(&before, ADMIN.0, ADMIN.1, brief).await) };
    let mut admin = sandbox.client().run(admin).await??;
    proxy.freeze(true)?;
    let asked = sandbox.client().run(async move { Ok(admin.run("SELECT 1").await) });
    let asked = timeout(Duration::from_secs(5), asked).await??;
    ensure!(matches!(asked, Err(AdminError::TimedOut { .. })), "{asked:?}");
    let connected = sandbox.client().run(async move { Ok(connect(&at, ADMIN.0, ADMIN.1, brief).await) });
    let connected = timeout(Duration::from_secs(5), connected).await??;
    ensure!(matches!(connected, Err(AdminError::TimedOut { .. })), "{connected:?}");
    Ok(())
}
