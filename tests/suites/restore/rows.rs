//! Backups that are SQL: into a running server, or into a file.

use std::fs;

use anyhow::{Result, ensure};
use baton_node::backup::engine::{Engine, Extent};
use baton_node::backup::run::run;
use baton_node::gtid::Dialect as Family;
use baton_tests::bench::Bench;
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, replication};

use baton_tests::machine::Machine;

/// The mark of a server that has a part only.
const PART: &str =
    "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'baton_restore_partial'";

async fn a_dump_is_loaded(dialect: Dialect) -> Result<()> {
    let mut bench = Bench::begin(dialect).await?;
    let (program, family) = match dialect {
        Dialect::MySql => ("mysqldump", Family::Mysql),
        Dialect::MariaDb => ("mariadb-dump", Family::Mariadb),
    };
    let engine = Engine::Dump { program: bench.program(program).await?, dialect: family };
    let spec = bench.spec("20260101T000000Z-dump", engine, Extent::Full)?;
    let made = run(&spec, |_| ()).await.map_err(anyhow::Error::msg)?.manifest;
    bench.writes_on(100).await?;
    let machine = Machine::new(&bench).await?;
    let file = bench.sandbox.root().join("dump.sql");
    let into = file.display().to_string();
    machine.refuses(&["--into", &into], "is SQL and no data directory").await?;
    machine.restored(&["--output", &into]).await?;
    let sql = fs::read(&file)?;
    ensure!(sql.len() as u64 == made.stream.bytes, "{} bytes", sql.len());
    machine.refuses(&["--output", &into], "is there already").await?;

    let mut restored = bench.third().await?;
    restored.start().await?;
    let socket = restored.socket().display().to_string();
    machine.refuses(&["--socket", &socket], "is read-only").await?;
    replication::open(&restored).await?;
    // The servers of a sandbox have a schema from the beginning.
    machine.refuses(&["--socket", &socket], "is not empty (schemas app)").await?;

    // A client that dies in the middle leaves its mark, and the same command mends it.
    let object = machine.store.join("shop/backups/20260101T000000Z-dump/data.00001");
    let whole = fs::read(&object)?;
    let mut damaged = whole.clone();
    if let Some(byte) = damaged.get_mut(whole.len() / 2) {
        *byte ^= 1;
    }
    fs::write(&object, damaged)?;
    machine.refuses(&["--socket", &socket, "--force"], "the schema baton_restore_partial").await?;
    let marks: Vec<u64> = restored.query(PART).await?;
    ensure!(marks == [1], "it looks complete");
    fs::write(&object, whole)?;
    let said = machine.restored(&["--socket", &socket]).await?;
    let marks: Vec<u64> = restored.query(PART).await?;
    ensure!(marks == [0], "the mark is left");

    match dialect {
        Dialect::MySql => {
            let executed = restored.executed().await?;
            ensure!(
                executed.split_whitespace().collect::<String>() == said.restored.gtids,
                "{executed}, {said:?}"
            );
        }
        Dialect::MariaDb => {
            let logged: Vec<String> = restored.query("SELECT @@GLOBAL.gtid_binlog_pos").await?;
            ensure!(logged.concat().is_empty(), "it used up GTIDs: {logged:?}");
            let position = format!("SET GLOBAL gtid_slave_pos='{}'", said.restored.gtids);
            restored.execute(["RESET MASTER", &position]).await?;
        }
    }
    bench.catches_up(&restored).await
}

on_both!(a_dump_is_loaded, mysql_dump_is_loaded, mariadb_dump_is_loaded);
