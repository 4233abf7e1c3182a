//! A whole cluster that lists what an earlier one of its name left in the store.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use baton_node::backup::pipeline::Identity;
use baton_proto::control::{Backup, BackupListReply, BackupTask};
use baton_tests::cluster::Cluster;
use baton_tests::sandbox::Dialect;

use super::ctl::{asked, cluster_with};

const OFF: &str = "[[backup.schedule]]\nname = \"off\"\ncron = \"0 2 * * *\"\nenabled = false\n";

async fn done(cluster: &Cluster, words: &[&str]) -> Result<BackupTask> {
    let task: BackupTask = asked(cluster, words).await.map_err(|error| cluster.explained(error))?;
    ensure!(task.error.is_empty(), "{:#}", cluster.explained(anyhow::anyhow!("{task:?}")));
    Ok(task)
}

#[tokio::test]
async fn mariadb_backups_of_a_lost_cluster_are_listed_again() -> Result<()> {
    let escrow = Identity::generate()?;
    let lost = cluster_with(Dialect::MariaDb, "mariadb-backup", &escrow, OFF).await?;
    let full = done(&lost, &["backup", "now", "db2", "--follow"]).await?.backup;
    let increment = done(&lost, &["backup", "now", "db2", "--kind", "incremental", "--follow"]).await?.backup;
    let kept = folder_beside(&lost)?;
    copy(&lost.folder().join("store"), &kept)?;
    let before: Backup = asked(&lost, &["backup", "show", &increment]).await?;
    drop(lost);

    let cluster = cluster_with(Dialect::MariaDb, "mariadb-backup", &escrow, OFF).await?;
    let empty = done(&cluster, &["backup", "scan", "--follow"]).await?;
    ensure!(empty.note == "nothing was found that is not listed", "{empty:?}");
    copy(&kept, &cluster.folder().join("store"))?;
    fs::remove_dir_all(&kept)?;
    let damaged = cluster.folder().join("store/shop/backups/20250101T000000Z-db9");
    fs::create_dir(&damaged)?;
    fs::write(damaged.join("manifest.json"), "{")?;
    for (found, listed) in [("2 found", 2), ("nothing was found", 2)] {
        let scanned = done(&cluster, &["backup", "scan", "db3", "--follow"]).await?;
        ensure!(scanned.node == "db3" && scanned.note.starts_with(found), "{scanned:?}");
        ensure!(scanned.note.contains("1 cannot be listed: store disk: 20250101T000000Z-db9"), "{scanned:?}");
        let list: BackupListReply = asked(&cluster, &["backup", "list"]).await?;
        ensure!(list.backups.len() == listed, "{list:?}");
    }
    let again: Backup = asked(&cluster, &["backup", "show", &increment]).await?;
    ensure!(again.base == full && again.kind == "incremental" && again.gtids == before.gtids, "{again:?}");
    ensure!(again.manifest_blake3 == before.manifest_blake3 && again.stores == ["disk"], "{again:?}");
    done(&cluster, &["backup", "verify", &increment, "--follow"]).await?;
    // It is another data directory, whatever its node is called.
    let next = done(&cluster, &["backup", "now", "db2", "--kind", "incremental", "--follow"]).await?;
    ensure!(next.note.contains("is of another data directory than db2's"), "{next:?}");
    Ok(())
}

/// A folder that outlives the cluster.
fn folder_beside(cluster: &Cluster) -> Result<std::path::PathBuf> {
    let name = cluster.folder().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = std::env::temp_dir().join(format!("{name}-store"));
    fs::create_dir(&path)?;
    Ok(path)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
