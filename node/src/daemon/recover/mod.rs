//! `baton-node recover`: the one member that is left starts the group anew, when its majority is gone for good.
//!
//! It works on the store of a daemon that is stopped, after a person has seen what this member knows and has typed the
//! cluster's name. What follows, the end of the old epoch and the next writer, is a failover like any other, which the
//! daemon runs when it is started.

mod judge;
mod paper;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, Write as _};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::claim::{Claim, holder};
use super::servers::Servers;
use super::start::{folders, machine_id};
use crate::config::Loaded;
use crate::consensus::{AtRest, RecoveryError, Survey};
use crate::gtid::GtidSet;
use crate::sql::{Address, ManagedServer, SqlServer};
use crate::state::{CommandId, Forced, NodeName, OperationId};
use judge::judge;

/// The server beside this node may be down: what it has is shown, and nothing waits for it.
const SERVER_WITHIN: Duration = Duration::from_secs(5);

/// What an operator asked for.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// The member that goes on.
    pub keep: String,
    /// All the others.
    pub drop: Vec<String>,
    /// Why.
    pub reason: String,
    /// Acknowledged writes may be lost.
    pub accept_loss: bool,
    /// Nothing is changed.
    pub dry_run: bool,
    /// The cluster's name; `None` to have it typed.
    pub cluster: Option<String>,
}

/// What was asked for, as the state names things.
struct Wish {
    keep: NodeName,
    drop: BTreeSet<NodeName>,
    word: Forced,
    accepts_loss: bool,
    /// Drawn, for the command and the failover that follows.
    command: CommandId,
    operation: OperationId,
    now: Timestamp,
}

/// What is known on this host.
struct Facts {
    me: NodeName,
    survey: Survey,
    /// What the server beside this node has received, or why that cannot be said.
    received: Result<GtidSet, String>,
}

/// Starts the group anew. Prints what is known, what may be missing and what follows, and says what was done.
///
/// # Errors
/// Why nothing was changed, and what to do first.
pub async fn recover(loaded: &Loaded, recovery: Recovery) -> Result<String, String> {
    let path = loaded.config.paths.data.join("group.db");
    if !path.exists() {
        return Err(RecoveryError::None(path.display().to_string()).to_string());
    }
    let _claim = alone(loaded)?;
    let store = AtRest::open(&path, &machine_id()).map_err(|e| e.to_string())?;
    let done = with_store(loaded, &recovery, &store).await;
    store.close().await;
    done
}

/// Keeps a daemon from starting meanwhile.
fn alone(loaded: &Loaded) -> Result<Claim, String> {
    let run_dir = &loaded.config.paths.run;
    match holder(run_dir) {
        Some(pid) => Err(format!(
            "baton-node runs on this host (process {pid}) and has the group's store open: stop it first (systemctl stop)"
        )),
        None => folders(&loaded.config).map_err(|e| e.to_string()),
    }
}

async fn with_store(loaded: &Loaded, recovery: &Recovery, store: &AtRest) -> Result<String, String> {
    let survey = store.survey().await.map_err(|e| e.to_string())?;
    let (mine, theirs) = (&loaded.config.cluster.name, &survey.binding.cluster);
    if mine != theirs {
        return Err(format!("the store belongs to cluster {theirs:?}, the configuration says {mine:?}"));
    }
    let facts = Facts { me: loaded.me.name.as_str().into(), survey, received: received(loaded).await };
    let wish = wish(recovery);
    let prospect = judge(&facts, &wish).map_err(|e| e.to_string())?;
    println!("{}", paper::render(&facts, &wish, &prospect));
    if let Some(why) = &prospect.refused {
        return Err(why.clone());
    }
    if recovery.dry_run {
        return Ok("nothing was changed (--dry-run)".into());
    }
    confirm(recovery, mine)?;
    let (keep, generation) = (wish.keep.clone(), prospect.generation);
    store.recover(keep, generation, prospect.command).await.map_err(|e| e.to_string())?;
    Ok(format!(
        "done: generation {generation}, {} is the only member\n\
         next: start baton-node here, and look at batonctl status",
        wish.keep
    ))
}

fn wish(recovery: &Recovery) -> Wish {
    let draw = || format!("{:016x}", rand::random::<u64>());
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // Under sudo the person, not root.
    let user = set("SUDO_USER").or_else(|| set("USER")).or_else(|| set("LOGNAME"));
    Wish {
        keep: recovery.keep.as_str().into(),
        drop: recovery.drop.iter().map(|name| name.trim().into()).collect(),
        word: Forced {
            by: format!("{}@{}", user.unwrap_or_else(|| "unknown".into()), recovery.keep),
            reason: recovery.reason.trim().to_owned(),
        },
        accepts_loss: recovery.accept_loss,
        command: CommandId(draw()),
        operation: OperationId(draw()),
        now: Timestamp::now(),
    }
}

async fn received(loaded: &Loaded) -> Result<GtidSet, String> {
    if loaded.me.is_witness() {
        return Err("this node is a witness".into());
    }
    let servers = Servers::new(&loaded.config, true)?;
    let socket = Address::Socket(loaded.config.server.socket.clone());
    let server = SqlServer::new(&servers.connector(socket));
    match timeout(SERVER_WITHIN, server.pulse()).await {
        Ok(pulse) => pulse.map(|pulse| pulse.received).map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", SERVER_WITHIN.as_secs())),
    }
}

/// The cluster's name, typed or handed in, is the confirmation.
fn confirm(recovery: &Recovery, cluster: &str) -> Result<(), String> {
    let not = "nothing was changed: that is not the cluster's name";
    if let Some(given) = &recovery.cluster {
        return if given == cluster { Ok(()) } else { Err(format!("{not} (--yes-i-mean {given})")) };
    }
    let mut typed = String::new();
    let asked = write!(io::stderr(), "\nType the cluster's name to go on: ")
        .and_then(|()| io::stderr().flush())
        .and_then(|()| io::stdin().lock().read_line(&mut typed));
    match asked {
        Ok(_) if typed.trim() == cluster => Ok(()),
        Ok(_) => Err(not.into()),
        Err(error) => Err(format!("nothing was changed: the terminal cannot be asked: {error}")),
    }
}
