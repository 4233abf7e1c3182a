//! Asks both servers what a preflight wants to know: what they have, how quickly the one follows the other, and what
//! is open on them.

use std::time::Duration;

use futures::future::{join_all, join4};
use tokio::time::{Instant, sleep, timeout};

use super::super::action::{Acted, Action, Hands, Order, Sets};
use super::DRAINED_WITHIN;
use super::leave::{LEAVES_WITHIN, asked_to_leave};
use crate::decide::finding::proxies;
use crate::decide::seen::Observations;
use crate::decide::switchover::{
    EventScheduler, Inspected, LONG, Lock, Measured, Transaction, Wish, predicted, successor,
};
use crate::gtid::GtidSet;
use crate::sql::{HeldLock, Inspection, LongTransaction};
use crate::state::{ClusterState, NodeName, Operation, StepName};

/// Each question to a server.
const ASKED: Duration = Duration::from_secs(1);
/// Between two looks at what the writer has.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A ProxySQL is read by three statements, and drained by about this many times as many.
const DRAIN_IN_READS: u32 = 3;
/// A node hears that the writer is about to be closed, and is asked whether its router leads nobody there any more.
const LEAVE_IN_ROUND_TRIPS: u32 = 2;
/// From the grant to the opening, where no earlier operation tells.
const OPENING: Duration = Duration::from_millis(60);

/// What was found; a server that does not answer leaves gaps. Changes nothing, and takes a few seconds at most.
pub async fn measure(
    hands: &dyn Hands,
    term: u64,
    state: &ClusterState,
    seen: &Observations,
    wish: &Wish,
) -> Measured {
    let ask = Ask { hands, order: Order { term, epoch: state.epoch(), operation: "preflight".into() } };
    let Some(from) = state.live_grant().map(|g| g.node.clone()) else { return Measured::default() };
    let known = |to: &NodeName| *to != from && state.data_nodes().any(|(n, _)| n == to);
    let Some(to) = successor(state, seen, wish).filter(known) else {
        return Measured { writer: ask.inspected(&from).await, ..Measured::default() };
    };
    let (writer, target, both, leaving) = join4(
        ask.inspected(&from),
        ask.inspected(&to),
        ask.both(state, &from, &to),
        ask.leaving(state, seen),
    )
    .await;
    let both = both.unwrap_or_default();
    // The two are waited for at the same time.
    let pause = both.pause.map(|pause| pause + draining(seen).max(leaving));
    Measured { asked: true, writer, target, pause, ..both }
}

struct Ask<'a> {
    hands: &'a dyn Hands,
    order: Order,
}

impl Ask<'_> {
    async fn server(&self, node: &NodeName, action: Action) -> Option<Acted> {
        self.hands.act(node.clone(), self.order.clone(), action, ASKED).await
    }

    async fn inspected(&self, node: &NodeName) -> Option<Inspected> {
        match self.server(node, Action::Inspect(LONG.as_secs())).await? {
            Acted::Inspected(found) => Some(inspected(*found)),
            _ => None,
        }
    }

    async fn both(&self, state: &ClusterState, from: &NodeName, to: &NodeName) -> Option<Measured> {
        let (of_target, to_target) = self.timed_sets(to).await?;
        let (of_writer, to_writer) = self.timed_sets(from).await?;
        let begun = Instant::now();
        let applied = self.server(to, Action::WaitApplied(of_writer.executed.clone())).await;
        let lag = (applied == Some(Acted::Applied(true))).then(|| begun.elapsed());
        let extra = self.extra(from, of_target.executed, of_writer.executed).await;
        let pause = lag.map(|lag| predicted(to_writer, to_target, lag, opening(state)));
        Some(Measured { lag, extra, pause, ..Measured::default() })
    }

    /// What the target has executed and the writer has not, also a moment later: a replica may be ahead of its source by
    /// the commits that wait there for its acknowledgement.
    async fn extra(&self, writer: &NodeName, of_target: GtidSet, mut of_writer: GtidSet) -> Option<GtidSet> {
        let deadline = Instant::now() + ASKED;
        loop {
            let extra = of_target.subtract(&of_writer).ok()?;
            if extra.is_empty() || Instant::now() >= deadline {
                return Some(extra);
            }
            sleep(LOOK_AGAIN).await;
            of_writer = self.timed_sets(writer).await?.0.executed;
        }
    }

    /// How long the nodes that answer take until their routers lead nobody to the writer any more: each by a round trip to
    /// it now.
    async fn leaving(&self, state: &ClusterState, seen: &Observations) -> Duration {
        let asked = asked_to_leave(state, seen, None).map(|node| async {
            let begun = Instant::now();
            let answer = timeout(ASKED, self.hands.still_grants(node.clone(), self.order.epoch, 0));
            matches!(answer.await, Ok(Some(_))).then(|| begun.elapsed())
        });
        // One that does not answer is waited for as long as any is.
        let slowest = join_all(asked).await.into_iter().map(|took| took.unwrap_or(LEAVES_WITHIN)).max();
        (slowest.unwrap_or_default() * LEAVE_IN_ROUND_TRIPS).min(LEAVES_WITHIN)
    }

    async fn timed_sets(&self, node: &NodeName) -> Option<(Sets, Duration)> {
        let begun = Instant::now();
        match self.server(node, Action::ReadSets).await? {
            Acted::Sets(sets) => Some((sets, begun.elapsed())),
            _ => None,
        }
    }
}

/// From the grant to the opening, as the last operation took it.
fn opening(state: &ClusterState) -> Duration {
    let took = |operation: &Operation| {
        let granted = operation.steps.iter().find(|s| s.name == StepName::Grant.as_str())?;
        u64::try_from(operation.opened_ms? - granted.at_ms).ok()
    };
    let last = state.history.iter().rev().find_map(|finished| took(&finished.operation));
    last.map_or(OPENING, Duration::from_millis)
}

/// How long every ProxySQL that is right takes to drain the writer, by how long it took to be read.
fn draining(seen: &Observations) -> Duration {
    let right = proxies(seen).filter(|proxy| proxy.trouble.is_none());
    let slowest = right.map(|proxy| proxy.read_took).max().unwrap_or_default();
    (slowest * DRAIN_IN_READS).min(DRAINED_WITHIN)
}

fn inspected(found: Inspection) -> Inspected {
    Inspected {
        long: found.long.into_iter().map(transaction).collect(),
        locks: found.locks.into_iter().map(lock).collect(),
        in_use: found.in_use,
        binlog_filters: found.binlog_filters,
        replica_filters: found.replica_filters,
        events: EventScheduler {
            on: found.events.scheduler,
            enabled: found.events.enabled,
            visible: found.events.visible,
        },
    }
}

fn transaction(long: LongTransaction) -> Transaction {
    Transaction {
        id: long.id,
        account: account(&long.user, &long.host),
        age: long.age,
        statement: long.statement,
        rows_locked: long.rows_locked,
    }
}

fn lock(held: HeldLock) -> Lock {
    Lock { id: held.id, account: account(&held.user, &held.host), age: held.age, tables: held.tables }
}

/// The host has a port in the servers' lists.
fn account(user: &str, host: &str) -> String {
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    format!("{user}@{host}")
}

#[cfg(test)]
mod tests;
