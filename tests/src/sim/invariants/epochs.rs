//! 1. Epochs strictly increase, and one epoch names one node.

use std::collections::BTreeMap;

use baton_node::state::{Epoch, NodeName};

use super::{Invariant, Moment};

#[derive(Default)]
pub(super) struct Epochs {
    named: BTreeMap<Epoch, NodeName>,
    /// What each node has shown last: a restart takes nothing back.
    shown: BTreeMap<NodeName, (Epoch, u64)>,
}

impl Invariant for Epochs {
    fn name(&self) -> &'static str {
        "1 (one node per epoch, and epochs rise)"
    }

    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        for (node, state, index) in moment.states {
            let Some(grant) = &state.grant else { continue };
            let named = self.named.entry(grant.epoch).or_insert_with(|| grant.node.clone());
            if *named != grant.node {
                return Err(format!("epoch {} is {named}'s and {}'s", grant.epoch, grant.node));
            }
            let (epoch, at) = self.shown.get(node).copied().unwrap_or_default();
            if grant.epoch < epoch || *index < at {
                return Err(format!(
                    "{node} showed epoch {epoch} at {at}, and now {} at {index}",
                    grant.epoch
                ));
            }
            self.shown.insert(node.clone(), (grant.epoch, *index));
        }
        Ok(())
    }
}
