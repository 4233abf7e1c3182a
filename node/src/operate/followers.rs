//! The leader looks after servers without a node: each in a task of its own, so that one that cannot be reached delays
//! nothing else. What is to be done with one is `decide::followers`'.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::info;

use super::attend::{Remote, SourceAt};
use crate::consensus::{Group, Leadership};
use crate::decide::followers::{Declared, Follower, Next, Said, foreign, next};
use crate::sql::{ManagedServer, Permit, Pulse, Replication};
use crate::state::{ClusterState, Epoch};

/// From one look at a server to the next.
const EVERY: Duration = Duration::from_secs(1);
/// Whether the file declares others is looked at this often.
const DECLARED_EVERY: Duration = Duration::from_secs(2);
/// Every call has its own bound; this one ends a call that breaks that promise.
const HANG: Duration = Duration::from_secs(10);
/// How long events that were received may take to be applied before it is pointed elsewhere; then it is looked at again.
const APPLY_FIRST: Duration = Duration::from_secs(2);
/// How long a majority may take to confirm the leadership.
const CONFIRM: Duration = Duration::from_secs(1);

/// What this node's file declares; must not block.
pub type DeclaredSource = Arc<dyn Fn() -> Vec<Declared> + Send + Sync>;

/// How each of them is, by name; empty on a node that does not lead.
pub type Followers = BTreeMap<String, Follower>;

/// Looks after them while this node leads.
pub struct FollowerWatch {
    /// The group.
    pub group: Group,
    /// Which there are.
    pub declared: DeclaredSource,
    /// Servers by address.
    pub remote: Remote,
    /// The source at an address, with the replication account.
    pub source_at: SourceAt,
    /// The replicated state, as applied here.
    pub states: watch::Receiver<Arc<ClusterState>>,
    /// How they are, for whoever asks.
    pub followers: watch::Sender<Followers>,
}

impl FollowerWatch {
    /// Looks after them whenever this node leads, until the group's handle ends.
    pub async fn run(self) {
        let this = Arc::new(self);
        let mut leadership = this.group.leadership();
        let mut tasks = Tasks::default();
        loop {
            let now = leadership.borrow_and_update().clone();
            let declared = if now.mine { (this.declared)() } else { Vec::new() };
            tasks.follow(&this, &now, declared);
            this.followers.send_if_modified(|followers| {
                let before = followers.len();
                followers.retain(|_, follower| tasks.running.contains_key(&follower.declared));
                followers.len() != before
            });
            let changed = if now.mine {
                timeout(DECLARED_EVERY, leadership.changed()).await.unwrap_or(Ok(()))
            } else {
                leadership.changed().await
            };
            if changed.is_err() {
                return;
            }
        }
    }

    async fn look_after(&self, declared: Declared, term: u64) {
        let server = (self.remote)(&declared.server);
        let mut told: Option<String> = None;
        loop {
            let began = Instant::now();
            let (said, trouble) = self.look(&*server, term).await;
            if trouble != told {
                if let Some(why) = &trouble {
                    info!(replica = declared.name, why, "a replica without a node");
                }
                told.clone_from(&trouble);
            }
            let follower = Follower { declared: declared.clone(), said, trouble };
            self.followers.send_modify(|all| drop(all.insert(declared.name.clone(), follower)));
            sleep_until(began + EVERY).await;
        }
    }

    /// What it said, and what is wrong.
    async fn look(&self, server: &dyn ManagedServer, term: u64) -> (Option<Said>, Option<String>) {
        let pulse = match timeout(HANG, server.pulse()).await {
            Ok(Ok(pulse)) => pulse,
            Ok(Err(error)) => {
                let mend = match error.server_answered() {
                    true => error.mend(),
                    false => "start it, or correct its address in [[replica]]",
                };
                return (None, Some(format!("{error}; {mend}")));
            }
            Err(_) => return (None, Some("it has not answered".into())),
        };
        let said = said(&pulse);
        let state = self.states.borrow().clone();
        let trouble = match next(&state, &said) {
            Next::Leave => None,
            Next::Told(why) => Some(why),
            Next::AckNothing => {
                let permit = self.permit(term, state.epoch());
                let off = timeout(HANG, server.set_acker(false, &permit)).await;
                match off {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(format!("it acknowledges commits as no listed acker: {error}")),
                    Err(_) => Some("it acknowledges commits, and does not stop that in time".into()),
                }
            }
            Next::Follow(epoch, writer) => {
                let followed = timeout(HANG, self.follow(server, &pulse, &writer, term, epoch)).await;
                followed.unwrap_or_else(|_| Err("it was not done in time".into())).err()
            }
        };
        (Some(said), trouble)
    }

    /// Points it at the writer, if it has nothing of others that the writer lacks.
    async fn follow(
        &self,
        server: &dyn ManagedServer,
        pulse: &Pulse,
        writer: &str,
        term: u64,
        epoch: Epoch,
    ) -> Result<(), String> {
        self.group.confirm_leadership(CONFIRM).await.map_err(|e| e.to_string())?;
        let text = |e: crate::sql::SqlError| e.to_string();
        let uuid = server.inventory().await.map_err(text)?.identity.server_uuid;
        // Its own set first, then the writer's: what the writer commits between the two is no difference.
        let have = server.pulse().await.map_err(text)?.received;
        let of_writer = (self.remote)(writer).pulse().await.map_err(text)?.executed;
        let extra = foreign(&have, uuid.as_deref(), &of_writer).ok_or("its GTIDs are of another dialect")?;
        if !extra.is_empty() {
            return Err(format!(
                "it has transactions that the writer lacks: {extra}; give it the data of another replica"
            ));
        }
        let permit = self.permit(term, epoch);
        if !pulse.all_applied() {
            if pulse.replication.as_ref().is_some_and(|c| !c.sql_running) {
                server.start_applier(&permit).await.map_err(text)?;
            }
            if !server.wait_applied(&pulse.received, APPLY_FIRST).await.map_err(text)? {
                return Err("not everything that it received is applied yet".into());
            }
        }
        server.follow(&(self.source_at)(writer)?, &permit).await.map_err(text)?;
        info!(writer, %epoch, "a replica without a node follows the writer");
        Ok(())
    }

    /// Withdrawn when the epoch is over or another leads.
    fn permit(&self, term: u64, epoch: Epoch) -> Permit {
        let (leadership, states) = (self.group.leadership(), self.states.clone());
        Permit::new(move || {
            let leads = {
                let now = leadership.borrow();
                now.mine && now.term == term
            };
            leads && states.borrow().live_grant().is_some_and(|g| g.epoch == epoch)
        })
    }
}

/// A task for each server, of one term.
#[derive(Default)]
struct Tasks {
    term: u64,
    running: BTreeMap<Declared, JoinSet<()>>,
}

impl Tasks {
    fn follow(&mut self, watch: &Arc<FollowerWatch>, now: &Leadership, declared: Vec<Declared>) {
        if self.term != now.term {
            *self = Self { term: now.term, ..Self::default() };
        }
        // Dropping a set ends its task.
        self.running.retain(|running, _| declared.contains(running));
        for one in declared {
            self.running.entry(one.clone()).or_insert_with(|| {
                let (watch, term, mut tasks) = (Arc::clone(watch), now.term, JoinSet::new());
                crate::task::spawn_in(&mut tasks, async move { watch.look_after(one, term).await });
                tasks
            });
        }
    }
}

fn said(pulse: &Pulse) -> Said {
    let channel = pulse.replication.as_ref();
    let error = |c: &Replication| {
        let error = c.last_sql_error.as_ref().or(c.last_io_error.as_ref())?;
        Some(format!("{}: {}", error.errno, error.message))
    };
    Said {
        open: !pulse.switch.is_closed(),
        source: channel.map(|c| format!("{}:{}", c.source_host, c.source_port)),
        runs: channel.is_some_and(|c| c.io_running && c.sql_running),
        stopped_by_hand: channel.is_some_and(|c| {
            !c.io_started && !c.sql_running && c.last_io_error.is_none() && c.last_sql_error.is_none()
        }),
        behind: channel.and_then(|c| c.seconds_behind).map(Duration::from_secs),
        acks: pulse.semi_sync.replica_enabled || pulse.semi_sync.replica_acking,
        error: channel.and_then(error),
    }
}
