//! What a healthy cluster still needs, one thing a turn.

use std::time::Duration;

use tracing::{info, warn};

use super::action::{Acted, Action};
use super::lead::Term;
use super::{rebuilding, scheduling};
use crate::decide::archive;
use crate::decide::seen::Observations;
use crate::decide::upkeep::{Upkeep, beside_regaining, upkeep};
use crate::state::{Change, ClusterState, DegradeReason, OperationId, OutReason, Quarantine};

/// Reading the writer's set while its commits wait: every one of these milliseconds is somebody's commit.
const READ_WITHIN: Duration = Duration::from_millis(300);
/// Making the writer wait, a handful of statements.
const MAKE_WAIT_WITHIN: Duration = Duration::from_secs(2);
/// Closing a server over SQL.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);
/// One commit and its acknowledgement.
const PROVE_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn run(term: &Term<'_>, state: &ClusterState, seen: &Observations) -> Result<(), String> {
    let need = match upkeep(state, seen, &term.lead.me) {
        Some(Upkeep::RegainLossless { .. }) if !term.wary.is_over() => {
            beside_regaining(state, seen, &term.lead.me)
        }
        need => need,
    };
    let Some(need) = need else {
        if let Some(change) = archive::next(state, seen, term.leading(), term.lead.proposer.now_ms()) {
            info!(?change, "whose binlog is archived");
            match term.lead.proposer.must(change).await {
                Ok(()) => return Ok(()),
                Err(why) => warn!(why, "it was not agreed on whose binlog is archived"),
            }
        }
        // A rebuild goes on whatever becomes of a backup.
        if let Some(change) = scheduling::next(term, state, seen) {
            match term.lead.proposer.must(change).await {
                Ok(()) => return Ok(()),
                Err(why) => warn!(why, "no task of backups was begun or ended"),
            }
        }
        return rebuilding::run(term, state, seen).await;
    };
    let epoch = state.epoch();
    match need {
        Upkeep::Ackers { ackers, why } => {
            info!(%epoch, why, "ackers");
            term.lead.proposer.must(Change::Ackers { epoch, ackers, why }).await
        }
        Upkeep::Vouch { node, began_ms } => {
            info!(%epoch, %node, began_ms, "vouched for");
            term.lead.proposer.must(Change::Vouch { epoch, node, began_ms }).await
        }
        Upkeep::StandAside(node) => {
            info!(%node, "stands aside: it is in maintenance");
            term.lead.proposer.must(Change::StandAside { node }).await
        }
        Upkeep::Degrade(reason) => degrade(term, state, seen, reason).await,
        Upkeep::RegainLossless { after } => {
            let regained = regain(term, state, after).await;
            term.wary.note(regained.is_ok());
            regained
        }
        Upkeep::Quarantine { node, extra } => {
            warn!(%node, %extra, "quarantine");
            term.lead
                .proposer
                .must(Change::TakeOut { node, reason: OutReason::Quarantine(Quarantine::of(extra, epoch)) })
                .await
        }
        Upkeep::TakeBack(node) => {
            info!(%node, "the writer has everything that this server has: its quarantine ends");
            term.lead.proposer.must(Change::PutIn { node }).await
        }
        Upkeep::CloseLeftBehind(node) => {
            term.still_leads().await?;
            let detail = term.lead.hands.close_over_sql(node.clone(), CLOSE_WITHIN).await?;
            let what = format!("closed {node}'s server");
            let why = format!("the group was recovered without {node}; {detail}");
            warn!(%node, detail, "a server that was left behind was open and has been closed");
            term.lead.proposer.must(Change::Decided { what, why }).await
        }
        Upkeep::MoveLeadership(to) => {
            info!(%to, "handing the leadership over, away from the writer's host");
            term.lead.group.transfer_leadership(&to).await.map_err(|e| e.to_string())?;
            // The new leader shows within an election; until then there is nothing to lead.
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(())
        }
    }
}

/// Whether commits wait for ackers that the writer has to go on without.
pub(super) fn must_degrade(term: &Term<'_>) -> bool {
    let state = term.state();
    let due = upkeep(&state, &term.lead.table.snapshot(&state), &term.lead.me);
    matches!(due, Some(Upkeep::Degrade(reason)) if reason != DegradeReason::Planned)
}

/// The writer's set is read while its commits still wait; only then may it go on.
async fn degrade(
    term: &Term<'_>,
    state: &ClusterState,
    seen: &Observations,
    reason: DegradeReason,
) -> Result<(), String> {
    let writer = state.live_grant().map(|g| g.node.clone()).ok_or("no writer")?;
    let order = term.order(state.epoch(), &OperationId("degrade".into()));
    let read = term.lead.hands.act(writer.clone(), order, Action::ReadSets, READ_WITHIN).await;
    let upto = match read {
        Some(Acted::Sets(sets)) => Some(sets.executed),
        _ => seen.pulse(&writer).map(|(p, _)| p.executed.clone()),
    };
    warn!(%writer, %reason, "not lossless from here on");
    term.lead.proposer.must(Change::Degrade { epoch: state.epoch(), reason, upto }).await
}

/// The guard makes the server wait, one commit is seen acknowledged, and only then the group promises it.
async fn regain(term: &Term<'_>, state: &ClusterState, after: u64) -> Result<(), String> {
    let writer = state.live_grant().map(|g| g.node.clone()).ok_or("no writer")?;
    let epoch = state.epoch();
    let order = || term.order(epoch, &OperationId("lossless".into()));
    for (action, within) in [(Action::MakeWait(after), MAKE_WAIT_WITHIN), (Action::ProveCommit, PROVE_WITHIN)]
    {
        match term.lead.hands.act(writer.clone(), order(), action, within).await {
            Some(Acted::Done) => {}
            other => return Err(format!("{writer} is not lossless yet: {other:?}")),
        }
    }
    info!(%epoch, "lossless");
    term.lead.proposer.must(Change::Lossless { epoch, after }).await
}
