//! The keeper's process: the product's rules ([`Hold`]) on virtual time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_node::guard::clock::{Boottime, Clock};
use baton_node::guard::keeper::{ArmRequest, CALL_TIMEOUT, Hold, Refusal};
use baton_node::guard::process::ProcessError;
use baton_node::guard::{KeeperHolds, KeeperPort};
use baton_node::state::Epoch;
use baton_node::task::Scope;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::clock::HostClock;
use super::process::Process;

/// How late a timer of a real-time process can be.
const LATE: Duration = Duration::from_micros(100);
/// How long a timer far off is trusted.
const FAR: Duration = Duration::from_secs(60);

/// Takes hold of a process of this host.
pub type Find = Arc<dyn Fn(i32, u64) -> Result<Process, ProcessError> + Send + Sync>;
/// Told the epoch that the server was armed for.
pub type Armed = Arc<dyn Fn(u64) + Send + Sync>;

/// One keeper. Clones are the same one.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {
    scope: Scope,
    hold: Mutex<Hold<Process>>,
    clock: Arc<HostClock>,
    find: Find,
    armed: Armed,
    changed: Notify,
    dead: watch::Sender<bool>,
}

impl Keeper {
    /// A keeper that holds nothing.
    pub fn start(scope: Scope, clock: Arc<HostClock>, find: Find, armed: Armed) -> Self {
        let keeper = Self(Arc::new(Inner {
            scope: scope.clone(),
            hold: Mutex::default(),
            clock,
            find,
            armed,
            changed: Notify::new(),
            dead: watch::Sender::new(false),
        }));
        scope.spawn(keeper.clone().run());
        keeper
    }

    /// SIGKILL.
    pub fn kill(&self) {
        self.0.scope.kill();
        self.0.dead.send_replace(true);
    }

    /// SIGSTOP.
    pub fn stop(&self) {
        self.0.scope.stop();
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.0.scope.go_on();
    }

    /// Whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.0.scope.is_killed()
    }

    async fn run(self) {
        loop {
            let now = self.0.clock.now();
            drop(self.hold().end_lease(now));
            let _forgotten = self.hold().reap_exited();
            let due = self.hold().next_due();
            let wait = due.map_or(FAR, |at| at.saturating_since(now).max(LATE));
            let _or_due = timeout(wait, self.0.changed.notified()).await;
        }
    }

    fn hold(&self) -> MutexGuard<'_, Hold<Process>> {
        self.0.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request over the socket, answered by the keeper's process.
    fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Hold<Process>, Boottime) -> Result<T, Refusal> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, String>> {
        let keeper = self.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            let process = keeper.clone();
            keeper.0.scope.spawn(async move {
                let now = process.0.clock.now();
                let done = act(&mut process.hold(), now);
                process.0.changed.notify_one();
                let _daemon_gone = reply.send(done.map_err(|refusal| refusal.to_string()));
            });
            match timeout(CALL_TIMEOUT, answer).await {
                Ok(Ok(done)) => done,
                Ok(Err(_)) => {
                    sleep(LATE).await;
                    Err("the keeper is gone".into())
                }
                Err(_) => Err("the keeper does not answer".into()),
            }
        }
        .boxed()
    }
}

impl KeeperPort for Keeper {
    fn arm(
        &self,
        epoch: Epoch,
        process: (i32, u64),
        deadline: Option<Boottime>,
    ) -> BoxFuture<'_, Result<(), String>> {
        let request = ArmRequest { epoch: epoch.0, pid: process.0, start_time_ticks: process.1, deadline };
        let (find, armed) = (Arc::clone(&self.0.find), Arc::clone(&self.0.armed));
        self.call(move |hold, now| {
            hold.arm(&request, now, |pid, ticks| find(pid, ticks))?;
            armed(request.epoch);
            Ok(())
        })
    }

    fn extend(&self, epoch: Epoch, pid: i32, deadline: Boottime) -> BoxFuture<'_, Result<(), String>> {
        self.call(move |hold, now| hold.extend((epoch.0, pid), deadline, now))
    }

    fn disarm(&self, epoch: Epoch, pid: i32) -> BoxFuture<'_, Result<(), String>> {
        self.call(move |hold, now| hold.disarm(epoch.0, pid, now))
    }

    fn closed(&self, epoch: Epoch, pid: i32) -> BoxFuture<'_, Result<(), String>> {
        self.call(move |hold, _| hold.closed(epoch.0, pid))
    }

    fn holding(&self) -> BoxFuture<'_, Result<Option<KeeperHolds>, String>> {
        self.call(|hold, _| {
            Ok(hold.held().map(|held| KeeperHolds {
                epoch: Epoch(held.epoch),
                process: (held.pid, held.start_time_ticks),
                deadline: held.deadline,
            }))
        })
    }

    fn died(&self) -> BoxFuture<'_, ()> {
        let mut dead = self.0.dead.subscribe();
        async move {
            let _over = dead.wait_for(|dead| *dead).await;
        }
        .boxed()
    }
}
