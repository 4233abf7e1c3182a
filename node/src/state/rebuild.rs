//! Rebuilding a server from another one's data: what was agreed on it, and the commands that move it on.
//!
//! A rebuild never moves the writer, so it stands beside the operation that does. Its target is out from the moment a
//! source is chosen until its data is a copy of the source's.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::apply::{fit, member};
use super::apply_durability::take_out;
use super::{
    ClusterState, Ending, Epoch, NodeName, Operation, OperationId, OperationKind, OutReason, Phase, Refusal,
    Step, StepName, UnixMillis,
};
use crate::gtid::GtidSet;

/// How often a copy may be begun before the rebuild counts as failed: each costs the source a whole read of its data.
pub const ATTEMPTS_MAX: u32 = 5;

/// How far a rebuild is. A later one never goes back to an earlier one within the same attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebuildStep {
    /// The leader looks for a source; a target that is an acker leaves the list first.
    Source,
    /// The target's node sees to it that nothing stands in the way. Nothing is lost yet.
    Prepare,
    /// The target's data is replaced. From here on what it had is gone.
    Copy,
    /// The copy is there; the server starts with it and forgets the source's own replication.
    Start,
    /// The target is in again and catches up with the writer.
    Follow,
}

impl RebuildStep {
    /// As journals name it.
    pub const fn name(self) -> StepName {
        match self {
            Self::Source => StepName::Source,
            Self::Prepare => StepName::Prepare,
            Self::Copy => StepName::Copy,
            Self::Start => StepName::Start,
            Self::Follow => StepName::Follow,
        }
    }
}

impl fmt::Display for RebuildStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

/// A rebuild under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rebuild {
    /// Its id and its journal.
    pub operation: Operation,
    /// Whose server is rebuilt.
    pub node: NodeName,
    /// Where an operator wants the data from.
    pub wanted: Option<NodeName>,
    /// Where it comes from in this attempt; `None` while the leader looks for one.
    pub source: Option<NodeName>,
    /// Sources that did not do, the last one last.
    pub failed: Vec<NodeName>,
    /// Counts from 1.
    pub attempt: u32,
    /// How far this attempt is.
    pub step: RebuildStep,
    /// When that step began, by the clock of whoever committed it.
    pub step_ms: UnixMillis,
    /// What the target had may be gone.
    pub discarded: bool,
}

/// Begins a rebuild.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeginRebuild {
    /// Its id.
    pub operation: OperationId,
    /// Under which epoch this was decided.
    pub epoch: Epoch,
    /// Whose server.
    pub node: NodeName,
    /// The source, where an operator named one.
    pub from: Option<NodeName>,
    /// Who asked, or which policy.
    pub by: String,
}

/// The target's node has reached a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtStep {
    /// Of which rebuild.
    pub operation: OperationId,
    /// Of which attempt.
    pub attempt: u32,
    /// Which step.
    pub step: RebuildStep,
    /// For [`RebuildStep::Copy`]: what the target has and the writer lacks, read just before.
    pub extra: Option<GtidSet>,
    /// In words, for the journal.
    pub detail: String,
}

/// Why a server is to leave the list of ackers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeavesFor {
    /// It may not become the writer.
    Excluded,
    /// It is about to be rebuilt.
    Rebuild,
    /// It is in maintenance, and others are there.
    Maintenance,
}

impl ClusterState {
    /// The rebuild of this node, while it runs.
    pub fn rebuild_of(&self, node: &NodeName) -> Option<&Rebuild> {
        self.rebuild.as_ref().filter(|r| r.node == *node)
    }

    /// Whether a server is to leave the list of ackers: it may not become the writer, is about to be rebuilt, or is in
    /// maintenance and others are there.
    pub fn leaves_ackers(&self, node: &NodeName) -> bool {
        self.leaves_for(node).is_some()
    }

    /// The same, and why.
    pub fn leaves_for(&self, node: &NodeName) -> Option<LeavesFor> {
        if self.members.get(node).is_some_and(|m| m.excluded) {
            return Some(LeavesFor::Excluded);
        }
        if self.rebuild_of(node).is_some() {
            return Some(LeavesFor::Rebuild);
        }
        self.others_acknowledge(node).then_some(LeavesFor::Maintenance)
    }
}

pub(super) fn begin(state: &mut ClusterState, at: UnixMillis, begin: &BeginRebuild) -> Result<(), Refusal> {
    if state.phase == Phase::Observing {
        return Err(Refusal::Observing);
    }
    if member(state, &begin.node)?.server.is_none() {
        return Err(Refusal::Witness(begin.node.clone()));
    }
    if let Some(other) = &state.rebuild {
        return Err(Refusal::Rebuilding(other.node.clone()));
    }
    undisturbed(state)?;
    if state.epoch() != begin.epoch {
        return Err(Refusal::OtherEpoch { have: state.epoch(), given: begin.epoch });
    }
    not_the_writer(state, &begin.node)?;
    // It would read a server whose data is being replaced.
    if state.backups.task.as_ref().is_some_and(|task| task.node == begin.node) {
        return Err(Refusal::BackupUnderWay(begin.node.clone()));
    }
    if let Some(source) = &begin.from {
        fit(state, source)?;
        if *source == begin.node {
            return Err(Refusal::FromItself(source.clone()));
        }
    }
    state.rebuild = Some(Rebuild {
        operation: Operation {
            wanted: Some(begin.node.clone()),
            // It ends no epoch.
            ..super::apply::new_operation(
                &begin.operation,
                OperationKind::Rebuild,
                Epoch(0),
                at,
                begin.by.clone(),
            )
        },
        node: begin.node.clone(),
        wanted: begin.from.clone(),
        source: None,
        failed: Vec::new(),
        attempt: 1,
        step: RebuildStep::Source,
        step_ms: at,
        discarded: false,
    });
    state.note(at, &format!("rebuild of {} begun", begin.node), begin.by.clone());
    Ok(())
}

/// The leader has found a source: the target goes out.
pub(super) fn source(
    state: &mut ClusterState,
    at: UnixMillis,
    index: u64,
    id: &OperationId,
    attempt: u32,
    source: &NodeName,
) -> Result<(), Refusal> {
    let rebuild = running(state, id, attempt)?;
    let (node, step) = (rebuild.node.clone(), rebuild.step);
    if step != RebuildStep::Source {
        return Err(Refusal::RebuildMoved);
    }
    undisturbed(state)?;
    not_the_writer(state, &node)?;
    fit(state, source)?;
    if *source == node {
        return Err(Refusal::FromItself(node));
    }
    if !state.out.contains_key(&node) {
        take_out(state, at, index, &node, &OutReason::Rebuild)?;
    }
    let rebuild = running(state, id, attempt)?;
    rebuild.source = Some(source.clone());
    rebuild.operation.from_node = Some(source.clone());
    rebuild.step = RebuildStep::Prepare;
    rebuild.step_ms = at;
    Ok(())
}

/// The target's node goes on. The step that discards is the point of no return, so everything is checked again here, in
/// the order of the log, and not by what some node believes.
pub(super) fn at_step(
    state: &mut ClusterState,
    at: UnixMillis,
    by: &NodeName,
    to: &AtStep,
) -> Result<(), Refusal> {
    let rebuild = running(state, &to.operation, to.attempt)?;
    if to.step <= rebuild.step || rebuild.source.is_none() || rebuild.node != *by {
        return Err(Refusal::RebuildMoved);
    }
    let (node, discarded) = (rebuild.node.clone(), rebuild.discarded);
    not_the_writer(state, &node)?;
    match to.step {
        RebuildStep::Source | RebuildStep::Prepare => return Err(Refusal::RebuildMoved),
        RebuildStep::Copy => {
            undisturbed(state)?;
            if !discarded {
                let extra = to.extra.as_ref().ok_or_else(|| Refusal::ExtraUnknown(node.clone()))?;
                state.may_discard(&node, extra)?;
            }
            let Some(out) = state.out.get_mut(&node) else { return Err(Refusal::NotOut(node)) };
            // Its quarantine ends with its data; the archives stay on the list.
            out.reason = OutReason::Rebuild;
        }
        RebuildStep::Start => {}
        RebuildStep::Follow => {
            undisturbed(state)?;
            state.out.remove(&node);
        }
    }
    let rebuild = running(state, &to.operation, to.attempt)?;
    rebuild.step = to.step;
    rebuild.step_ms = at;
    rebuild.discarded |= to.step == RebuildStep::Copy;
    let step = Step { at_ms: at, node: by.clone(), name: to.step.to_string(), detail: to.detail.clone() };
    super::apply::add_step(&mut rebuild.operation, step);
    Ok(())
}

/// This attempt came to nothing: the next one has another source, if there is one.
pub(super) fn failed(
    state: &mut ClusterState,
    at: UnixMillis,
    by: &NodeName,
    id: &OperationId,
    attempt: u32,
    why: &str,
) -> Result<(), Refusal> {
    let rebuild = running(state, id, attempt)?;
    let step = Step { at_ms: at, node: by.clone(), name: "failed".into(), detail: why.to_owned() };
    super::apply::add_step(&mut rebuild.operation, step);
    rebuild.failed.extend(rebuild.source.take());
    if rebuild.attempt >= ATTEMPTS_MAX {
        return end(state, at, id, Ending::Failed, why);
    }
    rebuild.attempt += 1;
    rebuild.step = RebuildStep::Source;
    rebuild.step_ms = at;
    Ok(())
}

/// It is over. A target whose data is whole is in again; one whose data is not stays out until it is rebuilt.
pub(super) fn end(
    state: &mut ClusterState,
    at: UnixMillis,
    id: &OperationId,
    ending: Ending,
    why: &str,
) -> Result<(), Refusal> {
    if state.rebuild.as_ref().is_none_or(|r| r.operation.id != *id) {
        return Err(Refusal::NotUnderWay(id.clone()));
    }
    let Some(mut rebuild) = state.rebuild.take() else { return Err(Refusal::NotUnderWay(id.clone())) };
    let only_for_this = state.out.get(&rebuild.node).is_some_and(|o| o.reason == OutReason::Rebuild);
    if only_for_this && !rebuild.discarded {
        state.out.remove(&rebuild.node);
    }
    if ending != Ending::Done {
        rebuild.operation.evidence.push(why.to_owned());
    }
    state.note(at, &format!("rebuild of {}: {ending}", rebuild.node), why.to_owned());
    super::apply::keep(state, at, rebuild.operation, ending);
    Ok(())
}

fn running<'a>(
    state: &'a mut ClusterState,
    id: &OperationId,
    attempt: u32,
) -> Result<&'a mut Rebuild, Refusal> {
    let rebuild = state.rebuild.as_mut().filter(|r| r.operation.id == *id);
    let rebuild = rebuild.ok_or_else(|| Refusal::NotUnderWay(id.clone()))?;
    if rebuild.attempt == attempt { Ok(rebuild) } else { Err(Refusal::RebuildMoved) }
}

/// While the writer moves, who is in and who is out stays as it is.
fn undisturbed(state: &ClusterState) -> Result<(), Refusal> {
    match &state.operation {
        Some(operation) => Err(Refusal::UnderWay(operation.id.clone())),
        None => Ok(()),
    }
}

/// Neither the writer nor, while nobody has succeeded it, the old one: it may have what nobody else has.
fn not_the_writer(state: &ClusterState, node: &NodeName) -> Result<(), Refusal> {
    match &state.grant {
        Some(grant) if grant.node == *node => Err(Refusal::IsWriter(node.clone())),
        _ => Ok(()),
    }
}
