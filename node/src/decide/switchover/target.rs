//! What speaks for and against one server as the next writer. Pure.

use std::time::Duration;

use super::super::diagnose::{FRESH, RECEIVING_WITHIN, out_in_words};
use super::super::finding::{Finding, Level};
use super::super::seen::{About, Channel, Observations, OwnServer};
use super::{LAG_AT_FREEZE, LAG_WITHIN, Measured};
use crate::state::{ClusterState, NodeName};

const TO_ANOTHER: &str = "name another server with --to, or leave it out";

/// What the state and the reports say of `to`.
pub(super) fn findings(
    state: &ClusterState,
    seen: &Observations,
    from: &NodeName,
    to: &NodeName,
) -> Vec<Finding> {
    let stop = |what: &str, mend: &str| vec![Finding::of(Level::Error, to, what, mend)];
    let Some(member) = state.members.get(to) else {
        return stop("is not a member", "batonctl status shows the nodes");
    };
    if to == from {
        return stop("is the writer already", TO_ANOTHER);
    }
    if member.server.is_none() {
        return stop("is a witness: it has no server", TO_ANOTHER);
    }
    if state.in_maintenance(to) {
        return stop(
            "is in maintenance",
            "batonctl maintenance NODE --end, or name another server with --to",
        );
    }
    if let Some(out) = state.out.get(to) {
        return stop(&format!("is out: {}", out_in_words(&out.reason)), TO_ANOTHER);
    }
    if member.excluded {
        return stop("is excluded from being the writer", TO_ANOTHER);
    }
    let Some(own) = seen.own(to).filter(|_| seen.of(to).is_some_and(|heard| heard.age <= FRESH)) else {
        return stop("its node does not answer", "systemctl start baton-node, on its host");
    };
    if own.is_gone() {
        return stop("its server is down", "start it, and wait until it has caught up");
    }
    let mut found = Vec::new();
    guarded(to, own, &mut found);
    about(seen, from, to, own.about.as_ref(), &mut found);
    channel(state, seen, from, to, &mut found);
    if seen.tried(to).and_then(|tried| tried.disk).is_some_and(|disk| disk.is_nearly_full()) {
        found.push(Finding::of(Level::Error, to, "its disk is nearly full", "make room there first"));
    }
    if found.is_empty() {
        let version = own.about.as_ref().map(|a| a.version.clone()).unwrap_or_default();
        let what = format!("follows {from}, version {version}, its settings are right");
        found.push(Finding::of(Level::Ok, to, what, ""));
    }
    found
}

fn guarded(to: &NodeName, own: &OwnServer, found: &mut Vec<Finding>) {
    let mut stop = |what: String, mend: &str| found.push(Finding::of(Level::Error, to, what, mend));
    if let Some(error) = &own.error {
        stop(format!("its server cannot be used: {}", error.what), &error.mend);
    }
    if let Some(trouble) = &own.guard.trouble {
        stop(format!("its guard cannot do its work: {trouble}"), "mend that; the node tries again by itself");
    }
    if !own.guard.keeper {
        stop(
            "its keeper may not end the server, so no lease can bind it".into(),
            "run baton-node as root or as the server's user, then systemctl restart baton-node",
        );
    }
}

/// The same dialect and a version that may be a source of the other's, and nothing wrong with its settings.
fn about(
    seen: &Observations,
    from: &NodeName,
    to: &NodeName,
    about: Option<&About>,
    found: &mut Vec<Finding>,
) {
    let mut stop = |what: String, mend: &str| found.push(Finding::of(Level::Error, to, what, mend));
    let of_writer = seen.own(from).and_then(|own| own.about.as_ref());
    let (Some(about), Some(of_writer)) = (about, of_writer) else {
        return stop(
            "its settings, or the writer's, have not been read yet".into(),
            "ask again in a few seconds",
        );
    };
    if about.dialect != of_writer.dialect {
        stop(format!("runs {:?}, and the writer {:?}", about.dialect, of_writer.dialect), TO_ANOTHER);
    } else if about.number < of_writer.number {
        let what = format!("runs {}, older than the writer's {}", about.version, of_writer.version);
        stop(what, "bring all servers to one version first, the replicas before the writer");
    }
    for finding in about.findings.iter().filter(|f| f.error) {
        stop(finding.what.clone(), &finding.mend);
    }
}

fn channel(
    state: &ClusterState,
    seen: &Observations,
    from: &NodeName,
    to: &NodeName,
    found: &mut Vec<Finding>,
) {
    let mut stop = |what: String, mend: &str| found.push(Finding::of(Level::Error, to, what, mend));
    let Some((pulse, age)) = seen.pulse(to).filter(|(_, age)| *age <= FRESH) else {
        return stop("its server does not answer".into(), "start the server, or look at its error log");
    };
    let source = state.members.get(from).and_then(|m| m.server.as_deref());
    let Some(channel) = pulse.channel.as_ref().filter(|c| Some(c.source.as_str()) == source) else {
        return stop(format!("does not replicate from {from}"), "batonctl status says what it follows");
    };
    if channel.delayed {
        stop("is a delayed replica".into(), TO_ANOTHER);
    }
    if !channel.sql_running {
        stop(stopped(channel, "applier"), "batonctl status says why");
    }
    if !channel.io_running || !channel.is_receiving(age, RECEIVING_WITHIN) {
        stop(stopped(channel, "receiver"), "batonctl status says why");
    }
}

fn stopped(channel: &Channel, what: &str) -> String {
    let error = if what == "applier" { &channel.sql_error } else { &channel.io_error };
    match error {
        Some((number, text)) => format!("its {what} has stopped: error {number}, {text}"),
        None => format!("its {what} has stopped"),
    }
}

/// What was asked of both servers just now.
pub(super) fn measured(from: &NodeName, to: &NodeName, measured: &Measured, found: &mut Vec<Finding>) {
    if !measured.asked {
        return;
    }
    if let Some(extra) = measured.extra.as_ref().filter(|extra| !extra.is_empty()) {
        let what = format!("has {} that {from} lacks: {extra}", extra.amount());
        found.push(Finding::of(Level::Error, to, what, "bring them to the writer, or batonctl rebuild it"));
    }
    match measured.lag {
        Some(lag) if lag <= LAG_AT_FREEZE => {
            let what = format!("has everything, lag {} ms", lag.as_millis());
            found.push(Finding::of(Level::Ok, to, what, ""));
        }
        Some(lag) => {
            let what = format!("is {} ms behind", lag.as_millis());
            let mend = format!(
                "the writer is closed once that is at most {} ms, for which {} s are waited",
                LAG_AT_FREEZE.as_millis(),
                LAG_WITHIN.as_secs()
            );
            found.push(Finding::of(Level::Warning, to, what, mend));
        }
        None => {
            let what = "lags: it has not applied what the writer had a second ago";
            found.push(Finding::of(Level::Error, to, what, "wait until it has caught up: batonctl status"));
        }
    }
}

/// Somebody must acknowledge the next writer's commits.
pub(super) fn ackers(
    state: &ClusterState,
    seen: &Observations,
    from: &NodeName,
    to: &NodeName,
    found: &mut Vec<Finding>,
) {
    let acks = |node: &&NodeName| *node != to && super::grant::can_ack(seen, node);
    let mut names: Vec<&str> = state.ackers.iter().filter(acks).map(NodeName::as_str).collect();
    let old = super::grant::is_sound(seen, from).then(|| format!("{from} (the old writer)"));
    names.extend(old.as_deref());
    let wanted = state.safety.wait_count as usize;
    if names.len() < wanted {
        let what = format!("has {} of the {wanted} ackers that a commit waits for", names.len());
        let mend = "batonctl check says what keeps the others from it";
        found.push(Finding::of(Level::Error, to, what, mend));
    } else {
        found.push(Finding::of(Level::Ok, to, format!("has ackers: {}", names.join(", ")), ""));
    }
}

/// The round trips that a switchover takes, each at its server, and what is waited for beside.
pub fn predicted(of_writer: Duration, of_target: Duration, lag: Duration, opening: Duration) -> Duration {
    of_writer * 6 + of_target * 3 + lag + opening
}
