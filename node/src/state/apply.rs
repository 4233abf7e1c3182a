//! What each command does to the state. Every arm checks its conditions first and changes nothing if one fails.

use std::sync::Arc;

use super::apply_durability::{degrade, lossless, may_shrink, remove_acker, set_ackers, take_out};
use super::{
    Begin, Change, ClusterState, Command, DegradeReason, Durability, Ending, Epoch, Finished, Forced, Grant,
    KEPT, Member, NextGrant, NodeName, Operation, OperationId, OperationKind, Pause, Phase, Proof, ProofKind,
    Refusal, Step, StepName, UnixMillis, trim,
};
use super::{
    alerts, apply_backup, apply_recover, apply_settings, collector, events, maintenance, quarantine, rebuild,
    retention, scan, schedule, switchover,
};

/// Steps an operation may journal; more are dropped, so that a stuck one cannot fill the disk.
const STEPS_MAX: usize = 200;

pub(super) fn change(state: &mut ClusterState, index: u64, command: &Command) -> Result<(), Refusal> {
    let at = command.at_ms;
    match &command.change {
        Change::Form { cluster, members, safety } => {
            if state.cluster.is_some() {
                return Err(Refusal::Formed);
            }
            state.cluster = Some(cluster.clone());
            state.members = members.clone();
            state.longest_lease_ms = safety.lease_ttl_ms;
            state.safety = safety.clone();
            state.safety_index = index;
            Ok(())
        }
        Change::Live(live) => {
            state.safety.live = *live;
            Ok(())
        }
        Change::Configure { seen, safety, placements, by, what } => {
            apply_settings::configure(state, index, *seen, safety, placements)?;
            state.note(at, "settings", format!("{by}: {what}"));
            Ok(())
        }
        Change::Recover(recover) => apply_recover::recover(state, at, recover),
        Change::SetMember { node, member } => set_member(state, node, member),
        Change::DropMember { node } => drop_member(state, at, index, node),
        Change::Adopt { operation, node, by } => adopt(state, at, operation, node, by),
        Change::Release { operation, word } => release(state, at, operation, word),
        Change::Leased { epoch } => {
            live(state, *epoch)?.unleased = false;
            Ok(())
        }
        Change::Opened { epoch } => opened(state, at, *epoch, &command.by),
        Change::Begin(begin) => begin_failover(state, at, begin),
        Change::Plan(plan) => switchover::plan(state, at, plan),
        Change::PlanAppointed(plan) => switchover::plan_appointed(state, at, plan),
        Change::Appoint(appointment) => switchover::appoint(state, at, appointment),
        Change::EndAppointment { operation, ending, why } => {
            switchover::end_appointment(state, at, &command.by, (operation, *ending, why))
        }
        Change::Revoke { operation, epoch } => switchover::revoke(state, at, operation, *epoch),
        Change::Journal { operation, step } => {
            add_step(running(state, operation)?, step.clone());
            Ok(())
        }
        Change::Grant(next) => grant(state, at, index, next),
        Change::End { operation, ending } => end(state, at, operation, *ending),
        Change::Ackers { epoch, ackers, why } => set_ackers(state, at, index, *epoch, ackers, why),
        Change::Vouch { epoch, node, began_ms } => {
            live(state, *epoch)?;
            fit(state, node)?;
            state.vouched.insert(node.clone(), *began_ms);
            Ok(())
        }
        Change::Degrade { epoch, reason, upto } => degrade(state, at, index, *epoch, reason, upto.as_ref()),
        Change::Lossless { epoch, after } => lossless(state, at, *epoch, *after),
        Change::TakeOut { node, reason } => take_out(state, at, index, node, reason),
        Change::PutIn { node } => {
            member(state, node)?;
            if state.rebuild_of(node).is_some() {
                return Err(Refusal::Rebuilding(node.clone()));
            }
            state.out.remove(node);
            Ok(())
        }
        Change::Maintain { node, until_ms, word } => maintenance::begin(state, at, node, *until_ms, word),
        Change::StandAside { node } => maintenance::stand_aside(state, at, index, node),
        Change::EndMaintenance { node, until_ms, by } => maintenance::end(state, at, node, *until_ms, by),
        Change::Events(found) => events::found(state, &command.by, found),
        Change::Archived(archive) => quarantine::archived(state, archive),
        Change::NotArchived { node, why } => quarantine::not_archived(state, node, why),
        Change::GiveUp { node, extra, without_archive, word } => {
            quarantine::give_up(state, at, node, extra, *without_archive, word)
        }
        Change::Pause { until_ms, word } => {
            state.note(at, "paused", format!("{}: {}", word.by, word.reason));
            state.pause =
                Some(Pause { until_ms: *until_ms, by: word.by.clone(), reason: word.reason.clone() });
            if let Some(grant) = &mut state.grant {
                grant.paused_at.get_or_insert(index);
            }
            Ok(())
        }
        Change::Resume { by } => {
            state.pause.take().ok_or(Refusal::NotPaused)?;
            state.note(at, "resumed", by.clone());
            Ok(())
        }
        Change::PauseOver { until_ms } => {
            state.pause.take_if(|pause| pause.until_ms == *until_ms).ok_or(Refusal::NotPaused)?;
            state.note(at, "resumed", "the pause has ended".to_owned());
            Ok(())
        }
        Change::BeginRebuild(begin) => rebuild::begin(state, at, begin),
        Change::RebuildSource { operation, attempt, source } => {
            rebuild::source(state, at, index, operation, *attempt, source)
        }
        Change::RebuildStep(step) => rebuild::at_step(state, at, &command.by, step),
        Change::RebuildFailed { operation, attempt, why } => {
            rebuild::failed(state, at, &command.by, operation, *attempt, why)
        }
        Change::EndRebuild { operation, ending, why } => rebuild::end(state, at, operation, *ending, why),
        Change::Alerts(changes) => alerts::apply(state, at, changes),
        Change::PlanBackups(plan) => schedule::agree(state, at, plan),
        Change::BeginBackup(task) => apply_backup::begin(state, at, task),
        Change::BackupBegun { task } => apply_backup::begun(state, &command.by, task),
        Change::BackupMade { task, backup } => apply_backup::made(state, at, &command.by, task, backup),
        Change::BackupVerified { task, fault } => {
            apply_backup::verified(state, at, &command.by, task, fault.as_ref())
        }
        Change::BackupsFound { task, found } => scan::found(state, at, &command.by, task, found),
        Change::BackupsScanned { task, note } => apply_backup::scanned(state, at, &command.by, task, note),
        Change::BackupRemoved { task } => apply_backup::removed(state, at, &command.by, task),
        Change::PinBackup { backup, is_pinned, by } => retention::pin(state, at, (backup, *is_pinned), by),
        Change::LeaveStores { backup, stores, by, by_rule } => {
            retention::leave(state, at, (backup, stores), (by, *by_rule))
        }
        Change::StayInStore { backup, store } => retention::stay(state, at, backup, store),
        Change::EndBackup { task, why, by_hand } => apply_backup::end(state, at, task, why, *by_hand),
        Change::Collect { node, turns, lacking, may_leap } => {
            collector::appoint(state, at, node.as_ref(), *turns, lacking, *may_leap)
        }
        Change::Decided { what, why } => {
            state.note(at, what, why.clone());
            Ok(())
        }
    }
}

pub(super) fn member<'a>(state: &'a ClusterState, node: &NodeName) -> Result<&'a Member, Refusal> {
    state.members.get(node).ok_or_else(|| Refusal::NoSuchNode(node.clone()))
}

/// A member with a server that is not out.
pub(super) fn fit(state: &ClusterState, node: &NodeName) -> Result<(), Refusal> {
    if member(state, node)?.server.is_none() {
        return Err(Refusal::Witness(node.clone()));
    }
    if state.out.contains_key(node) {
        return Err(Refusal::IsOut(node.clone()));
    }
    Ok(())
}

/// A member that may be the writer at all, now.
pub(super) fn may_write(state: &ClusterState, node: &NodeName) -> Result<(), Refusal> {
    if state.in_maintenance(node) {
        return Err(Refusal::InMaintenance(node.clone()));
    }
    if member(state, node)?.excluded { Err(Refusal::Excluded(node.clone())) } else { Ok(()) }
}

/// Who held the revoked epoch that the operation under way has not found a successor for.
fn held_up(state: &ClusterState, epoch: Epoch) -> Result<NodeName, Refusal> {
    let waiting = state.operation.as_ref().is_some_and(|o| o.from == epoch && o.to.is_none());
    let grant = state.grant.as_ref().filter(|g| g.epoch == epoch && waiting);
    grant.map(|g| g.node.clone()).ok_or(Refusal::Revoked(epoch))
}

/// The grant, if `epoch` is the current one and nothing revokes it.
pub(super) fn live(state: &mut ClusterState, epoch: Epoch) -> Result<&mut Grant, Refusal> {
    if state.is_revoked(epoch) {
        return Err(Refusal::Revoked(epoch));
    }
    let grant = state.grant.as_mut().ok_or(Refusal::Observing)?;
    if grant.epoch != epoch {
        return Err(Refusal::OtherEpoch { have: grant.epoch, given: epoch });
    }
    Ok(grant)
}

pub(super) fn running<'a>(
    state: &'a mut ClusterState,
    id: &OperationId,
) -> Result<&'a mut Operation, Refusal> {
    match &mut state.operation {
        Some(operation) if operation.id == *id => Ok(operation),
        _ => Err(Refusal::NotUnderWay(id.clone())),
    }
}

fn set_member(state: &mut ClusterState, node: &NodeName, facts: &Member) -> Result<(), Refusal> {
    let writes = state.grant.as_ref().is_some_and(|g| g.node == *node);
    if writes && facts.server.is_none() {
        return Err(Refusal::HoldsGrant(node.clone()));
    }
    state.members.insert(node.clone(), facts.clone());
    // Its address is a member's now: whoever had it before is not to be closed there.
    state
        .left_behind
        .retain(|name, gone| name != node && (gone.server.is_none() || gone.server != facts.server));
    Ok(())
}

fn drop_member(state: &mut ClusterState, at: UnixMillis, index: u64, node: &NodeName) -> Result<(), Refusal> {
    if state.left_behind.remove(node).is_some() {
        return Ok(());
    }
    member(state, node)?;
    if state.grant.as_ref().is_some_and(|g| g.node == *node) && state.phase == Phase::Managed {
        return Err(Refusal::HoldsGrant(node.clone()));
    }
    may_shrink(state, node)?;
    if state.rebuild_of(node).is_some() {
        return Err(Refusal::Rebuilding(node.clone()));
    }
    state.members.remove(node);
    maintenance::forget(state, node);
    apply_backup::forget(state, at, node);
    state.out.remove(node);
    state.vouched.remove(node);
    remove_acker(state, index, node);
    Ok(())
}

fn adopt(
    state: &mut ClusterState,
    at: UnixMillis,
    id: &OperationId,
    node: &NodeName,
    by: &str,
) -> Result<(), Refusal> {
    if state.phase == Phase::Managed {
        return Err(Refusal::Managed);
    }
    fit(state, node)?;
    let from = state.epoch();
    let epoch = state.next_epoch();
    state.phase = Phase::Managed;
    state.grant = Some(Grant {
        epoch,
        node: node.clone(),
        since_ms: at,
        unleased: true,
        opened_ms: Some(at),
        paused_at: None,
    });
    state.ackers.clear();
    state.durability = Durability::Unknown;
    let operation = Operation {
        to: Some((epoch, node.clone())),
        opened_ms: Some(at),
        ..new_operation(id, OperationKind::Adopt, from, at, format!("asked for by {by}"))
    };
    keep(state, at, operation, Ending::Done);
    schedule::adopted(&mut state.backups, at);
    state.note(at, &format!("adopted {node}"), format!("asked for by {by}"));
    Ok(())
}

fn release(state: &mut ClusterState, at: UnixMillis, id: &OperationId, word: &Forced) -> Result<(), Refusal> {
    if state.phase == Phase::Observing {
        return Err(Refusal::Observing);
    }
    if let Some(operation) = &state.operation {
        return Err(Refusal::UnderWay(operation.id.clone()));
    }
    if let Some(rebuild) = &state.rebuild {
        return Err(Refusal::Rebuilding(rebuild.node.clone()));
    }
    let from = state.epoch();
    let operation = Operation {
        from_node: state.grant.as_ref().map(|g| g.node.clone()),
        forced: Some(word.clone()),
        ..new_operation(id, OperationKind::Release, from, at, format!("asked for by {}", word.by))
    };
    state.phase = Phase::Observing;
    state.grant = None;
    state.revoked_through = from;
    state.ackers.clear();
    state.durability = Durability::Unknown;
    state.pause = None;
    state.appointment = None;
    for node in state.maintenance.keys().cloned().collect::<Vec<_>>() {
        maintenance::forget(state, &node);
    }
    keep(state, at, operation, Ending::Done);
    state.note(at, "released", format!("{}: {}", word.by, word.reason));
    Ok(())
}

fn opened(state: &mut ClusterState, at: UnixMillis, epoch: Epoch, by: &NodeName) -> Result<(), Refusal> {
    let grant = live(state, epoch)?;
    if grant.node != *by {
        return Err(Refusal::OtherEpoch { have: grant.epoch, given: epoch });
    }
    grant.opened_ms.get_or_insert(at);
    if let Some(operation) = state.operation.as_mut().filter(|o| o.opened_ms.is_none()) {
        operation.opened_ms = Some(at);
        operation.steps.push(Step {
            at_ms: at,
            node: by.clone(),
            name: StepName::Open.as_str().into(),
            detail: "open".into(),
        });
    }
    Ok(())
}

/// The intent of safety.md, step 0: from here on no voter grants the epoch again.
pub(super) fn begin_failover(state: &mut ClusterState, at: UnixMillis, begin: &Begin) -> Result<(), Refusal> {
    if state.phase == Phase::Observing {
        return Err(Refusal::Observing);
    }
    let from_node = match live(state, begin.epoch) {
        Ok(grant) => grant.node.clone(),
        // An operator's word may be what an automatic failover waits for, and nothing else could bring it the word.
        Err(Refusal::Revoked(_)) if begin.forced.is_some() => held_up(state, begin.epoch)?,
        Err(refusal) => return Err(refusal),
    };
    if state.pause.as_ref().is_some_and(|p| at < p.until_ms) && begin.forced.is_none() {
        return Err(Refusal::Paused);
    }
    if let Some(wanted) = &begin.wanted {
        fit(state, wanted)?;
        may_write(state, wanted)?;
    }
    // Either an operation that has granted this epoch and lost its candidate, or one of this epoch that an operator's
    // word takes over.
    let mut last_seen = begin.last_seen.clone();
    let mut recovered = None;
    if let Some(unfinished) = state.operation.take() {
        // Of the same epoch: what was seen when the first one began counts on.
        let before = unfinished.last_seen.clone().filter(|_| unfinished.from == begin.epoch);
        last_seen = match (before, last_seen) {
            (Some(before), Some(now)) => Some(before.union(&now).unwrap_or(now)),
            (before, now) => before.or(now),
        };
        recovered = unfinished.recovered.clone().filter(|_| unfinished.from == begin.epoch);
        keep(state, at, unfinished, Ending::Superseded);
    }
    state.revoked_through = begin.epoch;
    state.operation = Some(Operation {
        from_node: Some(from_node),
        evidence: begin.evidence.clone(),
        forced: begin.forced.clone(),
        wanted: begin.wanted.clone(),
        last_seen,
        recovered,
        ..new_operation(&begin.operation, OperationKind::Failover, begin.epoch, at, begin.diagnosis.clone())
    });
    state.note(at, &format!("failover of epoch {} begun", begin.epoch), begin.diagnosis.clone());
    Ok(())
}

/// Step 5: the next epoch, with everything that justifies it.
fn grant(state: &mut ClusterState, at: UnixMillis, index: u64, next: &NextGrant) -> Result<(), Refusal> {
    let have = state.epoch();
    if have != next.from {
        return Err(Refusal::OtherEpoch { have, given: next.from });
    }
    if !state.is_revoked(have) {
        return Err(Refusal::NotRevoked(have));
    }
    fit(state, &next.node)?;
    may_write(state, &next.node)?;
    let unleased = state.grant.as_ref().is_some_and(|g| g.unleased);
    let carried = state.durability.upto().cloned();
    let epoch = state.next_epoch();
    let operation = running(state, &next.operation)?;
    match next.proof.kind {
        // No voter ever granted anything under it, so the end of what they granted says nothing.
        ProofKind::Expired if unleased => return Err(Refusal::Unleased(have)),
        ProofKind::Forced if operation.forced.is_none() => return Err(Refusal::NotForced(have)),
        // Whoever was dropped may have agreed since on what makes these untrue.
        ProofKind::Expired | ProofKind::Starved if operation.recovered.is_some() => {
            return Err(Refusal::OtherGeneration(next.proof.kind));
        }
        _ => {}
    }
    operation.proof = Some(next.proof.clone());
    operation.loss = Some(next.loss.clone());
    operation.to = Some((epoch, next.node.clone()));
    let paused_at = state.pause.as_ref().map(|_| index);
    state.grant = Some(Grant {
        epoch,
        node: next.node.clone(),
        since_ms: at,
        unleased: false,
        opened_ms: None,
        paused_at,
    });
    state.ackers =
        next.ackers.iter().filter(|a| **a != next.node && fit(state, a).is_ok()).cloned().collect();
    state.durability = match &next.durability {
        Durability::Degraded { reason, upto, may_let_go, .. } => Durability::Degraded {
            since_ms: at,
            reason: reason.clone(),
            upto: upto.clone(),
            may_let_go: *may_let_go,
            index,
        },
        _ => Durability::Degraded {
            since_ms: at,
            reason: DegradeReason::NewEpoch,
            upto: carried,
            may_let_go: false,
            index,
        },
    };
    Ok(())
}

fn end(state: &mut ClusterState, at: UnixMillis, id: &OperationId, ending: Ending) -> Result<(), Refusal> {
    let granted = running(state, id)?.to.is_some();
    // A revoked epoch without a successor would leave the cluster without a writer and without anyone who looks for
    // one: such an operation goes on until it can grant.
    if !granted && state.is_revoked(state.epoch()) {
        return Err(Refusal::Revoked(state.epoch()));
    }
    if let Some(operation) = state.operation.take() {
        keep(state, at, operation, ending);
    }
    Ok(())
}

pub(super) fn new_operation(
    id: &OperationId,
    kind: OperationKind,
    from: Epoch,
    at: UnixMillis,
    diagnosis: String,
) -> Operation {
    Operation {
        id: id.clone(),
        kind,
        from,
        from_node: None,
        started_ms: at,
        diagnosis,
        evidence: Vec::new(),
        forced: None,
        wanted: None,
        last_seen: None,
        recovered: None,
        planned: None,
        proof: None,
        loss: None,
        to: None,
        opened_ms: None,
        steps: Vec::new(),
    }
}

/// A line of a journal.
pub(super) fn add_step(operation: &mut Operation, step: Step) {
    if operation.steps.len() < STEPS_MAX {
        operation.steps.push(step);
    }
}

pub(super) fn keep(state: &mut ClusterState, at: UnixMillis, operation: Operation, ending: Ending) {
    state.history.push_back(Arc::new(Finished { operation, ended_ms: at, ending }));
    trim(&mut state.history, KEPT);
}

/// Whether an operator's word stands in for a proof.
impl From<&Forced> for Proof {
    fn from(word: &Forced) -> Self {
        Self { kind: ProofKind::Forced, detail: format!("{}: {}", word.by, word.reason) }
    }
}
