//! 1. Epochs strictly increase, and one epoch names one node.

use std::collections::BTreeMap;

use baton_node::state::{Epoch, NodeName};

use super::{Applied, Invariant, Moment};

#[derive(Default)]
pub(super) struct Epochs {
    named: BTreeMap<Epoch, NodeName>,
    /// What each node has shown last on one disk: a restart takes nothing back.
    shown: BTreeMap<(NodeName, u32), (Epoch, u64)>,
}

impl Invariant for Epochs {
    fn name(&self) -> &'static str {
        "1 (one node per epoch, and epochs rise)"
    }

    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        if !moment.news {
            return Ok(());
        }
        for Applied { node, store, state, index } in moment.states {
            let Some(grant) = &state.grant else { continue };
            let named = self.named.entry(grant.epoch).or_insert_with(|| grant.node.clone());
            if *named != grant.node {
                return Err(format!("epoch {} is {named}'s and {}'s", grant.epoch, grant.node));
            }
            let of_disk = (node.clone(), *store);
            let (epoch, at) = self.shown.get(&of_disk).copied().unwrap_or_default();
            if grant.epoch < epoch || *index < at {
                return Err(format!(
                    "{node} showed epoch {epoch} at {at}, and now {} at {index}",
                    grant.epoch
                ));
            }
            self.shown.insert(of_disk, (grant.epoch, *index));
        }
        Ok(())
    }
}
