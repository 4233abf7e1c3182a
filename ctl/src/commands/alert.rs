//! Who is told what happens: a mute, and a test.

use std::time::Duration;

use baton_proto::control::{AlertTestRequest, MuteRequest};

use super::operate::done;
use super::{Context, Outcome};
use crate::error::Error;
use crate::exit::Exit;
use crate::render;
use crate::terminal::with_progress;

/// Without a length the mute ends.
pub(super) async fn mute(
    context: &Context<'_>,
    length: Option<Duration>,
    reason: Option<String>,
) -> Result<Outcome, Error> {
    let for_ms = length.map_or(0, |length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
    if length.is_some() && for_ms == 0 {
        return Err(Error::usage("a mute of no length", "pass for example --for 2h"));
    }
    let request = MuteRequest { for_ms, reason: reason.unwrap_or_default(), by: context.by.clone() };
    let change = context.group.change(|mut node| async move { node.mute(request).await });
    done(context, &with_progress("muting", change).await?)
}

pub(super) async fn test(context: &Context<'_>) -> Result<Outcome, Error> {
    let request = AlertTestRequest { by: context.by.clone() };
    let change = context.group.change(|mut node| async move { node.alert_test(request).await });
    let reply = with_progress("telling everybody", change).await?;
    let failed = reply.sinks.iter().any(|sink| !sink.failed.is_empty());
    let exit = if failed { Exit::Degraded } else { Exit::Ok };
    Outcome::new(&reply, render::alert_test(&reply, context.style), exit)
}
