//! Whether an acker still has what it acknowledged. Pure.
//!
//! A MariaDB server that is started with both replication threads at rest, as Baton's are, deletes the relay log that it
//! has not applied: an acker may lose by its restart what only it had. So the group keeps on record in which run of its
//! server each acker has, for certain, everything that it ever acknowledged. A run is named by when it began, by its own
//! host's clock: setting that clock moves the present and the server's uptime alike. MySQL keeps its relay log, and with
//! `sync_relay_log=1`, a condition for being an acker, a crash of the host takes nothing of it either.

use std::time::Duration;

use super::diagnose::FRESH;
use super::seen::Observations;
use super::upkeep::Upkeep;
use crate::gtid::Dialect;
use crate::state::{ClusterState, Grant, NodeName, UnixMillis};

/// The same run's beginning, told twice, differs by less: a server counts its uptime in whole seconds, and its answer takes
/// a moment.
const SAME_RUN: Duration = Duration::from_millis(1500);
/// A server is vouched for only once it has been up for so long, so that the next run's beginning differs by more.
const UP_FOR: Duration = Duration::from_secs(3);

/// When a server began to run that has been up for `uptime`, which it said `age` before `now_ms`.
pub fn began(now_ms: UnixMillis, age: Duration, uptime: Duration) -> UnixMillis {
    let since = UnixMillis::try_from((age + uptime).as_millis()).unwrap_or(UnixMillis::MAX);
    now_ms.saturating_sub(since)
}

/// Whether a server that `began` then may have lost what it had acknowledged; false while nothing is known of its run,
/// before or now.
pub fn may_have_lost(
    state: &ClusterState,
    node: &NodeName,
    dialect: Dialect,
    began: Option<UnixMillis>,
) -> bool {
    if dialect == Dialect::Mysql {
        return false;
    }
    match (state.vouched.get(node), began) {
        (Some(before), Some(now)) => Duration::from_millis(before.abs_diff(now)) > SAME_RUN,
        (None, None) => false,
        _ => true,
    }
}

/// The same of what a server's node reports.
pub fn is_vouched_for(state: &ClusterState, seen: &Observations, node: &NodeName) -> bool {
    let pulse = seen.pulse(node);
    pulse.is_none_or(|(pulse, _)| !may_have_lost(state, node, pulse.executed.dialect(), seen.began(node)))
}

/// A replica that can be vouched for in its present run. One that is not listed acknowledges nothing that counts; a
/// listed one has received all that the writer had at a moment when this run had begun.
pub(super) fn vouch(state: &ClusterState, grant: &Grant, seen: &Observations) -> Option<Upkeep> {
    let (writer, writer_age) = seen.pulse(&grant.node).filter(|(_, age)| *age <= FRESH)?;
    let source = state.members.get(&grant.node)?.server.as_deref()?;
    let others = state.data_nodes().map(|(n, _)| n).filter(|n| **n != grant.node);
    others.filter(|n| !state.out.contains_key(*n) && !is_vouched_for(state, seen, n)).find_map(|node| {
        let (pulse, age) = seen.pulse(node).filter(|(_, age)| *age <= FRESH)?;
        let began_ms = seen.began(node)?;
        let follows = pulse.channel.as_ref().is_some_and(|c| c.source == source);
        let has_all = || pulse.received.contains(&writer.executed).unwrap_or(false);
        let up = pulse.uptime >= UP_FOR && pulse.uptime + age >= writer_age + UP_FOR;
        (follows && up && (!state.ackers.contains(node) || has_all()))
            .then(|| Upkeep::Vouch { node: node.clone(), began_ms })
    })
}
