//! The way back of a switchover: the leader dies on it, and a target that says nothing makes it no longer.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use baton_node::state::StepName;
use baton_proto::control::StatusReply;
use baton_tests::cluster::{Cluster, ClusterOptions, OpenWatch, PEER_PORT};
use baton_tests::sandbox::{Dialect, LedgerOptions};
use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use rustix::process::Signal;

use crate::{FINISHED, SOON, STOPS, TRIES, ask, leader_elsewhere, shown, writes_go_on};

/// How far a switchover had come when it was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// Its close was held up.
    Open,
    /// The target did not get what it has.
    Closed,
}

/// Right after the step that says so: the next leader ends it, and the roles are as before.
pub(crate) async fn leader_dies_taking_it_back(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::patient(dialect)).await?;
    let before = cluster.settled().await?;
    cluster.server(&before.writer)?.execute(["CREATE TABLE app.other (id INT PRIMARY KEY)"]).await?;
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    let watch = OpenWatch::start(&cluster);
    for writer in [Writer::Open, Writer::Closed] {
        let before = leader_elsewhere(&cluster).await?;
        writes_go_on(&cluster, &ledger).await?;
        let began = Instant::now();
        stops_taking_it_back(&cluster, &before, writer)
            .await
            .map_err(|error| cluster.explained(error.context(format!("{writer:?}"))))?;
        cluster.node_mut(&before.leader)?.restart().await?;
        let over = |status: &StatusReply| {
            status.writer_open && status.operation.is_empty() && !status.leader.is_empty()
        };
        cluster.reaches("the switchover to be over", FINISHED, over).await?;
        writes_go_on(&cluster, &ledger).await?;
        let after = cluster.settled().await?;
        let pause = ledger.gap_after(began).as_millis();
        println!(
            "{dialect:?}, writer {writer:?}: epoch {} to {}, paused {pause} ms",
            before.epoch, after.epoch
        );
        // A closed writer is not opened again under its epoch.
        let next = if writer == Writer::Open { before.epoch } else { before.epoch + 1 };
        ensure!((&after.writer, after.epoch) == (&before.writer, next), "{before:#?}\n{after:#?}");
    }
    ledger.stop().await;
    cluster.post_check(&ledger, &[]).await?;
    watch.never_two()
}

/// Begins one that has to be taken back, and returns once the leader stands still right after it has said so.
async fn stops_taking_it_back(cluster: &Cluster, before: &StatusReply, writer: Writer) -> Result<()> {
    let leader = cluster.node(&before.leader)?;
    let to = a_third(cluster, before)?;
    let primary = cluster.server(&before.writer)?;
    let (held, lock) = match writer {
        Writer::Open => (primary, "LOCK TABLES app.other WRITE"),
        Writer::Closed => (cluster.server(to)?, "LOCK TABLES app.other READ"),
    };
    let mut holder = held.connect().await?;
    holder.query_drop(lock).await?;
    let first = if writer == Writer::Open { StepName::Undo } else { StepName::Freeze };
    leader.stop_after(first)?;
    // On a busy machine it may be refused at first; then it is asked for again.
    let mut asking = ask(cluster, to)?;
    let mut tries = 1;
    while let Err(error) = leader.stopped(STOPS).await {
        ensure!(tries < TRIES, error.context(format!("never at {first}")));
        cluster.settled().await?;
        asking = ask(cluster, to)?;
        tries += 1;
    }
    if writer == Writer::Closed {
        // Nothing spoke against it so far. What the writer commits now, the target cannot apply.
        leader.stop_after(StepName::Undo)?;
        primary.execute(["INSERT INTO app.other VALUES (1)"]).await?;
        leader.signal(Signal::CONT)?;
        leader.stopped(STOPS).await.context("never at undo")?;
    }
    asking.kill().await?;
    Ok(())
}

/// Writes pause for no longer than for one that is late.
#[tokio::test]
async fn mysql_silent_target_is_undone_in_time() -> Result<()> {
    /// Of `--max-pause`, and what a busy machine takes on top. An answer used to be waited for half a second longer.
    const UNDO_BEGINS_MS: i64 = 1000 + 200;
    let cluster = Cluster::managed(ClusterOptions::patient(Dialect::MySql)).await?;
    let before = leader_elsewhere(&cluster).await?;
    let to = a_third(&cluster, &before)?;
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    let watch = OpenWatch::start(&cluster);
    writes_go_on(&cluster, &ledger).await?;
    let (leader, target) = (cluster.node(&before.leader)?, cluster.node(to)?);
    leader.stop_after(StepName::Freeze)?;
    let began = Instant::now();
    let cut_off = async {
        leader.stopped(SOON).await?;
        target.signal(Signal::STOP)?;
        let goes_on_ms = Timestamp::now().as_millisecond();
        leader.signal(Signal::CONT)?;
        anyhow::Ok(goes_on_ms)
    };
    // Not asked through the node that stands still.
    let asked_of = format!("{}:{PEER_PORT}", cluster.host(&before.leader)?.address());
    let arguments = ["--to", to, "--max-pause", "1s", "--node", &asked_of];
    let (asked, cut_off) = tokio::join!(cluster.ctl().switchover(&arguments), cut_off);
    target.signal(Signal::CONT)?;
    let undone = asked.map_err(|error| cluster.explained(error))?;
    shown(&undone);
    ensure!(undone.tried && !undone.moved, cluster.explained(anyhow::anyhow!("{undone:#?}")));
    let undo = undone.journal.iter().find(|step| step.name == "undo").context("no undo")?;
    let stalled = i64::try_from(cluster.stood_still(began).as_millis())?;
    let took = undo.at_ms - cut_off?;
    println!("the undo began after {took} ms");
    ensure!(took < UNDO_BEGINS_MS + stalled, "it began after {took} ms: {undone:#?}");
    writes_go_on(&cluster, &ledger).await?;
    let after = cluster.settled().await?;
    ensure!(after.writer == before.writer, "{after:#?}");
    ledger.stop().await;
    cluster.post_check(&ledger, &[]).await?;
    watch.never_two()
}

/// A server whose node is neither the writer's nor the one that leads.
fn a_third(cluster: &Cluster, status: &StatusReply) -> Result<&'static str> {
    cluster.data_nodes().find(|n| *n != status.writer && *n != status.leader).context("no third node")
}
