//! The double is as strict as a real ProxySQL 2.7: each of its peculiarities that a client could trip over.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_node::config::HostPort;
use baton_node::proxysql::{Admin, AdminError, Groups, Limits};
use baton_tests::proxysql::{ADMIN, ProxySql, ProxySqlOptions, Status, WRITER_GROUP};
use baton_tests::sandbox::{Dialect, Sandbox, SandboxOptions};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder, Row};
use secrecy::SecretString;
use tokio::time::timeout;

const PORT: u16 = 6032;

/// A sandbox without servers, and an instance on its client's host.
async fn alone() -> Result<(Sandbox, ProxySql)> {
    let sandbox =
        Sandbox::new(SandboxOptions { hosts: 1, servers: 0, ..SandboxOptions::new(Dialect::MySql) }).await?;
    let double = ProxySql::start(sandbox.client(), ProxySqlOptions::at(PORT)).await?;
    Ok((sandbox, double))
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

/// What the double says to one statement: its error, or its rows as text.
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
    let (sandbox, double) = alone().await?;
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
    for (statement, expected) in wrong {
        let (code, message) = said(&sandbox, double.admin(), statement).await?.err().context(statement)?;
        ensure!(code == 1045 && message.contains(expected), "{statement}: {code} {message}");
    }
    Ok(())
}

#[tokio::test]
async fn there_are_no_transactions_and_no_second_statements() -> Result<()> {
    let (sandbox, double) = alone().await?;
    let at = double.admin();
    let ask = async move {
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
    };
    sandbox.client().run(ask).await
}

#[tokio::test]
async fn prepared_statements_and_resets_fail_as_they_do() -> Result<()> {
    let (sandbox, double) = alone().await?;
    let at = double.admin();
    let ask = async move {
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
    };
    sandbox.client().run(ask).await
}

#[tokio::test]
async fn a_lone_semicolon_ends_it() -> Result<()> {
    let (sandbox, double) = alone().await?;
    ensure!(said(&sandbox, double.admin(), "SELECT 1;").await?.is_ok() && !double.has_crashed());
    ensure!(said(&sandbox, double.admin(), ";").await.is_err(), "there was an answer");
    ensure!(double.has_crashed());
    ensure!(said(&sandbox, double.admin(), "SELECT 1").await.is_err(), "it still answers");
    Ok(())
}

/// Memory, run time and disk are three copies.
#[tokio::test]
async fn what_is_edited_counts_when_loaded_and_stays_when_saved() -> Result<()> {
    let (_sandbox, mut double) = alone().await?;
    double.edit(
        "INSERT INTO mysql_servers (hostgroup_id, hostname) VALUES (10, '10.9.9.1'), (20, '10.9.9.2')",
    )?;
    ensure!(double.placed().is_empty(), "an edit counts without being loaded");
    double.edit("load  mysql servers to run;")?;
    ensure!(double.placed().len() == 2, "{:?}", double.placed());
    double.edit("UPDATE mysql_servers SET status='OFFLINE_HARD' WHERE hostgroup_id=20")?;
    double.edit("INSERT INTO runtime_mysql_servers (hostgroup_id, hostname) VALUES (10, 'vanishes')")?;
    double.edit("LOAD MYSQL SERVERS TO RUNTIME")?;
    let [only] = double.placed().try_into().map_err(|rows| anyhow::anyhow!("{rows:?}"))?;
    ensure!(only.group == WRITER_GROUP && only.status == Status::Online);
    double.restart().await?;
    ensure!(double.placed().is_empty(), "what was never saved was there after a restart");
    double.edit("INSERT INTO mysql_servers (hostgroup_id, hostname) VALUES (10, '10.9.9.1')")?;
    double.edit("LOAD MYSQL SERVERS TO RUNTIME")?;
    double.edit("SAVE MYSQL SERVERS TO DISK")?;
    double.restart().await?;
    ensure!(double.placed().len() == 1);
    double.wipe().await?;
    ensure!(double.placed().is_empty());
    double.edit("PROXYSQL READONLY")?;
    let refused = double.edit("DELETE FROM mysql_users").err().context("it was written to")?;
    ensure!(refused.to_string().contains("attempt to write a readonly database"), "{refused}");
    Ok(())
}

/// Baton's own client gets along with all of that, and says what is wrong.
#[tokio::test]
async fn batons_client_gets_along_with_it() -> Result<()> {
    let (sandbox, double) = alone().await?;
    double.edit("INSERT INTO mysql_servers (hostgroup_id, hostname, comment) VALUES (10, 'o''db\\', 'ü')")?;
    double.edit("LOAD MYSQL SERVERS TO RUNTIME")?;
    let at: HostPort = double.admin().to_string().parse().map_err(anyhow::Error::msg)?;
    let nobody = HostPort { port: 1, ..at.clone() };
    let ask = async move {
        let connect = async |at: &HostPort, user: &str, password: &str| {
            let password = SecretString::from(password);
            Admin::connect(at, user, &password, Limits::default()).await
        };
        let mut admin = connect(&at, ADMIN.0, ADMIN.1).await?;
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
        let denied = connect(&at, ADMIN.0, "wrong").await;
        ensure!(matches!(denied, Err(AdminError::Denied { .. })), "{denied:?}");
        let refused = connect(&nobody, ADMIN.0, ADMIN.1).await;
        ensure!(matches!(refused, Err(AdminError::Refused(_))), "{refused:?}");
        Ok(())
    };
    sandbox.client().run(ask).await?;
    ensure!(!double.has_crashed());
    Ok(())
}

/// One that is stopped, as by a debugger, takes connections and answers nobody: no call lasts longer than its bound.
#[tokio::test]
async fn batons_client_waits_for_no_answer_for_ever() -> Result<()> {
    let (sandbox, double) = alone().await?;
    let at: HostPort = double.admin().to_string().parse().map_err(anyhow::Error::msg)?;
    let limits = Limits { connect: Duration::from_millis(300), statement: Duration::from_millis(300) };
    let (before, after) = (at.clone(), at);
    let connect = move |at: HostPort| async move {
        let password = SecretString::from(ADMIN.1);
        Ok(Admin::connect(&at, ADMIN.0, &password, limits).await)
    };
    let mut admin = sandbox.client().run(connect(before)).await??;
    double.freeze(true);
    let asked = sandbox.client().run(async move { Ok(admin.run("SELECT 1").await) });
    let asked = timeout(Duration::from_secs(5), asked).await??;
    ensure!(matches!(asked, Err(AdminError::TimedOut { .. })), "{asked:?}");
    let connected = timeout(Duration::from_secs(5), sandbox.client().run(connect(after))).await??;
    ensure!(matches!(connected, Err(AdminError::TimedOut { .. })), "{connected:?}");
    Ok(())
}
