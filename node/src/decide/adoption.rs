//! Whether a running cluster can be taken into care, and what that changes. Pure.
//!
//! Adoption never closes a server and never moves the writer: it commits epoch 1 to the server that is open now.

mod changes;
#[cfg(test)]
mod tests;

use super::diagnose::{FRESH, lagging};
use super::finding::{Finding, Level, answers, of_nodes};
use super::seen::{About, Channel, Observations, Pulse};
use crate::gtid::Dialect;
use crate::state::{ClusterState, NodeName, Phase};

/// The whole adoption: the dry run shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoption {
    /// The server that is open now; `None` when there is not exactly one.
    pub writer: Option<NodeName>,
    /// What was looked at, the worst first.
    pub findings: Vec<Finding>,
    /// What would change, empty while an error stands in the way.
    pub changes: Vec<PlannedChange>,
}

/// One change of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedChange {
    /// Whose.
    pub node: NodeName,
    /// What for.
    pub what: String,
    /// The statement; empty for what is no statement.
    pub statement: String,
}

impl Adoption {
    /// Whether an error stands in the way.
    pub fn is_refused(&self) -> bool {
        self.writer.is_none() || self.findings.iter().any(|f| f.level == Level::Error)
    }
}

/// Looks at everything that adoption needs. `wanted` is the writer as the operator names it.
pub fn plan_adoption(state: &ClusterState, seen: &Observations, wanted: Option<&NodeName>) -> Adoption {
    let mut findings = Vec::new();
    let writer = the_open_one(state, seen, wanted, &mut findings);
    if state.phase == Phase::Managed {
        let mend = "batonctl status shows it; batonctl release gives it back";
        findings.push(Finding::cluster(Level::Error, "the cluster is under Baton's care already", mend));
    }
    group(state, seen, &mut findings);
    findings.extend(of_nodes(state, seen, writer.as_ref()));
    if let Some(writer) = &writer {
        source_of_writer(seen, writer, &mut findings);
        for (node, _) in state.data_nodes().filter(|(n, _)| *n != writer) {
            replica(state, seen, writer, node, &mut findings);
        }
    }
    findings.sort_by_key(|finding| finding.level);
    let mut plan = Adoption { writer, findings, changes: Vec::new() };
    if !plan.is_refused() {
        plan.changes = changes::changes(state, seen, plan.writer.as_ref());
    }
    plan
}

fn the_open_one(
    state: &ClusterState,
    seen: &Observations,
    wanted: Option<&NodeName>,
    found: &mut Vec<Finding>,
) -> Option<NodeName> {
    let is_open = |n: &NodeName| pulse(seen, n).is_some_and(|p| p.open);
    let open: Vec<&NodeName> = state.data_nodes().map(|(n, _)| n).filter(|n| is_open(n)).collect();
    if let Some(wanted) = wanted.filter(|w| !state.data_nodes().any(|(n, _)| n == *w)) {
        let what = format!("{wanted}, the writer you name, is no node with a server");
        found.push(Finding::cluster(Level::Error, what, "batonctl status shows the nodes"));
        return None;
    }
    match open.as_slice() {
        [] => {
            let mend = "open the server that has everything: SET GLOBAL read_only = OFF;";
            found.push(Finding::cluster(Level::Error, "no server accepts writes", mend));
            None
        }
        [only] => {
            if let Some(wanted) = wanted.filter(|w| w != only) {
                let what = format!("is closed; {only} is open, and adoption never moves the writer");
                found.push(Finding::of(
                    Level::Error,
                    wanted,
                    what,
                    format!("batonctl adopt --writer {only}"),
                ));
            }
            Some((*only).clone())
        }
        [first, ..] => {
            let stays = wanted.filter(|w| open.contains(w)).unwrap_or(first);
            for other in open.iter().filter(|n| **n != stays) {
                let what = format!("is open as well as {stays}");
                found.push(Finding::of(Level::Error, other, what, close(about(seen, other))));
            }
            None
        }
    }
}

fn group(state: &ClusterState, seen: &Observations, found: &mut Vec<Finding>) {
    let (all, answer) = (state.members.len(), state.members.keys().filter(|n| answers(seen, n)).count());
    if answer * 2 <= all {
        let what = format!("{answer} of {all} nodes answer: without a majority no lease can be granted");
        found.push(Finding::cluster(Level::Error, what, "systemctl start baton-node, on the others"));
    }
    if all < 3 {
        let what = format!("the group has {all} nodes: it does not survive the loss of one");
        let mend = "add a witness: batonctl node add NAME --peer HOST:PORT";
        found.push(Finding::cluster(Level::Warning, what, mend));
    }
    let (replicas, wait) = (state.data_nodes().count().saturating_sub(1), state.safety.wait_count as usize);
    if replicas < wait {
        let what = format!("commits shall wait for {wait} ackers, but there are {replicas} replicas");
        let mend = "add a replica: batonctl node add NAME --peer HOST:PORT --server HOST:PORT";
        found.push(Finding::cluster(Level::Warning, what, mend));
    }
}

/// A writer that replicates itself would take in what Baton does not know of.
fn source_of_writer(seen: &Observations, writer: &NodeName, found: &mut Vec<Finding>) {
    let Some(channel) = pulse(seen, writer).and_then(|p| p.channel.as_ref()) else { return };
    let what = format!("is open and replicates from {} itself", channel.source);
    let mend = match about(seen, writer).map(|a| a.dialect) {
        Some(Dialect::Mariadb) => "STOP SLAVE; RESET SLAVE ALL;",
        _ => "STOP REPLICA; RESET REPLICA ALL;",
    };
    found.push(Finding::of(Level::Error, writer, what, mend));
}

fn replica(
    state: &ClusterState,
    seen: &Observations,
    writer: &NodeName,
    node: &NodeName,
    found: &mut Vec<Finding>,
) {
    // A server that does not answer is found with its node.
    let Some(pulse) = pulse(seen, node) else { return };
    let source = state.members.get(writer).and_then(|m| m.server.as_deref()).unwrap_or_default();
    match &pulse.channel {
        None => {
            let mend = follow(about(seen, node), source);
            found.push(Finding::of(Level::Error, node, format!("does not replicate from {writer}"), mend));
        }
        Some(channel) if channel.source != source => {
            let what = format!("replicates from {}, not from {writer} at {source}", channel.source);
            found.push(Finding::of(Level::Error, node, what, follow(about(seen, node), source)));
        }
        Some(channel) => of_channel(seen, node, channel, found),
    }
    errant(seen, writer, node, pulse, found);
}

fn of_channel(seen: &Observations, node: &NodeName, channel: &Channel, found: &mut Vec<Finding>) {
    let halves = [
        (channel.io_running, &channel.io_error, "receiver"),
        (channel.sql_running, &channel.sql_error, "applier"),
    ];
    for (_, error, half) in halves.into_iter().filter(|(running, ..)| !running) {
        let why = error.as_ref().map(|(errno, text)| format!(": error {errno}: {text}")).unwrap_or_default();
        let mend = match about(seen, node).map(|a| a.dialect) {
            Some(Dialect::Mariadb) => "START SLAVE;",
            _ => "START REPLICA;",
        };
        found.push(Finding::of(Level::Error, node, format!("its {half} has stopped{why}"), mend));
    }
    if channel.delayed {
        let what = "replicates with a delay on purpose: it is never the next writer";
        found.push(Finding::of(Level::Warning, node, what, ""));
    } else if let Some(behind) = lagging(channel.behind) {
        let what = format!("is {} s behind: not lossless before it has caught up", behind.as_secs());
        found.push(Finding::of(Level::Warning, node, what, "wait until it has caught up"));
    }
}

/// Only a set of the writer that is the younger of the two shows that something is extra. A warning: with semi-sync a
/// replica may have a transaction an instant before its writer has finished committing it.
fn errant(seen: &Observations, writer: &NodeName, node: &NodeName, pulse: &Pulse, found: &mut Vec<Finding>) {
    let (Some((of_writer, writer_age)), Some((_, age))) = (seen.pulse(writer), seen.pulse(node)) else {
        return;
    };
    let Ok(extra) = pulse.executed.subtract(&of_writer.executed) else { return };
    if writer_age <= age && !extra.is_empty() {
        let what = format!("has {} that {writer} lacks: {extra}", extra.amount());
        let mend =
            "if they stay when you ask again: look at them in its binlog, then rebuild it from the writer";
        found.push(Finding::of(Level::Warning, node, what, mend));
    }
}

fn pulse<'a>(seen: &'a Observations, node: &NodeName) -> Option<&'a Pulse> {
    seen.pulse(node).filter(|(_, age)| *age <= FRESH).map(|(pulse, _)| pulse)
}

fn about<'a>(seen: &'a Observations, node: &NodeName) -> Option<&'a About> {
    seen.own(node)?.about.as_ref()
}

fn close(about: Option<&About>) -> &'static str {
    match about.map(|a| a.dialect) {
        Some(Dialect::Mariadb) => "SET GLOBAL read_only = ON;",
        _ => "SET GLOBAL super_read_only = ON;",
    }
}

fn follow(about: Option<&About>, source: &str) -> String {
    let (host, port) = source.rsplit_once(':').unwrap_or((source, "3306"));
    match about.map(|a| a.dialect) {
        Some(Dialect::Mariadb) => format!(
            "STOP SLAVE; CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USE_GTID=slave_pos; \
             START SLAVE;"
        ),
        _ => format!(
            "STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_HOST='{host}', SOURCE_PORT={port}, \
             SOURCE_AUTO_POSITION=1; START REPLICA;"
        ),
    }
}
