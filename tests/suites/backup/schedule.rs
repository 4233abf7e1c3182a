//! A whole cluster: backups that are made because it is time, each slot once, whoever leads.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use baton_node::backup::pipeline::Identity;
use baton_proto::control::{BackupListReply, BackupTask};
use baton_tests::cluster::Cluster;
use baton_tests::sandbox::{Dialect, until};

use super::ctl::{asked, cluster_with};

/// Until the next minute, and a backup on a busy machine.
const SLOT: Duration = Duration::from_secs(180);
const SOON: Duration = Duration::from_secs(45);

const EACH_MINUTE: &str =
    "[[backup.schedule]]\nname = \"often\"\ncron = \"* * * * *\"\nkind = \"incremental\"\n";

async fn list(cluster: &Cluster) -> Result<BackupListReply> {
    asked(cluster, &["backup", "list"]).await
}

/// Waits until the list has what `find` looks for.
async fn listed<T>(cluster: &Cluster, what: &str, find: impl Fn(&BackupListReply) -> Option<T>) -> Result<T> {
    // Without a leader nobody answers.
    let look = async || Ok(list(cluster).await.ok().and_then(|list| find(&list)));
    until(what, SLOT, look).await.map_err(|error| cluster.explained(error))
}

/// No slot was taken twice.
fn each_slot_once(tasks: &[BackupTask]) -> Result<()> {
    let scheduled = || tasks.iter().filter(|task| !task.schedule.is_empty());
    let slots: BTreeSet<i64> = scheduled().map(|task| task.slot_ms).collect();
    ensure!(slots.len() == scheduled().count(), "a slot was taken twice: {tasks:?}");
    Ok(())
}

/// A backup that is due is made of a replica; the leader that began it is lost, and the next one neither begins it again nor
/// leaves the following slots.
#[tokio::test]
async fn mariadb_backup_by_schedule() -> Result<()> {
    let escrow = Identity::generate()?;
    let mut cluster = cluster_with(Dialect::MariaDb, "mariadb-backup", &escrow, EACH_MINUTE).await?;
    let first = listed(&cluster, "the first backup", |list| list.backups.first().cloned()).await?;
    let made = list(&cluster).await?;
    ensure!(first.node != "db1", "it is the writer: {first:?}");
    ensure!(first.kind == "full" && first.full_because.contains("none yet"), "{first:?}");
    let task = made.ended.iter().find(|task| task.backup == first.id);
    let task = task.ok_or_else(|| anyhow::anyhow!("its task is not listed: {made:?}"))?;
    ensure!(task.schedule == "often" && task.by == "schedule often", "{task:?}");
    ensure!(task.slot_ms % 60_000 == 0 && task.started_ms >= task.slot_ms, "{task:?}");
    let [often] = made.schedules.as_slice() else { anyhow::bail!("{made:?}") };
    ensure!(often.next_ms > often.slot_ms && often.tries == 1 && often.error.is_empty(), "{often:?}");

    // The leader, which never stays beside the writer, must not be the one that makes the next one.
    let leader = cluster
        .reaches("a leader away from the writer", SOON, |s| !s.leader.is_empty() && s.leader != "db1")
        .await?
        .leader;
    let maker = if leader == "db2" { "db3" } else { "db2" };
    cluster.ctl().done(&["maintenance", &leader, "--for", "1h", "--reason", "test"]).await?;
    cluster.server(maker)?.hold_copy(true)?;
    let held = listed(&cluster, "a backup to be under way", |list| {
        list.task.clone().filter(|task| task.node == maker && task.bytes > 0)
    });
    let held = held.await?;
    cluster.node_mut(&leader)?.kill().await?;
    let goes_on = |list: &BackupListReply| list.task.clone().filter(|task| task.id == held.id);
    let still = listed(&cluster, "the next leader to know of it", goes_on).await?;
    ensure!(still.slot_ms == held.slot_ms, "{still:?}");
    cluster.server(maker)?.hold_copy(false)?;
    let done = listed(&cluster, "its end", |list| list.ended.iter().find(|task| task.id == held.id).cloned());
    let done = done.await?;
    ensure!(done.error.is_empty(), "{done:?}");
    let later = |list: &BackupListReply| {
        let is_later = |task: &&BackupTask| task.slot_ms > held.slot_ms && task.error.is_empty();
        list.ended.iter().any(|task| is_later(&task)).then(|| list.ended.clone())
    };
    let ended = listed(&cluster, "a later slot", later).await?;
    let increment =
        |list: &BackupListReply| list.backups.iter().find(|backup| !backup.base.is_empty()).cloned();
    let increment = listed(&cluster, "an increment", increment).await?;
    let base = list(&cluster).await?.backups.into_iter().find(|backup| backup.id == increment.base);
    ensure!(base.is_some_and(|base| base.node == increment.node), "{increment:?}");
    each_slot_once(&ended)
}
