//! Who leaves the list of ackers, and when. Pure.
//!
//! An acker may be the only one with a write that was acknowledged: it leaves only once enough of the others have
//! everything that it may have acknowledged. Best is the word of its own node, which has stopped its receiver and read
//! what the server has since ([`Left`]): that set grows no more, so whenever the others are heard, they have it or do
//! not. For one that cannot say so it is the writer's set, read after it was gone. That takes three reports in one order:
//! its own, the writer's, and then the other ackers'. Nodes report in turns that may stay as they are for ever, so under a
//! load of writes the latest reports alone need never be in that order: hence also the writer's word before its latest
//! ([`Observations::words`]), and since when a server is gone ([`Observations::gone_for`]).

use std::collections::BTreeSet;
use std::time::Duration;

use super::diagnose::FRESH;
use super::seen::{Left, Observations, Pulse};
use super::upkeep::{follows, fresh, holds};
use super::vouched::is_vouched_for;
use crate::gtid::GtidSet;
use crate::state::{ClusterState, Grant, LeavesFor, NodeName};

/// An acker whose server is gone must have given no answer for so long before it may leave the list.
const OFF_AFTER: Duration = Duration::from_secs(3);
/// One that is cut off must have been unheard for so long, and for three leases, before it may leave the list.
const CUT_OFF_AFTER: Duration = Duration::from_secs(10);

/// An acker that acknowledges nothing more, and the set that has everything it may have acknowledged.
struct Off<'a> {
    why: &'static str,
    had: &'a GtidSet,
}

/// The list without an acker that may leave it now, and why.
pub(super) fn shorter(
    state: &ClusterState,
    grant: &Grant,
    seen: &Observations,
) -> Option<(BTreeSet<NodeName>, String)> {
    let (gone, why) = state.ackers.iter().find_map(|acker| {
        let own = by_own_word(state, grant, seen, acker);
        let mut off = own.into_iter().chain(by_writer(state, grant, seen, acker));
        let off = off.find(|off| missing(state, seen, acker, off.had).is_none())?;
        Some((acker, off.why))
    })?;
    let others = state.ackers.iter().filter(|acker| *acker != gone).cloned().collect();
    Some((others, format!("{gone} {why}; the others have all that it had")))
}

/// What keeps an acker that is to leave on the list, in words that follow "it waits until"; `None` where nothing does.
pub fn waits_until(state: &ClusterState, seen: &Observations, node: &NodeName) -> Option<String> {
    let grant = state.live_grant()?;
    if !state.ackers.contains(node) {
        return None;
    }
    if seen.of(node).is_none_or(|heard| heard.age > FRESH) {
        return Some(format!("{node}'s node is heard"));
    }
    match by_own_word(state, grant, seen, node) {
        Some(off) => missing(state, seen, node, off.had),
        None => Some(format!("{node} has stopped receiving")),
    }
}

/// What the other ackers lack of what one had, in words; `None` once as many have all of it as a commit waits for.
fn missing(state: &ClusterState, seen: &Observations, node: &NodeName, had: &GtidSet) -> Option<String> {
    let others = || state.ackers.iter().filter(|a| *a != node);
    let covers = |a: &NodeName| fresh(seen, a).is_some_and(|p| p.acks && holds(&p.received, had));
    if others().filter(|a| covers(a)).count() >= state.safety.wait_count as usize {
        return None;
    }
    let names: Vec<&str> = others().filter(|a| !covers(a)).map(NodeName::as_str).collect();
    Some(match names.as_slice() {
        [] => "there are more ackers".to_owned(),
        _ => format!("{} acknowledges and has all that it had", names.join(" or ")),
    })
}

/// By the word of its own node: it has stopped the receiver itself, and this is what the server had then.
fn by_own_word<'a>(
    state: &ClusterState,
    grant: &Grant,
    seen: &'a Observations,
    node: &NodeName,
) -> Option<Off<'a>> {
    let cause = state.leaves_for(node)?;
    let heard = seen.of(node).filter(|heard| heard.age <= FRESH)?;
    let own = heard.report.own.as_ref().filter(|own| !own.is_gone())?;
    let left = own.guard.left.as_ref().filter(|left| left.epoch == grant.epoch && left.cause == cause)?;
    let pulse = own.pulse.as_ref()?;
    // Another run of the server may have lost what the one before acknowledged, and says no more of it.
    let whole = is_vouched_for(state, seen, node) && holds(&left.received, &pulse.received);
    (whole && !receives(pulse) && heard.age + own.pulse_age <= FRESH)
        .then(|| Off { why: why(left), had: &left.received })
}

fn why(left: &Left) -> &'static str {
    match left.cause {
        LeavesFor::Excluded => "is never to be the writer and has stopped receiving",
        LeavesFor::Rebuild => "is to be rebuilt and has stopped receiving",
        LeavesFor::Maintenance => "is in maintenance and has stopped receiving",
    }
}

/// By the writer's set, read after the acker was gone.
fn by_writer<'a>(
    state: &'a ClusterState,
    grant: &'a Grant,
    seen: &'a Observations,
    node: &'a NodeName,
) -> impl Iterator<Item = Off<'a>> {
    seen.words(&grant.node).filter(|(_, age)| *age <= FRESH).filter_map(move |(writer, age)| {
        off(state, grant, seen, node, age).map(|why| Off { why, had: &writer.executed })
    })
}

/// Why a listed acker acknowledges nothing more, and has acknowledged nothing that the writer's set, `writer_age` old,
/// does not show: it must have stopped before that set was read.
fn off(
    state: &ClusterState,
    grant: &Grant,
    seen: &Observations,
    node: &NodeName,
    writer_age: Duration,
) -> Option<&'static str> {
    let Some(heard) = seen.of(node) else {
        return cut_off(state, seen, node, Duration::MAX).then_some("is cut off");
    };
    let own = heard.report.own.as_ref()?;
    let silent_for = heard.age + own.pulse_age;
    // A node that has fallen silent since says nothing of a server that may be back: that is for `cut_off` to judge.
    if own.is_gone() && heard.age <= FRESH && silent_for >= OFF_AFTER {
        let gone_for = seen.gone_for.get(node);
        if writer_age <= heard.age || gone_for.is_some_and(|gone| *gone >= writer_age + OFF_AFTER) {
            return Some("has a server that is down");
        }
    }
    let strays = |p: &Pulse| !p.acks && !follows(state, grant, p);
    if own.pulse.as_ref().is_some_and(strays) {
        // During an operation it may just not have been repointed yet.
        let before = seen.pulse_by(node, writer_age).filter(|(_, age)| *age <= FRESH);
        let strayed = before.is_some_and(|(before, _)| strays(before));
        if state.operation.is_none() && silent_for <= FRESH && strayed {
            return Some("does not follow the writer");
        }
    }
    // A receiver that has ended; a server may say that it does not acknowledge while it still does. Its node starts none
    // before it has left the list.
    let stopped = |p: &Pulse| !receives(p);
    if state.leaves_ackers(node) && own.pulse.as_ref().is_some_and(stopped) && silent_for <= FRESH {
        let before = seen.pulse_by(node, writer_age).filter(|(_, age)| *age <= FRESH);
        if before.is_some_and(|(before, _)| stopped(before)) {
            return Some("is to leave and has stopped receiving");
        }
    }
    cut_off(state, seen, node, heard.age).then_some("is cut off")
}

fn receives(pulse: &Pulse) -> bool {
    pulse.acks || pulse.channel.as_ref().is_some_and(|c| c.io_running)
}

/// Neither the node nor, from a majority of the voters, its server has been heard for so long that the node itself has
/// stopped its receiver (it does when for `lease_ttl` no majority told it that they still grant the epoch; it may not know of a shorter one), and does not
/// start it before it has learnt the list anew.
fn cut_off(state: &ClusterState, seen: &Observations, node: &NodeName, unheard: Duration) -> bool {
    let long = CUT_OFF_AFTER.max(state.longest_lease() * 3);
    let silent = |by: &NodeName| {
        let fresh = seen.of(by).is_some_and(|h| h.age <= FRESH);
        fresh && seen.silence(by, node).is_some_and(|s| s >= long)
    };
    let voters = state.members.keys().filter(|by| *by != node && silent(by)).count();
    unheard >= long && voters > state.members.len() / 2
}
