//! A whole cluster: what a store does not keep leaves it, and everything else stays.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use baton_node::backup::pipeline::Identity;
use baton_proto::control::{BackupListReply, BackupPruneReply, BackupTask};
use baton_tests::cluster::Cluster;
use baton_tests::sandbox::{Dialect, until};

use super::ctl::{asked, cluster_in, ctl};

const SOON: Duration = Duration::from_secs(60);
const REFUSED: i32 = 5;
/// The test makes each backup, and nothing is kept for its age.
const KEEPS_ONE: &str = "prune = true\nkeep_all = \"0s\"\nkeep_weekly = \"0s\"\nkeep_at_least = 1\n\
    [[backup.schedule]]\nname = \"off\"\ncron = \"0 2 * * *\"\nenabled = false\n";

async fn made(cluster: &Cluster) -> Result<String> {
    let task: BackupTask = asked(cluster, &["backup", "now", "--follow"]).await?;
    ensure!(task.error.is_empty(), "{task:?}");
    Ok(task.backup)
}

/// Files of a backup in the store.
fn files(cluster: &Cluster, backup: &str) -> usize {
    let folder: PathBuf = cluster.folder().join("store/shop/backups").join(backup);
    std::fs::read_dir(folder).map_or(0, |found| found.count())
}

#[tokio::test]
async fn mariadb_backups_that_are_not_kept_leave_the_store() -> Result<()> {
    let escrow = Identity::generate()?;
    let (backup, store) = ("delete_after = \"0s\"", KEEPS_ONE);
    let cluster = cluster_in(Dialect::MariaDb, "mariadb-backup", &escrow, backup, store).await?;
    let first = made(&cluster).await?;
    let (code, said) = ctl(&cluster, &["backup", "delete", &first]).await?;
    ensure!(code == REFUSED && said.contains("no newer one"), "{code}: {said}");
    let (code, said) = ctl(&cluster, &["backup", "pin", &first]).await?;
    ensure!(code == 0, "{code}: {said}");
    let second = made(&cluster).await?;
    let third = made(&cluster).await?;

    let gone = async || {
        let list: BackupListReply = asked(&cluster, &["backup", "list"]).await?;
        Ok((!list.backups.iter().any(|backup| backup.id == second)).then_some(list))
    };
    let list =
        until("the second one to leave", SOON, gone).await.map_err(|error| cluster.explained(error))?;
    let ids: Vec<_> = list.backups.iter().map(|backup| backup.id.as_str()).collect();
    ensure!(ids == [third.as_str(), first.as_str()], "{list:?}");
    let there = [files(&cluster, &first), files(&cluster, &second), files(&cluster, &third)];
    ensure!(there[0] >= 2 && there[1] == 0 && there[2] >= 2, "{there:?}");
    let removed = list.ended.iter().find(|task| task.what == "remove" && task.backup == second);
    ensure!(removed.is_some_and(|task| task.error.is_empty()), "{:?}", list.ended);

    let dry: BackupPruneReply = asked(&cluster, &["backup", "prune", "--dry-run"]).await?;
    let stays: Vec<_> = dry.verdicts.iter().map(|verdict| verdict.stays.as_str()).collect();
    ensure!(stays == ["one of the last", "pinned"] && dry.marked == 0, "{dry:?}");
    let (code, said) = ctl(&cluster, &["backup", "unpin", &first]).await?;
    ensure!(code == 0, "{code}: {said}");
    let gone = async || Ok((files(&cluster, &first) == 0).then_some(()));
    until("the first one to leave", SOON, gone).await.map_err(|error| cluster.explained(error))?;
    ensure!(files(&cluster, &third) >= 2, "the newest one is gone too");
    Ok(())
}
