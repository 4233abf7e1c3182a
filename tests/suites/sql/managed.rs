//! A server under test as Baton reaches it, with Baton's least-privileged account.

use std::time::Duration;

use anyhow::{Result, ensure};
use baton_node::sql::{
    Address, Connector, ManagedServer, Permit, Pinned, Source, SqlError, SqlServer, Switch,
};
use baton_tests::sandbox::{Account, Dialect, Server};
use batonctl::grants::Accounts;
use mysql_async::{Conn, OptsBuilder};

/// Within this, whatever a test waits for comes about.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// The bound of calls that take one.
pub(crate) const BOUND: Duration = Duration::from_secs(5);
const LEAST: &str = "baton_least";
const LEAST_PASSWORD: &str = "least-test";

/// A server with what a test needs to reach it as Baton does.
pub(crate) struct Managed<'a> {
    pub(crate) server: &'a Server,
    pub(crate) connector: Connector,
    pub(crate) sql: SqlServer,
}

impl<'a> Managed<'a> {
    pub(crate) async fn new(server: &'a Server) -> Result<Self> {
        let accounts = Accounts {
            user: LEAST.into(),
            password: Some(LEAST_PASSWORD.into()),
            replication_user: "baton_least_replication".into(),
            replication_password: Some(LEAST_PASSWORD.into()),
            host: "%".into(),
        };
        let dialect = match server.dialect() {
            Dialect::MySql => batonctl::cli::Dialect::Mysql,
            Dialect::MariaDb => batonctl::cli::Dialect::Mariadb,
        };
        let grants = batonctl::grants::sql(dialect, &accounts)?;
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
        let connector = connector(Address::Socket(server.socket()));
        Ok(Self { server, sql: SqlServer::new(&connector), connector })
    }

    pub(crate) async fn pin(&self) -> Result<Pinned, SqlError> {
        Pinned::connect(&self.connector, &self.server.socket(), self.server.host().folder(), BOUND).await
    }

    pub(crate) async fn switch(&self) -> Result<Switch> {
        Ok(self.sql.pulse().await?.switch)
    }

    pub(crate) async fn client(&self) -> Result<Conn> {
        let Account { user, password, .. } = Account::APP;
        let options = OptsBuilder::default()
            .ip_or_hostname(self.server.address().ip().to_string())
            .tcp_port(self.server.address().port())
            .user(Some(user))
            .pass(Some(password))
            .prefer_socket(false);
        Ok(Conn::new(options).await?)
    }

    pub(crate) fn as_source(&self) -> Source {
        Source {
            host: self.server.host().address().to_string(),
            port: self.server.address().port(),
            user: Account::REPL.user.into(),
            password: Account::REPL.password.to_owned().into(),
            tls: None,
        }
    }

    /// How many sessions run a closing statement.
    pub(crate) async fn closing_statements(&self) -> Result<usize> {
        let infos: Vec<mysql_async::Row> = self.server.query("SHOW FULL PROCESSLIST").await?;
        let info =
            |row: &mysql_async::Row| row.get::<Option<String>, _>("Info").flatten().unwrap_or_default();
        Ok(infos.iter().filter(|row| info(row).contains("read_only=ON")).count())
    }
}

/// One row.
pub(crate) fn insert(client: i32, seq: i64) -> String {
    format!("INSERT INTO app.writes (client, seq, at_us) VALUES ({client}, {seq}, 0)")
}

/// Another connector of the same account.
pub(crate) fn connector(address: Address) -> Connector {
    Connector::new(address, LEAST, LEAST_PASSWORD.to_owned().into())
}

/// Opens as the guard does.
pub(crate) async fn opened(managed: &Managed<'_>) -> Result<()> {
    let after = managed.pin().await?.open(&Permit::unconditional(), BOUND).await?;
    ensure!(after.switch == Switch::Open && !after.offline_mode, "{after:?}");
    ensure!(managed.switch().await? == Switch::Open);
    Ok(())
}
