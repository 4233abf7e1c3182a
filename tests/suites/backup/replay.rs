//! From a backup on through the archive, on real servers: to right before an accident, and to the end, with a writer lost on the
//! way.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_node::backup::engine::{Engine, Extent};
use baton_node::backup::run::run;
use baton_node::gtid::{Dialect as Family, GtidSet};
use baton_tests::bench::Bench;
use baton_tests::machine::{Machine, Replay};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, Ledger, LedgerOptions, Server, replication, until};
use jiff::Timestamp;
use serde::Deserialize;

use super::archive::{archiving, shelf, spec};
use super::shelf::level;

const SOON: Duration = Duration::from_secs(60);
const BACKUP: &str = "20260101T000000Z-base";

/// A backup, as its server can make it.
async fn backed_up(bench: &Bench) -> Result<()> {
    let engine = match bench.dialect {
        Dialect::MySql => {
            let stage = bench.sandbox.root().join("stage");
            fs::create_dir(&stage)?;
            Engine::Clone { stage }
        }
        Dialect::MariaDb => Engine::MariadbBackup { program: bench.program("mariadb-backup").await? },
    };
    let now = Timestamp::now().as_millisecond();
    let mut spec = bench.spec(BACKUP, engine, Extent::Full)?;
    spec.about.began_ms = u64::try_from(now)?;
    run(&spec, |_| ()).await.map(drop).map_err(anyhow::Error::msg)
}

/// The name of the transaction that a server committed last, while nobody else writes.
async fn last_gtid(server: &Server) -> Result<String> {
    match server.dialect() {
        Dialect::MariaDb => Ok(server.query::<String>("SELECT @@GLOBAL.gtid_binlog_pos").await?.concat()),
        Dialect::MySql => {
            let own: String = server.query::<String>("SELECT @@server_uuid").await?.concat();
            let GtidSet::Mysql(set) = GtidSet::parse_mysql(&server.executed().await?)? else {
                anyhow::bail!("no set of MySQL's")
            };
            let numbers =
                set.iter().filter(|(tsid, _)| tsid.uuid.to_string() == own).map(|(_, all)| *all.end());
            Ok(format!("{own}:{}", numbers.max().context("it wrote nothing")?))
        }
    }
}

/// The replica becomes the writer, and what follows is its own.
async fn promote(replica: &Server) -> Result<()> {
    let forget: [&str; 2] = match replica.dialect() {
        Dialect::MySql => ["STOP REPLICA", "RESET REPLICA ALL"],
        Dialect::MariaDb => ["STOP SLAVE", "RESET SLAVE ALL"],
    };
    replica.execute(forget).await?;
    replication::open(replica).await
}

/// Where a server stands that has everything of another one.
async fn stands_at(server: &Server) -> Result<String> {
    match server.dialect() {
        Dialect::MySql => Ok(server.executed().await?.split_whitespace().collect()),
        Dialect::MariaDb => last_gtid(server).await,
    }
}

/// A backup; a writer that is lost with a transaction that nobody else has; another one, at which an account is made, an XA
/// transaction is prepared and committed, and the table of the ledger is dropped under load. What came before is there again, and
/// nothing else.
async fn a_dropped_table(dialect: Dialect) -> Result<()> {
    let mut bench = Bench::begin(dialect).await?;
    let first = spec(&bench, 0, 1, true)?;
    archiving(&first, async |_| {
        backed_up(&bench).await?;
        bench.writes_on(100).await?;
        bench.ledger.stop().await;
        level(&bench.servers[0], &bench.servers[1]).await?;
        promote(&bench.servers[1]).await?;
        bench.servers[0].execute(["INSERT INTO app.noise (data) VALUES ('lost')"]).await?;
        shelf(&bench)?.gets_all(&bench.servers[0]).await
    })
    .await?
    .map_err(anyhow::Error::msg)?;
    let lost = last_gtid(&bench.servers[0]).await?;

    let writer = bench.servers[1].address();
    let mut second = Ledger::start(bench.sandbox.client(), &[writer], LedgerOptions::default());
    let next = spec(&bench, 1, 2, true)?;
    let mut dropped = String::new();
    archiving(&next, async |archiver| {
        let server = &bench.servers[1];
        let written = async |more: usize| {
            until("writes", SOON, async || Ok((second.acknowledged() >= more).then_some(()))).await
        };
        written(100).await?;
        archiver.until("a segment", |said| said.sent > 0).await?;
        let all = [
            "CREATE USER 'late'@'%' IDENTIFIED BY 'late-test'",
            "XA START 'x'",
            "UPDATE app.noise SET data = 'x' WHERE id = 1",
            "XA END 'x'",
            "XA PREPARE 'x'",
            "XA COMMIT 'x'",
        ];
        server.execute(all).await?;
        written(200).await?;
        archiver.until("another one", |said| said.sent > 1).await?;
        server.execute(["DROP TABLE app.writes"]).await?;
        dropped = last_gtid(server).await?;
        server.execute(["INSERT INTO app.noise (data) VALUES ('after')"; 3]).await?;
        shelf(&bench)?.gets_all(server).await
    })
    .await?
    .map_err(anyhow::Error::msg)?;
    second.stop().await;

    let machine = Machine::new(&bench).await?;
    let mut restored = bench.third().await?;
    let data = restored.data_directory();
    fs::remove_dir_all(&data)?;
    let (into, options) = (data.display().to_string(), restored.option_file().display().to_string());
    let said = machine.restored(&["--into", &into, "--before-gtid", &dropped, "--options", &options]).await?;
    let replay = said.plan.replay.as_ref().context("nothing is replayed")?;
    ensure!(replay.first_not.as_ref().is_some_and(|first| first.gtid == dropped), "{said:?}");
    ensure!(said.restored.gtids == replay.gtids && said.restored.tables_checked > Some(2), "{said:?}");
    restored.start().await?;
    for ledger in [&bench.ledger, &second] {
        let found = ledger.found(&restored).await?;
        ensure!(found.lost.is_empty() && found.doubled == 0 && found.refused.is_empty(), "{found:?}");
    }
    let odd: Vec<u64> =
        restored.query("SELECT COUNT(*) FROM app.noise WHERE data IN ('lost', 'after')").await?;
    let late: Vec<u64> = restored.query("SELECT COUNT(*) FROM mysql.user WHERE user = 'late'").await?;
    ensure!(odd == [0] && late == [1], "{odd:?}, {late:?}");
    if dialect == Dialect::MySql {
        ensure!(stands_at(&restored).await? == replay.gtids, "{said:?}");
    }

    shows_the_harm(&machine, &dropped).await?;
    finds_the_harm(&machine, &dropped, &lost).await?;
    by_time(&machine, dialect, replay).await?;
    to_the_end(&bench, &machine, &options).await?;
    machine.refuses(&["--into", &into_another(&bench), "--to-gtid", &lost], "lies beside the line").await?;
    a_hole(&bench, &machine).await
}

on_both!(a_dropped_table, mysql_a_dropped_table_is_there_again, mariadb_a_dropped_table_is_there_again);

fn into_another(bench: &Bench) -> String {
    bench.sandbox.root().join("another").display().to_string()
}

/// The transaction that dropped the table stands out in the list, right behind the place where it ends.
async fn shows_the_harm(machine: &Machine, dropped: &str) -> Result<()> {
    let words = ["--into", "/nowhere", "--before-gtid", dropped, "--preview"];
    let output = machine.restore(&words).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (before, after) = said.split_once("---- the restored server ends here ----\n").context("no end")?;
    let mut lines = after.lines();
    let first = lines.next().is_some_and(|line| line.starts_with("! ") && line.ends_with(dropped));
    ensure!(output.status.success() && first, "{said}");
    ensure!(lines.next().is_some_and(|line| line.to_ascii_lowercase().contains("drop table")), "{said}");
    ensure!(before.contains("app.writes: 1 inserted") && after.contains("app.noise: 1 inserted"), "{said}");
    Ok(())
}

/// What `baton-node find` printed as JSON, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Searched {
    transactions: Vec<Hit>,
    lacks: Vec<String>,
    back: Option<Back>,
}

#[derive(Debug, Deserialize)]
struct Hit {
    gtid: String,
    fate: String,
    deeds: Vec<Deed>,
}

#[derive(Debug, Deserialize)]
struct Deed {
    kind: String,
    tables: Vec<String>,
    rows: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Back {
    before: String,
    command: Option<String>,
}

/// The dropped table is found in the whole archive, with the command that leads to right before it; so is what a lost writer
/// alone had, as such.
async fn finds_the_harm(machine: &Machine, dropped: &str, lost: &str) -> Result<()> {
    let searched = async |words: &[&str]| {
        let words: Vec<_> = words.iter().copied().chain(["--json"]).collect();
        let output = machine.find(&words).await?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{said}");
        serde_json::from_slice::<Searched>(&output.stdout).with_context(|| said.into_owned())
    };
    let drops = ["--kind", "drop,truncate", "--table", "app.writes"];
    let found = searched(&drops).await?;
    let last = found.transactions.last().context("nothing was found")?;
    let is_it = |deed: &Deed| deed.kind == "drop" && deed.tables == ["app.writes"];
    ensure!(last.gtid == dropped && last.fate == "kept" && last.deeds.iter().all(is_it), "{found:?}");
    let back = found.back.as_ref().context("no way back")?;
    let before = format!(" --before-gtid {dropped} --into DIR");
    ensure!(
        back.before == dropped && back.command.as_ref().is_some_and(|c| c.ends_with(&before)),
        "{found:?}"
    );
    ensure!(found.lacks.is_empty(), "{found:?}");

    let output = machine.find(&drops).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_there = said.lines().any(|line| line.starts_with("! ") && line.ends_with(dropped));
    ensure!(is_there && said.contains("      DROP      app.writes\n"), "{said}");

    let inserts = searched(&["--kind", "insert", "--table", "app.noise", "--limit", "10000"]).await?;
    let of = |gtid: &str| inserts.transactions.iter().find(|hit| hit.gtid == gtid);
    let alone = of(lost).context("what was lost is not found")?;
    ensure!(alone.fate == "lost" && alone.deeds.iter().all(|deed| deed.rows == Some(1)), "{alone:?}");
    ensure!(inserts.transactions.iter().filter(|hit| hit.fate == "lost").count() == 1, "{inserts:?}");
    let nothing = machine.find(&["--kind", "truncate", "--table", "nowhere.*"]).await?;
    ensure!(nothing.status.code() == Some(1), "{nothing:?}");
    Ok(())
}

/// A time is the place between two transactions, to the microsecond on MySQL and to the second on MariaDB.
async fn by_time(machine: &Machine, dialect: Dialect, replay: &Replay) -> Result<()> {
    let first = replay.first_not.as_ref().context("nothing follows")?;
    let at = |us: i64| anyhow::Ok(Timestamp::from_microsecond(us)?.to_string());
    let planned = async |us: i64| {
        let plan = machine.planned(&["--into", "/nowhere", "--to-time", &at(us)?]).await?;
        plan.replay.context("nothing is replayed")
    };
    let before = planned(first.committed_us - 1).await?;
    let with = planned(first.committed_us).await?;
    ensure!(before.last.as_ref().is_some_and(|last| last.committed_us < first.committed_us), "{before:?}");
    ensure!(with.first_not.as_ref().is_none_or(|not| not.committed_us > first.committed_us), "{with:?}");
    ensure!(with.transactions > replay.transactions, "{with:?}");
    if dialect == Dialect::MySql {
        ensure!(before.gtids == replay.gtids, "{before:?}\n{replay:?}");
    }
    Ok(())
}

/// Everything that is archived is what the last writer has.
async fn to_the_end(bench: &Bench, machine: &Machine, options: &str) -> Result<()> {
    let into = into_another(bench);
    let said = machine.restored(&["--into", &into, "--latest", "--options", options]).await?;
    let wanted = stands_at(&bench.servers[1]).await?;
    ensure!(said.restored.gtids == wanted, "{wanted}\n{said:?}");
    fs::remove_dir_all(&into)?;
    // Who does not ask for it is told of it.
    let plan = machine.planned(&["--into", &into]).await?;
    ensure!(plan.warnings.iter().any(|warning| warning.contains("follow in the archive")), "{plan:?}");
    Ok(())
}

/// A segment that is gone: what it had is named, and nothing is written.
async fn a_hole(bench: &Bench, machine: &Machine) -> Result<()> {
    let entries = shelf(bench)?.entries().await?;
    let on = entries.iter().filter(|(_, entry)| entry.timeline.epoch == 2);
    let mut on: Vec<_> = on.collect();
    on.sort_by_key(|(_, entry)| entry.span.after.count());
    ensure!(on.len() > 2, "{} segments", on.len());
    let (key, entry) = on.get(1).context("no segments")?;
    fs::remove_file(machine.store.join(key))?;
    let why = format!("the archive lacks {}, and nothing can be restored across that", entry.span.added);
    machine.refuses(&["--into", &into_another(bench), "--latest"], &why).await?;
    ensure!(!bench.sandbox.root().join("another").exists(), "something was begun");
    // Whoever looks for something is told that not everything was looked through.
    let output = machine.find(&["--kind", "drop"]).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(2) && said.contains("! the archive lacks "), "{said}");
    Ok(())
}

/// A dump goes into a running server, and what followed goes after it.
async fn a_dump_is_gone_on_from(dialect: Dialect) -> Result<()> {
    let mut bench = Bench::begin(dialect).await?;
    let (program, family) = match dialect {
        Dialect::MySql => ("mysqldump", Family::Mysql),
        Dialect::MariaDb => ("mariadb-dump", Family::Mariadb),
    };
    let engine = Engine::Dump { program: bench.program(program).await?, dialect: family };
    let replica = spec(&bench, 1, 1, false)?;
    archiving(&replica, async |_| {
        let made = run(&bench.spec(BACKUP, engine, Extent::Full)?, |_| ()).await;
        made.map_err(anyhow::Error::msg)?;
        bench.writes_on(100).await?;
        bench.ledger.stop().await;
        level(&bench.servers[0], &bench.servers[1]).await?;
        shelf(&bench)?.gets_all(&bench.servers[1]).await
    })
    .await?
    .map_err(anyhow::Error::msg)?;
    let machine = Machine::new(&bench).await?;
    let mut restored = bench.third().await?;
    restored.start().await?;
    replication::open(&restored).await?;
    let socket = restored.socket().display().to_string();
    let said = machine.restored(&["--socket", &socket, "--force", "--latest"]).await?;
    ensure!(said.restored.gtids == stands_at(&bench.servers[1]).await?, "{said:?}");
    if dialect == Dialect::MySql {
        ensure!(stands_at(&restored).await? == said.restored.gtids, "{said:?}");
    }
    let found = bench.ledger.found(&restored).await?;
    ensure!(found.lost.is_empty() && found.doubled == 0, "{found:?}");
    Ok(())
}

on_both!(a_dump_is_gone_on_from, mysql_a_dump_is_gone_on_from, mariadb_a_dump_is_gone_on_from);
