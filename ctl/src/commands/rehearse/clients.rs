//! What clients would notice: where they are led, and whether their rows are there.

use std::time::Duration;

use baton_proto::control::{RoutingReply, StatusReply};
use tokio::time::{Instant, sleep};

use super::cluster::Rehearsed;
use super::read::{has_rows, proxied, routed};
use crate::render::Case;

/// Routers and ProxySQL follow within moments; each ProxySQL is read every 1.5 s.
const LED_WITHIN: Duration = Duration::from_secs(15);
/// A replica that follows applies within moments.
const FOUND_WITHIN: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Looks whether clients are led to the writer and whether it takes a row. Whether all was well.
pub(super) async fn are_served(
    rehearsed: &Rehearsed<'_>,
    case: &mut Case,
    when: &str,
    status: &StatusReply,
) -> bool {
    let writer = &status.writer;
    let led = led(rehearsed, status).await;
    let written = rehearsed.write(writer).await;
    let well = led.is_ok() && written.is_ok();
    case.check(&format!("{when}: clients are led to {writer}"), led);
    case.check(&format!("{when}: {writer} takes a row"), written);
    well
}

/// Looks whether every server that serves has every row that was acknowledged.
pub(super) async fn find_their_rows(rehearsed: &Rehearsed<'_>, case: &mut Case, status: &StatusReply) {
    let written = rehearsed.written();
    let serving = status.nodes.iter().filter(|node| matches!(node.role.as_str(), "writer" | "replica"));
    let serving: Vec<&str> = serving.map(|node| node.name.as_str()).collect();
    let found = becomes_right(FOUND_WITHIN, async || {
        for node in &serving {
            has_rows(node, &written, &rehearsed.look(node).await?.rows)?;
        }
        Ok(format!("{} on each of {}", written.len(), serving.join(", ")))
    });
    case.check("after: every row written is found", found.await);
}

/// Every router, by a connection through it; every ProxySQL, read anew by Baton.
async fn led(rehearsed: &Rehearsed<'_>, status: &StatusReply) -> Result<String, String> {
    let before = rehearsed.routing().await?;
    becomes_right(LED_WITHIN, async || {
        let routers = by_routers(rehearsed, status).await?;
        let proxies = by_proxies(rehearsed, status, &before).await?;
        Ok([routers, proxies].into_iter().filter(|said| !said.is_empty()).collect::<Vec<_>>().join("; "))
    })
    .await
}

async fn by_routers(rehearsed: &Rehearsed<'_>, status: &StatusReply) -> Result<String, String> {
    let writer = rehearsed.look(&status.writer).await?.server_id;
    let mut routes = Vec::new();
    for node in status.nodes.iter().filter(|node| node.node_answers) {
        routes.push((node.name.as_str(), rehearsed.route(&node.name).await?));
    }
    routed(writer, &routes)
}

async fn by_proxies(
    rehearsed: &Rehearsed<'_>,
    status: &StatusReply,
    before: &RoutingReply,
) -> Result<String, String> {
    if before.proxies.is_empty() {
        return Ok(String::new());
    }
    proxied(&status.writer, before, &rehearsed.routing().await?)
}

/// Looks again, bounded, while something is not yet so.
async fn becomes_right(
    within: Duration,
    look: impl AsyncFn() -> Result<String, String>,
) -> Result<String, String> {
    let deadline = Instant::now() + within;
    loop {
        match look().await {
            Err(_) if Instant::now() < deadline => sleep(LOOK_AGAIN).await,
            seen => return seen,
        }
    }
}
