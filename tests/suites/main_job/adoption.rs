//! A production cluster without semi-sync is adopted and given back, while an application writes straight to its primary:
//! no write is refused, no session cut, and the primary stays open.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_proto::control::StatusReply;
use baton_tests::cluster::{Cluster, ClusterOptions, Layout, OpenWatch, is_open};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, Ledger, LedgerOptions, Outcome, Write, until};
use rustix::process::Signal;

use super::{GAP, SOON, writes_go_on};

/// Longer than any ordinary lease, and any deadline of a keeper, by enough to tell.
const LONGER_THAN_A_LEASE: Duration = Duration::from_millis(2500);
/// More operations than a cluster that was never adopted has.
const OPERATIONS: u32 = 20;

on_both!(
    adoption_and_release_refuse_no_write,
    mysql_adoption_and_release_refuse_no_write,
    mariadb_adoption_and_release_refuse_no_write
);
on_both!(
    two_servers_and_a_witness,
    mysql_adoption_of_two_servers_and_a_witness,
    mariadb_adoption_of_two_servers_and_a_witness
);

/// Three servers, of which one is named.
async fn adoption_and_release_refuse_no_write(dialect: Dialect) -> Result<()> {
    let cluster = Cluster::observing(as_production_is(dialect)).await?;
    let watch = OpenWatch::start(&cluster);
    let ledger = straight_to_the_primary(&cluster).await?;

    let began = Instant::now();
    a_dry_run_changes_nothing(&cluster).await.context("the dry run")?;
    cluster.ctl().adopt("db1").await.map_err(|error| cluster.explained(error))?;
    is_managed(&cluster, &ledger).await?;
    release(&cluster, &ledger).await?;
    no_write_was_refused(&cluster, ledger, began).await?;
    watch.never_two()
}

/// What the README begins with: two servers, a witness, and whoever is open now. As long as Baton only watches, before
/// the adoption and after the release, the primary needs nobody.
async fn two_servers_and_a_witness(dialect: Dialect) -> Result<()> {
    let options = as_production_is(dialect).layout(Layout::TwoServersAndWitness);
    let mut cluster = Cluster::observing(options).await?;
    let watch = OpenWatch::start(&cluster);
    let ledger = straight_to_the_primary(&cluster).await?;

    let began = Instant::now();
    cluster.node_mut("db1")?.restart().await?;
    let host = cluster.host("db1")?.clone();
    let is_back = async || cluster.ctl().status_of(&host).await.map(Some);
    until("the primary's node to be back", SOON, is_back).await.map_err(|error| cluster.explained(error))?;
    cluster.formed().await?;

    a_dry_run_changes_nothing(&cluster).await.context("the dry run")?;
    cluster.ctl().done(&["adopt", "--yes"]).await.map_err(|error| cluster.explained(error))?;
    is_managed(&cluster, &ledger).await?;
    release(&cluster, &ledger).await?;
    needs_nobody(&mut cluster, &ledger).await?;
    no_write_was_refused(&cluster, ledger, began).await?;
    watch.never_two()
}

fn as_production_is(dialect: Dialect) -> ClusterOptions {
    ClusterOptions { semi_sync: false, ..ClusterOptions::new(dialect) }
}

/// An application that knows no router.
async fn straight_to_the_primary(cluster: &Cluster) -> Result<Ledger> {
    let address = cluster.server("db1")?.address();
    let ledger = Ledger::start(cluster.sandbox().client(), &[address], LedgerOptions::default());
    writes_go_on(cluster, &ledger).await?;
    Ok(ledger)
}

/// `batonctl adopt --dry-run` names what it would do to each server, and does nothing to any of them or to the group.
async fn a_dry_run_changes_nothing(cluster: &Cluster) -> Result<()> {
    let (state, settings) = (agreed(cluster).await?, cluster.settings().await?);
    let replicating = threads(cluster).await?;
    ensure!(state.starts_with("observing, epoch 0,"), "{state}");

    let plan = cluster.ctl().adoption_plan("db1").await?;
    ensure!(!plan.adopted && plan.writer == "db1", "{plan:#?}");
    let in_the_way = plan.findings.iter().find(|finding| finding.level == "error");
    ensure!(in_the_way.is_none(), "{in_the_way:?}");
    for name in cluster.data_nodes() {
        let named = plan.changes.iter().any(|change| change.node == name && !change.statement.is_empty());
        ensure!(named, "nothing would be sent to {name}: {:#?}", plan.changes);
    }

    let now = cluster.settings().await?;
    let changed: Vec<_> = now.iter().filter(|(name, value)| settings.get(name) != Some(value)).collect();
    ensure!(changed.is_empty() && now.len() == settings.len(), "settings were changed: {changed:?}");
    let now = threads(cluster).await?;
    ensure!(now == replicating, "replication was stopped or started: {now:?}, and {replicating:?} before");
    let now = agreed(cluster).await?;
    ensure!(now == state, "something was agreed on: {now}, and {state} before");
    Ok(())
}

/// What the group has agreed on.
async fn agreed(cluster: &Cluster) -> Result<String> {
    let StatusReply { phase, epoch, durability, operation, .. } = cluster.ctl().status().await?;
    let past = cluster.ctl().history(OPERATIONS).await?;
    Ok(format!("{phase}, epoch {epoch}, durability {durability}, at {operation:?}, past {past:?}"))
}

/// The threads by which each server replicates: where it receives from can be changed of a stopped one only, and one that
/// is started again has another id.
async fn threads(cluster: &Cluster) -> Result<Vec<Vec<u64>>> {
    let query = "SELECT id FROM information_schema.processlist \
                 WHERE user = 'system user' AND command <> 'Daemon' ORDER BY id";
    let mut all = Vec::new();
    for server in cluster.servers() {
        all.push(server.query::<u64>(query).await?);
    }
    ensure!(all.iter().skip(1).all(|threads| !threads.is_empty()), "a replica without a thread: {all:?}");
    Ok(all)
}

/// The first epoch is the open server's, with a keeper beside it, and each of its commits is acknowledged.
async fn is_managed(cluster: &Cluster, ledger: &Ledger) -> Result<()> {
    let adopted = cluster.pre_flight().await?;
    ensure!((adopted.epoch, adopted.writer.as_str()) == (1, "db1"), "{adopted:#?}");
    writes_go_on(cluster, ledger).await?;
    ensure!(cluster.node("db1")?.keeper().is_some(), "no keeper runs beside the writer");
    Ok(())
}

/// Gives the cluster back to its people.
async fn release(cluster: &Cluster, ledger: &Ledger) -> Result<()> {
    cluster.ctl().release("release is tested").await.map_err(|error| cluster.explained(error))?;
    cluster.reaches("the release", SOON, |status: &StatusReply| status.phase == "observing").await?;
    writes_go_on(cluster, ledger).await?;
    ensure!(is_open(cluster.server("db1")?).await?, "the release closed the primary");
    Ok(())
}

/// The daemon beside a primary that was given back dies, and its replica as well: no keeper ends it, and no commit waits.
async fn needs_nobody(cluster: &mut Cluster, ledger: &Ledger) -> Result<()> {
    let log = cluster.node("db1")?.log().to_owned();
    let let_go = async || Ok(fs::read_to_string(&log)?.contains("released: the server").then_some(()));
    until("the primary's guard to let go", SOON, let_go).await.map_err(|error| cluster.explained(error))?;
    cluster.node_mut("db1")?.kill().await?;
    cluster.server("db2")?.kill(Signal::KILL)?;
    let later = Instant::now() + LONGER_THAN_A_LEASE;
    let look = async || {
        let is_later = |write: &Write| write.sent > later && write.outcome == Outcome::Acknowledged;
        Ok(ledger.writes().iter().any(is_later).then_some(()))
    };
    until("a write after every lease", SOON, look).await.map_err(|error| cluster.explained(error))
}

async fn no_write_was_refused(cluster: &Cluster, mut ledger: Ledger, began: Instant) -> Result<()> {
    ledger.stop().await;
    ledger.no_session_was_cut()?;
    let faults: Vec<_> =
        ledger.writes().into_iter().filter(|write| write.outcome != Outcome::Acknowledged).collect();
    ensure!(faults.is_empty(), "not acknowledged: {faults:?}");
    let gap = ledger.gap_after(began);
    println!("{}: writes paused for {} ms at the most", cluster.dialect(), gap.as_millis());
    let why = || cluster.explained(anyhow::anyhow!("writes paused for {gap:?}"));
    ensure!(gap < GAP + cluster.stood_still(began), why());
    let found = ledger.found(cluster.server("db1")?).await?;
    ensure!(found.lost.is_empty() && found.doubled == 0, "{found:?}");
    Ok(())
}
