//! What is right or wrong with the servers and nodes of a cluster, each with its mend. Pure.

use std::time::Duration;

use super::diagnose::{FRESH, fresh_pulse, unusable};
use super::seen::{About, Heard, LintFinding, Observations, OwnServer, ProxySeen};
use super::troubles::refusals;
use crate::state::{ClusterState, NodeName};

/// A node that has not reported for so long does not answer.
pub const ANSWERS_WITHIN: Duration = FRESH.saturating_mul(3);

/// How bad a finding is. The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Baton's promises do not survive it.
    Error,
    /// Baton copes with it, at a price that the finding names.
    Warning,
    /// As it should be.
    Ok,
}

impl Level {
    /// As the control service writes it: `error`, `warning`, `ok`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Ok => "ok",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Whose; `None` when it concerns the cluster.
    pub node: Option<NodeName>,
    /// What was found.
    pub what: String,
    /// What to run or change, exactly; empty when nothing is to be done.
    pub mend: String,
}

impl Finding {
    /// A finding about one node.
    pub fn of(level: Level, node: &NodeName, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level, node: Some(node.clone()), what: what.into(), mend: mend.into() }
    }

    /// A finding about the cluster.
    pub fn cluster(level: Level, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level, node: None, what: what.into(), mend: mend.into() }
    }
}

/// Whether `node` has reported lately.
pub fn answers(seen: &Observations, node: &NodeName) -> bool {
    seen.of(node).is_some_and(|heard| heard.age <= ANSWERS_WITHIN)
}

/// Every ProxySQL, as whoever leads has told lately: nobody else speaks to one.
pub fn proxies(seen: &Observations) -> impl Iterator<Item = &ProxySeen> {
    let heard = seen.iter().filter(|(_, heard)| heard.age <= ANSWERS_WITHIN);
    heard.flat_map(|(_, heard)| &heard.report.routing)
}

/// Every node and the server beside it. The keeper and the guard matter most at `writer`.
pub fn of_nodes(state: &ClusterState, seen: &Observations, writer: Option<&NodeName>) -> Vec<Finding> {
    let all = state.data_nodes().filter_map(|(node, _)| seen.own(node)?.about.as_ref()).collect::<Vec<_>>();
    state.members.keys().flat_map(|node| of_node(state, seen, &all, node, writer == Some(node))).collect()
}

fn of_node(
    state: &ClusterState,
    seen: &Observations,
    all: &[&About],
    node: &NodeName,
    writes: bool,
) -> Vec<Finding> {
    let has_server = state.members.get(node).is_some_and(|m| m.server.is_some());
    let Some(heard) = seen.of(node).filter(|_| answers(seen, node)) else {
        let level = if has_server { Level::Error } else { Level::Warning };
        return vec![Finding::of(
            level,
            node,
            "its node does not answer",
            "systemctl start baton-node, on its host",
        )];
    };
    let mut found = Vec::new();
    if !heard.report.config_differs.is_empty() {
        let keys = heard.report.config_differs.join(", ");
        found.push(Finding::of(
            Level::Warning,
            node,
            format!("its configuration file differs from what the group agreed on: {keys}"),
            "make the file the same on every node, then systemctl reload baton-node",
        ));
    }
    match &heard.report.own {
        Some(own) => of_server(node, heard, own, writes, &mut found),
        None if has_server => found.push(Finding::of(
            Level::Error,
            node,
            "its node watches no server, but the group says that one stands beside it",
            "correct `server` of this node in the configuration file, then systemctl restart baton-node",
        )),
        None => {}
    }
    found.extend(heard.report.own.iter().flat_map(|own| of_settings(node, heard, own, all)));
    if found.is_empty() {
        found.push(Finding::of(Level::Ok, node, "answers, and nothing is wrong with its settings", ""));
    }
    found
}

fn of_server(node: &NodeName, heard: &Heard, own: &OwnServer, writes: bool, found: &mut Vec<Finding>) {
    let silent = fresh_pulse(heard, own).is_none();
    let level = if writes { Level::Error } else { Level::Warning };
    if let Some(trouble) = &own.guard.trouble {
        let mend = "mend that; the node tries again by itself";
        found.push(Finding::of(level, node, format!("its guard cannot do its work: {trouble}"), mend));
    }
    if !own.guard.keeper {
        found.push(Finding::of(
            level,
            node,
            "its keeper may not end the server, so no lease can bind it",
            "run baton-node as root or as the server's user, then systemctl restart baton-node",
        ));
    }
    if silent {
        let (what, mend) = own.error.as_ref().map_or_else(
            || {
                (
                    "its server does not answer".to_owned(),
                    "start the server, or look at its error log".to_owned(),
                )
            },
            |error| (unusable(error), error.mend.clone()),
        );
        found.push(Finding::of(Level::Error, node, what, mend));
    }
    let channel = own.pulse.as_ref().filter(|_| !silent).and_then(|pulse| pulse.channel.as_ref());
    for why in refusals(heard, channel) {
        let what = format!("ReplicationUserRejected: {why}");
        let mend = "run what `batonctl grants` prints on the writer, with the password of \
                    server.replication_password_file; the node tries again within a quarter of an hour, \
                    or when it is restarted";
        found.push(Finding::of(Level::Error, node, what, mend));
    }
}

/// What is wrong with the server's settings and accounts; `all` is what is known of every server.
fn of_settings(node: &NodeName, heard: &Heard, own: &OwnServer, all: &[&About]) -> Vec<Finding> {
    if fresh_pulse(heard, own).is_none() {
        // What it said before is old.
        return Vec::new();
    }
    let Some(about) = &own.about else {
        return vec![Finding::of(
            Level::Error,
            node,
            "its settings have not been read yet",
            "ask again in a few seconds; if it stays, look at the node's log",
        )];
    };
    let everywhere = |f: &LintFinding| all.iter().all(|a| a.findings.iter().any(|g| g.what == f.what));
    let found = about.findings.iter().map(|f| {
        let level = if f.error { Level::Error } else { Level::Warning };
        let mend = f.mend_here.as_ref().filter(|_| !everywhere(f)).unwrap_or(&f.mend);
        Finding::of(level, node, f.what.clone(), mend.clone())
    });
    found.collect()
}
