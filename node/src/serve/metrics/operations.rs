//! How long the steps of failovers took, counted by each node since its start.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::watch;

use crate::state::{ClusterState, Ending, Finished, OperationId, OperationKind, StepName};

/// Seconds: a failover's steps take milliseconds, the wait for a lease a second or two, that for an operator longer.
const BUCKETS: [f64; 9] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Of a failover, in their order.
const STEPS: [StepName; 7] = [
    StepName::Proof,
    StepName::Received,
    StepName::Applied,
    StepName::Grant,
    StepName::Open,
    StepName::Route,
    StepName::Follow,
];

/// Every kind of operation, and every way in which one may end.
const KINDS: [OperationKind; 5] = [
    OperationKind::Failover,
    OperationKind::Switchover,
    OperationKind::Adopt,
    OperationKind::Release,
    OperationKind::Rebuild,
];
const ENDINGS: [Ending; 4] = [Ending::Done, Ending::Superseded, Ending::Failed, Ending::Cancelled];
/// Those that move the writer.
const MOVING: [OperationKind; 2] = [OperationKind::Failover, OperationKind::Switchover];

type Labels = [(&'static str, String); 1];
type Kinds = [(&'static str, String); 2];

/// Operations that have ended since this node started.
#[derive(Clone)]
pub(super) struct Operations {
    steps: Family<Labels, Histogram, fn() -> Histogram>,
    outage: Family<Labels, Histogram, fn() -> Histogram>,
    ended: Family<Kinds, Counter>,
}

impl Operations {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let operations = Self {
            steps: Family::new_with_constructor(histogram),
            outage: Family::new_with_constructor(histogram),
            ended: Family::default(),
        };
        let help = "From the loss of the writer to this step of a failover";
        registry.register_with_unit("failover_step", help, Unit::Seconds, operations.steps.clone());
        let help = "For how long an operation that moved the writer kept writes out";
        registry.register_with_unit("write_outage", help, Unit::Seconds, operations.outage.clone());
        let help = "Operations that have ended since this node started";
        registry.register("operations", help, operations.ended.clone());
        operations.begin_at_zero();
        operations
    }

    /// Prometheus's `increase` sees no first one where the series begins with it.
    fn begin_at_zero(&self) {
        for kind in KINDS {
            for ending in ENDINGS {
                drop(self.ended.get_or_create(&kinds(kind, ending)));
            }
        }
        for kind in MOVING {
            drop(self.outage.get_or_create(&[("kind", kind.to_string())]));
        }
        for step in STEPS {
            drop(self.steps.get_or_create(&[("step", step.as_str().to_owned())]));
        }
    }

    fn note(&self, finished: &Finished) {
        let operation = &finished.operation;
        let kind = operation.kind.to_string();
        self.ended.get_or_create(&kinds(operation.kind, finished.ending)).inc();
        if operation.opened_ms.is_some() {
            let outage = operation.outage_ms(finished.ended_ms);
            self.outage.get_or_create(&[("kind", kind)]).observe(outage as f64 / 1000.0);
        }
        if operation.kind != OperationKind::Failover {
            return;
        }
        let lost = operation.lost_ms();
        for step in STEPS {
            let at = operation.steps.iter().find(|s| s.name == step.as_str()).map(|s| s.at_ms);
            let at = if step == StepName::Open { operation.opened_ms.or(at) } else { at };
            if let Some(at) = at {
                let labels = [("step", step.as_str().to_owned())];
                self.steps.get_or_create(&labels).observe((at - lost).max(0) as f64 / 1000.0);
            }
        }
    }
}

fn kinds(kind: OperationKind, ending: Ending) -> Kinds {
    [("kind", kind.to_string()), ("outcome", ending.to_string())]
}

/// Counts every operation that ends from now on.
pub(super) async fn watch(operations: Operations, mut states: watch::Receiver<Arc<ClusterState>>) {
    let mut last = newest(&states.borrow_and_update());
    while states.changed().await.is_ok() {
        let state = Arc::clone(&states.borrow_and_update());
        let new = state.history.iter().rev().take_while(|f| Some(&f.operation.id) != last.as_ref());
        let new: Vec<&Arc<Finished>> = new.collect();
        new.into_iter().rev().for_each(|finished| operations.note(finished));
        last = newest(&state).or(last);
    }
}

fn newest(state: &ClusterState) -> Option<OperationId> {
    state.history.back().map(|f| f.operation.id.clone())
}
