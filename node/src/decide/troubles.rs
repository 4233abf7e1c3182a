//! What else is wrong, beside the writer. Pure.

use std::time::Duration;

use super::archive;
use super::backup::alarm::alarms;
use super::candidates::own_part;
use super::diagnose::{FRESH, fresh_pulse, lagging, out_in_words, unusable};
use super::diagnosis::{Trouble, Writer};
use super::finding::{ANSWERS_WITHIN, answers, proxies};
use super::seen::{Channel, Heard, Observations, OwnServer, Probe, Pulse};
use super::tried::Disk;
use crate::state::{ClusterState, Durability, NodeName, Phase};

/// Two wall clocks that differ by so much are told of. A report may take 400 ms to arrive.
const SKEW_MS: u64 = 1_500;
/// A certificate that ends within this is told of, as its node does when it starts.
const CERTIFICATE_LEFT: Duration = Duration::from_secs(14 * 24 * 3600);
/// Errors of an account that is not accepted, or may not replicate: to the replica the source looks dead. Denied, by
/// database, password, host, plugin or privilege; expired; locked, by hand or by failed logins, on MySQL and on MariaDB.
const REJECTED: [u32; 12] = [1044, 1045, 1130, 1227, 1698, 1820, 1862, 3118, 3955, 4150, 4151, 4166];
/// The receiver was refused after it had logged in; the source's own error stands in the text. MySQL, MariaDB.
const COMMAND_FAILED: [u32; 2] = [13120, 1597];

/// Why the source rejects the replication account, where it does.
fn rejected(channel: &Channel) -> Option<&str> {
    let (errno, text) = channel.io_error.as_ref()?;
    // "… failed: Access denied for user … (Errno: 1045)"
    let inner = text
        .rsplit_once("Errno: ")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok());
    let inner = inner.filter(|_| COMMAND_FAILED.contains(errno));
    (REJECTED.contains(errno) || inner.is_some_and(|n| REJECTED.contains(&n))).then_some(text)
}

/// Why servers do not let the one beside this node replicate, in words: its own channel says it best.
pub(super) fn refusals(heard: &Heard, channel: Option<&Channel>) -> Vec<String> {
    match channel.and_then(|channel| Some((channel, rejected(channel)?))) {
        Some((channel, why)) => vec![format!("{} does not let it replicate: {why}", channel.source)],
        None => heard.report.sources_refused.values().cloned().collect(),
    }
}

pub(super) fn collect(state: &ClusterState, seen: &Observations, writer: &Writer, into: &mut Vec<Trouble>) {
    quorum(state, seen, into);
    open_servers(state, seen, writer, into);
    for node in state.members.keys() {
        of_node(state, seen, node, into);
    }
    if state.phase == Phase::Managed {
        durability(state, seen, into);
        routing(seen, into);
        into.extend(alarms(state, seen));
        into.extend(archive::alarms(state, seen));
    }
}

fn routing(seen: &Observations, into: &mut Vec<Trouble>) {
    for proxy in proxies(seen) {
        if let Some(why) = &proxy.trouble {
            into.push(Trouble::RoutingDiverged(proxy.name.clone(), why.clone()));
        }
    }
}

/// Counts members: all of them vote but one that has just joined.
fn quorum(state: &ClusterState, seen: &Observations, into: &mut Vec<Trouble>) {
    let (of, answer) = (state.members.len(), state.members.keys().filter(|n| answers(seen, n)).count());
    if of > 0 && answer * 2 <= of {
        into.push(Trouble::QuorumLost { answer, of });
    }
}

/// What a node tried on its own server, and its clock.
fn of_trial(state: &ClusterState, seen: &Observations, node: &NodeName, into: &mut Vec<Trouble>) {
    if let Some(ahead) = seen.clock_ahead_ms.get(node).filter(|ms| ms.unsigned_abs() >= SKEW_MS) {
        into.push(Trouble::ClockSkew(node.clone(), *ahead));
    }
    let left = seen.of(node).and_then(|h| h.report.certificate_left);
    if let Some(left) = left.filter(|left| *left < CERTIFICATE_LEFT) {
        into.push(Trouble::CertificateExpires(node.clone(), left));
    }
    let Some(tried) = seen.tried(node) else { return };
    if let Some(disk) = tried.disk.filter(Disk::is_nearly_full) {
        into.push(Trouble::DiskNearlyFull(node.clone(), disk));
    }
    if state.is_writer(node) && tried.is_out_of_connections() {
        into.push(Trouble::WriterOutOfConnections(node.clone()));
    }
}

/// Whether a server accepts client writes, as its own node or anybody's fresh probe found it.
pub(super) fn is_open(seen: &Observations, node: &NodeName) -> bool {
    // A server that died within the last second was open when it last answered; that is no second writer.
    let own = seen.of(node).and_then(|h| Some((h, h.report.own.as_ref()?))).filter(|(_, own)| !own.is_gone());
    let by_itself = own.and_then(|(h, own)| fresh_pulse(h, own)).is_some_and(|p| p.open);
    let by_probe = seen.iter().any(|(_, h)| {
        let probe = h.report.probes.get(node);
        let answers = |p: &&Probe| p.error.is_none() && h.age + p.silent_for <= FRESH;
        h.age <= FRESH && probe.filter(answers).is_some_and(|p| p.open == Some(true))
    });
    by_itself || by_probe
}

fn open_servers(state: &ClusterState, seen: &Observations, writer: &Writer, into: &mut Vec<Trouble>) {
    let open: Vec<NodeName> =
        state.data_nodes().map(|(n, _)| n).filter(|n| is_open(seen, n)).cloned().collect();
    into.extend(state.left_behind.keys().filter(|n| is_open(seen, n)).cloned().map(Trouble::LeftBehindOpen));
    if open.len() > 1 {
        into.push(Trouble::TwoWritersSeen(open.clone()));
    }
    if state.phase == Phase::Managed {
        into.extend(open.iter().filter(|n| !state.is_writer(n)).cloned().map(Trouble::ReplicaOpen));
    }
    // A serving writer of which nothing is heard just now is not thereby closed.
    let closed = |n: &NodeName| seen.pulse(n).is_some_and(|(p, age)| age <= FRESH && !p.open);
    let serves = matches!(writer, Writer::Serving) && !state.live_grant().is_some_and(|g| closed(&g.node));
    if open.is_empty() && !serves {
        into.push(Trouble::NoWriter);
    }
}

fn of_node(state: &ClusterState, seen: &Observations, node: &NodeName, into: &mut Vec<Trouble>) {
    let has_server = state.members.get(node).is_some_and(|m| m.server.is_some());
    let Some(heard) = seen.of(node).filter(|h| h.age <= ANSWERS_WITHIN) else {
        let answers = has_server && answers_somebody(seen, node);
        into.push(if answers {
            Trouble::NodeDownServerUp(node.clone())
        } else {
            Trouble::NodeDown(node.clone())
        });
        return;
    };
    if !heard.report.config_differs.is_empty() {
        into.push(Trouble::ConfigDiverged(node.clone(), heard.report.config_differs.clone()));
    }
    if let Some(out) = state.out.get(node) {
        into.push(Trouble::ServerOut(node.clone(), out_in_words(&out.reason)));
    }
    of_trial(state, seen, node, into);
    let Some(own) = &heard.report.own else { return };
    of_server(state, node, heard, own, into);
    let known = |t: &Trouble| matches!(t, Trouble::ReplicationUserRejected(of, _) if of == node);
    if let Some(why) = refusals(heard, None).into_iter().next().filter(|_| !into.iter().any(known)) {
        let why = format!("{why}; make the account what `batonctl grants` prints");
        into.push(Trouble::ReplicationUserRejected(node.clone(), why));
    }
    errant(state, seen, node, into);
}

/// What a replica committed first and the writer lacks. The writer's own transactions are no sign: a replica applies one
/// while the writer still waits for its acknowledgement. Only named: it may be no more than a FLUSH.
fn errant(state: &ClusterState, seen: &Observations, node: &NodeName, into: &mut Vec<Trouble>) {
    let Some(grant) = state.live_grant().filter(|g| g.node != *node) else { return };
    let (Some((writer, writer_age)), Some((pulse, age))) = (seen.pulse(&grant.node), seen.pulse(node)) else {
        return;
    };
    let comparable = age <= FRESH && writer_age <= age && !state.out.contains_key(node);
    let extra = pulse.executed.subtract(&writer.executed).ok().filter(|_| comparable);
    if let Some(own) = extra.and_then(|extra| own_part(seen, node, &extra)) {
        into.push(Trouble::ErrantTransactions(node.clone(), own.to_string()));
    }
}

fn of_server(state: &ClusterState, node: &NodeName, heard: &Heard, own: &OwnServer, into: &mut Vec<Trouble>) {
    // Of a server that is gone there is nothing to guard: that it is down is said by itself.
    if let Some(trouble) = own.guard.trouble.as_ref().filter(|_| !own.is_gone()) {
        into.push(Trouble::GuardTrouble(node.clone(), trouble.clone()));
    }
    let unsafe_settings = own.about.iter().flat_map(|a| &a.findings).find(|f| f.error);
    if let Some(finding) = unsafe_settings {
        into.push(Trouble::UnsafeSettings(node.clone(), finding.what.clone()));
    }
    let pulse = fresh_pulse(heard, own);
    if let Some(error) = own.error.as_ref().filter(|_| pulse.is_none())
        && (error.refused || state.phase == Phase::Observing)
    {
        let why = format!("{}; {}", unusable(error), error.mend);
        into.push(Trouble::ServerUnusable(node.clone(), why));
        return;
    }
    let writes = state.grant.as_ref().is_some_and(|g| g.node == *node);
    if writes || state.phase == Phase::Observing {
        return;
    }
    let Some(pulse) = pulse else {
        // Whoever works on it may well have stopped it: that it is out is said already.
        if !(state.in_maintenance(node) && state.out.contains_key(node)) {
            into.push(Trouble::ReplicaDown(node.clone()));
        }
        return;
    };
    if !state.out.contains_key(node) {
        of_replica(state, node, pulse, into);
    }
}

fn of_replica(state: &ClusterState, node: &NodeName, pulse: &Pulse, into: &mut Vec<Trouble>) {
    let Some(grant) = state.live_grant() else { return };
    let wanted = state.members.get(&grant.node).and_then(|m| m.server.clone()).unwrap_or_default();
    match &pulse.channel {
        None => into.push(Trouble::ReplicaStopped(node.clone(), "it has no source".into())),
        Some(channel) if channel.source != wanted => {
            into.push(Trouble::ReplicaOfWrongSource(node.clone(), channel.source.clone()));
        }
        Some(channel) => of_channel(node, channel, into),
    }
}

fn of_channel(node: &NodeName, channel: &Channel, into: &mut Vec<Trouble>) {
    let error = channel.sql_error.as_ref().or(channel.io_error.as_ref());
    if rejected(channel).is_some() {
        // Without the server's own words, which count its tries.
        let why = "the writer rejects the replication account; check its password and host";
        into.push(Trouble::ReplicationUserRejected(node.clone(), why.into()));
        if channel.sql_running {
            return;
        }
    }
    match error {
        Some((errno, text)) if !channel.sql_running || !channel.io_running => {
            into.push(Trouble::ReplicaStopped(node.clone(), format!("error {errno}: {text}")));
        }
        _ if !channel.sql_running => {
            into.push(Trouble::ReplicaStopped(node.clone(), "its applier is off".into()));
        }
        _ if !channel.io_running => {
            into.push(Trouble::ReplicaStopped(node.clone(), "its receiver is not connected".into()));
        }
        _ => {
            if let Some(behind) = lagging(channel.behind) {
                into.push(Trouble::ReplicaLagging(node.clone(), behind));
            }
        }
    }
}

fn durability(state: &ClusterState, seen: &Observations, into: &mut Vec<Trouble>) {
    if let Durability::Degraded { reason, .. } = &state.durability {
        into.push(Trouble::NotLossless(reason.to_string()));
    }
    let Some(grant) = state.live_grant() else { return };
    let short = |p: &Pulse| p.waiting > 0 && p.ackers < state.safety.wait_count;
    let blocked = seen.pulse(&grant.node).filter(|(p, age)| *age <= FRESH && short(p));
    if let Some((pulse, _)) = blocked {
        into.push(Trouble::SemiSyncBlocked(pulse.waiting));
    }
}

/// Whether a server answers anybody but its own node.
fn answers_somebody(seen: &Observations, node: &NodeName) -> bool {
    seen.iter()
        .any(|(by, h)| by != node && h.age <= FRESH && seen.silence(by, node).is_some_and(|s| s <= FRESH))
}
