//! `batonctl backup`: begins one and watches it to its end, or shows what there is.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use baton_proto::control::{
    BackupBegun, BackupCancelRequest, BackupDeleteRequest, BackupListReply, BackupListRequest,
    BackupNowRequest, BackupPinRequest, BackupPruneRequest, BackupScanRequest, BackupTask,
    BackupVerifyRequest,
};
use jiff::Timestamp;

use super::operate::done;
use super::{Context, Outcome};
use crate::error::Error;
use crate::exit::Exit;
use crate::render;
use crate::terminal::with_progress;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Between two lines where nobody watches: a log should show progress and not be filled with it.
const LINE: Duration = Duration::from_secs(10);
/// For how long nobody may answer, or know the task, before the watching, not the task, ends.
const SILENCE: Duration = Duration::from_secs(120);

/// How `now` is called.
pub(super) struct Options {
    pub(super) node: Option<String>,
    pub(super) kind: String,
    pub(super) allow_writer: bool,
    pub(super) full_speed: bool,
    pub(super) follow: bool,
}

pub(super) async fn now(context: &Context<'_>, options: Options) -> Result<Outcome, Error> {
    let Options { node, kind, allow_writer, full_speed, follow } = options;
    let node = node.unwrap_or_default();
    let request = BackupNowRequest { node, allow_writer, full_speed, by: context.by.clone(), kind };
    let change = context.group.change(|mut node| async move { node.backup_now(request).await });
    let begun = with_progress("asking the leader", change).await?;
    if follow { followed(context, begun).await } else { said(context, &begun) }
}

pub(super) async fn verify(context: &Context<'_>, id: String, follow: bool) -> Result<Outcome, Error> {
    let request = BackupVerifyRequest { backup: id, by: context.by.clone() };
    let change = context.group.change(|mut node| async move { node.backup_verify(request).await });
    let begun = with_progress("asking the leader", change).await?;
    if follow { followed(context, begun).await } else { said(context, &begun) }
}

pub(super) async fn scan(
    context: &Context<'_>,
    node: Option<String>,
    follow: bool,
) -> Result<Outcome, Error> {
    let request = BackupScanRequest { node: node.unwrap_or_default(), by: context.by.clone() };
    let change = context.group.change(|mut node| async move { node.backup_scan(request).await });
    let begun = with_progress("asking the leader", change).await?;
    if follow { followed(context, begun).await } else { said(context, &begun) }
}

pub(super) async fn cancel(context: &Context<'_>) -> Result<Outcome, Error> {
    let request = BackupCancelRequest { by: context.by.clone() };
    let change = context.group.change(|mut node| async move { node.backup_cancel(request).await });
    done(context, &with_progress("asking the leader", change).await?)
}

pub(super) async fn pin(context: &Context<'_>, backup: String, pinned: bool) -> Result<Outcome, Error> {
    let request = BackupPinRequest { backup, pinned, by: context.by.clone() };
    let change = context.group.change(|mut node| async move { node.backup_pin(request).await });
    done(context, &with_progress("asking the leader", change).await?)
}

pub(super) async fn delete(context: &Context<'_>, backup: String) -> Result<Outcome, Error> {
    let request = BackupDeleteRequest { backup, by: context.by.clone() };
    let change = context.group.change(|mut node| async move { node.backup_delete(request).await });
    done(context, &with_progress("asking the leader", change).await?)
}

pub(super) async fn prune(context: &Context<'_>, dry_run: bool) -> Result<Outcome, Error> {
    let request = BackupPruneRequest { dry_run, by: context.by.clone() };
    let change = context.group.change(|mut node| async move { node.backup_prune(request).await });
    let reply = with_progress("asking the leader", change).await?;
    Outcome::new(&reply, render::backup_prune(&reply, dry_run, Timestamp::now(), context.style), Exit::Ok)
}

pub(super) async fn list(context: &Context<'_>) -> Result<Outcome, Error> {
    let reply = look(context, String::new()).await?;
    let text = render::backup_list(&reply, Timestamp::now(), context.style);
    Outcome::new(&reply, text, Exit::Ok)
}

pub(super) async fn show(context: &Context<'_>, id: String) -> Result<Outcome, Error> {
    let reply = look(context, id.clone()).await?;
    match reply.backups.first() {
        Some(backup) => Outcome::new(backup, render::backup(backup, context.style), Exit::Ok),
        None => Err(Error::usage(format!("there is no backup {id}"), "see `batonctl backup list`")),
    }
}

fn said(context: &Context<'_>, begun: &BackupBegun) -> Result<Outcome, Error> {
    let exit = if begun.id.is_empty() { Exit::Refused } else { Exit::Ok };
    Outcome::new(begun, render::backup_begun(begun, context.style), exit)
}

/// Says how far it is until it is over. Ended here by Ctrl-C it goes on: its node does it, not this command.
async fn followed(context: &Context<'_>, begun: BackupBegun) -> Result<Outcome, Error> {
    if begun.id.is_empty() {
        return said(context, &begun);
    }
    let task = watch(context, &begun.id).await?;
    let exit = if task.error.is_empty() { Exit::Ok } else { Exit::Refused };
    Outcome::new(&task, render::backup_over(&task, context.style), exit)
}

async fn watch(context: &Context<'_>, id: &str) -> Result<BackupTask, Error> {
    let live = std::io::stderr().is_terminal();
    let (mut heard, mut told) = (Instant::now(), None::<Instant>);
    loop {
        match look(context, id_of_none()).await {
            Ok(reply) => {
                if let Some(over) = reply.ended.into_iter().find(|task| task.id == id) {
                    say(if live { "\r\x1b[K" } else { "" });
                    return Ok(over);
                }
                if let Some(task) = reply.task.filter(|task| task.id == id) {
                    heard = Instant::now();
                    let line = render::backup_line(&task);
                    if live {
                        say(&format!("\r\x1b[K{line}"));
                    } else if told.is_none_or(|at| at.elapsed() >= LINE) {
                        say(&format!("{line}\n"));
                        told = Some(Instant::now());
                    }
                } else if heard.elapsed() >= SILENCE {
                    let what = "the group does not know the task any more";
                    return Err(Error::usage(what, "see `batonctl backup list`"));
                }
            }
            Err(error) if heard.elapsed() >= SILENCE => return Err(error),
            Err(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// No backup has this id: what is asked for are the tasks.
fn id_of_none() -> String {
    "-".to_owned()
}

async fn look(context: &Context<'_>, backup: String) -> Result<BackupListReply, Error> {
    let question = context.group.ask(move |mut node| {
        let request = BackupListRequest { backup: backup.clone() };
        async move { node.backup_list(request).await }
    });
    question.await
}

/// A stderr that cannot be written to loses nothing but the progress.
fn say(text: &str) {
    let mut stderr = std::io::stderr();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
