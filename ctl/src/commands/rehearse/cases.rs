//! The four cases, in the order in which each finds the cluster whole.

use std::time::{Duration, Instant};

use baton_proto::control::StatusReply;

use super::checks::{a_replica, apart, is_whole, lost_nothing, one_is_open, was_fenced, why_not_whole};
use super::cluster::Rehearsed;
use crate::render::Case;

/// The cluster is whole again, with a server that had to start and to catch up.
const WHOLE: Duration = Duration::from_secs(120);
/// A failover, or the notice of a lost replica.
const NOTICED: Duration = Duration::from_secs(60);

/// Runs them one after the other; one that does not find the cluster whole fails by that.
pub(super) async fn all(rehearsed: &Rehearsed<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    cases.push(case(rehearsed, "replica failure", replica_fails).await);
    let mut ended = Ended::default();
    cases.push(case(rehearsed, "switchover", async |r, c, s| switches_over(r, c, s, &mut ended).await).await);
    cases.push(
        case(rehearsed, "primary failure", async |r, c, s| primary_fails(r, c, s, &mut ended).await).await,
    );
    cases.push(last(rehearsed, "fencing", &ended).await);
    cases
}

/// It asks what the others did, also where a server has stayed out since.
async fn last(rehearsed: &Rehearsed<'_>, name: &str, ended: &Ended) -> Case {
    let began = Instant::now();
    let mut case = Case::new(name);
    if let Err(why) = fences(rehearsed, &mut case, ended).await {
        case.check("it goes on", Err(why));
    }
    case.took_ms = since(began);
    case
}

fn since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The epochs that the cases have ended.
#[derive(Default)]
struct Ended {
    planned: Option<u64>,
    crashed: Option<u64>,
}

async fn case(
    rehearsed: &Rehearsed<'_>,
    name: &str,
    run: impl AsyncFnOnce(&Rehearsed<'_>, &mut Case, StatusReply) -> Result<(), String>,
) -> Case {
    let began = Instant::now();
    let mut case = Case::new(name);
    let before = rehearsed.reaches("the cluster to be whole", WHOLE, is_whole).await;
    match before {
        Ok(before) => {
            case.check("before: whole, lossless, failover automatic", Ok(String::new()));
            if let Err(why) = run(rehearsed, &mut case, before).await {
                case.check("it goes on", Err(why));
            }
        }
        Err(why) => {
            let lacks = rehearsed.status().await.ok().and_then(|status| why_not_whole(&status));
            case.check("before: whole, lossless, failover automatic", Err(lacks.unwrap_or(why)));
        }
    }
    case.took_ms = since(began);
    case
}

async fn replica_fails(
    rehearsed: &Rehearsed<'_>,
    case: &mut Case,
    before: StatusReply,
) -> Result<(), String> {
    let replica = a_replica(&before).ok_or("there is no replica")?.name.clone();
    rehearsed.part(&replica, "kill").await.map_err(|error| error.to_string())?;
    let down = |status: &StatusReply| status.nodes.iter().any(|n| n.name == replica && !n.server_answers);
    let seen = rehearsed.reaches(&format!("{replica} to be seen down"), NOTICED, down).await;
    let stays = seen.as_ref().ok().map(|s| (s.writer.clone(), s.epoch, s.writer_open));
    case.check(&format!("{replica} is killed, and seen down"), seen.map(|_| String::new()));
    let same = stays == Some((before.writer.clone(), before.epoch, true));
    let writes = if same { Ok(String::new()) } else { Err(format!("{stays:?}")) };
    case.check(&format!("{} goes on as the writer, under epoch {}", before.writer, before.epoch), writes);
    back(rehearsed, case, &replica).await
}

async fn switches_over(
    rehearsed: &Rehearsed<'_>,
    case: &mut Case,
    before: StatusReply,
    ended: &mut Ended,
) -> Result<(), String> {
    let reply = rehearsed.switchover().await.map_err(|error| error.to_string())?;
    let stops = reply.findings.iter().filter(|f| f.level == "stop").map(|f| f.what.as_str());
    let why = format!("{} {}", reply.message, stops.collect::<Vec<_>>().join("; "));
    let paused = format!("{} to {}, writes paused for {} ms", reply.from, reply.to, reply.pause_ms);
    case.check("the writer moves", if reply.moved { Ok(paused) } else { Err(why) });
    ended.planned = reply.moved.then_some(before.epoch);
    let after = rehearsed.reaches("the cluster to be whole", WHOLE, is_whole).await?;
    case.check("after: one server is open", one_is_open(&after));
    Ok(())
}

async fn primary_fails(
    rehearsed: &Rehearsed<'_>,
    case: &mut Case,
    before: StatusReply,
    ended: &mut Ended,
) -> Result<(), String> {
    let old = before.writer.clone();
    rehearsed.part(&old, "kill").await.map_err(|error| error.to_string())?;
    let moved = |s: &StatusReply| s.epoch > before.epoch && s.writer_open && s.operation.is_empty();
    let after = rehearsed.reaches("a writer to be open under the next epoch", NOTICED, moved).await?;
    ended.crashed = Some(before.epoch);
    let operation = rehearsed.operation_from(before.epoch).await.map_err(|error| error.to_string())?;
    let outage = format!("{old} to {}, {} ms without a writer", after.writer, operation.outage_ms);
    case.check("the write role moves by itself", Ok(outage));
    case.check("nothing acknowledged is lost", lost_nothing(&operation));
    returns(rehearsed, case, &old).await
}

/// Of both moves: planned, the old writer was closed; after the crash it was gone.
async fn fences(rehearsed: &Rehearsed<'_>, case: &mut Case, ended: &Ended) -> Result<(), String> {
    let moves = [
        ("planned: the old writer was closed first", ended.planned, &["closed"][..]),
        (
            "crash: the old writer could acknowledge nothing more",
            ended.crashed,
            &["closed", "gone", "starved", "expired", "stonith"][..],
        ),
    ];
    for (what, epoch, proofs) in moves {
        let epoch = epoch.ok_or("the writer was not moved before")?;
        let operation = rehearsed.operation_from(epoch).await.map_err(|error| error.to_string())?;
        case.check(what, was_fenced(&operation, proofs));
    }
    let now = rehearsed.status().await.map_err(|error| error.to_string())?;
    case.check("every other server is closed, also the one that came back", one_is_open(&now));
    Ok(())
}

/// Starts a server that was killed and waits until the cluster is whole.
async fn back(rehearsed: &Rehearsed<'_>, case: &mut Case, node: &str) -> Result<(), String> {
    rehearsed.part(node, "start").await.map_err(|error| error.to_string())?;
    let whole = rehearsed.reaches("the cluster to be whole", WHOLE, is_whole).await;
    case.check(
        &format!("after: {node} has come back, and the cluster is whole"),
        whole.map(|_| String::new()),
    );
    Ok(())
}

/// The same of a primary. Under load it may come back with a commit that nobody acknowledged: kept apart, it is where it
/// should be.
async fn returns(rehearsed: &Rehearsed<'_>, case: &mut Case, node: &str) -> Result<(), String> {
    rehearsed.part(node, "start").await.map_err(|error| error.to_string())?;
    let judged = |status: &StatusReply| is_whole(status) || apart(status, node).is_some();
    let back = rehearsed.reaches("the cluster to be whole", WHOLE, judged).await;
    let said = back.map(|status| match apart(&status, node) {
        Some(note) => format!("it is out: {note}; batonctl rebuild {node} brings it back"),
        None => String::new(),
    });
    case.check(&format!("after: {node} has come back, and the cluster is whole"), said);
    Ok(())
}
