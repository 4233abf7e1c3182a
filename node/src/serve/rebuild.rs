//! `batonctl rebuild`: the plan, its beginning, its end by hand.

use baton_proto::control::{PlannedStep, RebuildReply, RebuildRequest, RebuildStatus};
use tonic::Status;

use super::Control;
use super::refusal::refused;
use crate::decide::rebuild::{Plan, plan};
use crate::decide::seen::Observations;
use crate::state::{BeginRebuild, Change, ClusterState, Ending, NodeName};

impl Control {
    pub(super) async fn rebuild(&self, request: RebuildRequest) -> Result<RebuildReply, Status> {
        let node = NodeName::from(request.node.as_str());
        if request.cancel {
            return self.cancel_rebuild(&node, &request.by).await;
        }
        let from = (!request.from.is_empty()).then(|| NodeName::from(request.from.as_str()));
        let (state, seen) = self.gathered().await;
        let plan = plan(&state, &seen, &node, from.as_ref());
        if request.dry_run || !plan.refusals.is_empty() {
            return Ok(reply(&node, plan, String::new()));
        }
        let operation = self.operation_id();
        let begin = BeginRebuild {
            operation: operation.clone(),
            epoch: state.epoch(),
            node: node.clone(),
            from,
            by: format!("asked for by {}", request.by),
        };
        self.commit(Change::BeginRebuild(begin)).await?;
        Ok(RebuildReply { id: operation.to_string(), ..reply(&node, plan, "begun".into()) })
    }

    async fn cancel_rebuild(&self, node: &NodeName, by: &str) -> Result<RebuildReply, Status> {
        let state = self.state();
        let rebuild =
            state.rebuild_of(node).ok_or_else(|| refused(format!("{node} is not being rebuilt")))?;
        let operation = rebuild.operation.id.clone();
        let why = format!("ended by {by}");
        let end = Change::EndRebuild { operation: operation.clone(), ending: Ending::Cancelled, why };
        self.commit(end).await?;
        let message = match self.state().out.get(node) {
            Some(_) => format!("{node} stays out; batonctl rebuild {node} begins anew"),
            None => format!("{node} keeps its data and follows the writer again"),
        };
        Ok(RebuildReply {
            id: operation.to_string(),
            node: node.to_string(),
            message,
            ..RebuildReply::default()
        })
    }
}

fn reply(node: &NodeName, plan: Plan, message: String) -> RebuildReply {
    let step = |(node, what): (NodeName, String)| PlannedStep { node: node.to_string(), what };
    RebuildReply {
        id: String::new(),
        node: node.to_string(),
        source: plan.source.as_ref().map(|s| s.node.to_string()).unwrap_or_default(),
        source_is_writer: plan.source.is_some_and(|s| s.is_writer),
        refusals: plan.refusals,
        steps: plan.steps.into_iter().map(step).collect(),
        message,
    }
}

/// The rebuild under way, as `batonctl status` has it.
pub(super) fn rebuild_status(state: &ClusterState, seen: &Observations) -> Option<RebuildStatus> {
    let rebuild = state.rebuild.as_ref()?;
    let id = rebuild.operation.id.to_string();
    let copying = seen.of(&rebuild.node).and_then(|heard| heard.report.copying.clone());
    let copying = copying.filter(|c| c.operation == id).unwrap_or_default();
    let left = copying.left().and_then(|left| i64::try_from(left.as_secs()).ok());
    Some(RebuildStatus {
        id,
        node: rebuild.node.to_string(),
        source: rebuild.source.as_ref().map(ToString::to_string).unwrap_or_default(),
        step: rebuild.step.to_string(),
        attempt: rebuild.attempt,
        stage: copying.stage,
        bytes: copying.bytes,
        total_bytes: copying.total,
        bytes_per_second: copying.rate,
        seconds_left: left.unwrap_or(-1),
        started_ms: rebuild.operation.started_ms,
    })
}
