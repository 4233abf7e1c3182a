//! A rebuild laid out before anything is done: what happens, at whose server, or what stands in the way.

use super::{RebuildSource, choose_source};
use crate::decide::diagnose::FRESH;
use crate::decide::seen::Observations;
use crate::gtid::Dialect;
use crate::state::{ClusterState, NodeName, Rebuild, RebuildPolicy};

/// What a node lacks to take part in a copy of a MariaDB server.
pub(super) fn lacks_for_copy<'a>(seen: &'a Observations, node: &NodeName) -> Option<&'a str> {
    seen.of(node)?.report.lacks_for_copy.as_deref()
}

/// What the servers are, by the word of the one that is rebuilt or else of any other.
fn is_mariadb(seen: &Observations, node: &NodeName) -> bool {
    let dialect = |node: &NodeName| seen.own(node)?.about.as_ref().map(|about| about.dialect);
    dialect(node).or_else(|| seen.iter().find_map(|(other, _)| dialect(other))) == Some(Dialect::Mariadb)
}

/// A rebuild, laid out before anything is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where the data comes from.
    pub source: Option<RebuildSource>,
    /// What stands in the way; empty when nothing does.
    pub refusals: Vec<String>,
    /// What happens, and at whose server; empty when something stands in the way.
    pub steps: Vec<(NodeName, String)>,
}

/// Lays a rebuild out: the answer of the dry run, and what is looked at before one begins.
pub fn plan(state: &ClusterState, seen: &Observations, node: &NodeName, wanted: Option<&NodeName>) -> Plan {
    let mut refusals = stands_in_the_way(state, seen, node);
    let source = match refusals.is_empty() {
        true => choose_source(state, seen, node, wanted, &[]).map_err(|why| refusals.push(why)).ok(),
        false => None,
    };
    let mariadb = is_mariadb(seen, node);
    let steps = source.as_ref().map(|source| steps(state, node, source, mariadb)).unwrap_or_default();
    Plan { source, refusals, steps }
}

/// What stands in the way of a rebuild, in words, whatever its source.
fn stands_in_the_way(state: &ClusterState, seen: &Observations, node: &NodeName) -> Vec<String> {
    match state.members.get(node) {
        None => return vec![format!("{node} is not a member; see `batonctl status`")],
        Some(member) if member.server.is_none() => return vec![format!("{node} has no server beside it")],
        Some(_) if state.grant.is_none() => {
            return vec!["no cluster is managed here; run `batonctl adopt` first".to_owned()];
        }
        Some(_) if state.grant.as_ref().is_some_and(|g| g.node == *node) => {
            return vec![format!(
                "{node} is the writer, and a writer is never rebuilt; move the writer first"
            )];
        }
        Some(_) => {}
    }
    let mut found = Vec::new();
    if let Some(quarantine) = state.quarantine(node) {
        if state.safety.live.rebuild == RebuildPolicy::Never {
            found.push(format!(
                "{node} has transactions of its own, and [rebuild] policy is never; batonctl quarantine list shows them"
            ));
        }
        found.extend(state.may_discard(node, &quarantine.extra).err().map(|why| why.to_string()));
    }
    if state.live_grant().is_none() {
        found.push(
            "the writer is being replaced; give the command again when `batonctl status` shows one".into(),
        );
    }
    if let Some(Rebuild { node: other, .. }) = &state.rebuild {
        found.push(format!(
            "{other} is being rebuilt; wait for it, or end that with `batonctl rebuild {other} --cancel`"
        ));
    }
    if let Some(task) = state.backups.task.as_ref().filter(|task| task.node == *node) {
        let backup = task.work.backup();
        found.push(format!(
            "{node} is at backup {backup}; wait for it, see `batonctl backup list`, or end that with `batonctl backup cancel`"
        ));
    }
    if seen.of(node).is_none_or(|h| h.age > FRESH * 4) {
        found.push(format!("{node}'s node does not answer; start it"));
    }
    let lacks = lacks_for_copy(seen, node).filter(|_| is_mariadb(seen, node));
    found.extend(lacks.map(|lacks| format!("{node} {lacks}")));
    found
}

fn steps(
    state: &ClusterState,
    node: &NodeName,
    source: &RebuildSource,
    mariadb: bool,
) -> Vec<(NodeName, String)> {
    let at = |what: String| (node.clone(), what);
    let from = &source.node;
    let mut steps = Vec::new();
    if state.ackers.contains(node) {
        steps.push(at("leaves the list of ackers, once the others have all that it has".into()));
    }
    steps.push(at(
        "goes out: neither writer, candidate nor acker until this is over; it stays closed throughout".into(),
    ));
    let read = || (from.clone(), "is read; it serves on, a little slower".into());
    let compared =
        "what only it has is compared with the writer; anything that is not archived ends this here";
    if mariadb {
        steps.push(read());
        steps.push(at(format!("{from}'s data is copied beside its own, with mariadb-backup")));
        steps.push(at(compared.into()));
        steps.push(at(
            "is stopped ([rebuild] stop), and ITS DATA IS DISCARDED: the copy takes its place".into()
        ));
        steps.push(at("starts with the new data, closed ([rebuild] start)".into()));
        steps.push(at("gets the copy's positions, and an empty binlog".into()));
    } else {
        steps.push(at(compared.into()));
        steps.push(at(format!("ITS DATA IS DISCARDED, and replaced by {from}'s with CLONE INSTANCE")));
        steps.push(read());
        steps.push(at(
            "restarts with the new data, closed; [rebuild] start is used where nobody supervises it".into(),
        ));
        steps.push(at(format!("forgets {from}'s own replication")));
    }
    if let Some(grant) = state.live_grant() {
        steps.push(at(format!("is in again and follows {}", grant.node)));
    }
    steps
}
