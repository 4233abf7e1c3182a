//! What the embedded router follows, out of the replicated state and what was seen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::observe::Prober;
use crate::route::Routes;
use crate::state::{ClusterState, NodeName, Phase};

/// How long a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(2);
/// Without a change of the state, readers are looked at this often.
const TICK: Duration = Duration::from_millis(500);
/// A reader that has not answered this node for so long is left out.
const SILENT: Duration = Duration::from_secs(2);

/// Follows the state for ever.
pub(super) async fn follow(
    mut states: watch::Receiver<Arc<ClusterState>>,
    prober: Arc<Prober>,
    routes: watch::Sender<Routes>,
) {
    let mut resolved: BTreeMap<String, SocketAddr> = BTreeMap::new();
    loop {
        let state = states.borrow_and_update().clone();
        let wanted = wanted(&state, &prober);
        for address in wanted.writer.iter().chain(&wanted.readers) {
            if !resolved.contains_key(address)
                && let Some(found) = resolve(address).await
            {
                resolved.insert(address.clone(), found);
            }
        }
        let next = Routes {
            epoch: wanted.epoch,
            writer: wanted.writer.and_then(|a| resolved.get(&a).copied()),
            readers: wanted.readers.iter().filter_map(|a| resolved.get(a).copied()).collect(),
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
            () = sleep(TICK) => {}
        }
    }
}

struct Wanted {
    epoch: u64,
    writer: Option<String>,
    readers: Vec<String>,
}

fn wanted(state: &ClusterState, prober: &Prober) -> Wanted {
    let address = |node: &NodeName| state.members.get(node).and_then(|m| m.server.clone());
    let grant = state.live_grant().filter(|g| g.opened_ms.is_some());
    let seen = prober.now();
    let reads = |node: &NodeName| {
        let answers =
            seen.get(node).is_some_and(|p| p.ever && p.silent_for <= SILENT && p.open == Some(false));
        answers && !state.out.contains_key(node) && state.grant.as_ref().is_none_or(|g| g.node != *node)
    };
    let readers = state.data_nodes().map(|(n, _)| n).filter(|n| reads(n)).filter_map(address).collect();
    let writer = match state.phase {
        Phase::Managed => grant.and_then(|g| address(&g.node)),
        // Before adoption the one open server is the writer, as its people run it.
        Phase::Observing => only_open(state, &seen).and_then(|n| address(&n)),
    };
    let epoch = if state.phase == Phase::Managed { state.epoch().0 } else { 0 };
    Wanted { epoch, writer, readers }
}

fn only_open(
    state: &ClusterState,
    seen: &BTreeMap<NodeName, crate::decide::seen::Probe>,
) -> Option<NodeName> {
    let mut open = state
        .data_nodes()
        .map(|(n, _)| n)
        .filter(|n| seen.get(*n).is_some_and(|p| p.open == Some(true) && p.silent_for <= SILENT));
    let first = open.next().cloned();
    if open.next().is_some() { None } else { first }
}

async fn resolve(address: &str) -> Option<SocketAddr> {
    timeout(RESOLVE, lookup_host(address)).await.ok()?.ok()?.next()
}
