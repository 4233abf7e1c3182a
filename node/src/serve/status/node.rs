//! One node of the topology.

use std::time::Duration;

use baton_proto::control::NodeStatus;

use crate::decide::diagnose::{FRESH, lagging, out_in_words};
use crate::decide::diagnosis::Diagnosis;
use crate::decide::followers::Follower;
use crate::decide::seen::{About, OwnServer, Process, Pulse};
use crate::decide::vouched::is_vouched_for;
use crate::gtid::Dialect;
use crate::serve::View;
use crate::serve::orders::instant;
use crate::serve::words::concerns;
use crate::state::{Member, NodeName};

/// A replica under care hears something every half second; shown as not replicating after three of those.
const RECEIVES_WITHIN: Duration = Duration::from_millis(1500);

pub(super) fn node(
    view: &View<'_>,
    diagnosis: &Diagnosis,
    writer: Option<&NodeName>,
    name: &NodeName,
    member: &Member,
) -> NodeStatus {
    let own = view.seen.own(name);
    let pulse = pulse(view, name);
    let channel = pulse.and_then(|p| p.channel.as_ref());
    let role = role(view, writer, name, member);
    let answers = view.answers(name);
    let server_answers = member.server.is_some() && server_answers(view, name);
    NodeStatus {
        name: name.to_string(),
        role: role.into(),
        health: health(view, diagnosis, name, member, server_answers).into(),
        server: own.and_then(|o| o.about.as_ref()).map(product).unwrap_or_default(),
        open: is_open(view, name),
        node_answers: answers,
        server_answers,
        lag_seconds: lag(role, pulse),
        acker: view.state.ackers.contains(name) && is_vouched_for(view.state, view.seen, name),
        voter: view.membership.voter_names().contains(name),
        leader: view.leader() == Some(name),
        lease_left_ms: lease_left_ms(view, name, own),
        follows: channel.map(|c| server_of(view, &c.source)).unwrap_or_default(),
        replicating: replicating(view, name),
        gtid_executed: view.seen.last_seen_set(name).map(|s| s.to_string()).unwrap_or_default(),
        note: note(view, name, own, server_answers),
        zone: member.zone.clone().unwrap_or_default(),
        candidate: candidate(view, writer, name, member),
        address: member.server.clone().unwrap_or_else(|| member.peer.clone()),
    }
}

/// A node that the group was recovered without: no member, shown so that nobody forgets it.
pub(super) fn left_behind(view: &View<'_>, name: &NodeName, member: &Member) -> NodeStatus {
    let has_server = member.server.is_some();
    let (open, server_answers) = (is_open(view, name), has_server && server_answers(view, name));
    let (health, server) = match (open, server_answers) {
        (true, _) => ("warning", "its server is OPEN"),
        (false, true) => ("ok", "its server is closed"),
        (false, false) => ("down", "its server has not been seen"),
    };
    NodeStatus {
        name: name.to_string(),
        role: "left behind".into(),
        health: if has_server { health } else { "none" }.into(),
        open,
        server_answers,
        note: if has_server { server } else { "" }.into(),
        lag_seconds: -1.0,
        zone: member.zone.clone().unwrap_or_default(),
        address: member.server.clone().unwrap_or_else(|| member.peer.clone()),
        ..NodeStatus::default()
    }
}

/// A server without a node, which the file declares.
pub(super) fn follower(view: &View<'_>, follower: &Follower) -> NodeStatus {
    let said = follower.said.as_ref();
    let health = match (said, &follower.trouble) {
        (None, _) => "down",
        (Some(_), Some(_)) => "warning",
        (Some(_), None) => "ok",
    };
    let answers = said.is_some();
    NodeStatus {
        name: follower.declared.name.clone(),
        role: "follower".into(),
        health: health.into(),
        open: said.is_some_and(|said| said.open),
        // It has none; what is silent is its server.
        node_answers: answers,
        server_answers: answers,
        lag_seconds: said.and_then(|said| said.behind).map_or(-1.0, |behind| behind.as_secs_f64()),
        follows: said
            .and_then(|said| said.source.as_deref())
            .map(|source| server_of(view, source))
            .unwrap_or_default(),
        replicating: said.is_some_and(|said| said.runs),
        note: follower.trouble.clone().unwrap_or_default(),
        address: follower.declared.server.clone(),
        ..NodeStatus::default()
    }
}

/// Whether a server accepts client writes, as its own node or anybody's probe saw it just now.
pub(super) fn is_open(view: &View<'_>, name: &NodeName) -> bool {
    if let Some(pulse) = pulse(view, name) {
        return pulse.open;
    }
    if view.seen.own(name).is_some_and(OwnServer::is_gone) {
        return false;
    }
    view.seen.iter().any(|(_, heard)| {
        let probe = heard.report.probes.get(name);
        probe.is_some_and(|p| p.open == Some(true) && p.ever && heard.age + p.silent_for <= FRESH)
    })
}

/// What a server said of itself within the last second.
fn pulse<'a>(view: &View<'a>, name: &NodeName) -> Option<&'a Pulse> {
    let gone = view.seen.own(name).is_some_and(|own| matches!(own.process, Process::Gone { .. }));
    view.seen.pulse(name).filter(|(_, age)| *age <= FRESH && !gone).map(|(pulse, _)| pulse)
}

fn server_answers(view: &View<'_>, name: &NodeName) -> bool {
    if pulse(view, name).is_some() {
        return true;
    }
    if view.seen.of(name).is_some_and(|h| h.age <= FRESH)
        && view.seen.own(name).is_some_and(OwnServer::is_gone)
    {
        return false;
    }
    view.seen.iter().any(|(_, heard)| {
        let probe = heard.report.probes.get(name);
        probe.is_some_and(|p| p.ever && heard.age + p.silent_for <= FRESH)
    })
}

fn role(view: &View<'_>, writer: Option<&NodeName>, name: &NodeName, member: &Member) -> &'static str {
    if view.state.out.contains_key(name) {
        return "out";
    }
    if member.server.is_none() {
        return "witness";
    }
    if writer == Some(name) {
        return "writer";
    }
    let replicates = view.seen.pulse(name).is_some_and(|(p, _)| p.channel.is_some());
    if view.is_managed() || replicates { "replica" } else { "unknown" }
}

fn health(
    view: &View<'_>,
    diagnosis: &Diagnosis,
    name: &NodeName,
    member: &Member,
    server_answers: bool,
) -> &'static str {
    if member.server.is_none()
        || (view.without_leader.is_some() && view.seen.of(name).is_none() && !server_answers)
    {
        return "none";
    }
    if !server_answers {
        return "down";
    }
    let troubled = view.without_leader.is_none() && diagnosis.troubles.iter().any(|t| concerns(t, name));
    if troubled || !view.answers(name) { "warning" } else { "ok" }
}

/// "MySQL 9.7.4"
fn product(about: &About) -> String {
    let name = match about.dialect {
        Dialect::Mysql => "MySQL",
        Dialect::Mariadb => "MariaDB",
    };
    let (major, minor, patch) = about.number;
    format!("{name} {major}.{minor}.{patch}")
}

fn lag(role: &str, pulse: Option<&Pulse>) -> f64 {
    if role == "writer" {
        return 0.0;
    }
    let behind = pulse.and_then(|p| p.channel.as_ref()?.behind);
    behind.map_or(-1.0, |b| b.as_secs_f64())
}

fn lease_left_ms(view: &View<'_>, name: &NodeName, own: Option<&OwnServer>) -> u64 {
    let age = view.seen.of(name).map(|h| h.age).unwrap_or_default();
    let left = own.and_then(|o| o.guard.lease).map(|(_, left)| left.saturating_sub(age)).unwrap_or_default();
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}

/// The node beside the server at that address, or the address if it is nobody's.
fn server_of(view: &View<'_>, source: &str) -> String {
    let found = view.state.data_nodes().find(|(_, m)| m.server.as_deref() == Some(source));
    found.map_or_else(|| source.to_owned(), |(name, _)| name.to_string())
}

/// A thread's own word is no evidence once the source sends a heartbeat every half second; before adoption it does not.
fn replicating(view: &View<'_>, name: &NodeName) -> bool {
    let Some((seen, age)) = view.seen.pulse(name) else { return false };
    let Some(channel) = &seen.channel else { return false };
    let runs = pulse(view, name).is_some() && channel.io_running && channel.sql_running;
    runs && (!view.is_managed() || channel.is_receiving(age, RECEIVES_WITHIN))
}

fn note(view: &View<'_>, name: &NodeName, own: Option<&OwnServer>, server_answers: bool) -> String {
    if let Some(maintenance) = view.state.maintenance.get(name) {
        let (until, word) = (instant(maintenance.until_ms), &maintenance.word);
        return format!("maintenance until {until}, {}: {}", word.by, word.reason);
    }
    if let Some(out) = view.state.out.get(name) {
        return out_in_words(&out.reason);
    }
    match own {
        Some(own) if !server_answers => own.error.as_ref().map(|e| e.what.clone()).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Whether a failover would choose among it: fit, applies what it gets, is not far behind.
fn candidate(view: &View<'_>, writer: Option<&NodeName>, name: &NodeName, member: &Member) -> bool {
    let state = view.state;
    let apart = member.excluded || state.in_maintenance(name) || state.out.contains_key(name);
    if !view.is_managed() || writer == Some(name) || apart {
        return false;
    }
    let Some(pulse) = pulse(view, name).filter(|p| !p.open) else { return false };
    let unsafe_settings = view.seen.own(name).and_then(|o| o.about.as_ref());
    if unsafe_settings.is_some_and(|a| a.findings.iter().any(|f| f.error)) {
        return false;
    }
    let source = writer.and_then(|w| state.members.get(w)?.server.as_deref());
    // While the writer is being replaced its replicas' receivers are stopped on purpose.
    let moving = state.live_grant().is_none();
    pulse.channel.as_ref().is_some_and(|channel| {
        let attached = moving || (channel.sql_running && lagging(channel.behind).is_none());
        Some(channel.source.as_str()) == source && !channel.delayed && attached
    })
}
