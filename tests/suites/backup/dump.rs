//! Rows as SQL, of both dialects.

use anyhow::{Context, Result, ensure};
use baton_node::backup::engine::{Engine, Extent};
use baton_node::backup::run::run;
use baton_node::gtid::Dialect as Family;
use baton_tests::bench::Bench;
use baton_tests::sandbox::{Dialect, replication};

#[tokio::test]
async fn mysql_dump_is_a_server_again() -> Result<()> {
    is_a_server_again(Dialect::MySql).await
}

#[tokio::test]
async fn mariadb_dump_is_a_server_again() -> Result<()> {
    is_a_server_again(Dialect::MariaDb).await
}

async fn is_a_server_again(dialect: Dialect) -> Result<()> {
    let mut bench = Bench::begin(dialect).await?;
    let (program, client, family) = match dialect {
        Dialect::MySql => ("mysqldump", "mysql", Family::Mysql),
        Dialect::MariaDb => ("mariadb-dump", "mariadb", Family::Mariadb),
    };
    let engine = Engine::Dump { program: bench.program(program).await?, dialect: family };
    let spec = bench.spec("20260101T000000Z-dump", engine, Extent::Full)?;
    let made = run(&spec, |_| ()).await.map_err(anyhow::Error::msg)?.manifest;
    bench.writes_on(100).await?;
    ensure!(bench.verified(&made.backup).await? == made);
    ensure!(made.inventory.iter().any(|t| t.name == "app.writes" && t.bytes > 0), "{:?}", made.inventory);
    bench.is_secret(&made).await?;

    let mut restored = bench.third().await?;
    restored.start().await?;
    replication::open(&restored).await?;
    let socket = format!("--socket={}", restored.socket().display());
    let arguments = ["--no-defaults".to_owned(), "--user=root".to_owned(), socket];
    let client = bench.program(client).await?;
    bench.pipe(&made, &client, &arguments).await?;
    let gtids = made.position.context("no position")?.gtids;
    match dialect {
        // The dump itself says so.
        Dialect::MySql => ensure!(restored.executed().await?.replace('\n', "") == gtids, "{gtids}"),
        Dialect::MariaDb => {
            let position = format!("SET GLOBAL gtid_slave_pos='{gtids}'");
            restored.execute(["RESET MASTER", &position]).await?;
        }
    }
    bench.catches_up(&restored).await
}
