//! Planned switchovers of real servers, both dialects: the writer moves under load with a short pause and nothing lost, a
//! dry run and a refusal change nothing, and one that cannot be done in time is taken back.
#![allow(clippy::unwrap_used)]

mod appointed;
mod events;
mod found;
mod plan;
mod undone;

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use baton_node::state::{OperationKind, StepName};
use baton_proto::control::{StatusReply, SwitchoverReply};
use baton_tests::cluster::{Cluster, ClusterOptions, Layout, OpenWatch};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, Ledger, LedgerOptions, StallMeter};
use mysql_async::prelude::Queryable;
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(10);
/// The longest pause of writes that a test lets pass, with debug builds on a machine that does other things beside it.
/// How long it should be stands in docs/benchmarks.md.
const PAUSE: Duration = Duration::from_millis(1500);
/// How long a switchover that was cut off may take until another leader has brought it to its end.
const FINISHED: Duration = Duration::from_secs(45);
/// How soon the leader stops itself at its step, and how often that, or a switchover, is tried on a busy machine.
const STOPS: Duration = Duration::from_secs(6);
const TRIES: u32 = 5;
/// What a debug build is given: its own part of a pause is many times that of a build for use.
const MAX_PAUSE: [&str; 2] = ["--max-pause", "2s"];

use appointed::appointment_is_carried_out_by_another_leader;
use events::events_follow_the_writer;
use found::dry_run_names_what_it_finds;
use undone::leader_dies_taking_it_back;

on_both!(
    appointment_is_carried_out_by_another_leader,
    mysql_appointment_is_carried_out_by_another_leader,
    mariadb_appointment_is_carried_out_by_another_leader
);
on_both!(dry_run_names_what_it_finds, mysql_dry_run_names_what_it_finds, mariadb_dry_run_names_what_it_finds);
on_both!(leader_dies_taking_it_back, mysql_leader_dies_taking_it_back, mariadb_leader_dies_taking_it_back);
on_both!(events_follow_the_writer, mysql_events_follow_the_writer, mariadb_events_follow_the_writer);
on_both!(writer_moves_under_load, mysql_writer_moves_under_load, mariadb_writer_moves_under_load);
on_both!(writer_moves_between_two, mysql_writer_moves_between_two, mariadb_writer_moves_between_two);
on_both!(
    dry_runs_and_refusals_pause_nothing,
    mysql_dry_runs_and_refusals_pause_nothing,
    mariadb_dry_runs_and_refusals_pause_nothing
);
on_both!(what_cannot_close_is_undone, mysql_what_cannot_close_is_undone, mariadb_what_cannot_close_is_undone);
on_both!(
    target_that_falls_behind_is_undone,
    mysql_target_that_falls_behind_is_undone,
    mariadb_target_that_falls_behind_is_undone
);

/// There and back again.
async fn writer_moves_under_load(dialect: Dialect) -> Result<()> {
    there_and_back(ClusterOptions::new(dialect)).await
}

/// With two servers the old writer is the only acker that the new one can have.
async fn writer_moves_between_two(dialect: Dialect) -> Result<()> {
    there_and_back(ClusterOptions::new(dialect).layout(Layout::TwoServersAndWitness)).await
}

async fn there_and_back(options: ClusterOptions) -> Result<()> {
    let cluster = Cluster::managed(options).await?;
    let UnderLoad { before, watch, machine, mut ledger } = UnderLoad::begin(&cluster).await?;

    let mut epoch = before.epoch;
    for to in ["db2", "db1"] {
        let (began, moved) = cluster.moves(&[&["--to", to], &MAX_PAUSE[..]].concat()).await?;
        ensure!(moved.to == to, cluster.explained(anyhow::anyhow!("{moved:#?}")));
        writes_go_on(&cluster, &ledger).await?;
        let pause = ledger.gap_after(began);
        println!(
            "{} to {to}: Baton counts {} ms, clients {} ms",
            moved.from,
            moved.pause_ms,
            pause.as_millis()
        );
        shown(&moved);
        ensure!(
            pause < PAUSE + machine.since(began),
            cluster
                .explained(anyhow::anyhow!("writes paused for {pause:?}, Baton says {} ms", moved.pause_ms))
        );
        let status = cluster.settled().await?;
        ensure!(status.writer == to && status.epoch > epoch, "{status:#?}");
        epoch = status.epoch;
    }
    let operation = cluster.operation_from(epoch - 1).await?;
    ensure!(operation.kind == "switchover" && operation.proof.contains("closed"), "{operation:#?}");
    ledger.stop().await;
    cluster.post_check(&ledger, &[]).await?;
    watch.never_two()
}

/// Nobody's session is cut, and no write waits.
async fn dry_runs_and_refusals_pause_nothing(dialect: Dialect) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let UnderLoad { before, watch, machine, mut ledger } = UnderLoad::begin(&cluster).await?;
    let began = Instant::now();

    let plan = switchover(&cluster, &["--dry-run"]).await?;
    ensure!(!plan.refused && !plan.tried && plan.from == before.writer && !plan.to.is_empty(), "{plan:#?}");
    ensure!(plan.pause_ms > 0 && plan.steps.iter().any(|s| s.statement.contains("read_only")), "{plan:#?}");

    let itself = switchover(&cluster, &["--to", &before.writer]).await?;
    refused(&itself, "is the writer already")?;
    refused(&switchover(&cluster, &["--to", "db9"]).await?, "is not a member")?;

    // A target that cannot apply has not what the writer has, whatever it has received.
    let mut holder = cluster.server("db3")?.connect().await?;
    holder.query_drop("LOCK TABLES app.writes READ").await?;
    writes_go_on(&cluster, &ledger).await?;
    let lagging = switchover(&cluster, &["--to", "db3"]).await?;
    holder.query_drop("UNLOCK TABLES").await?;
    ensure!(lagging.refused && !lagging.tried, "{lagging:#?}");

    writes_go_on(&cluster, &ledger).await?;
    ledger.stop().await;
    let bound = PAUSE + machine.since(began);
    ensure!(ledger.gap_after(began) < bound, "writes paused for {:?}", ledger.gap_after(began));
    let sessions = LedgerOptions::default().sessions;
    ensure!(ledger.connections() == sessions, "{} connections of {sessions} sessions", ledger.connections());
    let after = cluster.post_check(&ledger, &[]).await?;
    ensure!((after.epoch, &after.writer) == (before.epoch, &before.writer), "the writer moved: {after:#?}");
    watch.never_two()
}

/// A session holds a lock that the close waits for: everything stays as it was, and writes go on. With --kill-blockers
/// that session is what goes.
async fn what_cannot_close_is_undone(dialect: Dialect) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let UnderLoad { before, watch, machine, mut ledger } = UnderLoad::begin(&cluster).await?;
    let primary = cluster.server(&before.writer)?;
    primary.execute(["CREATE TABLE app.other (id INT PRIMARY KEY)"]).await?;
    let mut holder = primary.connect().await?;
    // A table of its own: nobody's write waits for it, but the close does.
    holder.query_drop("LOCK TABLES app.other WRITE").await?;

    let began = Instant::now();
    let mut undone = switchover(&cluster, &["--to", "db2", "--max-pause", "500ms"]).await?;
    for _again in 1..TRIES {
        // Not ready for it on a busy machine: that is no part of this.
        if !undone.refused {
            break;
        }
        cluster.settled().await?;
        undone = switchover(&cluster, &["--to", "db2", "--max-pause", "500ms"]).await?;
    }
    shown(&undone);
    ensure!(undone.tried && !undone.moved, cluster.explained(anyhow::anyhow!("{undone:#?}")));
    writes_go_on(&cluster, &ledger).await?;
    let pause = ledger.gap_after(began);
    println!("undone: {}; clients paused for {} ms", undone.message, pause.as_millis());
    ensure!(pause < PAUSE + machine.since(began), "writes paused for {pause:?}: {undone:#?}");
    holder.query_drop("SELECT 1").await?;
    let after = cluster.settled().await?;
    ensure!((after.epoch, &after.writer) == (before.epoch, &before.writer), "{after:#?}");

    cluster.moves(&[&["--to", "db2", "--kill-blockers"], &MAX_PAUSE[..]].concat()).await?;
    ensure!(holder.query_drop("SELECT 1").await.is_err(), "the session that held it up is still there");
    writes_go_on(&cluster, &ledger).await?;
    ledger.stop().await;
    cluster.post_check(&ledger, &[]).await?;
    watch.never_two()
}

/// Right before the writer is closed it writes something that the target cannot apply: the writer gets the next epoch
/// itself, or another leader finds it still open.
async fn target_that_falls_behind_is_undone(dialect: Dialect) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let before = leader_elsewhere(&cluster).await?;
    let to = cluster.data_nodes().find(|name| *name != before.writer).unwrap();
    let primary = cluster.server(&before.writer)?;
    primary.execute(["CREATE TABLE app.other (id INT PRIMARY KEY)"]).await?;
    cluster.pre_flight().await?;
    let watch = OpenWatch::start(&cluster);
    let machine = StallMeter::start(cluster.folder())?;
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;

    let mut blocker = cluster.server(to)?.connect().await?;
    blocker.query_drop("LOCK TABLES app.other READ").await?;
    let leader = cluster.node(&before.leader)?;
    leader.stop_after(StepName::Freeze)?;
    let began = Instant::now();
    let cut_off = async {
        leader.stopped(SOON).await?;
        primary.execute(["INSERT INTO app.other VALUES (1)"]).await?;
        leader.signal(Signal::CONT)
    };
    let arguments = ["--to", to, "--max-pause", "1s"];
    let (asked, cut_off) = tokio::join!(cluster.ctl().switchover(&arguments), cut_off);
    cut_off.map_err(|error| cluster.explained(error))?;
    let undone = asked.map_err(|error| cluster.explained(error))?;
    blocker.query_drop("UNLOCK TABLES").await?;
    shown(&undone);
    ensure!(undone.tried && !undone.moved, cluster.explained(anyhow::anyhow!("{undone:#?}")));
    writes_go_on(&cluster, &ledger).await?;
    let pause = ledger.gap_after(began);
    println!("clients paused for {} ms", pause.as_millis());
    ensure!(pause < 2 * PAUSE + machine.since(began), "writes paused for {pause:?}: {undone:#?}");
    let after = cluster.settled().await?;
    ensure!(after.writer == before.writer, "{after:#?}");
    ledger.stop().await;
    cluster.post_check(&ledger, &[]).await?;
    watch.never_two()
}

/// The leader dies right after each step: the next one finishes it, or takes it back.
#[tokio::test]
async fn mysql_leader_dies_at_every_step() -> Result<()> {
    leader_dies(Dialect::MySql, OperationKind::Switchover.steps()).await
}

#[tokio::test]
async fn mariadb_leader_dies_at_the_main_steps() -> Result<()> {
    let steps = [StepName::Freeze, StepName::Revoked, StepName::Granted, StepName::Open];
    leader_dies(Dialect::MariaDb, &steps).await
}

async fn leader_dies(dialect: Dialect, steps: &[StepName]) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    let watch = OpenWatch::start(&cluster);
    for step in steps {
        let before = leader_elsewhere(&cluster).await?;
        let to = cluster.data_nodes().find(|name| *name != before.writer).unwrap();
        writes_go_on(&cluster, &ledger).await?;
        let leader = before.leader.clone();
        cluster.node(&leader)?.stop_after(*step)?;
        let began = Instant::now();
        // On a busy machine the leader may be another before that step; then it is asked again.
        let mut asking = ask(&cluster, to)?;
        let mut tries = 1;
        while let Err(error) = cluster.node(&leader)?.stopped(STOPS).await {
            ensure!(tries < TRIES, cluster.explained(error.context(format!("never at {step}"))));
            cluster.settled().await?;
            asking = ask(&cluster, to)?;
            tries += 1;
        }
        cluster.node_mut(&leader)?.restart().await?;
        // Killed where the other nodes had not heard of the plan, it never was.
        let over = |status: &StatusReply| {
            status.writer_open && status.operation.is_empty() && !status.leader.is_empty()
        };
        cluster.reaches("the switchover to be over", FINISHED, over).await?;
        writes_go_on(&cluster, &ledger).await?;
        drop(asking.kill().await);
        let after = cluster.settled().await?;
        let pause = ledger.gap_after(began).as_millis();
        println!(
            "{dialect:?} at {step}: {} → {} asked for {to}, paused {pause} ms",
            before.writer, after.writer
        );
        ensure!(after.epoch >= before.epoch, "an epoch went back: {after:#?}");
    }
    cluster.settled().await?;
    ledger.stop().await;
    cluster.post_check(&ledger, &[]).await?;
    watch.never_two()
}

/// A cluster that was well when the load began.
struct UnderLoad {
    before: StatusReply,
    watch: OpenWatch,
    machine: StallMeter,
    ledger: Ledger,
}

impl UnderLoad {
    async fn begin(cluster: &Cluster) -> Result<Self> {
        let before = cluster.pre_flight().await?;
        let watch = OpenWatch::start(cluster);
        let machine = StallMeter::start(cluster.folder())?;
        let ledger = cluster.ledger(&[], LedgerOptions::default());
        writes_go_on(cluster, &ledger).await?;
        Ok(Self { before, watch, machine, ledger })
    }
}

/// `batonctl switchover` that nobody waits for.
fn ask(cluster: &Cluster, to: &str) -> Result<tokio::process::Child> {
    let mut asking = cluster.ctl().command(&["switchover", "--to", to, "--max-pause", "2s"]);
    Ok(asking.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?)
}

/// All is well, and the leader is not on the writer's host.
async fn leader_elsewhere(cluster: &Cluster) -> Result<StatusReply> {
    cluster.settled().await?;
    let apart = |status: &StatusReply| !status.leader.is_empty() && status.leader != status.writer;
    cluster.reaches("a leader away from the writer", SOON, apart).await
}

fn shown(reply: &SwitchoverReply) {
    println!("{} to {}: moved {}, {}", reply.from, reply.to, reply.moved, reply.message);
    for step in &reply.journal {
        println!("  {:>6} {:<5} {}: {}", step.at_ms - reply.started_ms, step.node, step.name, step.detail);
    }
}

fn refused(reply: &SwitchoverReply, why: &str) -> Result<()> {
    let named =
        reply.findings.iter().any(|f| f.level == "stop" && f.what.contains(why) && !f.mend.is_empty());
    ensure!(reply.refused && !reply.tried && named, "{reply:#?}");
    Ok(())
}

/// Asks again where the leader was lost meanwhile, as happens on a busy machine: that it takes back what it has begun is
/// not what is tested here.
async fn switchover(cluster: &Cluster, arguments: &[&str]) -> Result<SwitchoverReply> {
    let mut tries = 1;
    loop {
        let reply = cluster.ctl().switchover(arguments).await.map_err(|error| cluster.explained(error))?;
        if !reply.tried || !reply.message.contains("leader was lost") || tries == TRIES {
            return Ok(reply);
        }
        cluster.settled().await?;
        tries += 1;
    }
}

/// Waits for more acknowledged writes.
async fn writes_go_on(cluster: &Cluster, ledger: &Ledger) -> Result<()> {
    cluster.writes_go_on(ledger, SOON).await
}
