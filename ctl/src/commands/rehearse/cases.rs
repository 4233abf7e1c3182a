//! The four cases, in the order in which each finds the cluster whole.

use std::time::{Duration, Instant};

use baton_proto::control::StatusReply;

use super::checks::{a_replica, apart, is_whole, lost_nothing, one_is_open, was_fenced, why_not_whole};
use super::clients::{are_served, find_their_rows};
use super::cluster::Rehearsed;
use super::read::is_closed;
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
            // A fault on top of what is wrong already says nothing about the fault.
            if are_served(rehearsed, &mut case, "before", &before).await
                && let Err(why) = Box::pin(run(rehearsed, &mut case, before)).await
            {
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
    let written = rehearsed.write(&before.writer).await;
    case.check(&format!("{} takes a row without {replica}", before.writer), written);
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
    afterwards(rehearsed, case, &after).await;
    Ok(())
}

/// What must be so after each fault, once the cluster is whole.
async fn afterwards(rehearsed: &Rehearsed<'_>, case: &mut Case, status: &StatusReply) {
    case.check("after: one server is open", one_is_open(status));
    are_served(rehearsed, case, "after", status).await;
    find_their_rows(rehearsed, case, status).await;
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
        let fenced = match epoch {
            None => Err("the writer was not moved before".into()),
            Some(epoch) => match rehearsed.operation_from(epoch).await {
                Ok(operation) => was_fenced(&operation, proofs),
                Err(error) => Err(error.to_string()),
            },
        };
        case.check(what, fenced);
    }
    let now = rehearsed.status().await.map_err(|error| error.to_string())?;
    case.check("every other server is closed, also the one that came back", one_is_open(&now));
    // Not by what somebody saw a moment ago: each is asked now, by the node beside it.
    let servers = now.nodes.iter().filter(|n| matches!(n.role.as_str(), "writer" | "replica" | "out"));
    for server in servers {
        let (name, seen) = (&server.name, rehearsed.look(&server.name).await);
        if *name == now.writer {
            let open = seen.and_then(|seen| match is_closed(&seen.flags) {
                Ok(closed) => Err(closed),
                Err(open) => Ok(open),
            });
            case.check(&format!("{name} takes writes"), open);
        } else {
            case.check(&format!("{name} refuses writes"), seen.and_then(|seen| is_closed(&seen.flags)));
        }
    }
    Ok(())
}

/// Starts a server that was killed and waits until the cluster is whole.
async fn back(rehearsed: &Rehearsed<'_>, case: &mut Case, node: &str) -> Result<(), String> {
    let whole = rehearsed.comes_back(node, WHOLE, is_whole).await;
    let status = whole.as_ref().ok().cloned();
    let what = format!("after: {node} has come back, and the cluster is whole");
    case.check(&what, whole.map(|_| String::new()));
    if let Some(status) = status {
        afterwards(rehearsed, case, &status).await;
    }
    Ok(())
}

/// The same of a primary. Under load it may come back with a commit that nobody acknowledged: kept apart, it is where it
/// should be.
async fn returns(rehearsed: &Rehearsed<'_>, case: &mut Case, node: &str) -> Result<(), String> {
    let judged = |status: &StatusReply| is_whole(status) || apart(status, node).is_some();
    let back = rehearsed.comes_back(node, WHOLE, judged).await;
    let status = back.as_ref().ok().cloned();
    let said = back.map(|status| match apart(&status, node) {
        Some(note) => format!("it is out: {note}; batonctl rebuild {node} brings it back"),
        None => String::new(),
    });
    case.check(&format!("after: {node} has come back, and the cluster is whole"), said);
    if let Some(status) = status {
        afterwards(rehearsed, case, &status).await;
    }
    Ok(())
}
