//! What ProxySQL's room is given of a node.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::watch;

use super::assembly::Assembly;
use crate::config::Config;
use crate::decide::readers::of_reports;
use crate::proxysql::{Follow, Leading};
use crate::state::Change;

/// How long a majority may take to confirm the leadership.
const CONFIRM: Duration = Duration::from_secs(1);

/// Every ProxySQL that the file names follows the state, while this node leads.
pub(super) fn follow(node: &mut Assembly, file: watch::Receiver<Arc<Config>>) {
    let (leadership, group) = (node.group.leadership(), node.group.clone());
    let leading = Leading {
        mine: Arc::new(move || leadership.borrow().mine),
        confirmed: Arc::new(move || {
            let group = group.clone();
            async move { group.confirm_leadership(CONFIRM).await.is_ok() }.boxed()
        }),
    };
    let (states, table, me, own) =
        (node.states.clone(), Arc::clone(&node.table), node.me.clone(), Arc::clone(&node.own));
    let probed = move || {
        let mut seen = table.snapshot(&states.borrow());
        seen.insert(me.clone(), own(), Duration::ZERO);
        of_reports(&seen)
    };
    let proposer = node.proposer.clone();
    let record = move |what: String, why: String| {
        let proposer = proposer.clone();
        async move {
            // It is in the log as well.
            let _lost = proposer.change(Change::Decided { what, why }).await;
        }
        .boxed()
    };
    let follow = Follow {
        states: node.states.clone(),
        leadership: node.group.leadership(),
        leading,
        probed: Arc::new(probed),
        file,
        board: Arc::clone(&node.routing),
        record: Arc::new(record),
        now_ms: Arc::new(|| Timestamp::now().as_millisecond()),
    };
    node.tasks.spawn(follow.run());
}
