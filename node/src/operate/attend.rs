//! Makes the replica beside this node follow the writer that the group agreed on. Node-local: every node does it for
//! its own server, as soon as it has applied the grant.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tracing::info;

use super::acker_watch::Granting;
use super::catching_up::{CatchingUp, Next, View, next};
use super::left::left;
use super::promise::ReceiverStop;
use crate::decide::seen::Left;
use crate::gtid::GtidSet;
use crate::sql::{ManagedServer, Permit, Pulse, Replication, Source};
use crate::state::{ClusterState, Epoch, Grant, NodeName, Phase};

/// Without news the server is looked at this often.
const TICK: Duration = Duration::from_millis(250);
/// How long events that were received may take to be applied before a MariaDB replica is pointed elsewhere.
const APPLY_FIRST: Duration = Duration::from_secs(2);

/// What stands in the way for so long is told; much of it passes by itself while the writer moves.
const LASTS: Duration = Duration::from_secs(2);

/// What [`ManagedServer::follow`] sets: whoever has another value was attached by somebody else.
const NET_TIMEOUT_S: u32 = 4;

/// The timeout of a source that was told to wait no more.
const WAITS_NO_MORE_MS: u64 = 1;

/// A server at an address (`host:port`), to read its set before following it.
pub type Remote = Arc<dyn Fn(&str) -> Arc<dyn ManagedServer> + Send + Sync>;
/// The source at an address, with the replication account; an error names what is wrong with the address.
pub type SourceAt = Arc<dyn Fn(&str) -> Result<Source, String> + Send + Sync>;

/// Attends to the server beside this node while it is not the writer.
pub struct Attend {
    /// This node.
    pub me: NodeName,
    /// The server beside it.
    pub server: Arc<dyn ManagedServer>,
    /// Other servers.
    pub remote: Remote,
    /// The source at an address.
    pub source_at: SourceAt,
    /// The replicated state, as applied here.
    pub states: watch::Receiver<Arc<ClusterState>>,
    /// What the voters say of the writer's epoch.
    pub granted: watch::Receiver<Granting>,
    /// Where the leader has stopped the receiver.
    pub stop: Arc<ReceiverStop>,
    /// The epoch whose channel is known to have Baton's heartbeat and timeout; `None` at the start.
    pub tuned: Option<Epoch>,
    /// How it catches up, of this process.
    pub catching_up: CatchingUp,
    /// For whoever asks.
    pub shown: watch::Sender<Following>,
    /// Told when that has something the leader waits for.
    pub nudge: Arc<Notify>,
}

/// How the server follows the writer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Following {
    /// Why it does not, once that has lasted.
    pub trouble: Option<String>,
    /// Transactions that it has not received, where that is looked at.
    pub lacks: Option<u64>,
    /// It is to leave the list of ackers, and acknowledges nothing more.
    pub left: Option<Left>,
}

impl Attend {
    /// Attends for ever.
    pub async fn run(mut self) {
        let mut said: Option<String> = None;
        let mut since: Option<Instant> = None;
        loop {
            let state = self.states.borrow_and_update().clone();
            let (left, why) = match self.turn(&state).await {
                Ok(left) => (left, None),
                Err(why) => (None, Some(why)),
            };
            since = why.as_ref().map(|_| since.unwrap_or_else(Instant::now));
            let lasts = since.is_some_and(|since| since.elapsed() >= LASTS);
            let trouble =
                why.as_ref().filter(|_| lasts).map(|why| format!("does not follow the writer: {why}"));
            let lacks = state.live_grant().and_then(|grant| self.catching_up.lacks(grant.epoch));
            self.show(Following { trouble, lacks, left });
            if why != said {
                if let Some(why) = &why {
                    info!(why, "does not follow the writer yet");
                }
                said = why;
            }
            let news = async {
                tokio::select! {
                    changed = self.states.changed() => changed.is_ok(),
                    changed = self.granted.changed() => changed.is_ok(),
                }
            };
            if timeout(TICK, news).await == Ok(false) {
                return;
            }
        }
    }

    /// The leader hears at once of one that has left: nobody else may go on before.
    fn show(&self, following: Following) {
        let had_left = self.shown.borrow().left.is_some();
        let news = following.left.is_some() && !had_left;
        self.shown.send_if_modified(|now| std::mem::replace(now, following.clone()) != following);
        if news {
            self.nudge.notify_one();
        }
    }

    /// It is about to receive: that it has left is not said of it any more.
    fn has_not_left(&self) {
        self.shown.send_if_modified(|now| now.left.take().is_some());
    }

    /// What it says if it is to leave the list of ackers, and has.
    async fn turn(&mut self, state: &ClusterState) -> Result<Option<Left>, String> {
        if state.phase == Phase::Observing {
            return self.give_back().await.map(|()| None);
        }
        if state.out.contains_key(&self.me) {
            return self.acknowledge_nothing(state).await.map(|()| None);
        }
        let Some(grant) = state.live_grant().filter(|g| g.node != self.me) else { return Ok(None) };
        let address = state
            .members
            .get(&grant.node)
            .and_then(|m| m.server.as_deref())
            .ok_or("the writer has no address")?;
        let pulse = self.server.pulse().await.map_err(|e| e.to_string())?;
        // Told to wait no more, the source side holds up nothing, and its guard switches it off later.
        let semi_sync = &pulse.semi_sync;
        let waits = semi_sync.source_enabled
            && (semi_sync.wait_no_replica || semi_sync.timeout_ms > WAITS_NO_MORE_MS);
        if !pulse.switch.is_closed() || waits {
            // Its guard closes it first, and ends the waiting, which would hang the applier.
            return Ok(None);
        }
        let source = (self.source_at)(address)?;
        match pulse
            .replication
            .as_ref()
            .filter(|c| c.source_host == source.host && c.source_port == source.port)
        {
            Some(channel) => self.keep_following(state, (grant, address), &source, &pulse, channel).await,
            None => {
                self.has_not_left();
                self.follow(state, grant, address, &source, &pulse).await.map(|()| None)
            }
        }
    }

    /// Follows the right source already: its threads run, and it acknowledges if and only if it is listed.
    async fn keep_following(
        &mut self,
        state: &ClusterState,
        (grant, address): (&Grant, &str),
        source: &Source,
        pulse: &Pulse,
        channel: &Replication,
    ) -> Result<Option<Left>, String> {
        let permit = self.permit(grant.epoch);
        let text = |e: crate::sql::SqlError| e.to_string();
        let said = *self.granted.borrow_and_update();
        if said == Granting::Refused(grant.epoch) && channel.io_started {
            info!(epoch = %grant.epoch, "no majority still grants the writer's epoch: the receiver stops");
            self.server.stop_receiver(&self.while_granted_to(grant)).await.map_err(text)?;
        }
        if said != Granting::Granted(grant.epoch) {
            return Ok(None);
        }
        if let Some(cause) = state.leaves_for(&self.me).filter(|_| state.ackers.contains(&self.me)) {
            // It is to leave the list, and may do so once it certainly acknowledges nothing more.
            if !channel.io_started {
                return Ok(left(grant, cause, pulse));
            }
            info!("leaves the list of ackers: the receiver stops");
            self.has_not_left();
            self.server.stop_receiver(&permit).await.map_err(text)?;
            return Ok(left(grant, cause, &self.server.pulse().await.map_err(text)?));
        }
        self.has_not_left();
        if pulse.semi_sync.replica_available {
            self.acknowledge(state, grant, address, pulse).await?;
        }
        if !channel.sql_running && channel.last_sql_error.is_none() {
            self.server.start_replication(&permit).await.map_err(text)?;
        } else if !channel.io_started && channel.last_io_error.as_ref().is_none_or(|e| is_of_the_way(e.errno))
        {
            self.server.start_receiver(&permit).await.map_err(text)?;
        } else if self.tuned != Some(grant.epoch) && channel.sql_running {
            self.tune(grant, source, pulse, &permit).await?;
        }
        Ok(None)
    }

    /// It acknowledges if it is listed and what it acknowledges is on its disk ([`super::catching_up`]).
    async fn acknowledge(
        &mut self,
        state: &ClusterState,
        grant: &Grant,
        address: &str,
        pulse: &Pulse,
    ) -> Result<(), String> {
        let semi_sync = &pulse.semi_sync;
        let (acks, syncs) = (semi_sync.replica_enabled, semi_sync.sync_relay_log == 1);
        let (listed, lossless) = (state.ackers.contains(&self.me), state.durability.is_lossless());
        if !acks || !lossless {
            self.catching_up.look(grant.epoch, &pulse.received, (self.remote)(address));
        }
        let settled = self.catching_up.is_settled(pulse);
        let fresh = self.catching_up.has_looked(grant.epoch, pulse.uptime);
        let lacks = self.catching_up.lacks(grant.epoch).filter(|_| fresh);
        let looked = fresh || self.catching_up.acknowledged_at_first();
        let next = next(&View { listed, lossless, acks, syncs, looked, settled, lacks });
        let permit = self.permit(grant.epoch);
        let done = match next {
            Next::Leave => return Ok(()),
            Next::AckNoMore if listed => self.server.set_acker(false, &self.while_not_relied_on(grant)).await,
            Next::AckNoMore => self.server.set_acker(false, &permit).await,
            Next::Ack => self.server.set_acker(true, &permit).await,
            Next::SyncSeldom => {
                self.catching_up.seldom = true;
                self.server.sync_relay_log(false, &permit).await
            }
            // At once: from here on it falls behind a busy writer again.
            Next::SyncEvery if listed && looked && settled && !acks => {
                let synced = self.server.sync_relay_log(true, &permit).await;
                if synced.is_ok() { self.server.set_acker(true, &permit).await } else { synced }
            }
            Next::SyncEvery => self.server.sync_relay_log(true, &permit).await,
        };
        info!(listed, lacks, what = ?next, "acknowledges what is on its disk, and catches up first");
        done.map_err(|e| e.to_string())
    }

    /// A replica that others had attached, as in adoption, gets Baton's heartbeat and timeout: without them nobody could
    /// tell in time whether it receives.
    async fn tune(
        &mut self,
        grant: &Grant,
        source: &Source,
        pulse: &Pulse,
        permit: &Permit,
    ) -> Result<(), String> {
        let settings = self.server.inventory().await.map_err(|e| e.to_string())?.settings;
        if settings.replica_net_timeout_s != NET_TIMEOUT_S {
            if !self.server.wait_applied(&pulse.received, APPLY_FIRST).await.is_ok_and(|done| done) {
                return Err("not everything received is applied yet".into());
            }
            self.server.follow(source, permit).await.map_err(|e| e.to_string())?;
            info!("the channel has Baton's heartbeat and timeout now");
        }
        self.tuned = Some(grant.epoch);
        Ok(())
    }

    /// Points the server at the writer, if it has nothing that the writer lacks.
    async fn follow(
        &mut self,
        state: &ClusterState,
        grant: &Grant,
        address: &str,
        source: &Source,
        pulse: &Pulse,
    ) -> Result<(), String> {
        if *self.granted.borrow_and_update() != Granting::Granted(grant.epoch) {
            return Err("a majority has not said yet that it grants the writer's epoch".into());
        }
        // The own set first, then the writer's: what the writer commits between the two is no difference.
        let writer = (self.remote)(address).pulse().await.map_err(|e| format!("{}: {e}", grant.node))?;
        let extra = extra(&pulse.received, &writer.executed)?;
        if !extra.is_empty() {
            return Err(format!("has transactions that {} lacks: {extra}", grant.node));
        }
        let permit = self.permit(grant.epoch);
        if !pulse.all_applied() && pulse.replication.as_ref().is_some_and(|c| !c.sql_running) {
            self.server.start_applier(&permit).await.map_err(|e| e.to_string())?;
        }
        if !pulse.all_applied()
            && !self.server.wait_applied(&pulse.received, APPLY_FIRST).await.is_ok_and(|done| done)
        {
            return Err("not everything received is applied yet".into());
        }
        let listed = state.ackers.contains(&self.me);
        if pulse.semi_sync.replica_available && pulse.semi_sync.replica_enabled != listed {
            if listed && pulse.semi_sync.sync_relay_log != 1 {
                self.server.sync_relay_log(true, &permit).await.map_err(|e| e.to_string())?;
            }
            self.server.set_acker(listed, &permit).await.map_err(|e| e.to_string())?;
        }
        self.server.follow(source, &permit).await.map_err(|e| e.to_string())?;
        self.tuned = Some(grant.epoch);
        info!(writer = %grant.node, epoch = %grant.epoch, "follows the writer");
        Ok(())
    }

    /// Whose people look after it again finds it as it was.
    async fn give_back(&mut self) -> Result<(), String> {
        if !self.catching_up.seldom {
            return Ok(());
        }
        let states = self.states.clone();
        let permit = Permit::new(move || states.borrow().phase == Phase::Observing);
        self.server.sync_relay_log(true, &permit).await.map_err(|e| e.to_string())?;
        self.catching_up = CatchingUp::default();
        Ok(())
    }

    /// A server that is out is on no list: what it alone had would be taken for what the ackers have.
    async fn acknowledge_nothing(&self, state: &ClusterState) -> Result<(), String> {
        let pulse = self.server.pulse().await.map_err(|e| e.to_string())?;
        if !pulse.semi_sync.replica_enabled || !pulse.switch.is_closed() {
            return Ok(());
        }
        info!("semi-sync's replica side goes off: this server is out");
        let (states, me, epoch) = (self.states.clone(), self.me.clone(), state.epoch());
        let permit = Permit::new(move || {
            let state = states.borrow();
            state.epoch() == epoch && state.out.contains_key(&me)
        });
        self.server.set_acker(false, &permit).await.map_err(|e| e.to_string())
    }

    /// Withdrawn when the epoch is over or the leader has stopped the receiver.
    fn permit(&self, epoch: Epoch) -> Permit {
        let (states, stop) = (self.states.clone(), Arc::clone(&self.stop));
        Permit::new(move || {
            stop.allows(epoch) && states.borrow().live_grant().is_some_and(|g| g.epoch == epoch)
        })
    }

    /// Withdrawn also when no write may be lost by what was agreed on: commits wait for this server then.
    fn while_not_relied_on(&self, grant: &Grant) -> Permit {
        let (states, stop, epoch) = (self.states.clone(), Arc::clone(&self.stop), grant.epoch);
        Permit::new(move || {
            let state = states.borrow();
            let is_present = state.live_grant().is_some_and(|g| g.epoch == epoch);
            stop.allows(epoch) && is_present && !state.durability.is_lossless()
        })
    }

    fn while_granted_to(&self, grant: &Grant) -> Permit {
        let (states, epoch) = (self.states.clone(), grant.epoch);
        Permit::new(move || states.borrow().epoch() == epoch)
    }
}

/// An error of the connection, which a receiver retries by itself: one that stands still with it was stopped while it
/// tried, as in a failover whose writer comes back and keeps the role.
fn is_of_the_way(number: u32) -> bool {
    (2000..3000).contains(&number)
}

fn extra(mine: &GtidSet, writers: &GtidSet) -> Result<GtidSet, String> {
    mine.subtract(writers).map_err(|e| e.to_string())
}
