//! What belongs to the cluster: adoption, release, nodes.

use std::io::Write as _;

use baton_proto::control::{AddNodeRequest, AdoptReply, AdoptRequest, ReleaseRequest, RemoveNodeRequest};

use super::operate::done;
use super::{Context, Outcome, report};
use crate::error::Error;
use crate::exit::Exit;
use crate::render;
use crate::terminal::{can_ask, confirm, with_news, with_progress};

pub(super) async fn adopt(
    context: &Context<'_>,
    writer: Option<String>,
    dry_run: bool,
    yes: bool,
) -> Result<Outcome, Error> {
    let cluster = &context.settings.cluster;
    let request = AdoptRequest { writer: writer.unwrap_or_default(), dry_run: true, by: context.by.clone() };
    // A script has read the dry run before; a person sees it now.
    if dry_run || (!yes && !context.json && can_ask()) {
        let question = request.clone();
        let asked = context.group.ask(move |mut node| {
            let request = question.clone();
            async move { node.adopt(request).await }
        });
        let plan = with_progress("looking at the servers", asked).await?;
        let text = render::adopt(&plan, cluster, true, context.style);
        if dry_run || refused(&plan) {
            return Outcome::new(&plan, text, exit_of(&plan));
        }
        std::io::stderr().write_all(text.as_bytes())?;
        confirm("\nType the cluster's name to adopt it:", cluster)?;
    }
    let request = AdoptRequest { dry_run: false, ..request };
    let change = context.group.change(|mut node| async move { node.adopt(request).await });
    let news = async || report::operation(context).await;
    let reply = with_news("adopting", news, change).await?;
    // Asked to adopt and not adopted is a refusal, whatever was found.
    let exit = if reply.adopted { Exit::Ok } else { Exit::Refused };
    Outcome::new(&reply, render::adopt(&reply, cluster, false, context.style), exit)
}

fn refused(reply: &AdoptReply) -> bool {
    reply.findings.iter().any(|finding| finding.level == "error")
}

fn exit_of(plan: &AdoptReply) -> Exit {
    if refused(plan) { Exit::Refused } else { Exit::Ok }
}

pub(super) async fn release(context: &Context<'_>, reason: Option<String>) -> Result<Outcome, Error> {
    let request = ReleaseRequest { by: context.by.clone(), reason: reason.unwrap_or_default() };
    let change = context.group.change(|mut node| async move { node.release(request).await });
    done(context, &with_progress("releasing", change).await?)
}

pub(super) async fn add_node(
    context: &Context<'_>,
    name: String,
    peer: String,
    server: Option<String>,
    zone: Option<String>,
) -> Result<Outcome, Error> {
    let request = AddNodeRequest {
        name,
        peer,
        server: server.unwrap_or_default(),
        zone: zone.unwrap_or_default(),
        by: context.by.clone(),
    };
    let change = context.group.change(|mut node| async move { node.add_node(request).await });
    done(context, &with_progress("adding the node", change).await?)
}

pub(super) async fn remove_node(context: &Context<'_>, name: String) -> Result<Outcome, Error> {
    let request = RemoveNodeRequest { name, by: context.by.clone() };
    let change = context.group.change(|mut node| async move { node.remove_node(request).await });
    done(context, &with_progress("removing the node", change).await?)
}
