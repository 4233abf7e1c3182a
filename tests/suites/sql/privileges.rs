//! What Baton's account lacks, as the server itself says it, and what `batonctl check` makes of that.

use anyhow::{Context, Result, ensure};
use baton_node::decide::seen::LintFinding;
use baton_node::observe::lint;
use baton_node::sql::{Address, Connector, ManagedServer, Source, SqlError, SqlServer, may_replicate};
use baton_tests::sandbox::{Account, Dialect, Hosts, Sandbox, SandboxOptions, Server};

use super::managed::{BOUND, Managed};

/// Whether it is an error, the privilege, where it is held, and a word of what follows.
type Case = (bool, &'static str, &'static str, &'static str);

const MYSQL: &[Case] = &[
    (true, "SYSTEM_VARIABLES_ADMIN", "*.*", "lacks"),
    (true, "XA_RECOVER_ADMIN", "*.*", "lacks"),
    (true, "REPLICATION CLIENT", "*.*", "lacks"),
    (true, "SELECT", "mysql.*", "lacks"),
    (true, "DROP", "baton.*", "lacks"),
    (false, "BACKUP_ADMIN", "*.*", "backups by clone"),
    (false, "CLONE_ADMIN", "*.*", "rebuilt"),
    (false, "SYSTEM_USER", "*.*", "administrators"),
    (false, "REPLICATION SLAVE", "*.*", "archived"),
    (false, "EVENT", "*.*", "events"),
];

const MARIADB: &[Case] = &[
    (true, "READ ONLY ADMIN", "*.*", "lacks"),
    (true, "SLAVE MONITOR", "*.*", "lacks"),
    (true, "BINLOG MONITOR", "*.*", "lacks"),
    (true, "SELECT", "mysql.*", "lacks"),
    (true, "DROP", "baton.*", "lacks"),
    (false, "BINLOG ADMIN", "*.*", "rebuilt"),
    (false, "LOCK TABLES", "*.*", "mariadb-backup"),
    (false, "REPLICATION SLAVE", "*.*", "archived"),
    (false, "SET USER", "*.*", "events"),
];

/// An account with everything has no finding, each privilege that is taken away has one, and its own statement mends it. What
/// a role gives counts once the role is active.
pub(crate) async fn lacking_privileges_are_named(dialect: Dialect) -> Result<()> {
    let options =
        SandboxOptions { hosts: 1, servers: 1, kind: Some(Hosts::Loopback), ..SandboxOptions::new(dialect) };
    let sandbox = Sandbox::new(options).await?;
    let server = &sandbox.servers().await?[0];
    let managed = Managed::new(server).await?;
    lacks_nothing(&managed.sql).await.context("what `batonctl grants` prints")?;
    lacks_nothing(&with_all(server)).await.context("all privileges")?;
    let account = format!("'{}'@'%'", managed.connector.user());
    let cases = if dialect == Dialect::MySql { MYSQL } else { MARIADB };
    for &case in cases {
        one_less(&managed, &account, case).await.with_context(|| format!("{case:?}"))?;
    }
    of_a_role(&managed, &account).await.context("role")
}

async fn one_less(managed: &Managed<'_>, account: &str, (error, name, on, word): Case) -> Result<()> {
    quietly(managed.server, &[&format!("REVOKE {name} ON {on} FROM {account}")]).await?;
    let found = findings(&managed.sql).await?;
    let [one] = found.as_slice() else { anyhow::bail!("not one finding: {found:#?}") };
    ensure!(one.error == error && one.what.contains(name) && one.what.contains(word), "{one:?}");
    let mend = one.mend.strip_prefix("on the writer: ").context("where is it mended")?;
    quietly(managed.server, &[mend]).await?;
    lacks_nothing(&managed.sql).await
}

async fn of_a_role(managed: &Managed<'_>, account: &str) -> Result<()> {
    let (role, by_default) = match managed.server.dialect() {
        Dialect::MySql => ("'baton_role'", format!("SET DEFAULT ROLE 'baton_role' TO {account}")),
        Dialect::MariaDb => ("baton_role", format!("SET DEFAULT ROLE baton_role FOR {account}")),
    };
    let moved = [
        format!("CREATE ROLE {role}"),
        format!("GRANT PROCESS ON *.* TO {role}"),
        format!("GRANT SELECT ON mysql.* TO {role}"),
        format!("REVOKE PROCESS ON *.* FROM {account}"),
        format!("REVOKE SELECT ON mysql.* FROM {account}"),
        format!("GRANT {role} TO {account}"),
    ];
    quietly(managed.server, &moved.each_ref().map(String::as_str)).await?;
    // Roles become active with a new session.
    let inactive = SqlServer::new(&managed.connector).privileges().await?.missing;
    let mut names: Vec<_> = inactive.iter().map(ToString::to_string).collect();
    names.sort();
    ensure!(names == ["PROCESS", "SELECT ON mysql.*"], "{names:?}");
    quietly(managed.server, &[&by_default]).await?;
    lacks_nothing(&SqlServer::new(&managed.connector)).await
}

async fn lacks_nothing(sql: &SqlServer) -> Result<()> {
    let found = findings(sql).await?;
    ensure!(found.is_empty(), "{found:#?}");
    Ok(())
}

/// What `batonctl check` says of the account.
async fn findings(sql: &SqlServer) -> Result<Vec<LintFinding>> {
    // With its own connection, which was let in before anything was taken away.
    let (status, privileges) = (sql.status().await?, sql.privileges().await?);
    let found = lint(&status.inventory, &[], &privileges, &status.pulse);
    Ok(found.into_iter().filter(|finding| finding.what.starts_with("Baton's account")).collect())
}

/// A source's word about the replication account: it may, or why it may not.
pub(crate) async fn replication_account_is_tried(dialect: Dialect) -> Result<()> {
    let options =
        SandboxOptions { hosts: 1, servers: 1, kind: Some(Hosts::Loopback), ..SandboxOptions::new(dialect) };
    let sandbox = Sandbox::new(options).await?;
    let server = &sandbox.servers().await?[0];
    let source = Managed::new(server).await?.as_source();
    let account = format!("'{}'@'%'", source.user);
    let wrong = Source { password: "another-one".to_owned().into(), ..source.clone() };
    may_replicate(&source, BOUND).await?;
    let answer = may_replicate(&wrong, BOUND).await;
    ensure!(matches!(answer, Err(SqlError::AccessDenied { .. })), "{answer:?}");
    quietly(server, &[&format!("REVOKE REPLICATION SLAVE ON *.* FROM {account}")]).await?;
    let answer = may_replicate(&source, BOUND).await;
    ensure!(matches!(answer, Err(SqlError::MissingPrivilege { .. })), "{answer:?}");
    quietly(server, &[&format!("GRANT REPLICATION SLAVE ON *.* TO {account}")]).await?;
    may_replicate(&source, BOUND).await?;
    for fault in ["ACCOUNT LOCK", "ACCOUNT UNLOCK", "PASSWORD EXPIRE"] {
        quietly(server, &[&format!("ALTER USER {account} {fault}")]).await?;
        let answer = may_replicate(&source, BOUND).await;
        let as_it_should = match fault {
            "ACCOUNT UNLOCK" => answer.is_ok(),
            _ => matches!(answer, Err(SqlError::AccessDenied { .. })),
        };
        ensure!(as_it_should, "{fault}: {answer:?}");
    }
    Ok(())
}

/// As the account with all privileges.
fn with_all(server: &Server) -> SqlServer {
    let Account { user, password, .. } = Account::BATON;
    SqlServer::new(&Connector::new(Address::Socket(server.socket()), user, password.to_owned().into()))
}

/// Runs statements on a closed server that leave nothing in its binlog.
async fn quietly(server: &Server, statements: &[&str]) -> Result<()> {
    let (before, after): (&[&str], &[&str]) = match server.dialect() {
        Dialect::MySql => (
            &["SET GLOBAL super_read_only=OFF", "SET GLOBAL read_only=OFF"],
            &["SET GLOBAL super_read_only=ON"],
        ),
        Dialect::MariaDb => (&[], &[]),
    };
    server.execute(before.iter().chain(&["SET sql_log_bin=0"]).chain(statements).chain(after)).await
}
