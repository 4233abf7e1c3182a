//! Addresses of servers by name, looked up beside each other and without making anybody wait.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(2);

/// Finds the address for `host:port`, or not, within a bound.
pub(super) type Resolve = Arc<dyn Fn(String) -> BoxFuture<'static, Option<SocketAddr>> + Send + Sync>;

/// As this host resolves names.
pub(super) fn by_this_host() -> Resolve {
    Arc::new(|name| async move { timeout(RESOLVE, lookup_host(name)).await.ok()?.ok()?.next() }.boxed())
}

/// The addresses found so far. One that was found stays.
pub(super) struct Names {
    resolve: Resolve,
    known: BTreeMap<String, SocketAddr>,
    asked: BTreeSet<String>,
    asking: JoinSet<(String, Option<SocketAddr>)>,
}

impl Names {
    pub(super) fn new(resolve: Resolve) -> Self {
        Self { resolve, known: BTreeMap::new(), asked: BTreeSet::new(), asking: JoinSet::new() }
    }

    /// Begins to look up those that are not known and not being looked up.
    pub(super) fn look_up<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            if !self.known.contains_key(name) && self.asked.insert(name.to_owned()) {
                let (name, answer) = (name.to_owned(), (self.resolve)(name.to_owned()));
                self.asking.spawn(async move { (name, answer.await) });
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<SocketAddr> {
        self.known.get(name).copied()
    }

    /// Waits until one more is known; for ever, while none is being looked up.
    pub(super) async fn found(&mut self) {
        while let Some(ended) = self.asking.join_next().await {
            let Ok((name, address)) = ended else { continue };
            self.asked.remove(&name);
            if let Some(address) = address {
                self.known.insert(name, address);
                return;
            }
        }
        std::future::pending().await
    }
}
