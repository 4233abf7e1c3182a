//! What a switchover would send, for the plan of a dry run: to the servers, as their nodes say, and to each ProxySQL.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Control;
use crate::decide::readers::{of_reports, reading};
use crate::decide::seen::{Observations, Replica};
use crate::decide::switchover::{Stages, Statements, stages};
use crate::operate::foretell;
use crate::proxysql::{Board, desired};
use crate::state::{ClusterState, NodeName, Planned};

impl Control {
    /// Every statement of the plan from the one to the other. What nobody says in time stays open.
    pub(super) async fn foretold(
        &self,
        state: &ClusterState,
        seen: &Observations,
        ends: (&NodeName, &NodeName),
        planned: Planned,
    ) -> Statements {
        let Some(stages) = stages(state, seen, ends, planned) else { return Statements::default() };
        let term = self.group.leadership().borrow().term;
        let of_servers = foretell(&*self.hands, term, &stages, ends, planned.kill_blockers).await;
        let proxies = of_proxies(&self.routing, &stages, seen, ends);
        Statements { proxies, ..of_servers }
    }
}

/// By the name of each ProxySQL, what it is sent at each stage.
fn of_proxies(
    board: &Board,
    stages: &Stages,
    seen: &Observations,
    (from, to): (&NodeName, &NodeName),
) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut probed = of_reports(seen);
    let were = stages.frozen.members.keys().cloned().collect();
    let before = reading(&stages.frozen, &probed, &were);
    // At the end they replicate from the next writer, and the old one as one of them.
    let source = stages.over.members.get(to).and_then(|member| member.server.clone()).unwrap_or_default();
    for (_, probe) in probed.iter_mut().filter(|(node, _)| *node == from || before.readers.contains(*node)) {
        probe.open = Some(false);
        probe.replica =
            Some(Replica { source: source.clone(), stopped_for: None, behind: Some(Duration::ZERO) });
    }
    let wanted = [
        desired(&stages.frozen, &before, false),
        // The old one is not read from before it follows.
        desired(&stages.opened, &reading(&stages.opened, &of_reports(seen), &were), true),
        desired(&stages.over, &reading(&stages.over, &probed, &were), false),
    ];
    let wanted: Option<Vec<_>> = wanted.into_iter().collect();
    wanted.map(|wanted| board.foretell(&wanted)).unwrap_or_default()
}
