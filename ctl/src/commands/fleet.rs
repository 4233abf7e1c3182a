//! All clusters at once: asked side by side, so that one that is dead delays none.

use std::sync::Arc;

use baton_proto::control::{StatusReply, StatusRequest};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Outcome;
use crate::connect::Group;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::{self, Standing, Style};
use crate::settings::Settings;
use crate::terminal::with_progress;

/// So many are asked at a time: each has a few connections, and a process usually may have 1024.
const AT_A_TIME: usize = 200;

#[derive(Serialize)]
struct Reply {
    clusters: Vec<Of>,
}

#[derive(Serialize)]
struct Of {
    name: String,
    standing: Standing,
    /// Why there is no answer; empty where there is one.
    error: String,
    mend: String,
    status: Option<StatusReply>,
}

/// Asks every cluster; the worst first, and by name. The exit status is that of the worst.
pub(super) async fn fleet(clusters: &[Settings], style: &Style) -> Result<Outcome, Error> {
    let label = format!("asking {} clusters", clusters.len());
    let mut all = with_progress(&label, ask(clusters)).await;
    all.sort_by(|a, b| (a.standing, &a.name).cmp(&(b.standing, &b.name)));
    let exit = match all.first().map_or(Standing::Well, |worst| worst.standing) {
        Standing::NoWriter => Exit::NoWriter,
        Standing::Silent => Exit::NoAnswer,
        Standing::Degraded => Exit::Degraded,
        Standing::Well => Exit::Ok,
    };
    let rows: Vec<render::FleetRow<'_>> = all
        .iter()
        .map(|of| render::FleetRow {
            name: &of.name,
            standing: of.standing,
            status: of.status.as_ref(),
            error: &of.error,
        })
        .collect();
    let text = render::fleet(&rows, style);
    Outcome::new(&Reply { clusters: all }, text, exit)
}

async fn ask(clusters: &[Settings]) -> Vec<Of> {
    let room = Arc::new(Semaphore::new(AT_A_TIME));
    let mut asking = JoinSet::new();
    for settings in clusters.iter().cloned() {
        let room = Arc::clone(&room);
        asking.spawn(async move {
            let _place = room.acquire().await;
            one(settings).await
        });
    }
    asking.join_all().await
}

async fn one(settings: Settings) -> Of {
    let name = settings.cluster.clone();
    let answer = match Group::new(&settings) {
        Ok(group) => group.ask(|mut node| async move { node.status(StatusRequest {}).await }).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(status) => Of {
            name,
            standing: Standing::of(&status),
            error: String::new(),
            mend: String::new(),
            status: Some(status),
        },
        Err(error) => Of {
            name,
            standing: Standing::Silent,
            error: error.to_string(),
            mend: error.mend(),
            status: None,
        },
    }
}
