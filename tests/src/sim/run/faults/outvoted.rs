//! Most of the voters are removed while the writer is cut off together with them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Faults;
use super::act::mend;
use super::kind::Fault;
use super::plot::COMES_WITHIN;
use crate::sim::run::planned::{AGAIN, TRIES, WITHIN, add, is_gone, remove};
use crate::sim::world::node::Node;

/// A removal that nothing holds up takes less.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);

impl Faults {
    /// The newest membership in the log of the writer's node counts, applied or not: the voters that it would have had
    /// before are a minority's now.
    pub(super) async fn outvoted(&self, writer: &Arc<Node>) -> Option<()> {
        let world = &self.world;
        let others: Vec<_> = world.nodes.iter().filter(|n| n.name != writer.name).cloned().collect();
        let (keep, leave): (Vec<_>, Vec<_>) = others.into_iter().partition(|node| node.has_server);
        // With fewer nodes the writer's own voter is part of every majority.
        let whole = keep.len() == 2 && leave.len() == 2 && world.nodes.iter().all(|n| world.votes(&n.name));
        let heir = whole.then(|| self.draw.one(&keep)).flatten()?;
        let leads = |node: &Node| world.leader().is_some_and(|l| l.name == node.name);
        if !keep.iter().any(|node| leads(node)) {
            let leading = world.leader()?.running()?;
            leading.group.transfer_leadership(&heir.name).await.ok()?;
            self.until(COMES_WITHIN, || leads(&heir)).await?;
        }
        for node in leave.iter().chain([writer]) {
            self.begin(Fault::NodeAppliesNothing, node);
        }
        let mut begun = Vec::new();
        for node in &leave {
            begun.push(node);
            let leader = world.leader().cloned()?;
            let removed = timeout(REMOVED_WITHIN, remove(&leader, node)).await;
            world.trace.line(|| format!("node remove {}: {removed:?}", node.name));
            if !is_gone(world, node) {
                break;
            }
        }
        if leave.iter().all(|node| is_gone(world, node)) {
            sleep(self.draw.millis(50..500)).await;
            for kept in &keep {
                leave.iter().chain([writer]).for_each(|node| self.cut(kept, node));
            }
            sleep(self.draw.millis(4000..9000)).await;
        }
        world.nodes.iter().for_each(|node| mend(world, node));
        for node in begun {
            self.joins_anew(node).await;
        }
        Some(())
    }

    /// Is removed, as far as it is not yet, and joins again on a blank disk.
    async fn joins_anew(&self, node: &Arc<Node>) {
        let world = &self.world;
        for _ in 0..TRIES {
            if is_gone(world, node) {
                break;
            }
            if let Some(leader) = world.leader().cloned() {
                let removed = timeout(WITHIN, remove(&leader, node)).await;
                world.trace.line(|| format!("node remove {}: {removed:?}", node.name));
            }
            sleep(AGAIN).await;
        }
        let blank = node.begin_anew().is_ok();
        world.trace.line(|| format!("{} begins anew: {blank}", node.name));
        for _ in 0..TRIES {
            if world.votes(&node.name) && world.newest().0.members.contains_key(&node.name) {
                break;
            }
            if let Some(leader) = world.leader().cloned() {
                let added = timeout(WITHIN, add(&leader, node)).await;
                world.trace.line(|| format!("node add {}: {added:?}", node.name));
            }
            sleep(AGAIN).await;
        }
    }
}
