//! `batonctl config`: the settings that the group runs by.

use std::path::Path;

use baton_proto::control::{ConfigApplyRequest, ConfigShowRequest};

use super::{Context, Outcome};
use crate::error::Error;
use crate::exit::Exit;
use crate::render;
use crate::terminal::with_progress;

pub(super) async fn show(context: &Context<'_>) -> Result<Outcome, Error> {
    let question = context.group.ask(|mut node| async move { node.config_show(ConfigShowRequest {}).await });
    let reply = with_progress("asking for the settings", question).await?;
    Outcome::new(&reply, render::config(&reply, context.style), Exit::Ok)
}

pub(super) async fn apply(context: &Context<'_>, file: &Path, dry_run: bool) -> Result<Outcome, Error> {
    let text = std::fs::read_to_string(file).map_err(|source| Error::File {
        purpose: "configuration",
        path: file.to_owned(),
        source,
        mend: "name the baton.toml that every node is to have",
    })?;
    let path = file.display().to_string();
    let request = ConfigApplyRequest { file: text, path, dry_run, by: context.by.clone() };
    let reply = if dry_run {
        let question = context.group.ask(move |mut node| {
            let request = request.clone();
            async move { node.config_apply(request).await }
        });
        with_progress("comparing", question).await?
    } else {
        let change = context.group.change(|mut node| async move { node.config_apply(request).await });
        with_progress("applying", change).await?
    };
    Outcome::new(&reply, render::config_change(&reply, dry_run, context.style), Exit::Ok)
}
