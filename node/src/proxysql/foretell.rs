//! What an instance would be sent while the writer moves, as text: for the plan that a dry run shows. Pure.

use std::collections::BTreeMap;

use super::board::{Board, Condition, Shown};
use super::desired::Desired;
use super::plan::plan;
use super::push::{LOAD, SAVE};
use super::rows::Actual;

impl Board {
    /// By the name of each instance that was read and answers, what it would be sent as one stage after the other is wanted of it.
    pub fn foretell(&self, stages: &[Desired]) -> BTreeMap<String, Vec<Vec<String>>> {
        let all = self.shown();
        let answers = |shown: &&Shown| {
            shown.read_ms != 0 && !matches!(shown.condition, Condition::Unknown | Condition::Unreachable(_))
        };
        all.iter().filter(answers).map(|shown| (shown.name.clone(), foretold(shown, stages))).collect()
    }
}

/// What is right at the last stage is kept for the instance's next start.
fn foretold(shown: &Shown, stages: &[Desired]) -> Vec<Vec<String>> {
    let mut actual = shown.actual.clone();
    let mut all = Vec::new();
    let mut changes = false;
    for desired in stages {
        let plan = plan(desired, shown.groups, &actual, &shown.mark);
        let load = plan.load.then(|| LOAD.to_owned());
        changes |= plan.load;
        all.push(plan.statements.into_iter().chain(load).map(|sql| format!("{sql};")).collect::<Vec<_>>());
        // OFFLINE_HARD is unknown at run time.
        let runtime = plan.memory.iter().filter(|row| row.status != "OFFLINE_HARD").cloned().collect();
        actual = Actual { memory: plan.memory, runtime, ..actual };
    }
    if let Some(last) = all.last_mut().filter(|_| changes) {
        last.push(format!("{SAVE}; -- once it has lasted"));
    }
    all
}
