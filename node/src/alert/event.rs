//! What is worth telling: conditions that are the case now, and operations as stories. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::decide::diagnosis::{Diagnosis, Trouble, Writer};
use crate::decide::holding::holds;
use crate::operate::Followers;
use crate::state::{
    ClusterState, Durability, Ending, Finished, NodeName, Operation, OperationKind, Phase, Severity,
    StepName, Story, Tone, UnixMillis,
};

/// A failover that has opened its writer within this is told of once, with its outcome.
pub const OUTCOME_WITHIN: Duration = Duration::from_millis(600);
/// What is over as soon as it began is not worth a message.
const SOON: Duration = Duration::from_secs(1);
/// Reports of a node that restarts are missing for about this long.
const SETTLED: Duration = Duration::from_secs(5);
/// A replica that lags, or is not back yet after the writer moved, often mends itself.
const PATIENT: Duration = Duration::from_secs(30);

/// An archive that takes longer is told of without.
const ARCHIVED: Duration = Duration::from_secs(60);

/// Something that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The same for the same thing at the same server.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// In words, without numbers that change all the time.
    pub what: String,
    /// How long it must have been so before it is told.
    pub settle: Duration,
}

/// Everything that is wrong now, beside what an operation under way is about.
pub fn conditions(state: &ClusterState, diagnosis: &Diagnosis, now_ms: UnixMillis) -> Vec<Condition> {
    if state.phase != Phase::Managed {
        return Vec::new();
    }
    let mut found: Vec<Condition> = Vec::new();
    if let Writer::Lost(lost) = &diagnosis.writer {
        let writer = state.grant.as_ref().map(|g| g.node.to_string()).unwrap_or_default();
        let why = holds(state, now_ms).first().map_or_else(String::new, |hold| format!(": {hold}"));
        found.push(Condition {
            key: "WriterLost".into(),
            severity: Severity::Critical,
            what: format!("no writer: {writer} is lost ({}) and no failover runs{why}", lost.kind),
            settle: SOON,
        });
    }
    found.extend(diagnosis.troubles.iter().filter(|t| is_news(state, t)).map(|t| condition(state, t)));
    found
}

/// What is wrong with servers without a node, while the cluster is under care.
pub fn of_followers(state: &ClusterState, followers: &Followers) -> Vec<Condition> {
    let troubled = followers.values().filter_map(|f| Some((&f.declared.name, f.trouble.as_ref()?)));
    let all = troubled.map(|(name, trouble)| Condition {
        key: format!("FollowerTrouble:{name}"),
        severity: Severity::Warning,
        what: format!("{name}: {trouble}"),
        settle: PATIENT,
    });
    if state.phase == Phase::Managed { all.collect() } else { Vec::new() }
}

/// What an operation or a rebuild tells itself is not told again.
fn is_news(state: &ClusterState, trouble: &Trouble) -> bool {
    let rebuilt = |node: &NodeName| state.rebuild_of(node).is_some();
    match trouble {
        Trouble::ReplicaDown(n) | Trouble::ServerOut(n, _) | Trouble::ReplicaStopped(n, _) => !rebuilt(n),
        Trouble::NoWriter => state.live_grant().is_some_and(|g| g.opened_ms.is_some()),
        _ => true,
    }
}

fn condition(state: &ClusterState, trouble: &Trouble) -> Condition {
    let name = trouble.name();
    let key = trouble.whose().map_or_else(|| name.clone(), |whose| format!("{name}:{whose}"));
    let (severity, settle) = weight(state, trouble);
    // Whoever works on a server knows.
    let expected = severity == Severity::Warning && trouble.node().is_some_and(|n| state.in_maintenance(n));
    let severity = if expected { Severity::Info } else { severity };
    Condition { key, severity, what: words(state, trouble), settle }
}

fn words(state: &ClusterState, trouble: &Trouble) -> String {
    match trouble {
        Trouble::ReplicaLagging(node, _) => format!("{node} lags behind the writer"),
        Trouble::NotLossless(why) => {
            let writer = state.grant.as_ref().map(|g| g.node.to_string()).unwrap_or_default();
            format!("NOT LOSSLESS: a write may be on {writer} alone ({why})")
        }
        Trouble::SemiSyncBlocked(_) => "commits wait and no acker is connected".into(),
        Trouble::ServerOut(node, why) => {
            let extra = state.quarantine(node).map(|q| format!("{} only it has; ", q.extra.amount()));
            format!("{node} is out: {}{why}", extra.unwrap_or_default())
        }
        Trouble::ErrantTransactions(node, _) => format!("{node} has transactions that the writer lacks"),
        Trouble::ClockSkew(node, ahead) => {
            let side = if *ahead > 0 { "ahead of" } else { "behind" };
            format!("{node}'s clock is {side} the leader's by more than a second")
        }
        Trouble::DiskNearlyFull(node, disk) => {
            format!("{node}: its disk is nearly full, {} MiB are free", disk.free >> 20)
        }
        Trouble::BackupStale { after, .. } => {
            format!("there is no backup of the last {}", crate::config::show_duration(*after))
        }
        Trouble::ArchiveStalled(_) => {
            "the archive of the binlog does not get on; `batonctl check` says why".into()
        }
        other => other.to_string(),
    }
}

fn weight(state: &ClusterState, trouble: &Trouble) -> (Severity, Duration) {
    use Severity::{Critical, Warning};
    match trouble {
        Trouble::TwoWritersSeen(_) | Trouble::LeftBehindOpen(_) | Trouble::ReplicaOpen(_) => (Critical, SOON),
        // Somebody's hand is no report that comes late.
        Trouble::WriterClosedByHand(_) => (Critical, SOON),
        Trouble::WriterUnreachableButReplicating { .. }
        | Trouble::WriterCannotWrite(..)
        | Trouble::NoWriter
        | Trouble::QuorumLost { .. }
        | Trouble::SemiSyncBlocked(_)
        | Trouble::WriterOutOfConnections(_) => (Critical, SETTLED),
        // The story of the operation says it, until an acker ought to be back.
        Trouble::NotLossless(_) if newly_granted(state) => (Warning, PATIENT),
        Trouble::NotLossless(_) => (Warning, SOON),
        // Once its transactions are archived there is something to decide.
        Trouble::ServerOut(n, _) if state.quarantine(n).is_some_and(|q| q.archive.is_none()) => {
            (Warning, ARCHIVED)
        }
        Trouble::ReplicaLagging(..) => (Warning, PATIENT),
        _ => (Warning, SETTLED),
    }
}

fn newly_granted(state: &ClusterState) -> bool {
    use crate::state::DegradeReason::NewEpoch;
    matches!(&state.durability, Durability::Degraded { reason: NewEpoch, .. })
}

/// How an operation stands. `None` while it is too early to tell.
pub fn story(
    state: &ClusterState,
    operation: &Operation,
    finished: Option<&Finished>,
    now_ms: UnixMillis,
) -> Option<(Severity, Story)> {
    let ending = finished.map(|f| f.ending);
    let (severity, mut story) = match operation.kind {
        OperationKind::Failover => failover(state, operation, ending, now_ms)?,
        OperationKind::Switchover => switchover(state, operation, ending)?,
        OperationKind::Rebuild => rebuild(operation, ending)?,
        OperationKind::Adopt => (Severity::Info, told(Tone::Good, adopted(operation), Vec::new())),
        OperationKind::Release => (Severity::Warning, told(Tone::Uneasy, released(operation), Vec::new())),
    };
    story.operation = operation.id.clone();
    story.kind = Some(operation.kind);
    let moves = matches!(operation.kind, OperationKind::Failover | OperationKind::Switchover);
    let waits = moves && moved_here(state, operation) && !state.durability.is_lossless();
    story.over = finished.is_some() && !waits;
    Some((severity, story))
}

fn told(tone: Tone, title: String, facts: Vec<String>) -> Story {
    Story { tone, title, facts, ..Story::default() }
}

/// Whether the writer of now is the one of this operation.
fn moved_here(state: &ClusterState, operation: &Operation) -> bool {
    let to = operation.to.as_ref().map(|(epoch, _)| *epoch);
    state.phase == Phase::Managed && to.is_some() && to == state.live_grant().map(|g| g.epoch)
}

fn failover(
    state: &ClusterState,
    operation: &Operation,
    ending: Option<Ending>,
    now_ms: UnixMillis,
) -> Option<(Severity, Story)> {
    let from = name(operation.from_node.as_ref());
    let mut facts = why(operation);
    let Some(_) = operation.opened_ms else {
        let early = now_ms.saturating_sub(operation.started_ms) < OUTCOME_WITHIN.as_millis() as i64;
        let story = match ending {
            None if early => return None,
            None => {
                facts.push(next_step(operation));
                told(Tone::Bad, format!("no writer: {from} is lost, a failover runs"), facts)
            }
            Some(Ending::Superseded) => {
                facts.push("The next failover goes on from here.".into());
                told(Tone::Bad, format!("no writer: the failover away from {from} found no end"), facts)
            }
            Some(ending) => told(Tone::Bad, format!("the failover away from {from}: {ending}"), facts),
        };
        return Some((Severity::Critical, story));
    };
    let to = name(operation.to.as_ref().map(|(_, node)| node));
    let moved =
        if from == to { format!("{to} writes again") } else { format!("writer moved {from} → {to}") };
    let out = seconds(operation.outage_ms(now_ms));
    facts.extend(
        operation.proof.as_ref().map(|proof| format!("Proof that {from} can write no more: {proof}.")),
    );
    facts.push(durability(state, operation));
    let lost = operation.loss.as_ref().map_or_else(|| "loss unknown".into(), short_loss);
    let title = format!("{moved}, writes were out {out}, {lost}");
    Some((Severity::Critical, told(tone(state, operation), title, facts)))
}

fn switchover(
    state: &ClusterState,
    operation: &Operation,
    ending: Option<Ending>,
) -> Option<(Severity, Story)> {
    let from = name(operation.from_node.as_ref());
    let mut facts = vec![operation.diagnosis.clone()];
    let pause = seconds(operation.outage_ms(operation.started_ms));
    if let (Some((epoch, to)), Some(_)) = (&operation.to, operation.opened_ms) {
        facts.push(format!("Epoch {epoch}. {}", durability(state, operation)));
        let title = format!("writer moved {from} → {to} as planned, writes paused {pause}, nothing lost");
        return Some((Severity::Info, told(tone(state, operation), title, facts)));
    }
    let ending = ending?;
    facts.extend(
        operation.steps.iter().rfind(|s| s.name == StepName::Undo.as_str()).map(|s| s.detail.clone()),
    );
    let title = format!("switchover away from {from}: {ending}; {from} is still the writer");
    Some((Severity::Warning, told(Tone::Uneasy, title, facts)))
}

fn rebuild(operation: &Operation, ending: Option<Ending>) -> Option<(Severity, Story)> {
    let node = name(operation.wanted.as_ref());
    let facts: Vec<String> = operation.steps.last().map(|s| s.detail.clone()).into_iter().collect();
    Some(match ending {
        None => {
            let source = operation.from_node.as_ref().map(|n| format!(" from {n}")).unwrap_or_default();
            (Severity::Info, told(Tone::Uneasy, format!("{node} is being rebuilt{source}"), Vec::new()))
        }
        Some(Ending::Done) => (
            Severity::Info,
            told(Tone::Good, format!("{node} is rebuilt and follows the writer"), Vec::new()),
        ),
        Some(ending) => {
            (Severity::Warning, told(Tone::Uneasy, format!("rebuild of {node}: {ending}"), facts))
        }
    })
}

fn adopted(operation: &Operation) -> String {
    format!("adopted: {} is the writer, Baton is in charge", name(operation.to.as_ref().map(|(_, n)| n)))
}

fn released(operation: &Operation) -> String {
    let word = operation.forced.as_ref().map(|w| format!(" ({}: {})", w.by, w.reason)).unwrap_or_default();
    format!("released: Baton watches and touches nothing{word}")
}

/// The diagnosis and who saw it, with the moment.
fn why(operation: &Operation) -> Vec<String> {
    let at = clock(operation.lost_ms());
    let word = operation.forced.as_ref().map(|w| format!("Forced by {}: {}.", w.by, w.reason));
    let evidence = operation.evidence.iter().take(3).map(|e| sentence(e));
    let first = format!("{} at {at}, epoch {}.", operation.diagnosis, operation.from);
    std::iter::once(first).chain(evidence).chain(word).collect()
}

/// What happens next, from what was done last.
fn next_step(operation: &Operation) -> String {
    if let Some((epoch, to)) = &operation.to {
        return format!("Next: {to} opens under epoch {epoch}.");
    }
    let held = operation.steps.last().filter(|s| s.name == StepName::Held.as_str());
    match held {
        Some(step) => format!("Held: {}. See batonctl why.", step.detail),
        None if operation.has_taken(StepName::Proof) => "Next: the most complete replica is chosen.".into(),
        None => "Next: proof that it can write no more; then the most complete replica is chosen.".into(),
    }
}

fn durability(state: &ClusterState, operation: &Operation) -> String {
    match &state.durability {
        _ if !moved_here(state, operation) => "The writer has moved on since.".into(),
        Durability::Lossless { since_ms } => {
            let ackers: Vec<_> = state.ackers.iter().map(NodeName::as_str).collect();
            format!("LOSSLESS since {} (acked by {}).", clock(*since_ms), ackers.join(", "))
        }
        Durability::Degraded { reason, .. } => format!("Now NOT LOSSLESS: {reason}."),
        Durability::Unknown => "Now NOT LOSSLESS: no acker has acknowledged a commit yet.".into(),
    }
}

fn tone(state: &ClusterState, operation: &Operation) -> Tone {
    use crate::state::Loss;
    match operation.loss {
        Some(Loss::Ranges(_) | Loss::Unknown) => Tone::Bad,
        _ if state.durability.is_lossless() || !moved_here(state, operation) => Tone::Good,
        _ if operation.kind == OperationKind::Switchover => Tone::Uneasy,
        _ => Tone::Bad,
    }
}

fn short_loss(loss: &crate::state::Loss) -> String {
    use crate::state::Loss;
    match loss {
        Loss::None { .. } => "nothing lost".into(),
        other => other.to_string(),
    }
}

fn name(node: Option<&NodeName>) -> String {
    node.map_or_else(|| "?".to_owned(), ToString::to_string)
}

/// "0.3 s"
fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1000.0)
}

/// "03:12:44 UTC"
pub fn clock(at_ms: UnixMillis) -> String {
    Timestamp::from_millisecond(at_ms).unwrap_or_default().strftime("%H:%M:%S UTC").to_string()
}

fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}
