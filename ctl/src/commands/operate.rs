//! Changes to what Baton does on its own: pause, resume, failover.

use std::time::Duration;

use baton_proto::control::{Done, FailoverRequest, PauseRequest, ResumeRequest, StatusReply};

use super::{Context, Outcome, report};
use crate::error::Error;
use crate::exit::Exit;
use crate::render;
use crate::terminal::{can_ask, confirm, with_news, with_progress};

pub(super) fn done(context: &Context<'_>, reply: &Done) -> Result<Outcome, Error> {
    Outcome::new(reply, render::done(reply, context.style), Exit::Ok)
}

pub(super) async fn pause(
    context: &Context<'_>,
    length: Duration,
    reason: Option<String>,
) -> Result<Outcome, Error> {
    let for_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    if for_ms == 0 {
        return Err(Error::usage("a pause of no length", "pass for example --for 30m"));
    }
    let request = PauseRequest { for_ms, reason: reason.unwrap_or_default(), by: context.by.clone() };
    let change = context.group.change(|mut node| async move { node.pause(request).await });
    done(context, &with_progress("pausing", change).await?)
}

pub(super) async fn resume(context: &Context<'_>) -> Result<Outcome, Error> {
    let request = ResumeRequest { by: context.by.clone() };
    let change = context.group.change(|mut node| async move { node.resume(request).await });
    done(context, &with_progress("resuming", change).await?)
}

pub(super) async fn failover(
    context: &Context<'_>,
    force: bool,
    reason: String,
    to: Option<String>,
    yes: bool,
) -> Result<Outcome, Error> {
    if reason.trim().is_empty() {
        return Err(Error::usage(
            "a failover needs a reason",
            "say it with --reason, it goes into the history",
        ));
    }
    if !yes {
        if !can_ask() {
            return Err(Error::usage(
                "a failover asks for the cluster's name, and nobody is at the terminal",
                "pass --yes if you are sure",
            ));
        }
        let status = report::ask_status(context).await?;
        let question = question(&status, force, to.as_deref());
        confirm(&format!("{question}\nType the cluster's name to go on:"), &context.settings.cluster)?;
    }
    let request = FailoverRequest { reason, by: context.by.clone(), force, to: to.unwrap_or_default() };
    let change = context.group.change(|mut node| async move { node.failover(request).await });
    let news = async || report::operation(context).await;
    done(context, &with_news("failing over", news, change).await?)
}

/// What the operator is about to do, in terms of the present writer.
fn question(status: &StatusReply, force: bool, to: Option<&str>) -> String {
    let (writer, state) = match (status.writer.as_str(), status.writer_open) {
        ("", _) => ("nobody", ""),
        (writer, true) => (writer, ", OPEN as far as the group knows"),
        (writer, false) => (writer, ", closed"),
    };
    let target = to.unwrap_or("the best candidate");
    let mut text = format!(
        "{}, epoch {}: the write role moves from {writer}{state} to {target}.",
        status.cluster, status.epoch
    );
    if force {
        text += &format!(
            "\nForced: Baton takes your word that {writer} can acknowledge nothing more. \
             If it still can, what it acknowledges is lost."
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_an_open_writer_and_what_force_risks() {
        let status = StatusReply {
            cluster: "shop".into(),
            epoch: 7,
            writer: "db1".into(),
            writer_open: true,
            ..StatusReply::default()
        };
        let text = question(&status, true, Some("db2"));
        assert!(text.contains("from db1, OPEN as far as the group knows to db2"), "{text}");
        assert!(text.contains("is lost"), "{text}");
        assert!(!question(&status, false, None).contains("is lost"));
    }
}
