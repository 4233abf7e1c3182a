//! `batonctl rebuild`: begins one and watches it to its end, or shows its plan, or ends it.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use baton_proto::control::{HistoryRequest, Operation, RebuildRequest, RebuildStatus, StatusRequest};

use super::{Context, Outcome};
use crate::error::Error;
use crate::exit::Exit;
use crate::render;
use crate::terminal::{can_ask, confirm, with_progress};

/// Between two looks on a terminal.
const LOOK: Duration = Duration::from_secs(1);
/// Between two lines where nobody watches: a log should show progress and not be filled with it.
const LINE: Duration = Duration::from_secs(10);
/// For how long nobody may answer before the watching, not the rebuild, ends.
const SILENCE: Duration = Duration::from_secs(120);

/// How it is called.
pub(super) struct Options {
    pub(super) node: String,
    pub(super) from: Option<String>,
    pub(super) dry_run: bool,
    pub(super) cancel: bool,
    pub(super) yes: bool,
}

pub(super) async fn rebuild(context: &Context<'_>, options: Options) -> Result<Outcome, Error> {
    let Options { node, from, dry_run, cancel, yes } = options;
    let request = RebuildRequest {
        node: node.clone(),
        from: from.unwrap_or_default(),
        dry_run,
        cancel,
        by: context.by.clone(),
    };
    if !cancel && (dry_run || !yes) {
        let question = RebuildRequest { dry_run: true, ..request.clone() };
        let asked = context.group.ask(move |mut node| {
            let request = question.clone();
            async move { node.rebuild(request).await }
        });
        let plan = with_progress("looking at the servers", asked).await?;
        let text = render::rebuild_plan(&plan, dry_run, context.style);
        let refused = !plan.refusals.is_empty();
        if dry_run || refused {
            let exit = if refused { Exit::Refused } else { Exit::Ok };
            return Outcome::new(&plan, text, exit);
        }
        if !can_ask() {
            return Err(Error::usage(
                "a rebuild discards the node's data and asks for the node's name, and nobody is at the terminal",
                "pass --yes if you are sure",
            ));
        }
        std::io::stderr().write_all(text.as_bytes())?;
        confirm("\nType the node's name to go on:", &node)?;
    }
    let change = context.group.change(|mut node| async move { node.rebuild(request).await });
    let reply = with_progress("asking the leader", change).await?;
    if !reply.refusals.is_empty() || cancel {
        let exit = if cancel { Exit::Ok } else { Exit::Refused };
        return Outcome::new(&reply, render::rebuild_plan(&reply, false, context.style), exit);
    }
    let operation = watch(context, &reply.id).await?;
    let exit = if operation.outcome == "done" { Exit::Ok } else { Exit::Refused };
    Outcome::new(&operation, render::rebuilt(&operation, &node, context.style), exit)
}

/// Says how far it is until it is over. Ended here by Ctrl-C, the rebuild goes on: its node does it, not this command.
async fn watch(context: &Context<'_>, id: &str) -> Result<Operation, Error> {
    let live = std::io::stderr().is_terminal();
    let mut heard = Instant::now();
    let mut told: Option<(Instant, String)> = None;
    loop {
        match look(context, id).await {
            Ok(Seen::Over(operation)) => {
                if live {
                    say("\r\x1b[K");
                }
                return Ok(*operation);
            }
            Ok(Seen::Running(status)) => {
                heard = Instant::now();
                let line = render::rebuild_line(&status);
                let due = told.as_ref().is_none_or(|(at, step)| *step != status.step || at.elapsed() >= LINE);
                if live {
                    say(&format!("\r\x1b[K{line}"));
                } else if due {
                    say(&format!("{line}\n"));
                    told = Some((Instant::now(), status.step));
                }
            }
            Ok(Seen::NotYet) => {}
            Err(error) if heard.elapsed() >= SILENCE => return Err(error),
            Err(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

enum Seen {
    Running(Box<RebuildStatus>),
    Over(Box<Operation>),
    /// A node that has not applied its beginning has answered.
    NotYet,
}

async fn look(context: &Context<'_>, id: &str) -> Result<Seen, Error> {
    let question = context.group.ask(|mut node| async move { node.status(StatusRequest {}).await });
    if let Some(status) = question.await?.rebuild.filter(|status| status.id == id) {
        return Ok(Seen::Running(Box::new(status)));
    }
    let question = context
        .group
        .ask(|mut node| async move { node.history(HistoryRequest { limit: 100, epoch: 0 }).await });
    let found = question.await?.operations.into_iter().find(|o| o.id == id && o.outcome != "running");
    Ok(found.map_or(Seen::NotYet, |operation| Seen::Over(Box::new(operation))))
}

/// A stderr that cannot be written to loses nothing but the progress.
fn say(text: &str) {
    let mut stderr = std::io::stderr();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
