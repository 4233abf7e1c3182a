//! The servers of a cluster, as the choice of one for a backup looks at them.

use super::choose::Server;
use crate::decide::diagnose::FRESH;
use crate::decide::seen::Observations;
use crate::state::{ClusterState, NodeName, OutReason};

/// The same, as the choice of one to read for the archive of the binlog looks at them.
pub fn readers(state: &ClusterState, seen: &Observations) -> Vec<Server> {
    let lacks = |node: &NodeName| {
        let archives = seen.of(node).is_some_and(|heard| heard.report.archiving.is_some());
        (!archives).then(|| "has no archive in its file".to_owned())
    };
    let servers = servers(state, seen).into_iter();
    servers
        .map(|server| Server {
            unfit: unreadable(state, seen, &server.node).or_else(|| lacks(&server.node)),
            // It may be read for a backup at the same time.
            busy: rebuilt(state, &server.node),
            ..server
        })
        .collect()
}

/// A node that can look through stores: it answers, and has what a backup takes. The writer's where there is no other.
pub fn scanner(state: &ClusterState, seen: &Observations) -> Option<NodeName> {
    let can = |node: &&NodeName| {
        seen.of(node).is_some_and(|heard| heard.age <= FRESH * 4 && heard.report.lacks_for_backup.is_none())
    };
    let is_writer = |node: &&NodeName| state.grant.as_ref().is_some_and(|grant| grant.node == **node);
    state.data_nodes().map(|(node, _)| node).filter(can).min_by_key(is_writer).cloned()
}

/// Every server that a node stands beside.
pub fn servers(state: &ClusterState, seen: &Observations) -> Vec<Server> {
    let next = next(state);
    let nodes = state.data_nodes().map(|(node, _)| node);
    nodes
        .map(|node| Server {
            node: node.clone(),
            is_writer: state.grant.as_ref().is_some_and(|grant| grant.node == *node),
            unfit: unfit(state, seen, node),
            lag: seen
                .pulse(node)
                .and_then(|(pulse, _)| pulse.channel.as_ref())
                .and_then(|channel| channel.behind.filter(|_| channel.io_running && channel.sql_running)),
            busy: busy(state, node),
            is_next: next == Some(node),
        })
        .collect()
}

/// The replica that is preferred as the next writer, where one alone is.
fn next(state: &ClusterState) -> Option<&NodeName> {
    let is_writer = |node: &NodeName| state.grant.as_ref().is_some_and(|grant| grant.node == *node);
    let replicas = state.data_nodes().filter(|(node, member)| !member.excluded && !is_writer(node));
    let replicas: Vec<_> = replicas.collect();
    let most = replicas.iter().map(|(_, member)| member.priority).max()?;
    let mut first = replicas.iter().filter(|(_, member)| member.priority == most);
    let (node, _) = first.next()?;
    first.next().is_none().then_some(*node)
}

fn unfit(state: &ClusterState, seen: &Observations, node: &NodeName) -> Option<String> {
    unreadable(state, seen, node).or_else(|| seen.of(node)?.report.lacks_for_backup.clone())
}

fn unreadable(state: &ClusterState, seen: &Observations, node: &NodeName) -> Option<String> {
    if let Some(out) = state.out.get(node) {
        return Some(match &out.reason {
            OutReason::Maintenance => "is in maintenance".to_owned(),
            OutReason::Rebuild => "is being rebuilt".to_owned(),
            OutReason::Quarantine(_) => "has transactions that the writer lacks".to_owned(),
        });
    }
    if state.in_maintenance(node) {
        return Some("is in maintenance".into());
    }
    if seen.of(node).is_none_or(|heard| heard.age > FRESH * 4) {
        return Some("has a node that does not answer".into());
    }
    let is_silent = seen.pulse(node).is_none_or(|(_, age)| age > FRESH * 4);
    is_silent.then(|| "does not answer".into())
}

fn busy(state: &ClusterState, node: &NodeName) -> Option<String> {
    if let Some(task) = state.backups.task.as_ref().filter(|task| task.node == *node) {
        return Some(format!("it is to {} {}", task.work.verb(), task.work.subject()));
    }
    rebuilt(state, node)
}

fn rebuilt(state: &ClusterState, node: &NodeName) -> Option<String> {
    let rebuild = state.rebuild.as_ref()?;
    if rebuild.node == *node {
        return Some("it is being rebuilt".into());
    }
    (rebuild.source.as_ref() == Some(node)).then(|| format!("{} is rebuilt from it", rebuild.node))
}
