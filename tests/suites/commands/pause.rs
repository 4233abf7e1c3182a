//! `batonctl pause`, `resume`, `why` and `history`: what is told of a failover that is held back, and of one that is done.

use std::time::Duration;

use anyhow::{Result, ensure};
use baton_tests::cluster::{Cluster, is_open};
use baton_tests::sandbox::{Dialect, until};
use rustix::process::Signal;

use crate::{REFUSED, SOON, ctl, done, has, patient};

/// A process that is seen to exit needs no lease to end: long enough for a failover.
const NOTHING_FOR: Duration = Duration::from_secs(4);

#[tokio::test]
async fn nothing_is_promoted_while_paused() -> Result<()> {
    let mut cluster = Cluster::managed(patient(Dialect::MySql)).await?;
    let before = cluster.pre_flight().await?;
    let (code, said) = ctl(&cluster, &["resume"]).await?;
    ensure!(code == REFUSED, "{code}: {said}");
    has(&said, &["no pause"])?;
    let (code, said) = ctl(&cluster, &["pause", "--for", "1s"]).await?;
    ensure!(code != 0, "{said}");
    has(&said, &["1 minute", "7 days"])?;

    done(&cluster, &["pause", "--for", "10m", "--reason", "a new switch"]).await?;
    let paused = cluster.ctl().status().await?;
    ensure!(paused.automation == "paused" && paused.paused_until_ms > 0, "{paused:#?}");
    cluster.server(&before.writer)?.kill(Signal::KILL)?;
    cluster.server_mut(&before.writer)?.wait_exit(SOON).await?;
    let held = async || {
        let why = cluster.ctl().why().await?;
        let against =
            why.reasons.iter().any(|reason| reason.side == "against" && reason.text.contains("paused"));
        ensure!(against, "{why:#?}");
        Ok(Some(()))
    };
    until("why to say that the pause holds it back", SOON, held)
        .await
        .map_err(|error| cluster.explained(error))?;
    let promoted = cluster.reaches("a promotion", NOTHING_FOR, |status| status.epoch != before.epoch);
    ensure!(promoted.await.is_err(), "promoted in a pause");
    for name in cluster.data_nodes().filter(|name| *name != before.writer) {
        ensure!(!is_open(cluster.server(name)?).await?, "{name} is open");
    }

    done(&cluster, &["resume"]).await?;
    let after = cluster.moved_from(&before.writer).await?;
    ensure!(after.epoch == before.epoch + 1 && after.automation != "paused", "{after:#?}");
    cluster.server_mut(&before.writer)?.start().await?;
    cluster.old_writer_returns(&before.writer).await?;

    let operation = cluster.operation_from(before.epoch).await?;
    ensure!(operation.kind == "failover" && operation.to_node == after.writer, "{operation:#?}");
    let history = done(&cluster, &["history"]).await?;
    has(&history, &["failover", "adopt", &after.writer])?;
    let steps = done(&cluster, &["history", "1"]).await?;
    ensure!(operation.steps.iter().all(|step| steps.contains(&step.name)), "{steps}\n{operation:#?}");
    let why = done(&cluster, &["why", &before.epoch.to_string()]).await?;
    has(&why, &[&before.writer, &after.writer, "proof"])?;
    let (code, said) = ctl(&cluster, &["why", "999"]).await?;
    ensure!(code == REFUSED, "{code}: {said}");
    has(&said, &["999", "batonctl history"])
}
