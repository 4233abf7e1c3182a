//! Cases that read like sentences: a cluster, what its nodes see, what its servers answer.
#![allow(clippy::unwrap_used)]

mod archive;
mod backup;
mod choose;
mod choose_properties;
mod diagnose;
mod events;
mod followers;
mod holding;
mod hooks;
mod leaving;
mod maintenance;
mod plan;
mod primary;
mod readers;
mod rebuild;
mod starved;
mod switchover;
mod switchover_steps;
mod tried;
mod troubles;
mod upkeep;
mod vouched;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::choose::Answer;
use super::seen::{
    About, Channel, GuardSeen, Observations, OwnServer, Probe, ProbeError, Process, Pulse, Report,
};
use crate::gtid::{Dialect, GtidSet};
use crate::state::{
    ClusterState, DegradeReason, Durability, Epoch, Forced, Grant, Member, NodeName, Operation, OperationId,
    OperationKind, Out, OutReason, Phase, Quarantine,
};

fn name(text: &str) -> NodeName {
    NodeName::from(text)
}

fn names(text: &str) -> BTreeSet<NodeName> {
    text.split_whitespace().map(name).collect()
}

fn list(text: &str) -> Vec<NodeName> {
    text.split_whitespace().map(name).collect()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn uuid(server: u32) -> String {
    format!("{server:08}-0000-0000-0000-000000000000")
}

/// A MySQL set in short: `1:1-5 2:1` are five transactions that db1 committed first and one of db2's.
fn my(text: &str) -> GtidSet {
    let parts = text.split_whitespace().map(|part| {
        let (server, numbers) = part.split_once(':').unwrap();
        format!("{}:{numbers}", uuid(server.parse().unwrap()))
    });
    GtidSet::parse_mysql(&parts.collect::<Vec<_>>().join(",")).unwrap()
}

/// A MariaDB binlog state.
fn maria(text: &str) -> GtidSet {
    GtidSet::parse_mariadb_state(text).unwrap()
}

/// A managed cluster under epoch 1 with its writer open on db1, lossless, every other data node an acker.
fn cluster(nodes: &str) -> ClusterState {
    let mut state = ClusterState::default();
    state.phase = Phase::Managed;
    for node in nodes.split_whitespace() {
        let server = node.starts_with("db").then(|| format!("{node}:3306"));
        state.members.insert(name(node), Member { server, ..Member::default() });
    }
    state.grant = Some(Grant {
        epoch: Epoch(1),
        node: name("db1"),
        since_ms: 0,
        unleased: false,
        opened_ms: Some(1),
        paused_at: None,
    });
    state.ackers = state.data_nodes().map(|(n, _)| n.clone()).filter(|n| *n != name("db1")).collect();
    state.durability = Durability::Lossless { since_ms: 1 };
    state
}

fn degraded(upto: Option<GtidSet>) -> Durability {
    Durability::Degraded { since_ms: 1, reason: DegradeReason::NoAcker, upto, may_let_go: true, index: 7 }
}

fn quarantine(state: &mut ClusterState, node: &str, extra: GtidSet) {
    state.ackers.remove(&name(node));
    state.out.insert(
        name(node),
        Out { reason: OutReason::Quarantine(Quarantine::of(extra, Epoch(1))), since_ms: 0 },
    );
}

/// The failover that ends epoch 1.
fn failover(diagnosis: &str) -> Operation {
    Operation {
        id: OperationId("f".into()),
        kind: OperationKind::Failover,
        from: Epoch(1),
        from_node: Some(name("db1")),
        started_ms: 0,
        diagnosis: diagnosis.into(),
        evidence: vec![],
        forced: None,
        wanted: None,
        last_seen: None,
        recovered: None,
        planned: None,
        proof: None,
        loss: None,
        to: None,
        opened_ms: None,
        steps: vec![],
    }
}

fn forced() -> Option<Forced> {
    Some(Forced { by: "me".into(), reason: "because".into() })
}

/// A server that has applied all it received, its receiver stopped.
fn has(node: &str, set: GtidSet) -> Answer {
    Answer {
        node: name(node),
        received: set.clone(),
        executed: set,
        still: true,
        restarted: false,
        delayed: false,
        stuck: false,
    }
}

fn about(node: &str, dialect: Dialect) -> About {
    let id: u32 = node.trim_start_matches("db").parse().unwrap();
    About {
        dialect,
        version: String::new(),
        number: (9, 7, 0),
        server_uuid: Some(uuid(id)),
        server_id: id,
        findings: vec![],
    }
}

/// An open writer with this set.
fn writes(set: &GtidSet) -> Pulse {
    Pulse {
        open: true,
        executed: set.clone(),
        received: set.clone(),
        channel: None,
        waits: true,
        ackers: 1,
        waiting: 0,
        acks: false,
        uptime: Duration::from_secs(60),
    }
}

/// A closed server that receives from `source`, acknowledges, and has this set.
fn follows(source: &str, set: &GtidSet) -> Pulse {
    let channel = Channel {
        source: format!("{source}:3306"),
        received_ago: Some(ms(100)),
        io_running: true,
        sql_running: true,
        io_error: None,
        sql_error: None,
        behind: Some(ms(0)),
        delayed: false,
    };
    Pulse { open: false, waits: false, ackers: 0, acks: true, channel: Some(channel), ..writes(set) }
}

/// A server that answers its own node.
fn running(node: &str, pulse: Pulse) -> OwnServer {
    OwnServer {
        process: Process::Running { pid: 7 },
        about: Some(about(node, pulse.executed.dialect())),
        pulse: Some(pulse),
        pulse_age: ms(50),
        error: None,
        guard: GuardSeen { keeper: true, ..GuardSeen::default() },
    }
}

fn answered(open: bool) -> Probe {
    Probe { silent_for: ms(50), ever: true, open: Some(open), ..Probe::default() }
}

fn silent(for_ms: u64, error: ProbeError) -> Probe {
    Probe { silent_for: ms(for_ms), ever: true, error: Some(error), open: Some(true), ..Probe::default() }
}

/// What the nodes report, to be changed by a case before it is looked at.
struct Seen {
    reports: BTreeMap<NodeName, (Report, Duration)>,
    before: BTreeMap<NodeName, (Pulse, Duration)>,
    gone_for: BTreeMap<NodeName, Duration>,
    short_for: Option<Duration>,
}

impl Seen {
    /// All is well: db1 writes, the others follow it, everybody reaches everybody.
    fn healthy(state: &ClusterState, set: &GtidSet) -> Self {
        let mut seen = Self {
            reports: BTreeMap::new(),
            before: BTreeMap::new(),
            gone_for: BTreeMap::new(),
            short_for: None,
        };
        for (node, member) in &state.members {
            let probes = state.data_nodes().map(|(n, _)| (n.clone(), answered(*n == name("db1")))).collect();
            let pulse = if *node == name("db1") { writes(set) } else { follows("db1", set) };
            let own = member.server.as_ref().map(|_| running(node.as_str(), pulse));
            seen.reports.insert(node.clone(), (Report { own, probes, ..Report::default() }, ms(100)));
        }
        seen.own("db1").guard.opened = Epoch(1);
        seen.pulse("db1").ackers = state.ackers.len() as u32;
        seen
    }

    fn own(&mut self, node: &str) -> &mut OwnServer {
        self.reports.get_mut(&name(node)).unwrap().0.own.as_mut().unwrap()
    }

    fn pulse(&mut self, node: &str) -> &mut Pulse {
        self.own(node).pulse.as_mut().unwrap()
    }

    fn channel(&mut self, node: &str) -> &mut Channel {
        self.pulse(node).channel.as_mut().unwrap()
    }

    fn probe(&mut self, by: &str, of: &str, probe: Probe) {
        self.reports.get_mut(&name(by)).unwrap().0.probes.insert(name(of), probe);
    }

    /// Its node was last heard this long ago.
    fn unheard(&mut self, node: &str, for_ms: u64) {
        self.reports.get_mut(&name(node)).unwrap().1 = ms(for_ms);
    }

    fn lacks_for_copy(&mut self, node: &str, what: &str) {
        self.reports.get_mut(&name(node)).unwrap().0.lacks_for_copy = Some(what.to_owned());
    }

    fn gone(&mut self, node: &str, for_ms: u64) {
        let own = self.own(node);
        own.process = Process::Gone { pid: 7 };
        own.pulse_age = ms(for_ms);
    }

    fn look(&self) -> Observations {
        let mut seen = Observations::default();
        seen.acker_short_for = self.short_for;
        seen.gone_for = self.gone_for.clone();
        for (node, (report, age)) in &self.reports {
            seen.insert(node.clone(), report.clone(), *age);
        }
        for (node, (pulse, age)) in &self.before {
            seen.insert_before(node.clone(), pulse.clone(), *age);
        }
        seen
    }
}
