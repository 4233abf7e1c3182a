//! What people are told by Telegram, on real clusters: soon, once, and also when the leader that was telling it dies.
#![allow(clippy::unwrap_used)]

mod asking;
mod events;
mod figures;
mod heartbeat;
mod outage;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_proto::control::{Operation, StatusReply};
use baton_tests::bot::{BotApi, Call};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, until, within};
use rustix::process::Signal;

/// For what has to come about at all.
const SOON: Duration = Duration::from_secs(20);
/// From what happened to the request that tells of it.
const TOLD: Duration = Duration::from_secs(1);
/// The same where the leader dies meanwhile.
const TOLD_BY_THE_NEXT: Duration = Duration::from_secs(3);
/// Longer than any bound of `batonctl`.
const COMMAND: Duration = Duration::from_secs(75);
/// A switchover that finds the cluster not ready, on a machine that does other things beside the test, is asked for again.
const TRIES: usize = 3;
const TOKEN: &str = "4242:AAsecret-of-the-test";

/// A managed cluster whose nodes all tell one chat everything.
async fn telling(dialect: Dialect) -> Result<(Cluster, BotApi)> {
    let cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let api = BotApi::start(cluster.sandbox().client(), TOKEN).await?;
    let token = cluster.folder().join("telegram.token");
    fs::write(&token, TOKEN)?;
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600))?;
    let text = format!(
        "{}\n[telegram]\ntoken_file = \"{}\"\napi = \"{}\"\nusers = [7]\n\n[[telegram.chat]]\nid = -100\nseverity = \"info\"\n\n[heartbeat]\nurl = \"{}\"\nevery = \"1s\"\n",
        fs::read_to_string(cluster.config())?,
        token.display(),
        api.url(),
        api.switch()
    );
    fs::write(cluster.config(), text)?;
    for node in cluster.nodes() {
        node.signal(Signal::HUP)?;
    }
    // Only the leader tells, so each has to have read the file before one is killed.
    for node in cluster.nodes() {
        let read = async || {
            let log = fs::read_to_string(node.log())?;
            ensure!(log.contains("reloaded"), "{} has not read its file yet", node.name());
            Ok(Some(()))
        };
        until("every node to read its file", SOON, read).await?;
    }
    let (code, said) = ctl(&cluster, &["alert", "test"]).await?;
    ensure!(code == 0 && said.contains("telegram -100") && said.contains("told"), "{code}: {said}");
    api.call("test", SOON, |call| call.is_message() && call.text().contains("a test")).await?;
    Ok((cluster, api))
}

async fn ctl(cluster: &Cluster, arguments: &[&str]) -> Result<(i32, String)> {
    let mut command = cluster.ctl().command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = within(&arguments.join(" "), COMMAND, command.output()).await?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code().unwrap_or(-1), said.into_owned()))
}

/// Moves the writer; the epoch that this ended.
async fn switchover(cluster: &Cluster, to: &[&str]) -> Result<u64> {
    let arguments = [to, &["--max-pause", "2s"]].concat();
    let mut tries = 1;
    loop {
        let epoch = cluster.settled().await?.epoch;
        let reply = cluster.ctl().switchover(&arguments).await.map_err(|error| cluster.explained(error))?;
        if reply.moved {
            return Ok(epoch);
        }
        ensure!(tries < TRIES, cluster.explained(anyhow::anyhow!("{reply:#?}")));
        tries += 1;
    }
}

/// Who can become the writer while the leader stays: one who leads hands that on once its server is the writer.
async fn away_from_leader(cluster: &Cluster) -> Result<&'static str> {
    cluster.settled().await?;
    let apart = |status: &StatusReply| !status.leader.is_empty() && status.leader != status.writer;
    let status = cluster.reaches("a leader away from the writer", SOON, apart).await?;
    let other = cluster.data_nodes().find(|name| *name != status.leader && *name != status.writer);
    other.context("a third server")
}

/// A call that tells that an operation has moved the writer: each names the new epoch, or the old one.
fn tells_of(operation: &Operation) -> impl Fn(&Call) -> bool + use<> {
    let words = match operation.kind.as_str() {
        "switchover" => format!("Epoch {}.", operation.to_epoch),
        _ => format!("epoch {}.", operation.from_epoch),
    };
    move |call: &Call| {
        let text = call.text();
        call.taken && text.contains(&words) && text.contains("writer moved")
    }
}

/// When the new writer opened, by its node's clock: milliseconds since 1970.
fn opened_ms(operation: &Operation) -> Result<i64> {
    let open = operation.steps.iter().find(|step| step.name == "open");
    open.map(|step| step.at_ms).with_context(|| format!("it did not open: {operation:#?}"))
}

/// Two clocks, read at once: what happened by the wall, and when calls came in.
struct Clocks {
    wall_ms: i64,
    at: Instant,
}

impl Clocks {
    fn now() -> Self {
        Self { wall_ms: jiff::Timestamp::now().as_millisecond(), at: Instant::now() }
    }

    /// How long after that moment by the wall a call came in; nothing where it came before.
    fn late(&self, call: &Call, since_ms: i64) -> Duration {
        let came =
            self.wall_ms + i64::try_from(call.at.duration_since(self.at).as_millis()).unwrap_or(i64::MAX);
        Duration::from_millis(u64::try_from(came - since_ms).unwrap_or_default())
    }
}

/// Kills the writer's server; the operation that replaced it, once it is over.
async fn lose_writer(cluster: &Cluster, before: &StatusReply) -> Result<Operation> {
    cluster.server(&before.writer)?.kill(Signal::KILL)?;
    cluster.operation_from(before.epoch).await
}

/// The token is in no log of any node.
fn kept_secret(cluster: &Cluster) -> Result<()> {
    for node in cluster.nodes() {
        let log = fs::read_to_string(node.log())?;
        ensure!(!log.contains("AAsecret"), "{} shows the token", node.name());
    }
    Ok(())
}

on_both!(
    a_failover_is_told_at_once_and_its_end_too,
    mysql_a_failover_is_told_at_once_and_its_end_too,
    mariadb_a_failover_is_told_at_once_and_its_end_too
);

async fn a_failover_is_told_at_once_and_its_end_too(dialect: Dialect) -> Result<()> {
    let (mut cluster, api) = telling(dialect).await?;
    let before = cluster.pre_flight().await?;
    let clocks = Clocks::now();
    let operation = lose_writer(&cluster, &before).await?;
    // Of a failover that takes long its beginning is told first, and the message changed.
    let told = api.call("failover", SOON, tells_of(&operation)).await;
    let told = told.map_err(|error| cluster.explained(error))?;
    let late = clocks.late(&told, opened_ms(&operation)?);
    eprintln!("told {} ms after the writer had opened", late.as_millis());
    ensure!(late <= TOLD + cluster.stood_still(clocks.at), "told {late:?} after the writer had opened");
    ensure!(told.text().contains("nothing lost") && told.text().contains("WriterCrashed"), "{}", told.text());

    cluster.server_mut(&before.writer)?.wait_exit(SOON).await?;
    cluster.server_mut(&before.writer)?.start().await?;
    cluster.old_writer_returns(&before.writer).await?;
    let lossless = |call: &Call| {
        call.method == "editMessageText"
            && call.message == told.message
            && call.text().contains("LOSSLESS since")
    };
    api.call("end of the failover", SOON, lossless).await.map_err(|error| cluster.explained(error))?;
    let moves = api.messages().into_iter().filter(|(_, last)| last.text().contains("writer moved"));
    ensure!(moves.count() == 1, "{:#?}", api.messages());
    kept_secret(&cluster)
}
