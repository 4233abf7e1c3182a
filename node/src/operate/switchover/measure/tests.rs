//! The pause that is predicted, with nodes and servers that take as long as a test says.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;
use crate::decide::seen::{ProxySeen, Report};
use crate::guard::ExpiryAnswer;
use crate::state::{Epoch, Grant, Member, Phase};

/// Round trips in milliseconds: to each node, and to the server beside it.
struct Far(BTreeMap<&'static str, [u64; 2]>);

impl Far {
    async fn reach(&self, node: &NodeName, part: usize) -> Option<()> {
        let took = self.0.get(node.as_str())?[part];
        sleep(Duration::from_millis(took)).await;
        Some(())
    }
}

impl Hands for Far {
    fn act(&self, node: NodeName, _: Order, action: Action, _: Duration) -> BoxFuture<'_, Option<Acted>> {
        async move {
            self.reach(&node, 1).await?;
            let set = || GtidSet::parse_mysql("").unwrap();
            let sets = || Sets {
                executed: set(),
                received: set(),
                still: false,
                closed: false,
                delayed: false,
                began_ms: None,
            };
            Some(match action {
                Action::ReadSets => Acted::Sets(sets()),
                Action::WaitApplied(_) => Acted::Applied(true),
                _ => Acted::Failed("not asked for here".into()),
            })
        }
        .boxed()
    }

    fn expired(&self, _: NodeName, _: Epoch, _: Duration) -> BoxFuture<'_, Option<ExpiryAnswer>> {
        async { None }.boxed()
    }

    fn still_grants(&self, voter: NodeName, _: Epoch, _: usize) -> BoxFuture<'static, Option<bool>> {
        let far = Self(self.0.clone());
        async move { far.reach(&voter, 0).await.map(|()| true) }.boxed()
    }

    fn close_over_sql(&self, _: NodeName, _: Duration) -> BoxFuture<'_, Result<String, String>> {
        async { Err("a preflight closes nothing".to_owned()) }.boxed()
    }
}

/// `db1` writes, `db2` follows it, `app1` is the witness.
fn state() -> ClusterState {
    let mut state = ClusterState::default();
    state.phase = Phase::Managed;
    for node in ["app1", "db1", "db2"] {
        let server = node.starts_with("db").then(|| format!("{node}:3306"));
        state.members.insert(node.into(), Member { server, ..Member::default() });
    }
    let (epoch, node) = (Epoch(1), "db1".into());
    state.grant =
        Some(Grant { epoch, node, since_ms: 0, unleased: false, opened_ms: Some(1), paused_at: None });
    state
}

/// The predicted pause, in milliseconds; `silent` has not been heard for long, and a ProxySQL took so long to be read.
async fn pause_ms(far: &[(&'static str, [u64; 2])], silent: &str, proxy_ms: u64) -> u128 {
    let state = state();
    let mut seen = Observations::default();
    let read_took = Duration::from_millis(proxy_ms);
    let proxy = ProxySeen { name: "p".into(), trouble: None, repairs: 0, read_took };
    for node in state.members.keys() {
        let age = if node.as_str() == silent { Duration::from_secs(60) } else { Duration::ZERO };
        let routing = if node.as_str() == "db1" { vec![proxy.clone()] } else { Vec::new() };
        seen.insert(node.clone(), Report { routing, ..Report::default() }, age);
    }
    let far = Far(far.iter().copied().collect());
    let wish = Wish { to: Some("db2".into()), ..Wish::default() };
    measure(&far, 1, &state, &seen, &wish).await.pause.unwrap().as_millis()
}

#[tokio::test(start_paused = true)]
async fn the_slowest_node_whose_router_must_let_go_counts() {
    let near = [("app1", [1, 0]), ("db1", [1, 1]), ("db2", [1, 1])];
    let far_witness = [("app1", [31, 0]), ("db1", [1, 1]), ("db2", [1, 1])];
    let before = pause_ms(&near, "", 0).await;
    assert_eq!(pause_ms(&far_witness, "", 0).await, before + 60, "twice the 30 ms that it is further away");
    assert_eq!(pause_ms(&far_witness, "app1", 0).await, before, "one that is silent is not waited for");
    // Drained by a ProxySQL in 3 * 20 ms meanwhile, so that only the longer of the two counts.
    assert_eq!(pause_ms(&near, "", 20).await, before + 58);
    assert_eq!(pause_ms(&far_witness, "", 20).await, before + 60);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_longer_than_the_switchover_waits() {
    let near = [("app1", [1, 0]), ("db1", [1, 1]), ("db2", [1, 1])];
    let before = pause_ms(&near, "", 0).await;
    let lost = [("db1", [1, 1]), ("db2", [1, 1])];
    let most = LEAVES_WITHIN.as_millis() - 2;
    assert_eq!(pause_ms(&lost, "", 0).await, before + most);
    let slow = [("app1", [900, 0]), ("db1", [1, 1]), ("db2", [1, 1])];
    assert_eq!(pause_ms(&slow, "", 0).await, before + most);
}
