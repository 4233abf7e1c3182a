//! What a switchover does, step by step, each with its statements: the dry run shows it. Pure.

use std::collections::BTreeMap;

use super::super::adoption::PlannedChange;
use super::super::finding::proxies;
use super::super::seen::Observations;
use crate::state::{ClusterState, NodeName};

/// The statements of each step, in their order, as whoever sends them says: `None` where it has not said.
#[derive(Clone, Debug, Default)]
pub struct Statements {
    /// The next writer begins a new binlog file.
    pub rotate: Option<Vec<String>>,
    /// The writer is closed.
    pub close: Option<Vec<String>>,
    /// What a closed server is left with.
    pub rest: Option<Vec<String>>,
    /// The next writer applies what it still has to.
    pub apply: Option<Vec<String>>,
    /// It is opened.
    pub open: Option<Vec<String>>,
    /// Events run there; none where they do not follow.
    pub events: Option<Vec<String>>,
    /// One commit is seen acknowledged.
    pub prove: Option<Vec<String>>,
    /// Each other server follows it.
    pub follow: BTreeMap<NodeName, Vec<String>>,
    /// Each ProxySQL drains the writer, leads to the next one, and reads from the old one, once it follows.
    pub proxies: BTreeMap<String, Vec<Vec<String>>>,
}

/// Which part of [`Statements::proxies`].
#[derive(Clone, Copy)]
enum Stage {
    Drain,
    Lead,
    Read,
}

/// The steps from `from` to `to`, in their order.
pub fn steps(
    state: &ClusterState,
    seen: &Observations,
    (from, to): (&NodeName, &NodeName),
    statements: &Statements,
) -> Vec<PlannedChange> {
    let next = state.next_epoch();
    let others = || state.data_nodes().map(|(node, _)| node).filter(|n| *n != from && *n != to);
    let others = || others().filter(|node| !state.out.contains_key(*node));
    let follows = |node: &NodeName| statements.follow.get(node).cloned();
    let mut steps = vec![
        sends(
            to,
            "begins a new binlog file, so that replicas that connect are served at once",
            &statements.rotate,
        ),
        does(
            from,
            "every node's router holds new connections, ends its sessions between two statements, and says when \
             nobody is there any more",
        ),
    ];
    let (of, silent) = (proxies(seen).count(), proxies(seen).filter(|proxy| proxy.trouble.is_some()).count());
    let but = if silent == 0 { String::new() } else { format!(" ({silent} of them not right now)") };
    if of > 0 {
        let what = format!("is drained by {of} ProxySQL{but}: new writes wait there, those at it come back");
        steps.extend(at_proxies(from, what, (seen, statements), Stage::Drain));
    }
    steps.extend([
        sends(from, "is closed, read back, its clients' sessions are ended", &statements.close),
        does(from, format!("the group agrees that epoch {} is over", state.epoch())),
        sends(to, "applies what it still has to; both sets are compared", &statements.apply),
        does(to, format!("is granted epoch {next}")),
        sends(from, "meanwhile stops its events, and commits wait there no more", &statements.rest),
        sends(
            to,
            "forgets its source and opens, under a lease: no commit returns before an acker has it",
            &statements.open,
        ),
    ]);
    if statements.events.as_ref().is_none_or(|events| !events.is_empty()) {
        steps.push(sends(to, "runs the events that ran at the writer", &statements.events));
    }
    match of {
        0 => steps.push(does(to, "every node's router leads there")),
        of => {
            let everywhere = format!("every node's router and {of} ProxySQL{but} lead there");
            steps.extend(at_proxies(to, everywhere, (seen, statements), Stage::Lead));
        }
    }
    steps.push(sends(from, format!("follows {to} and acknowledges its commits"), &follows(from)));
    steps.extend(others().map(|node| sends(node, format!("follows {to}"), &follows(node))));
    if of > 0 {
        let read_from = format!("is read from by ProxySQL{but}, once it follows");
        steps.extend(at_proxies(from, read_from, (seen, statements), Stage::Read));
    }
    steps.push(sends(to, "one commit is seen acknowledged: lossless", &statements.prove));
    steps
}

fn does(node: &NodeName, what: impl Into<String>) -> PlannedChange {
    PlannedChange { node: node.clone(), what: what.into(), statement: String::new() }
}

fn sends(node: &NodeName, what: impl Into<String>, statements: &Option<Vec<String>>) -> PlannedChange {
    let statement = match statements {
        Some(lines) => lines.join("\n"),
        None => "-- its node has not said which statements".to_owned(),
    };
    PlannedChange { statement, ..does(node, what) }
}

/// One step, or, where not all instances are sent the same, one more for those that are.
fn at_proxies(
    node: &NodeName,
    what: impl Into<String>,
    (seen, statements): (&Observations, &Statements),
    stage: Stage,
) -> Vec<PlannedChange> {
    let mut sent: BTreeMap<&[String], Vec<&str>> = BTreeMap::new();
    for (name, stages) in &statements.proxies {
        if let Some(lines) = stages.get(stage as usize).filter(|lines| !lines.is_empty()) {
            sent.entry(lines).or_default().push(name);
        }
    }
    let unknown = proxies(seen).filter(|proxy| !statements.proxies.contains_key(&proxy.name));
    let unknown: Vec<String> =
        unknown.map(|proxy| format!("-- {} has not said which statements", proxy.name)).collect();
    let mut steps = vec![PlannedChange { statement: unknown.join("\n"), ..does(node, what) }];
    match sent.pop_first() {
        Some((lines, _)) if sent.is_empty() => steps[0].statement = [lines, &unknown].concat().join("\n"),
        first => steps.extend(first.into_iter().chain(sent).map(|(lines, names)| PlannedChange {
            statement: lines.join("\n"),
            ..does(node, format!("at {}", names.join(", ")))
        })),
    }
    steps
}
