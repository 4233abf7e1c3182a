//! Where this node's reports go: to whoever leads.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::peer::ReportRequest;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::timeout;

use crate::consensus::Group;
use crate::decide::seen::Report;
use crate::observe::{ReportSink, Table};
use crate::peers::Peers;
use crate::state::NodeName;

/// A report that takes longer is old news.
const WITHIN: Duration = Duration::from_millis(400);

/// The leader, over the network or in this process.
pub(super) struct ToLeader {
    pub(super) me: NodeName,
    pub(super) group: Group,
    pub(super) peers: Arc<Peers>,
    pub(super) table: Arc<Table>,
}

impl ReportSink for ToLeader {
    fn send(&self, report: Report) -> BoxFuture<'_, bool> {
        async move { self.deliver(report).await.unwrap_or(false) }.boxed()
    }
}

impl ToLeader {
    async fn deliver(&self, report: Report) -> Option<bool> {
        let leader = self.group.leadership().borrow().leader.clone()?;
        if leader == self.me {
            self.table.take(self.me.clone(), report);
            return Some(true);
        }
        let address = {
            let membership = self.group.membership();
            membership.by_name(&leader)?.1.address.clone()
        };
        let mut client = self.peers.link(&leader, &address).ok()?.second;
        let json = serde_json::to_vec(&report).ok()?;
        let request = ReportRequest { sender: Some(self.group.sender()), json };
        Some(timeout(WITHIN, client.report(request)).await.ok()?.ok()?.into_inner().taken)
    }
}
