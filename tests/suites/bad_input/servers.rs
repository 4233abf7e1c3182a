//! Servers that Baton cannot use: the daemon goes on, says so once in each place where people look, does not adopt, and
//! leaves the servers as they are.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_proto::control::Finding;
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::on_both;
use baton_tests::sandbox::{Account, Dialect, until};
use rustix::process::Signal;

use crate::bench::no_secret;
use crate::old_server::OldServer;

const SOON: Duration = Duration::from_secs(20);

/// The node whose server is no good.
const ILL: &str = "db3";

on_both!(servers_that_cannot_be_used, mysql_servers_that_cannot_be_used, mariadb_servers_that_cannot_be_used);

async fn servers_that_cannot_be_used(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::observing(ClusterOptions::new(dialect)).await?;
    nothing_is_wrong(&cluster).await?;
    wrong_password(&cluster).await.context("wrong password")?;
    no_privileges(&cluster).await.context("no privileges")?;
    one_privilege_less(&cluster).await.context("one privilege less")?;
    unreachable(&mut cluster).await.context("unreachable")?;
    Ok(())
}

async fn wrong_password(cluster: &Cluster) -> Result<()> {
    let alter = |password: &str| format!("ALTER USER 'baton'@'%' IDENTIFIED BY '{password}'");
    alone(cluster, &[&alter("another-one")]).await?;
    is_told(cluster, &["access denied", "'baton'", "server.password_file"]).await?;
    alone(cluster, &[&alter(Account::BATON.password)]).await?;
    nothing_is_wrong(cluster).await
}

async fn no_privileges(cluster: &Cluster) -> Result<()> {
    alone(cluster, &["REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'baton'@'%'"]).await?;
    is_told(cluster, &["privilege", "batonctl grants"]).await
}

/// Follows the one without any.
async fn one_privilege_less(cluster: &Cluster) -> Result<()> {
    let (statement, name) = match cluster.dialect() {
        Dialect::MySql => ("REVOKE XA_RECOVER_ADMIN ON *.* FROM 'baton'@'%'", "XA_RECOVER_ADMIN"),
        Dialect::MariaDb => ("REVOKE BINLOG MONITOR ON *.* FROM 'baton'@'%'", "BINLOG MONITOR"),
    };
    let all = "GRANT ALL PRIVILEGES ON *.* TO 'baton'@'%' WITH GRANT OPTION";
    alone(cluster, &[all, statement]).await?;
    is_told(cluster, &["lacks", name, "GRANT"]).await?;
    alone(cluster, &[all]).await?;
    nothing_is_wrong(cluster).await
}

async fn unreachable(cluster: &mut Cluster) -> Result<()> {
    let (host, server) = (cluster.host(ILL)?.clone(), cluster.server_mut(ILL)?);
    let (address, socket) = (server.address(), server.socket());
    server.kill(Signal::TERM)?;
    server.wait_exit(SOON).await?;
    is_told(cluster, &["connection refused", "start the server"]).await?;

    let versions = [("5.7.44-log", "5.7.44-log"), ("5.5.5-10.3.39-MariaDB", "10.3.39-MariaDB")];
    for (greeting, version) in versions {
        let _old = OldServer::start(&host, address, &socket, greeting, version).await?;
        is_told(cluster, &[version, "too old", "or newer", "upgrade"]).await.context(version)?;
    }
    cluster.server_mut(ILL)?.start().await?;
    nothing_is_wrong(cluster).await
}

/// Runs statements on the ill server alone, and ends the sessions that were let in before.
async fn alone(cluster: &Cluster, statements: &[&str]) -> Result<()> {
    let server = cluster.server(ILL)?;
    // Closed for everybody else all the time.
    let (before, after): (&[&str], &[&str]) = match cluster.dialect() {
        Dialect::MySql => (&["SET GLOBAL super_read_only=OFF"], &["SET GLOBAL super_read_only=ON"]),
        Dialect::MariaDb => (&[], &[]),
    };
    let quiet = ["SET SESSION sql_log_bin=0"];
    server.execute(before.iter().chain(&quiet).chain(statements).chain(after)).await?;
    let sessions = "SELECT id FROM information_schema.processlist WHERE user='baton'";
    for id in server.query::<u64>(sessions).await? {
        // It may have ended by itself.
        let _ = server.execute([format!("KILL {id}")]).await;
    }
    Ok(())
}

fn errors(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.level == "error").collect()
}

async fn nothing_is_wrong(cluster: &Cluster) -> Result<()> {
    let look = async || {
        let check = cluster.ctl().check().await?;
        ensure!(errors(&check.findings).is_empty(), "{:#?}", check.findings);
        Ok(Some(()))
    };
    until("a check without an error", SOON, look).await.map_err(|error| cluster.explained(error))
}

/// `batonctl check` has one error with all of `words`, `batonctl status` one line about it, and adoption is refused for
/// it. Meanwhile nothing changes on any server.
async fn is_told(cluster: &Cluster, words: &[&str]) -> Result<()> {
    let before = cluster.settings().await?;
    let look = async || {
        let check = cluster.ctl().check().await?;
        let errors = errors(&check.findings);
        ensure!(errors.len() == 1, "not one error: {:#?}", check.findings);
        ensure!(errors[0].node == ILL, "{errors:#?}");
        has(&format!("{}; {}", errors[0].what, errors[0].mend), words)?;
        Ok(Some(()))
    };
    until("the check to name it", SOON, look).await?;

    let status = cluster.ctl().status().await?;
    let about: Vec<_> = status.warnings.iter().filter(|warning| warning.contains(ILL)).collect();
    ensure!(about.len() == 1, "not one warning: {:#?}", status.warnings);
    has(about[0], &words[..1])?;
    ensure!(status.health == "degraded", "{}", status.health);

    let refused = cluster.ctl().adopt("db1").await.err().context("adopted all the same")?;
    has(&format!("{refused:#}"), words)?;
    let status = cluster.ctl().status().await?;
    ensure!(status.phase == "observing" && status.epoch == 0, "{status:#?}");
    ensure!(cluster.settings().await? == before, "a server was changed");
    no_secret(&cluster.logs())
}

fn has(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "{word:?} is not in: {text}");
    }
    no_secret(text)
}
