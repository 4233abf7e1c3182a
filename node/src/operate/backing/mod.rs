//! Does this node's tasks about backups: each in a process of its own, one at a time, begun once. It gives up when the group
//! wants it no more, and when the write role is about to come here.

mod making;
mod scanning;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::propose::Proposer;
use crate::backup::process::{Done, Event, Job, Working};
use crate::backup::remove::RemoveSpec;
use crate::backup::scan::Scanned;
use crate::backup::settings::Settings;
use crate::backup::verify::{Checked, VerifySpec};
use crate::decide::backup::Backing;
use crate::decide::copying::Samples;
use crate::gtid::Dialect;
use crate::sql::Connector;
use crate::state::{
    Backup, BackupTask, BackupWork, Change, ClusterState, NodeName, Operation, OperationKind,
};

/// Without news, the state is looked at again this often.
const TICK: Duration = Duration::from_secs(1);
/// What the server may take to say what it is.
const FACTS_WITHIN: Duration = Duration::from_secs(10);
/// A full backup of files that has less than this share of the data is none.
const SHARE_MIN_PERCENT: u8 = 50;
/// Parts of 16 MiB that are sent at once to each store.
const PARTS_AT_ONCE: usize = 2;

const ANOTHER: &str = "its process did something else than it should";

/// What a task came to.
enum Finished {
    /// A backup is in every store that has to have it.
    Made(Box<Backup>),
    /// One was read again.
    Checked(Checked),
    /// One is not in a store any more.
    Removed,
    /// The stores were looked through.
    Scanned(Box<Scanned>),
}

/// What only the caller knows.
#[derive(Clone)]
pub struct BackupParts {
    /// This program.
    pub program: PathBuf,
    /// The server beside this node.
    pub connector: Connector,
    /// What backups are made with; `None` where the configuration names no store.
    pub settings: Option<Arc<Settings>>,
}

impl BackupParts {
    /// What is missing here to read a server of this family, in words that follow the node's name.
    pub fn lacks(&self, dialect: Dialect) -> Option<String> {
        match &self.settings {
            Some(settings) => settings.engine(dialect).err(),
            None => Some("has no [[store]] in its file".into()),
        }
    }
}

/// Does the tasks of one node.
pub struct BackupRunner {
    /// This node.
    pub me: NodeName,
    /// The cluster's name.
    pub cluster: String,
    /// What only the caller knows.
    pub parts: BackupParts,
    /// The replicated state, as applied here.
    pub states: watch::Receiver<Arc<ClusterState>>,
    /// Proposals in this node's name.
    pub proposer: Proposer,
    /// Told how far it is.
    pub progress: watch::Sender<Option<Backing>>,
}

impl BackupRunner {
    /// Does tasks for ever.
    pub async fn run(mut self) {
        loop {
            let task = self.states.borrow_and_update().backups.task.clone();
            if let Some(task) = task.filter(|task| task.node == self.me) {
                self.attend(&task).await;
            }
            if let Ok(Err(_)) = timeout(TICK, self.states.changed()).await {
                return;
            }
        }
    }

    async fn attend(&self, task: &BackupTask) {
        if task.begun {
            // Its process has ended with the daemon that began it.
            let why = format!("{} was restarted meanwhile", self.me);
            self.say(task, Change::EndBackup { task: task.id.clone(), why, by_hand: false }).await;
            return;
        }
        // What has begun to be removed can be kept no more: not before it is sure that this node may.
        if let (BackupWork::Remove { backup, store }, Some(settings)) = (&task.work, &self.parts.settings)
            && let Err(why) = self.remove_spec(settings, backup, store)
        {
            self.say(task, Change::EndBackup { task: task.id.clone(), why, by_hand: false }).await;
            return;
        }
        if let Err(why) = self.proposer.must(Change::BackupBegun { task: task.id.clone() }).await {
            warn!(why, "a task about backups is not begun");
            return;
        }
        info!(task = %task.id, "begins to {} {}", task.work.verb(), task.work.subject());
        let ended = self.work(task).await;
        self.progress.send_replace(None);
        let id = task.id.clone();
        let change = match ended {
            Ok(Finished::Made(backup)) => Change::BackupMade { task: id, backup },
            Ok(Finished::Checked(checked)) => {
                let fault = (!checked.faults.is_empty()).then(|| checked.faults.join("; "));
                Change::BackupVerified { task: id, fault }
            }
            Ok(Finished::Removed) => Change::BackupRemoved { task: id },
            Ok(Finished::Scanned(scanned)) => self.found(task, *scanned).await,
            Err(why) => {
                warn!(task = %task.id, why, "could not {} {}", task.work.verb(), task.work.subject());
                Change::EndBackup { task: id, why, by_hand: false }
            }
        };
        self.say(task, change).await;
    }

    /// Tells the group, as often as it takes, while it still waits for this task.
    async fn say(&self, task: &BackupTask, change: Change) {
        let waits = || self.states.borrow().backups.task.as_ref().is_some_and(|now| now.id == task.id);
        while waits() {
            let Err(why) = self.proposer.must(change.clone()).await else { return };
            warn!(why, task = %task.id, "the group was not told how a task about backups ended");
            sleep(TICK).await;
        }
    }

    async fn work(&self, task: &BackupTask) -> Result<Finished, String> {
        let settings = self.parts.settings.as_ref().ok_or("no [[store]] is in this node's file")?;
        let job = match &task.work {
            BackupWork::Make { backup, full_speed, .. } => {
                let prepared = self.prepare(settings, backup, task).await?;
                let job = Job::Make(Box::new(prepared.spec.clone()));
                let done = self.done(task, &job, !full_speed).await?;
                return match done {
                    Done::Made(made) => Ok(Finished::Made(Box::new(self.made(prepared, *made)))),
                    _ => Err(ANOTHER.into()),
                };
            }
            BackupWork::Verify { backup } => Job::Verify(Box::new(self.verify_spec(settings, backup)?)),
            BackupWork::Remove { backup, store } => {
                Job::Remove(Box::new(self.remove_spec(settings, backup, store)?))
            }
            BackupWork::Scan => Job::Scan(Box::new(self.scan_spec(settings))),
        };
        match self.done(task, &job, true).await? {
            Done::Checked(checked) => Ok(Finished::Checked(checked)),
            Done::Removed => Ok(Finished::Removed),
            Done::Scanned(scanned) => Ok(Finished::Scanned(scanned)),
            Done::Made(_) => Err(ANOTHER.into()),
        }
    }

    async fn done(&self, task: &BackupTask, job: &Job, is_polite: bool) -> Result<Done, String> {
        let working = Working::start(&self.parts.program, job, is_polite).await?;
        self.follow(task, working).await
    }

    /// Hears the process to its end, or has it give up.
    async fn follow(&self, task: &BackupTask, mut working: Working) -> Result<Done, String> {
        let (begun, mut samples, mut states) = (Instant::now(), Samples::default(), self.states.clone());
        loop {
            let unwanted = async {
                let changed = states.wait_for(|state| unwanted(state, &self.me, task).is_some()).await;
                changed.ok().and_then(|state| unwanted(&state, &self.me, task)).unwrap_or_default()
            };
            let event = tokio::select! {
                event = working.next() => event,
                why = unwanted => {
                    working.give_up().await;
                    return Err(why);
                }
            };
            match event {
                Event::Progress(now) => {
                    let rate = samples.rate(begun.elapsed(), now.read_bytes);
                    self.progress.send_replace(Some(Backing {
                        task: task.id.to_string(),
                        bytes: now.read_bytes,
                        stored_bytes: now.stored_bytes,
                        total: now.expected_bytes,
                        rate,
                    }));
                }
                Event::Done(done) => return Ok(done),
                Event::Failed(why) => return Err(why),
            }
        }
    }

    fn verify_spec(&self, settings: &Settings, backup: &str) -> Result<VerifySpec, String> {
        let state = self.states.borrow();
        let listed = state.backups.catalogue.get(backup).ok_or("it is not listed any more")?;
        let missing = listed.stores.iter().find(|name| !settings.stores.iter().any(|s| s.name == **name));
        if let Some(name) = missing {
            return Err(format!("store {name} has it, and this node's file has no such [[store]]"));
        }
        let stores = settings.stores.iter().filter(|store| listed.stores.contains(&store.name));
        Ok(VerifySpec {
            cluster: self.cluster.clone(),
            backup: backup.to_owned(),
            manifest_blake3: listed.manifest_blake3.clone(),
            stores: stores.cloned().collect(),
        })
    }

    fn remove_spec(&self, settings: &Settings, backup: &str, store: &str) -> Result<RemoveSpec, String> {
        let state = self.states.borrow();
        let listed = state.backups.catalogue.get(backup).ok_or("it is not listed any more")?;
        let found = settings.stores.iter().find(|spec| spec.name == store);
        let found = found.ok_or_else(|| format!("this node's file has no [[store]] {store}"))?;
        if !settings.prunes.iter().any(|name| name == store) {
            return Err(format!("this node's file does not say prune = true of store {store}"));
        }
        Ok(RemoveSpec {
            cluster: self.cluster.clone(),
            backup: backup.to_owned(),
            manifest_blake3: listed.manifest_blake3.clone(),
            store: found.clone(),
            is_makers: *listed.keeper() == self.me,
        })
    }
}

/// Why a task is not to go on. A server that is about to be the writer has other work to do.
fn unwanted(state: &ClusterState, me: &NodeName, task: &BackupTask) -> Option<String> {
    if state.backups.task.as_ref().is_none_or(|now| now.id != task.id) {
        return Some("it is not wanted any more".into());
    }
    // What was received may have to be applied past the locks of whoever reads here, and a failover ends no session of Baton's
    // own account.
    let is_lost = |o: &Operation| o.kind == OperationKind::Failover && o.to.is_none();
    if state.operation.as_ref().is_some_and(is_lost) && matches!(task.work, BackupWork::Make { .. }) {
        return Some("the writer was lost, and what this server received has to be applied".into());
    }
    let writes = state.grant.as_ref().is_some_and(|grant| grant.node == *me);
    let at_replica = matches!(task.work, BackupWork::Make { at_writer: false, .. });
    (writes && at_replica).then(|| format!("{me} has become the writer"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::{BackupKind, Epoch, Grant, OperationId};

    fn task(work: BackupWork) -> BackupTask {
        BackupTask {
            id: OperationId("1".into()),
            node: "db2".into(),
            work,
            by: "test".into(),
            started_ms: 0,
            begun: true,
            slot: None,
        }
    }

    fn makes(at_writer: bool) -> BackupWork {
        BackupWork::Make { backup: "b1".into(), kind: BackupKind::Full, at_writer, full_speed: false }
    }

    #[test]
    fn why_a_task_does_not_go_on() {
        let verifies = || BackupWork::Verify { backup: "b1".into() };
        let lost = |o: &mut Option<Operation>| {
            *o = Some(Operation::of(OperationKind::Failover, Epoch(1), "db1".into()));
        };
        let why = |work: BackupWork, writer: &str, change: &dyn Fn(&mut ClusterState)| {
            let mut state = ClusterState::default();
            let (epoch, node) = (Epoch(1), writer.into());
            let grant = Grant { epoch, node, since_ms: 0, unleased: false, opened_ms: None, paused_at: None };
            state.grant = Some(grant);
            let task = task(work);
            state.backups.task = Some(task.clone());
            change(&mut state);
            unwanted(&state, &"db2".into(), &task).unwrap_or_default()
        };
        let nothing = |_: &mut ClusterState| ();
        assert_eq!(why(makes(false), "db1", &nothing), "");
        assert_eq!(why(makes(false), "db1", &|s| s.backups.task = None), "it is not wanted any more");
        assert_eq!(why(makes(false), "db2", &nothing), "db2 has become the writer");
        assert_eq!(why(makes(true), "db2", &nothing), "", "it may be made of the writer");
        assert_eq!(why(verifies(), "db2", &nothing), "", "only the stores are read");

        let failover = |s: &mut ClusterState| lost(&mut s.operation);
        assert!(why(makes(false), "db1", &failover).contains("the writer was lost"));
        assert!(why(makes(true), "db1", &failover).contains("the writer was lost"));
        assert_eq!(why(verifies(), "db1", &failover), "");
        let granted = |s: &mut ClusterState| {
            lost(&mut s.operation);
            s.operation.as_mut().unwrap().to = Some((Epoch(2), "db3".into()));
        };
        assert_eq!(why(makes(false), "db1", &granted), "", "what was received is applied");
        let switchover = |s: &mut ClusterState| {
            s.operation = Some(Operation::of(OperationKind::Switchover, Epoch(1), "db1".into()));
        };
        assert_eq!(why(makes(false), "db1", &switchover), "", "a healthy writer may still stay");
    }
}
