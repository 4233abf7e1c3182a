//! The leader's loop: look at what was seen, and do the one thing that is most urgent.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::action::{Hands, Order};
use super::hooks::Hooks;
use super::propose::Proposer;
use super::wary::Wary;
use super::{failover, switchover, upkeep};
use crate::consensus::Group;
use crate::decide::diagnose::{FRESH, Lasting, diagnose};
use crate::decide::diagnosis::{Diagnosis, Trouble, Writer, WriterLost};
use crate::decide::holding::holds;
use crate::gtid::GtidSet;
use crate::observe::Table;
use crate::proxysql::Board;
use crate::state::{
    BackupPlan, Begin, Change, ClusterState, Epoch, Live, NodeName, OperationId, OperationKind,
};

/// Without news, the leader looks again this often.
const TICK: Duration = Duration::from_millis(100);
/// How long a majority may take to confirm the leadership.
const CONFIRM: Duration = Duration::from_secs(1);
/// After a step that failed: a leader without a majority must not spin.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// What the leader works with.
pub struct Lead {
    /// This node.
    pub me: NodeName,
    /// The group.
    pub group: Group,
    /// What the nodes report.
    pub table: Arc<Table>,
    /// What other nodes can be asked to do.
    pub hands: Arc<dyn Hands>,
    /// Proposals in this node's name.
    pub proposer: Proposer,
    /// The operator's programs.
    pub hooks: Hooks,
    /// What this node's file sets at any time.
    pub live: watch::Receiver<Live>,
    /// What it says of backups; `None` where it names neither store nor schedule, and the group's plan stays.
    pub backups: watch::Receiver<Option<BackupPlan>>,
    /// How long some conditions have lasted, for whoever asks why nothing happens.
    pub lasting: watch::Sender<Lasting>,
    /// What each ProxySQL has.
    pub routing: Arc<Board>,
}

/// One term of leading.
pub(super) struct Term<'a> {
    pub(super) lead: &'a Lead,
    pub(super) number: u64,
    pub(super) wary: Wary,
    began: Instant,
}

impl Term<'_> {
    /// As applied here; a change that was committed by this node is in it.
    pub(super) fn state(&self) -> Arc<ClusterState> {
        Arc::clone(&self.lead.group.states().borrow().state)
    }

    pub(super) fn order(&self, epoch: Epoch, operation: &OperationId) -> Order {
        Order { term: self.number, epoch, operation: operation.0.clone() }
    }

    /// # Errors
    /// When a majority does not confirm that this node still leads.
    pub(super) async fn still_leads(&self) -> Result<(), String> {
        self.lead.group.confirm_leadership(CONFIRM).await.map(drop).map_err(|e| e.to_string())
    }

    /// For how long this node has led in this term.
    pub(super) fn leading(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether the diagnosis now calls for a failover of the current epoch.
    pub(super) fn writer_is_lost(&self) -> bool {
        self.writer_lost().is_some()
    }

    fn writer_lost(&self) -> Option<WriterLost> {
        let state = self.state();
        let seen = self.lead.table.snapshot(&state);
        match diagnose(&state, &seen, Lasting { leading: self.began.elapsed(), ..Lasting::default() }).writer
        {
            Writer::Lost(lost) => Some(lost),
            _ => None,
        }
    }

    /// Replicas that can be expected to follow the new writer.
    pub(super) fn replicas_that_answer(&self, writer: &NodeName) -> Vec<NodeName> {
        let state = self.state();
        let seen = self.lead.table.snapshot(&state);
        let answers = |n: &NodeName| {
            seen.pulse(n).is_some_and(|(_, age)| age <= FRESH) && !seen.own(n).is_some_and(|o| o.is_gone())
        };
        let wanted = |n: &&NodeName| **n != *writer && !state.out.contains_key(*n) && answers(n);
        state.data_nodes().map(|(n, _)| n).filter(wanted).cloned().collect()
    }
}

/// Since when conditions have lasted, by this leader's own observation.
#[derive(Default)]
struct Since {
    epoch: Epoch,
    unopened: Option<Instant>,
    closed_by_hand: Option<Instant>,
}

impl Lead {
    /// Leads whenever this node is the leader, until the group's handle ends.
    pub async fn run(self) {
        let mut leadership = self.group.leadership();
        loop {
            let now = leadership.borrow_and_update().clone();
            if now.mine
                && let Ok(number) = self.group.confirm_leadership(CONFIRM).await
            {
                info!(term = number, "leading");
                // A fresh leader decides by what it is told from now on.
                self.table.clear();
                let over = async {
                    let mut watching = self.group.leadership();
                    let _ended = watching.wait_for(|l| !l.mine || l.term != now.term).await;
                };
                tokio::select! {
                    () = self.lead(Term { lead: &self, number, wary: Wary::default(), began: Instant::now() }) => {}
                    () = over => info!(term = number, "no longer leading"),
                }
                continue;
            }
            if now.mine {
                tokio::time::sleep(AFTER_FAILURE).await;
            } else if leadership.changed().await.is_err() {
                return;
            }
        }
    }

    async fn lead(&self, term: Term<'_>) {
        let mut states = self.group.states();
        let mut since = Since::default();
        loop {
            if let Err(why) = self.turn(&term, &mut since).await {
                warn!(why, "a step of the leader failed");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
            let news = async {
                tokio::select! {
                    () = self.table.changed() => {}
                    _ = states.changed() => {}
                }
            };
            let _or_tick = timeout(TICK, news).await;
        }
    }

    /// One turn: at most one operation or one piece of upkeep.
    async fn turn(&self, term: &Term<'_>, since: &mut Since) -> Result<(), String> {
        let state = term.state();
        let live = *self.live.borrow();
        if state.cluster.is_some() && state.safety.live != live {
            return self.proposer.must(Change::Live(live)).await;
        }
        let plan = self.backups.borrow().clone();
        if let Some(plan) = plan.filter(|p| state.cluster.is_some() && state.backups.plan.as_ref() != Some(p))
        {
            return self.proposer.must(Change::PlanBackups(plan)).await;
        }
        if let Some(over) = state.pause.as_ref().filter(|p| p.until_ms <= self.proposer.now_ms()) {
            return self.proposer.must(Change::PauseOver { until_ms: over.until_ms }).await;
        }
        let now_ms = self.proposer.now_ms();
        if let Some((node, over)) = state.maintenance.iter().find(|(_, m)| m.until_ms <= now_ms) {
            let (node, until_ms, by) = (node.clone(), Some(over.until_ms), "its time is up".to_owned());
            return self.proposer.must(Change::EndMaintenance { node, until_ms, by }).await;
        }
        let seen = self.table.snapshot(&state);
        let lasting = since.lasting(&state, term.began.elapsed());
        self.lasting.send_replace(lasting);
        let diagnosis = diagnose(&state, &seen, lasting);
        since.note(&diagnosis, &state);
        if let Writer::Lost(lost) = &diagnosis.writer {
            return self.begin_failover(term, &state, lost).await;
        }
        if let Some(operation) = &state.operation {
            return match operation.kind {
                OperationKind::Switchover => switchover::run(term, operation).await,
                _ => failover::run(term, operation).await,
            };
        }
        if let Some(due) = switchover::appointed::due_now(&state, self.proposer.now_ms()) {
            let begun = tokio::select! {
                done = switchover::appointed::attend(term, &state, due) => done?,
                lost = self.writer_lost(term) => return self.begin_failover(term, &term.state(), &lost).await,
            };
            if begun {
                return Ok(());
            }
        }
        if diagnosis.writer == Writer::Serving {
            // Nothing that upkeep waits for holds up a failover; each of its changes is conditional on the epoch.
            tokio::select! {
                done = upkeep::run(term, &state, &seen) => return done,
                lost = self.writer_lost(term) => return self.begin_failover(term, &term.state(), &lost).await,
            }
        }
        Ok(())
    }

    async fn writer_lost(&self, term: &Term<'_>) -> WriterLost {
        loop {
            let _or_look_again = timeout(TICK, self.table.changed()).await;
            if let Some(lost) = term.writer_lost() {
                return lost;
            }
        }
    }

    /// Step 0: the intent. What holds it back is said once.
    async fn begin_failover(
        &self,
        term: &Term<'_>,
        state: &ClusterState,
        lost: &WriterLost,
    ) -> Result<(), String> {
        let held = holds(state, self.proposer.now_ms()).first().map(ToString::to_string);
        if let Some(why) = held {
            let what = format!("no failover after {}", lost.kind);
            let said = state.decisions.iter().rev().take(3).any(|d| d.what == what && d.why == why);
            return if said { Ok(()) } else { self.proposer.must(Change::Decided { what, why }).await };
        }
        let operation = OperationId(self.proposer.draw_id());
        info!(%operation, epoch = %state.epoch(), kind = %lost.kind, evidence = ?lost.evidence, "failover");
        let begin = Begin {
            operation: operation.clone(),
            epoch: state.epoch(),
            diagnosis: lost.kind.to_string(),
            evidence: lost.evidence.clone(),
            forced: None,
            wanted: None,
            last_seen: last_seen(term, state),
        };
        self.proposer.must(Change::Begin(begin)).await?;
        let begun = term.state().operation.clone().filter(|o| o.id == operation);
        match begun {
            Some(operation) => failover::run(term, &operation).await,
            None => Ok(()),
        }
    }
}

/// The newest set of the writer that anybody has seen: whoever leads later knows no less.
fn last_seen(term: &Term<'_>, state: &ClusterState) -> Option<GtidSet> {
    let grant = state.grant.as_ref()?;
    term.lead.table.snapshot(state).last_seen_set(&grant.node)
}

impl Since {
    fn lasting(&mut self, state: &ClusterState, leading: Duration) -> Lasting {
        if self.epoch != state.epoch() {
            *self = Self { epoch: state.epoch(), ..Self::default() };
        }
        let elapsed = |since: Option<Instant>| since.map_or(Duration::ZERO, |s| s.elapsed());
        Lasting { unopened: elapsed(self.unopened), closed_by_hand: elapsed(self.closed_by_hand), leading }
    }

    fn note(&mut self, diagnosis: &Diagnosis, state: &ClusterState) {
        let unopened = state.live_grant().is_some_and(|g| g.opened_ms.is_none());
        self.unopened = unopened.then(|| self.unopened.unwrap_or_else(Instant::now));
        let by_hand = diagnosis.troubles.iter().any(|t| matches!(t, Trouble::WriterClosedByHand(_)));
        self.closed_by_hand = by_hand.then(|| self.closed_by_hand.unwrap_or_else(Instant::now));
    }
}
