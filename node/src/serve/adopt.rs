//! Adoption: look, say what would change, commit the first epoch to the server that is open, and give it back if no lease
//! can be had. Nothing is closed by any of this.

use std::time::Duration;

use baton_proto::control::{AdoptReply, AdoptRequest, Change as Shown};
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::Control;
use super::check::to_wire;
use super::orders::word;
use crate::decide::adoption::{Adoption, PlannedChange, plan_adoption};
use crate::decide::finding::{Finding, Level};
use crate::state::{Change, ClusterState, NodeName, OperationId, Phase};

/// Every node has reported something newer by then.
const NEWS_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Bound on the guard's first lease.
const FIRST_LEASE: Duration = Duration::from_secs(20);

/// How far an adoption has come, as the state shows it.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// Not applied here yet, or waiting for its first lease.
    Waiting,
    /// Under a lease.
    Done(u64),
    /// Given back.
    Released,
}

impl Control {
    pub(super) async fn adopt(&self, request: AdoptRequest) -> Result<AdoptReply, Status> {
        let wanted = (!request.writer.is_empty()).then(|| NodeName::from(request.writer.as_str()));
        let plan = self.plan(wanted.as_ref()).await;
        let writer = plan.writer.clone();
        let Some(writer) = writer.filter(|_| !plan.is_refused() && !request.dry_run) else {
            return Ok(reply(plan, false, String::new()));
        };
        let id = self.operation_id();
        let change = Change::Adopt { operation: id.clone(), node: writer.clone(), by: request.by.clone() };
        self.commit(change).await?;
        match self.first_lease(&id).await {
            Progress::Done(epoch) => {
                Ok(reply(plan, true, format!("epoch {epoch} is {writer}'s, under a lease")))
            }
            Progress::Released => {
                Ok(not_adopted(plan, &writer, "its guard got no lease and gave it back".into()))
            }
            Progress::Waiting => self.give_back(plan, &writer).await,
        }
    }

    /// What is known may be older than what its people have just changed: an error counts once it has lasted.
    async fn plan(&self, wanted: Option<&NodeName>) -> Adoption {
        let asked = Instant::now();
        loop {
            let (state, seen) = self.gathered().await;
            let plan = plan_adoption(&state, &seen, wanted);
            if !plan.is_refused() || asked.elapsed() >= NEWS_WITHIN {
                return plan;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn first_lease(&self, id: &OperationId) -> Progress {
        let mut states = self.group.states();
        let over = states.wait_for(|applied| progress(&applied.state, id) != Progress::Waiting);
        match tokio::time::timeout(FIRST_LEASE, over).await {
            Ok(Ok(applied)) => progress(&applied.state, id),
            // Too late, or this node has stopped: the state decides.
            Ok(Err(_)) | Err(_) => progress(&self.state(), id),
        }
    }

    async fn give_back(&self, plan: Adoption, writer: &NodeName) -> Result<AdoptReply, Status> {
        let trouble = (self.seen)().own(writer).and_then(|o| o.guard.trouble.clone());
        let why = trouble.unwrap_or_else(|| "its guard says nothing of why; look at that node's log".into());
        let why = format!("no majority has granted it a lease within {} s: {why}", FIRST_LEASE.as_secs());
        let release =
            Change::Release { operation: self.operation_id(), word: word("baton".into(), why.clone()) };
        match self.commit(release).await {
            Ok(()) => Ok(not_adopted(plan, writer, why)),
            // A lease in the last moment, with a failover at once, or somebody else gave it back: the status shows it.
            Err(status) => {
                Err(Status::new(status.code(), format!("{why}; giving it back failed: {}", status.message())))
            }
        }
    }
}

fn progress(state: &ClusterState, id: &OperationId) -> Progress {
    let Some(adopted) = state.history.iter().find(|f| f.operation.id == *id) else {
        return Progress::Waiting;
    };
    let epoch = adopted.operation.to.as_ref().map(|(epoch, _)| *epoch);
    match &state.grant {
        _ if state.phase == Phase::Observing => Progress::Released,
        Some(grant) if Some(grant.epoch) == epoch && grant.unleased => Progress::Waiting,
        Some(grant) => Progress::Done(grant.epoch.0),
        None => Progress::Released,
    }
}

/// Whatever was found before, this is the error that counts.
fn not_adopted(mut plan: Adoption, writer: &NodeName, why: String) -> AdoptReply {
    let mend = "nothing was closed; mend that and give the command again";
    plan.findings.insert(0, Finding::of(Level::Error, writer, why, mend));
    plan.changes.clear();
    reply(plan, false, "given back: the cluster is only watched, as before".into())
}

fn reply(plan: Adoption, adopted: bool, message: String) -> AdoptReply {
    let change = |c: PlannedChange| Shown { node: c.node.to_string(), what: c.what, statement: c.statement };
    AdoptReply {
        adopted,
        writer: plan.writer.map(|w| w.to_string()).unwrap_or_default(),
        findings: plan.findings.into_iter().map(to_wire).collect(),
        changes: plan.changes.into_iter().map(change).collect(),
        message,
    }
}
