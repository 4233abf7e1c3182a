//! The dry run's plan beside what the servers were sent, by their own logs of statements.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use baton_proto::control::{Change, SwitchoverReply};
use baton_tests::cluster::Cluster;
use baton_tests::sandbox::{Dialect, until};

use super::{SOON, TRIES, switchover};

/// How a statement begins that changes something of the server, whichever dialect.
const CHANGES: [&str; 8] =
    ["SET GLOBAL ", "CHANGE ", "START ", "STOP ", "RESET ", "KILL ", "FLUSH ", "ALTER "];

/// Moves the writer, and compares what the servers were sent with a dry run from right before it.
pub(super) async fn what_is_planned_is_sent(cluster: &Cluster, arguments: &[&str]) -> Result<()> {
    for _ in 0..TRIES {
        let shown = Shown::now(cluster, arguments).await?;
        if switchover(cluster, arguments).await?.moved {
            return shown.was_done(cluster).await.map_err(|error| cluster.explained(error));
        }
        // On a busy machine it may be taken back, and sends more then.
        cluster.settled().await?;
    }
    bail!("never moved")
}

/// What a dry run showed, while the servers log what they are sent.
struct Shown {
    plan: SwitchoverReply,
    /// Of each server, by its own clock.
    since: BTreeMap<&'static str, String>,
}

impl Shown {
    async fn now(cluster: &Cluster, arguments: &[&str]) -> Result<Self> {
        let plan = switchover(cluster, &[arguments, &["--dry-run"]].concat()).await?;
        ensure!(!plan.refused && !plan.steps.is_empty(), "{plan:#?}");
        let gaps: Vec<&Change> = plan.steps.iter().filter(|s| s.statement.contains("has not said")).collect();
        ensure!(gaps.is_empty(), "{gaps:#?}");
        let mut since = BTreeMap::new();
        for node in cluster.data_nodes() {
            let server = cluster.server(node)?;
            server.execute(["SET GLOBAL log_output='TABLE'", "SET GLOBAL general_log=ON"]).await?;
            let now: Vec<String> = server.query("SELECT CAST(NOW(6) AS CHAR)").await?;
            since.insert(node, now.concat());
        }
        Ok(Self { plan, since })
    }

    /// Waits until every statement of the plan was sent, those of each step in their order. Nothing else was that changes
    /// anything.
    async fn was_done(&self, cluster: &Cluster) -> Result<()> {
        for node in cluster.data_nodes() {
            let steps: Vec<Vec<String>> = self.of(node).map(must_be_sent).flat_map(waiting).collect();
            let sent = async || {
                let sent = self.sent_to(cluster, node).await?;
                Ok(steps.iter().all(|step| has_in_order(&sent, step)).then_some(()))
            };
            if let Err(error) = until(&format!("{node} to be sent what was planned"), SOON, sent).await {
                let sent = self.sent_to(cluster, node).await?;
                let missing = steps.iter().find(|step| !has_in_order(&sent, step));
                return Err(error.context(format!("{missing:#?}\nof {sent:#?}")));
            }
            let planned: Vec<String> = self.of(node).flat_map(may_be_sent).collect();
            let sent = self.sent_to(cluster, node).await?;
            let unplanned: Vec<&String> = sent
                .iter()
                .filter(|s| CHANGES.iter().any(|c| s.starts_with(c)) && !planned.contains(s))
                .collect();
            ensure!(
                unplanned.is_empty(),
                "{node} was sent what was not planned: {unplanned:#?}\n{planned:#?}"
            );
            cluster.server(node)?.execute(["SET GLOBAL general_log=OFF"]).await?;
        }
        Ok(())
    }

    /// What Baton has sent to this server since its log is on.
    async fn sent_to(&self, cluster: &Cluster, node: &str) -> Result<Vec<String>> {
        let argument = match cluster.dialect() {
            Dialect::MySql => "CONVERT(argument USING utf8mb4)",
            Dialect::MariaDb => "argument",
        };
        let since = self.since.get(node).context("it logs nothing")?;
        let sql = format!(
            "SELECT {argument} FROM mysql.general_log WHERE user_host LIKE '%baton%' AND command_type = 'Query' \
             AND event_time >= '{since}' ORDER BY event_time"
        );
        let logged: Vec<String> = cluster.server(node)?.query(&sql).await?;
        Ok(logged.iter().flat_map(|text| single(text)).collect())
    }

    fn of(&self, node: &str) -> impl Iterator<Item = &Change> {
        self.plan.steps.iter().filter(move |step| step.node == node)
    }
}

/// Without those that depend on what is found then.
fn must_be_sent(step: &Change) -> Vec<String> {
    step.statement.lines().filter(|line| !line.contains("; -- ")).flat_map(single).collect()
}

/// The scheduler is switched on by the guard while the events are enabled: neither waits for the other.
fn waiting(step: Vec<String>) -> [Vec<String>; 2] {
    let (scheduler, rest) =
        step.into_iter().partition(|statement| statement.starts_with("SET GLOBAL event_scheduler"));
    [scheduler, rest]
}

fn may_be_sent(step: &Change) -> Vec<String> {
    step.statement.lines().flat_map(single).collect()
}

/// What was sent at once one by one, without what a plan cannot know and a log does not show.
fn single(text: &str) -> Vec<String> {
    let text = text.split("; -- ").next().unwrap_or(text);
    text.split(';').map(plain).filter(|statement| !statement.is_empty()).collect()
}

fn plain(statement: &str) -> String {
    let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    let without_number = |of: &str| {
        let known = statement.strip_prefix(of)?;
        Some(format!("{of}{}", known.trim_start_matches(|c: char| c.is_ascii_digit() || "<id>n".contains(c))))
    };
    if statement.starts_with("CHANGE ") {
        // Servers log it in words of their own, and without the password.
        return statement.split(' ').take(3).collect::<Vec<_>>().join(" ");
    }
    let numbered = ["KILL ", "DROP TABLE IF EXISTS baton.proof_"].into_iter().find_map(without_number);
    numbered.unwrap_or(statement)
}

fn has_in_order(sent: &[String], step: &[String]) -> bool {
    let mut sent = sent.iter();
    step.iter().all(|statement| sent.any(|other| other == statement))
}
