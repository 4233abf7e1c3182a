//! A cluster under test and what its nodes see: healthy, for each test to spoil in its own way.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::seen::{
    About, Channel, GuardSeen, NoAnswer, Observations, OwnServer, Probe, Process, Pulse, Report,
};
use crate::gtid::{Dialect, GtidSet};
use crate::state::{ClusterState, Durability, Epoch, Grant, Member, NodeName, Phase};

/// 2026-11-20 09:00:00 UTC.
pub(crate) const NOW_MS: i64 = 1_795_165_200_000;

pub(crate) fn name(text: &str) -> NodeName {
    NodeName::from(text)
}

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// `1-5` of one server's transactions.
pub(crate) fn set(numbers: &str) -> GtidSet {
    GtidSet::parse_mysql(&format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:{numbers}")).unwrap()
}

/// What the sample's nodes see. `reports` are changed by name and handed over with an age of 50 ms.
#[derive(Clone)]
pub(crate) struct Seen(pub(crate) Vec<(NodeName, Report, Duration)>);

impl Seen {
    pub(crate) fn report(&mut self, node: &str) -> &mut Report {
        &mut self.0.iter_mut().find(|(n, ..)| n.as_str() == node).unwrap().1
    }

    pub(crate) fn own(&mut self, node: &str) -> &mut OwnServer {
        self.report(node).own.as_mut().unwrap()
    }

    pub(crate) fn pulse(&mut self, node: &str) -> &mut Pulse {
        self.own(node).pulse.as_mut().unwrap()
    }

    pub(crate) fn channel(&mut self, node: &str) -> &mut Channel {
        self.pulse(node).channel.as_mut().unwrap()
    }

    pub(crate) fn about(&mut self, node: &str) -> &mut About {
        self.own(node).about.as_mut().unwrap()
    }

    /// Nothing comes from that node any more.
    pub(crate) fn silent(&mut self, node: &str) {
        self.0.retain(|(n, ..)| n.as_str() != node);
    }

    /// The node has said nothing for so long; what it said last is known.
    pub(crate) fn last_heard(&mut self, node: &str, ago: Duration) {
        self.0.iter_mut().find(|(n, ..)| n.as_str() == node).unwrap().2 = ago;
    }

    /// Nobody's probe has an answer from that server.
    pub(crate) fn unreachable(&mut self, node: &str) {
        for (_, report, _) in &mut self.0 {
            report.probes.entry(name(node)).or_default().silent_for = ms(5_000);
        }
    }

    pub(crate) fn observations(&self) -> Observations {
        let mut seen = Observations::default();
        for (node, report, age) in &self.0 {
            seen.insert(node.clone(), report.clone(), *age);
        }
        seen
    }
}

/// Two servers db1 and db2 and a witness app1, watched only; db1 is open, db2 follows it.
pub(crate) fn observed() -> (ClusterState, Seen) {
    let mut state = ClusterState::default();
    for (node, server) in [("app1", None), ("db1", Some("10.0.0.1:3306")), ("db2", Some("10.0.0.2:3306"))] {
        let peer = format!("{node}:7400");
        let server = server.map(str::to_owned);
        state.members.insert(name(node), Member { peer, server, ..Member::default() });
    }
    state.cluster = Some(crate::state::Cluster { name: "shop".into(), id: "1".into() });
    let seen = state.members.keys().map(|node| (node.clone(), report(node), ms(50))).collect();
    (state, Seen(seen))
}

/// The same under care: epoch 1 is db1's, db2 acknowledges.
pub(crate) fn managed() -> (ClusterState, Seen) {
    let (mut state, mut seen) = observed();
    state.phase = Phase::Managed;
    let since_ms = NOW_MS - 60_000;
    state.grant = Some(Grant {
        epoch: Epoch(1),
        node: name("db1"),
        since_ms,
        unleased: false,
        opened_ms: Some(since_ms),
        paused_at: None,
    });
    state.durability = Durability::Lossless { since_ms };
    state.ackers.insert(name("db2"));
    let guard = &mut seen.own("db1").guard;
    (guard.lease, guard.opened) = (Some((Epoch(1), ms(890))), Epoch(1));
    (state, seen)
}

fn report(node: &NodeName) -> Report {
    let probe = || Probe { silent_for: ms(20), ever: true, ..Probe::default() };
    let probes = ["db1", "db2"].map(|n| (name(n), Probe { open: Some(n == "db1"), ..probe() }));
    let own = match node.as_str() {
        "db1" => Some(server(1, None)),
        "db2" => Some(server(2, Some(channel("10.0.0.1:3306")))),
        _ => None,
    };
    Report { probes: probes.into(), own, ..Report::default() }
}

fn channel(source: &str) -> Channel {
    Channel {
        source: source.into(),
        received_ago: Some(ms(100)),
        io_running: true,
        sql_running: true,
        io_error: None,
        sql_error: None,
        behind: Some(Duration::ZERO),
        delayed: false,
    }
}

fn server(id: u32, channel: Option<Channel>) -> OwnServer {
    let acks = channel.is_some();
    OwnServer {
        process: Process::Running { pid: 1000 },
        pulse: Some(Pulse {
            open: channel.is_none(),
            executed: set("1-5"),
            received: set("1-5"),
            waits: channel.is_none(),
            ackers: u32::from(channel.is_none()),
            waiting: 0,
            acks,
            uptime: Duration::from_secs(3600),
            channel,
        }),
        pulse_age: ms(50),
        error: None,
        guard: GuardSeen { keeper: true, ..GuardSeen::default() },
        about: Some(About {
            dialect: Dialect::Mysql,
            version: "9.7.4".into(),
            number: (9, 7, 4),
            server_uuid: Some(id.to_string()),
            server_id: id,
            findings: Vec::new(),
        }),
    }
}

/// Why a server that is not there does not answer.
pub(crate) fn no_answer() -> NoAnswer {
    NoAnswer { what: "connection refused".into(), mend: "start it".into(), refused: false }
}
