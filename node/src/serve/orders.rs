//! Orders: pause, resume, failover, release.

use std::time::Duration;

use baton_proto::control::{Done, FailoverRequest, PauseRequest, ReleaseRequest, ResumeRequest};
use jiff::Timestamp;
use tonic::Status;

use super::Control;
use super::refusal::{by_state, refused};
use super::words::under_way;
use crate::decide::diagnosis::{Writer, WriterLost};
use crate::gtid::GtidSet;
use crate::state::{Begin, Change, ClusterState, Forced, NodeName, Operation, OperationId, Phase, Refusal};

/// Bounds of a pause. A forgotten one must not leave a cluster without care for ever.
const SHORTEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 24 * 3600);
/// For how long the end of a failover is waited for before the operator is told to look at the status.
const FAILOVER: Duration = Duration::from_secs(30);

impl Control {
    pub(super) async fn pause(&self, request: PauseRequest) -> Result<Done, Status> {
        let length = Duration::from_millis(request.for_ms);
        if !(SHORTEST_PAUSE..=LONGEST_PAUSE).contains(&length) {
            return Err(Status::invalid_argument(
                "a pause lasts from 1 minute to 7 days; pass for example --for 30m",
            ));
        }
        if self.state().phase == Phase::Observing {
            return Err(by_state(Refusal::Observing));
        }
        let until_ms = self.now_ms().saturating_add_unsigned(request.for_ms);
        self.commit(Change::Pause { until_ms, word: word(request.by, request.reason) }).await?;
        Ok(done(
            format!("nothing is promoted automatically until {}", instant(until_ms)),
            ["batonctl resume ends the pause before; batonctl failover works in it with --force"],
        ))
    }

    pub(super) async fn resume(&self, request: ResumeRequest) -> Result<Done, Status> {
        self.commit(Change::Resume { by: request.by }).await?;
        Ok(done("failovers are automatic again", []))
    }

    pub(super) async fn release(&self, request: ReleaseRequest) -> Result<Done, Status> {
        let operation = self.operation_id();
        let writer = self.state().grant.as_ref().map(|g| g.node.clone());
        self.commit(Change::Release { operation, word: word(request.by, request.reason) }).await?;
        let open = writer.map(|w| format!("{w} stays open, every other server as it is"));
        Ok(Done {
            message: "Baton watches and touches nothing from now on".into(),
            details: open.into_iter().collect(),
        })
    }

    pub(super) async fn failover(&self, request: FailoverRequest) -> Result<Done, Status> {
        let (state, seen) = self.gathered().await;
        let writer = self.with_view(&state, &seen, None, |view| view.diagnosis().writer);
        let operation = self.operation_id();
        let last_seen = state.grant.as_ref().and_then(|g| seen.last_seen_set(&g.node));
        let begin = begin(&state, writer, &request, operation.clone(), last_seen)?;
        self.commit(Change::Begin(begin)).await?;
        self.wait_for(&operation).await
    }

    /// Waits until the new writer is open, bounded, and says how it went.
    async fn wait_for(&self, id: &OperationId) -> Result<Done, Status> {
        let mut states = self.group.states();
        let over = |state: &ClusterState| match &state.operation {
            Some(operation) if operation.id == *id => operation.opened_ms.is_some(),
            _ => true,
        };
        let waited = tokio::time::timeout(FAILOVER, states.wait_for(|applied| over(&applied.state))).await;
        let state = match waited {
            Ok(Ok(applied)) => std::sync::Arc::clone(&applied.state),
            Ok(Err(_)) => return Err(Status::deadline_exceeded("this node stopped; see `batonctl status`")),
            Err(_) => self.state(),
        };
        let finished = state.history.iter().map(|f| &f.operation);
        let operation = state.operation.iter().chain(finished).find(|o| o.id == *id);
        Ok(match operation.filter(|o| o.opened_ms.is_some()) {
            Some(operation) => moved(operation),
            None => done(
                under_way(&state).unwrap_or_else(|| "begun".into()),
                ["it goes on by itself; batonctl status and batonctl why show how far it is"],
            ),
        })
    }
}

fn moved(operation: &Operation) -> Done {
    let (epoch, node) = operation.to.clone().unwrap_or_default();
    let mut details = vec![format!("open after {} ms", operation.outage_ms(0))];
    details.extend(operation.loss.as_ref().map(ToString::to_string));
    details.extend(operation.proof.as_ref().map(|proof| format!("proof: {proof}")));
    Done { message: format!("{node} is the writer of epoch {epoch}"), details }
}

/// What is proposed, or why it is not. Without force only a lost writer is replaced.
fn begin(
    state: &ClusterState,
    writer: Writer,
    request: &FailoverRequest,
    operation: OperationId,
    last_seen: Option<GtidSet>,
) -> Result<Begin, Status> {
    // A word takes over a failover that finds no proof or no candidate by itself.
    let held_up = state.operation.as_ref().filter(|_| state.live_grant().is_none());
    let goes_on = |o: &&Operation| !request.force || o.forced.is_some() || o.to.is_some();
    if let Some(running) = held_up.filter(goes_on) {
        return Err(by_state(Refusal::UnderWay(running.id.clone())));
    }
    let grant = state.live_grant().or(state.grant.as_ref().filter(|_| held_up.is_some()));
    let grant = grant.ok_or_else(|| by_state(Refusal::Observing))?;
    let wanted = (!request.to.is_empty()).then(|| NodeName::from(request.to.as_str()));
    if wanted.as_ref() == Some(&grant.node) && held_up.is_none() {
        return Err(refused(format!("{} is the writer already", grant.node)));
    }
    let said = match (&request.by, &request.reason) {
        (by, reason) if reason.is_empty() => format!("asked for by {by}"),
        (by, reason) => format!("asked for by {by}: {reason}"),
    };
    let forced = request.force.then(|| word(request.by.clone(), request.reason.clone()));
    let (diagnosis, mut evidence) = match writer {
        Writer::Ending => held_up.map(|o| (o.diagnosis.clone(), o.evidence.clone())).unwrap_or_default(),
        Writer::Lost(WriterLost { kind, evidence }) => (kind.to_string(), evidence),
        Writer::Suspected(lost, _) if request.force => (lost.kind.to_string(), lost.evidence),
        _ if request.force => ("Forced".to_owned(), Vec::new()),
        Writer::Suspected(_, against) => {
            return Err(refused(format!(
                "{} is not lost: {}; --force takes your word instead",
                grant.node,
                against.join(", ")
            )));
        }
        _ => {
            return Err(refused(format!(
                "{} is not lost: it holds epoch {} and nothing speaks against it; --force takes your word instead of \
                 a proof",
                grant.node, grant.epoch
            )));
        }
    };
    evidence.push(said);
    Ok(Begin { operation, epoch: grant.epoch, diagnosis, evidence, forced, wanted, last_seen })
}

pub(super) fn word(by: String, reason: String) -> Forced {
    Forced { by, reason: if reason.is_empty() { "no reason was given".into() } else { reason } }
}

pub(super) fn done<const N: usize>(message: impl Into<String>, details: [&str; N]) -> Done {
    Done { message: message.into(), details: details.map(str::to_owned).into() }
}

/// "2026-11-20 09:30 UTC"
pub(super) fn instant(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
