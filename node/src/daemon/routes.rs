//! What the embedded router follows, out of the replicated state and what was seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::names::{Names, Resolve};
use crate::decide::readers::{Reading, SILENT};
use crate::decide::seen::Probe;
use crate::route::Routes;
use crate::state::{ClusterState, NodeName, Operation, Phase};

/// Without a change of the state, servers are looked at this often, and names that did not resolve are tried again.
const TICK: Duration = Duration::from_millis(500);

/// What this node's probes of the servers saw, now.
pub(super) type Probed = Arc<dyn Fn() -> BTreeMap<NodeName, Probe> + Send + Sync>;

/// Follows the state for ever. A name that does not resolve holds up nobody but its own server.
pub(super) async fn follow(
    mut states: watch::Receiver<Arc<ClusterState>>,
    mut readings: watch::Receiver<Reading>,
    probed: Probed,
    resolve: Resolve,
    routes: watch::Sender<Routes>,
) {
    let mut names = Names::new(resolve);
    loop {
        let state = states.borrow_and_update().clone();
        // All servers', not only of those that are routed to now: the next writer's is then known beforehand.
        names.look_up(state.data_nodes().filter_map(|(_, member)| member.server.as_deref()));
        let wanted = wanted(&state, &readings.borrow_and_update(), &probed());
        let next = Routes {
            epoch: wanted.epoch,
            writer: wanted.writer.and_then(|name| names.get(&name)),
            readers: wanted.readers.iter().filter_map(|name| names.get(name)).collect(),
            draining: wanted.draining.iter().filter_map(|name| names.get(name)).collect(),
        };
        routes.send_if_modified(|now| {
            if *now == next {
                false
            } else {
                *now = next;
                true
            }
        });
        tokio::select! {
            changed = states.changed() => if changed.is_err() { return },
            changed = readings.changed() => if changed.is_err() { return },
            () = names.found() => {}
            () = sleep(TICK) => {}
        }
    }
}

struct Wanted {
    epoch: u64,
    writer: Option<String>,
    readers: Vec<String>,
    draining: Vec<String>,
}

fn wanted(state: &ClusterState, reading: &Reading, seen: &BTreeMap<NodeName, Probe>) -> Wanted {
    let address = |node: &NodeName| state.members.get(node).and_then(|m| m.server.clone());
    // New connections wait from right before a switchover closes the writer.
    let frozen = state.operation.as_ref().is_some_and(Operation::is_frozen);
    let grant = state.live_grant().filter(|g| g.opened_ms.is_some() && !frozen);
    // The writer that is about to be closed, or one that is about to be opened and was read from.
    let moving = state.live_grant().map(|g| &g.node).filter(|_| grant.is_none());
    let left = reading.left_out.iter().filter(|(_, why)| why.serves()).map(|(node, _)| node);
    let draining = moving.into_iter().chain(left).filter_map(address).collect();
    let readers = reading.readers.iter().filter_map(address).collect();
    let writer = match state.phase {
        Phase::Managed => grant.and_then(|g| address(&g.node)),
        // Before adoption the one open server is the writer, as its people run it.
        Phase::Observing => only_open(state, seen).and_then(|n| address(&n)),
    };
    let epoch = if state.phase == Phase::Managed { state.epoch().0 } else { 0 };
    Wanted { epoch, writer, readers, draining }
}

fn only_open(state: &ClusterState, seen: &BTreeMap<NodeName, Probe>) -> Option<NodeName> {
    let mut open = state
        .data_nodes()
        .map(|(n, _)| n)
        .filter(|n| seen.get(*n).is_some_and(|p| p.open == Some(true) && p.silent_for <= SILENT));
    let first = open.next().cloned();
    if open.next().is_some() { None } else { first }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::SocketAddr;

    use futures::FutureExt;
    use tokio::time::timeout;

    use super::*;
    use crate::decide::readers::Unfit;
    use crate::state::{Epoch, Grant, Member, OperationKind, Step, StepName};

    fn member(server: &str) -> Member {
        Member { server: Some(server.into()), ..Member::default() }
    }

    /// `db1` has the write role; `db2` and `db3` answer and are closed.
    fn state(resolving: [&str; 3]) -> ClusterState {
        let mut state = ClusterState::default();
        state.phase = Phase::Managed;
        for (node, name) in ["db1", "db2", "db3"].into_iter().zip(resolving) {
            state.members.insert(node.into(), member(name));
        }
        state.grant = Some(Grant {
            epoch: Epoch(4),
            node: "db1".into(),
            since_ms: 0,
            unleased: false,
            opened_ms: Some(1),
            paused_at: None,
        });
        state
    }

    fn probed() -> Probed {
        let probe = |open| Probe { ever: true, open: Some(open), ..Probe::default() };
        let seen: BTreeMap<NodeName, Probe> =
            [("db1", true), ("db2", false), ("db3", false)].map(|(n, o)| (n.into(), probe(o))).into();
        Arc::new(move || seen.clone())
    }

    /// db2 and db3 are read from.
    fn reading() -> Reading {
        Reading { readers: ["db2", "db3"].map(NodeName::from).into(), ..Reading::default() }
    }

    /// Every name resolves at once, but for `lost`, about which no name server answers.
    fn resolve() -> Resolve {
        Arc::new(|name| {
            async move {
                if name == "lost:3306" {
                    std::future::pending::<()>().await;
                }
                name.replace("db", "10.0.0.").parse().ok()
            }
            .boxed()
        })
    }

    async fn first_routes(resolving: [&str; 3], enough: impl FnMut(&Routes) -> bool) -> Routes {
        let (_states, following) = watch::channel(Arc::new(state(resolving)));
        let (_readings, reading) = watch::channel(reading());
        let (sender, mut routes) = watch::channel(Routes::default());
        let following = tokio::spawn(follow(following, reading, probed(), resolve(), sender));
        let routes = timeout(Duration::from_secs(1), routes.wait_for(enough)).await.unwrap().unwrap().clone();
        following.abort();
        routes
    }

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_never_resolve_hold_up_neither_the_writer_nor_each_other() {
        let names = ["db1:3306", "lost:3306", "db3:3306"];
        let routes = first_routes(names, |r| r.writer.is_some() && !r.readers.is_empty()).await;
        assert_eq!(
            routes,
            Routes {
                epoch: 4,
                writer: Some(at("10.0.0.1:3306")),
                readers: vec![at("10.0.0.3:3306")],
                draining: Vec::new(),
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_without_an_address_is_no_writer_while_readers_are_served() {
        let routes = first_routes(["lost:3306", "db2:3306", "db3:3306"], |r| r.readers.len() == 2).await;
        assert_eq!((routes.epoch, routes.writer), (4, None));
    }

    #[test]
    fn what_is_left_by_plan_is_drained_and_what_is_lost_is_not() {
        let mut state = state(["db1", "db2", "db3"]);
        let mut reading = reading();
        let draining = |state: &ClusterState, reading: &Reading| wanted(state, reading, &probed()()).draining;
        assert!(draining(&state, &reading).is_empty());
        reading.left_out.insert("db2".into(), Unfit::LagUnknown);
        reading.left_out.insert("db3".into(), Unfit::Silent(None));
        assert_eq!(draining(&state, &reading), ["db2"]);

        let mut moves = Operation::of(OperationKind::Switchover, Epoch(4), "db1".into());
        let freeze =
            Step { at_ms: 0, node: "db1".into(), name: StepName::Freeze.to_string(), detail: String::new() };
        moves.steps.push(freeze);
        state.operation = Some(moves);
        let frozen = wanted(&state, &Reading::default(), &probed()());
        assert_eq!((frozen.writer, frozen.draining), (None, vec!["db1".to_owned()]), "about to be closed");

        state.revoked_through = Epoch(4);
        assert!(draining(&state, &Reading::default()).is_empty(), "its epoch is over");
        let grant = state.grant.as_mut().unwrap();
        (grant.epoch, grant.node, grant.opened_ms) = (Epoch(5), "db2".into(), None);
        assert_eq!(draining(&state, &Reading::default()), ["db2"], "read from until it is opened");
    }
}
