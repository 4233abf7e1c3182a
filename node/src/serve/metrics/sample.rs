//! The values of one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::consensus::{Applied, FormationStatus, Leadership};
use crate::decide::archive::Archiving;
use crate::decide::backup::recovery::Recovery;
use crate::decide::diagnosis::Trouble;
use crate::decide::seen::{OwnServer, ProxySeen, Report};
use crate::decide::tried::Disk;
use crate::operate::Followers;
use crate::route::Stats;
use crate::state::{Alerts, Backup, ClusterState, Durability, NodeName, Phase};

/// The values of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The node belongs to a group.
    pub formed: bool,
    /// Who leads.
    pub leader: Option<String>,
    /// Whether this node does.
    pub leads: bool,
    /// The term of the protocol.
    pub term: u64,
    /// Index in the log of the last entry applied here.
    pub applied_index: u64,
    /// The cluster is under Baton's care.
    pub managed: bool,
    /// The current epoch; 0 before adoption.
    pub epoch: u64,
    /// writer, replica, witness or out.
    pub role: &'static str,
    /// This node holds the write role.
    pub writer: bool,
    /// Every acknowledged write is at the ackers too.
    pub lossless: bool,
    /// lossless, degraded or unknown.
    pub durability: &'static str,
    /// The writer is being moved.
    pub moving: bool,
    /// Failovers are paused by an operator.
    pub paused: bool,
    /// Whether the server beside this node answers; `None` on a witness.
    pub server_answers: Option<bool>,
    /// Whether that server accepts client writes.
    pub open: Option<bool>,
    /// What is left of this node's lease.
    pub lease_left: Option<Duration>,
    /// How far the server is behind its source.
    pub behind: Option<Duration>,
    /// Transactions that it has received and not applied.
    pub to_apply: Option<u64>,
    /// Ackers connected to it, and commits that wait for one.
    pub acks: Option<(u32, u32)>,
    /// The file system of its data.
    pub disk: Option<Disk>,
    /// For how long this node's certificate is valid yet.
    pub certificate_left: Option<Duration>,
    /// Each server as probed from here: whether it answers, since when it has not, and how long the last answer took.
    pub probes: Vec<Probed>,
    /// On the leader, what is wrong: the name, and whose it is.
    pub troubles: Vec<(String, String)>,
    /// Notices that are not over.
    pub notices: u64,
    /// Messages to each sink that were dropped because their notices had to make room.
    pub dropped: Vec<(String, u64)>,
    /// The newest good backup; `None` where there is none.
    pub newest_backup: Option<Made>,
    /// When a good backup was last read again, milliseconds since 1970.
    pub read_again_ms: Option<i64>,
    /// On the leader, the newest stretch of time of which every moment can be restored, milliseconds since 1970.
    pub window_ms: Option<(i64, i64)>,
    /// How this node archives the binlog; `None` where it is another one's turn.
    pub archiving: Option<Archiving>,
    /// The embedded router; `None` where it is off.
    pub router: Option<Stats>,
    /// Servers without a node, on the leader: name, whether it answers, and the lag where it is known.
    pub followers: Vec<(String, bool, Option<Duration>)>,
    /// Every ProxySQL; none but on the leader.
    pub proxies: Vec<ProxySeen>,
}

/// A backup that was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// When it was over, milliseconds since 1970.
    pub ended_ms: i64,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes in each store.
    pub stored_bytes: u64,
}

impl Made {
    fn of(backup: &Backup) -> Self {
        Self {
            ended_ms: backup.ended_ms,
            took_ms: u64::try_from(backup.ended_ms.saturating_sub(backup.began_ms)).unwrap_or_default(),
            bytes: backup.bytes,
            stored_bytes: backup.stored_bytes,
        }
    }
}

/// One server as this node sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probed {
    /// Whose.
    pub node: String,
    /// Since it last answered.
    pub silent_for: Duration,
    /// How long its last answer took.
    pub took: Option<Duration>,
}

/// Whether it is this node's turn to archive the binlog.
fn collects(state: &ClusterState, me: &NodeName) -> bool {
    state.collector.as_ref().is_some_and(|collector| collector.node == *me)
}

impl Sample {
    /// From what a daemon has at hand. `troubles` are those of the leader.
    pub fn of(
        me: &NodeName,
        applied: &Applied,
        leadership: &Leadership,
        formation: &FormationStatus,
        own: &Report,
        router: Option<Stats>,
        followers: &Followers,
    ) -> Self {
        let state = &applied.state;
        let server = own.own.as_ref();
        let pulse = server.and_then(|s| s.pulse.as_ref());
        let channel = pulse.and_then(|p| p.channel.as_ref());
        Self {
            formed: *formation == FormationStatus::Formed,
            leader: leadership.leader.as_ref().map(ToString::to_string),
            leads: leadership.mine,
            term: leadership.term >> 32,
            applied_index: applied.index,
            managed: state.phase == Phase::Managed,
            epoch: state.epoch().0,
            role: role(state, me),
            writer: state.is_writer(me),
            lossless: state.durability.is_lossless(),
            durability: durability(state),
            moving: state.operation.is_some(),
            paused: state.pause.is_some(),
            server_answers: server.map(answers),
            open: server.filter(|s| answers(s)).and(pulse).map(|p| p.open),
            lease_left: server.and_then(|s| s.guard.lease).map(|(_, left)| left),
            behind: channel.and_then(|c| c.behind),
            to_apply: channel.and(pulse).and_then(|p| Some(p.received.subtract(&p.executed).ok()?.count())),
            acks: pulse.filter(|_| state.is_writer(me)).map(|p| (p.ackers, p.waiting)),
            disk: own.tried.as_ref().and_then(|t| t.disk),
            certificate_left: own.certificate_left,
            probes: probes(own),
            troubles: Vec::new(),
            notices: state.alerts.notices.iter().filter(|n| !n.is_over()).count() as u64,
            dropped: Vec::new(),
            newest_backup: state.backups.newest().map(Made::of),
            read_again_ms: state.backups.read_again_ms(),
            window_ms: None,
            archiving: own.archiving.clone().filter(|_| collects(state, me)),
            router,
            followers: followers
                .values()
                .map(|follower| {
                    let said = follower.said.as_ref();
                    (follower.declared.name.clone(), said.is_some(), said.and_then(|said| said.behind))
                })
                .collect(),
            proxies: own.routing.clone(),
        }
    }

    /// With what was dropped. `sinks` are those that this node's file names: one of which nothing was dropped counts from 0.
    #[must_use]
    pub fn with_dropped<'a>(mut self, alerts: &'a Alerts, sinks: impl Iterator<Item = &'a str>) -> Self {
        let mut dropped: BTreeMap<&str, u64> = sinks.map(|sink| (sink, 0)).collect();
        dropped.extend(alerts.untold.iter().map(|(sink, untold)| (sink.as_str(), untold.total)));
        self.dropped = dropped.into_iter().map(|(sink, total)| (sink.to_owned(), total)).collect();
        self
    }

    /// With what can be restored, as the leader knows it.
    #[must_use]
    pub fn with_window(mut self, found: &Recovery<'_>) -> Self {
        self.window_ms = found.windows.last().map(|window| (window.from_ms(), window.stretch.last_ms));
        self
    }

    /// With what is wrong, as the leader sees it.
    #[must_use]
    pub fn with_troubles(mut self, troubles: &[Trouble]) -> Self {
        let named = |t: &Trouble| (t.name(), t.whose().unwrap_or_default().to_owned());
        self.troubles = troubles.iter().map(named).collect();
        // A server may have two of a kind; a series is there once.
        self.troubles.sort();
        self.troubles.dedup();
        self
    }
}

fn answers(server: &OwnServer) -> bool {
    server.error.is_none() && server.pulse.is_some()
}

fn role(state: &ClusterState, me: &NodeName) -> &'static str {
    let has_server = state.members.get(me).is_some_and(|m| m.server.is_some());
    match () {
        () if state.is_writer(me) => "writer",
        () if state.out.contains_key(me) => "out",
        () if has_server => "replica",
        () => "witness",
    }
}

fn durability(state: &ClusterState) -> &'static str {
    match state.durability {
        Durability::Lossless { .. } => "lossless",
        Durability::Degraded { .. } => "degraded",
        Durability::Unknown => "unknown",
    }
}

fn probes(own: &Report) -> Vec<Probed> {
    let probed = own.probes.iter();
    probed
        .map(|(node, p)| Probed { node: node.to_string(), silent_for: p.silent_for, took: p.took })
        .collect()
}
