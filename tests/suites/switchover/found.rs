//! What a dry run finds on real servers: who holds a lock that the close waits for, filters, events.

use std::time::Duration;

use anyhow::{Result, ensure};
use baton_proto::control::SwitchoverReply;
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::{Dialect, until};
use mysql_async::prelude::Queryable;
use tokio::time::sleep;

use super::{SOON, switchover};

/// Between two dry runs: InnoDB reads INNODB_TRX anew only where nobody has read it for 0.1 s, so that whoever asks more
/// often sees no transaction that has begun since.
const APART: Duration = Duration::from_millis(150);

pub(super) async fn dry_run_names_what_it_finds(dialect: Dialect) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::patient(dialect)).await?;
    let before = cluster.pre_flight().await?;
    let primary = cluster.server(&before.writer)?;
    primary.execute(["CREATE TABLE app.other (id INT PRIMARY KEY)"]).await?;
    primary.execute(["CREATE EVENT app.tick ON SCHEDULE EVERY 1 HOUR DO SELECT 1"]).await?;
    primary.execute(["SET GLOBAL event_scheduler=ON"]).await?;
    let events = found(&cluster, "wait", "runs 1 events, which end").await?;
    ensure!(events.findings.iter().any(|f| f.what.starts_with("semi-sync: its commits wait")), "{events:#?}");

    let mut holder = primary.connect().await?;
    holder.query_drop("LOCK TABLES app.other WRITE").await?;
    // As the servers under test are started, they do not tell whose a lock is.
    found(&cluster, "ok", "tables in use: app.other").await?;
    holder.query_drop("UNLOCK TABLES").await?;
    primary
        .execute(match dialect {
            Dialect::MySql => {
                ["UPDATE performance_schema.setup_instruments SET ENABLED = 'YES' WHERE NAME = \
                 'wait/lock/metadata/sql/mdl' OR NAME LIKE 'thread/sql/%'"]
            }
            Dialect::MariaDb => ["INSTALL SONAME 'metadata_lock_info'"],
        })
        .await?;
    let mut holder = primary.connect().await?;
    let id = holder.query_first::<u64, _>("SELECT CONNECTION_ID()").await?.unwrap_or_default();
    holder.query_drop("LOCK TABLES app.other WRITE").await?;
    let held = found(&cluster, "wait", &format!("session {id}, ")).await?;
    let named = |f: &&baton_proto::control::Finding| f.what.contains("has held a lock on app.other for");
    ensure!(held.findings.iter().any(|f| named(&f) && !f.mend.is_empty()), "{held:#?}");
    holder.query_drop("UNLOCK TABLES; START TRANSACTION; INSERT INTO app.other VALUES (1)").await?;
    let open = found(&cluster, "wait", &format!("transaction of session {id}, ")).await?;
    ensure!(!open.refused && open.findings.iter().any(|f| f.what.ends_with(": idle")), "{open:#?}");
    holder.query_drop("ROLLBACK").await?;

    let replica = cluster.server("db2")?;
    let (filter, name) = match dialect {
        Dialect::MySql => (
            [
                "STOP REPLICA SQL_THREAD",
                "CHANGE REPLICATION FILTER REPLICATE_IGNORE_DB=(elsewhere)",
                "START REPLICA SQL_THREAD",
            ],
            "replicate_ignore_db=elsewhere",
        ),
        Dialect::MariaDb => (
            ["STOP SLAVE SQL_THREAD", "SET GLOBAL replicate_ignore_db='elsewhere'", "START SLAVE SQL_THREAD"],
            "replicate_ignore_db=elsewhere",
        ),
    };
    replica.execute(filter).await?;
    let filtered = found(&cluster, "stop", name).await?;
    ensure!(filtered.refused && filtered.steps.is_empty(), "{filtered:#?}");
    let status = cluster.ctl().status().await?;
    ensure!((status.epoch, &status.writer) == (before.epoch, &before.writer), "{status:#?}");
    Ok(())
}

/// Waits for a finding of this level that says so.
async fn found(cluster: &Cluster, level: &str, what: &str) -> Result<SwitchoverReply> {
    let look = async || {
        sleep(APART).await;
        let plan = switchover(cluster, &["--to", "db2", "--dry-run"]).await?;
        Ok(plan.findings.iter().any(|f| f.level == level && f.what.contains(what)).then_some(plan))
    };
    match until(&format!("`{what}` in a dry run"), SOON, look).await {
        Ok(plan) => Ok(plan),
        Err(error) => {
            let plan = switchover(cluster, &["--to", "db2", "--dry-run"]).await?;
            Err(cluster.explained(error.context(format!("{plan:#?}"))))
        }
    }
}
