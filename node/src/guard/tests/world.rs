//! The world of one guard. Its clock is tokio's, which the tests pause.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, pending};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::super::clock::{Boottime, Clock};
use super::super::testing::Sleeper;
use super::super::*;
use crate::gtid::{Dialect, GtidSet};
use crate::observe::fake::replica_of;
use crate::sql::{
    Account, CloseOptions, ClosedProof, Inventory, ManagedServer, Permit, Privileges, Pulse, SemiSync,
    Source, SqlError, SqlFuture, Switch,
};
use crate::state::{Change, ClusterState, Durability, Epoch, Grant, NodeName, OPEN_ENDED, Outcome, Phase};

/// The lease of the default settings.
pub(super) const TTL: Duration = Duration::from_millis(1500);

/// What everybody in the world does and did.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) open: bool,
    pub(super) opened: u32,
    pub(super) closed: u32,
    pub(super) closed_at: Option<Boottime>,
    pub(super) close_hangs: bool,
    pub(super) pulse_hangs: bool,
    /// How often the server was asked for its pulse.
    pub(super) pulses: u32,
    pub(super) waits: bool,
    pub(super) let_go: u32,
    pub(super) let_go_takes: Duration,
    /// It follows another server, until that is forgotten.
    pub(super) follows: bool,
    pub(super) forgetting_takes: Duration,
    pub(super) pin_broken: bool,
    pub(super) attach_hangs: bool,
    pub(super) held: Option<KeeperHolds>,
    pub(super) keeper_silent: bool,
    /// How often the keeper was asked what it holds.
    pub(super) keeper_asked: u32,
    /// Voters that grant; the others do not answer.
    pub(super) granting: BTreeSet<NodeName>,
    /// No voter has applied the pause.
    pub(super) refuse_open_end: bool,
    /// How long the answers to requests without an end are on their way.
    pub(super) open_end_takes: Duration,
    /// Every request, as it reached a voter.
    pub(super) asked: Vec<LeaseRequest>,
    /// The longest length that voters grant, if they know of one.
    pub(super) at_most: Option<Duration>,
    pub(super) group_silent: bool,
    pub(super) leaderless: bool,
    /// Whether the guard wants events to follow the writer.
    pub(super) wants_events: bool,
    pub(super) scheduler_on: bool,
    pub(super) scheduler_takes: Duration,
    pub(super) proposed: Vec<Change>,
    /// What happened, in order, in one word each.
    pub(super) events: Vec<&'static str>,
    notes: BTreeMap<&'static str, String>,
}

pub(super) struct World {
    pub(super) facts: Mutex<Facts>,
    pub(super) server: Mutex<Sleeper>,
    pub(super) states: watch::Sender<Arc<ClusterState>>,
    keeper_died: Notify,
    begun: Instant,
}

/// All ports of a guard onto one world.
#[derive(Clone)]
pub(super) struct Ports(pub(super) Arc<World>);

pub(super) fn names(names: &[&str]) -> BTreeSet<NodeName> {
    names.iter().map(|n| NodeName::from(*n)).collect()
}

/// A cluster whose epoch is this node's.
pub(super) fn granted(epoch: u64) -> ClusterState {
    let mut state = ClusterState::default();
    state.phase = Phase::Managed;
    let me = NodeName::from("a");
    state.grant = Some(Grant {
        epoch: Epoch(epoch),
        node: me,
        since_ms: 0,
        unleased: false,
        opened_ms: None,
        paused_at: None,
    });
    state.durability = Durability::Lossless { since_ms: 0 };
    state
}

impl World {
    pub(super) fn of(state: ClusterState, granting: &[&str]) -> Ports {
        let facts = Facts { granting: names(granting), ..Facts::default() };
        Ports(Arc::new(Self {
            facts: Mutex::new(facts),
            server: Mutex::new(Sleeper::start()),
            states: watch::Sender::new(Arc::new(state)),
            keeper_died: Notify::new(),
            begun: Instant::now(),
        }))
    }
}

impl Ports {
    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.facts.lock().unwrap()
    }

    pub(super) fn openings_and_closings(&self) -> (u32, u32) {
        let facts = self.facts();
        (facts.opened, facts.closed)
    }

    pub(super) fn identity(&self) -> (i32, u64) {
        let process = self.0.server.lock().unwrap().process();
        (process.pid(), process.start_time_ticks())
    }

    /// The server's process ends, and another is started where it was, closed.
    pub(super) fn restart_server(&self) {
        let mut server = self.0.server.lock().unwrap();
        server.child().kill().unwrap();
        server.child().wait().unwrap();
        *server = Sleeper::start();
        let mut facts = self.facts();
        (facts.open, facts.waits, facts.pin_broken) = (false, false, true);
        facts.held = None;
    }

    pub(super) fn state(&self, change: impl FnOnce(&mut ClusterState)) {
        self.0.states.send_modify(|state| change(Arc::make_mut(state)));
    }

    pub(super) fn keeper_dies(&self) {
        self.0.keeper_died.notify_one();
    }

    pub(super) fn note(&self, key: &'static str, value: String) {
        self.facts().notes.insert(key, value);
    }

    pub(super) async fn guard(&self) -> (GuardHandle, JoinHandle<&'static str>) {
        let all = Arc::new(self.clone());
        let ports = GuardPorts {
            me: "a".into(),
            clock: all.clone(),
            notes: all.clone(),
            voters: all.clone(),
            applied: all.clone(),
            attach: all.clone(),
            server: all.clone(),
            keeper: all.clone(),
            states: self.0.states.subscribe(),
            propose: all,
            nudge: Arc::new(Notify::new()),
            accepts: Arc::new(|_| true),
            events: self.facts().wants_events,
        };
        let (guard, handle) = Guard::new(ports).await.unwrap();
        (handle, tokio::spawn(guard.run()))
    }

    /// Waits until something holds.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Facts) -> bool) {
        for _ in 0..4000 {
            if holds(&self.facts()) {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("never: {what}; {:?}", self.facts().events);
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}

impl Clock for Ports {
    fn now(&self) -> Boottime {
        Boottime::BOOT + Duration::from_secs(1000) + self.0.begun.elapsed()
    }
}

impl Notes for Ports {
    fn get(&self, key: &'static str) -> BoxFuture<'_, Result<Option<String>, String>> {
        async move { Ok(self.facts().notes.get(key).cloned()) }.boxed()
    }
    fn put(&self, key: &'static str, value: String) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let mut facts = self.facts();
            facts.events.push("noted");
            facts.notes.insert(key, value);
            Ok(())
        }
        .boxed()
    }
}

impl Voters for Ports {
    fn ask(
        &self,
        voter: NodeName,
        request: LeaseRequest,
        _: usize,
    ) -> BoxFuture<'static, Option<LeaseAnswer>> {
        let this = self.clone();
        async move {
            assert!(!request.keeper_armed || this.facts().held.is_some(), "asked before the keeper is armed");
            let request_is_open_ended = request.length == OPEN_ENDED;
            let length = request.length;
            this.facts().asked.push(request);
            let refuse = request_is_open_ended && this.facts().refuse_open_end;
            let takes = this.facts().open_end_takes;
            if request_is_open_ended {
                sleep(takes).await;
            }
            let too_long = !request_is_open_ended && this.facts().at_most.is_some_and(|most| length > most);
            if too_long && this.facts().granting.contains(&voter) {
                return Some(LeaseAnswer::Refused { reason: "too long".into(), membership: None });
            }
            if !refuse && this.facts().granting.contains(&voter) {
                return Some(LeaseAnswer::Granted);
            }
            sleep(Duration::from_secs(1)).await;
            None
        }
        .boxed()
    }
}

impl Applied for Ports {
    fn with(&self, judge: &mut dyn FnMut(Judged<'_>)) -> Option<()> {
        let electorate = Electorate { index: 0, sets: vec![vec!["a".into(), "b".into(), "c".into()]] };
        judge(Judged {
            state: &self.0.states.borrow(),
            electorate: &electorate,
            membership_since: Boottime::BOOT,
        });
        Some(())
    }
}

impl Attach for Ports {
    fn attach(&self) -> BoxFuture<'_, Result<Box<dyn Opener>, SqlError>> {
        async move {
            if self.facts().attach_hangs {
                pending::<()>().await;
            }
            self.facts().pin_broken = false;
            let pid = self.0.server.lock().unwrap().pid();
            Ok(Box::new(Pin { world: self.clone(), pid }) as Box<dyn Opener>)
        }
        .boxed()
    }
    fn refuses(&self) -> BoxFuture<'_, bool> {
        async { false }.boxed()
    }
}

struct Pin {
    world: Ports,
    pid: i32,
}

impl Opener for Pin {
    fn pid(&self) -> i32 {
        self.pid
    }
    fn is_broken(&self) -> bool {
        self.world.facts().pin_broken
    }
    fn make_wait<'a>(&'a mut self, _: u32, permit: &'a Permit) -> BoxFuture<'a, Result<(), SqlError>> {
        async move {
            permit.check("wait")?;
            let mut facts = self.world.facts();
            facts.waits = true;
            facts.events.push("waits");
            Ok(())
        }
        .boxed()
    }
    fn open<'a>(&'a mut self, permit: &'a Permit) -> BoxFuture<'a, Result<Pulse, SqlError>> {
        async move {
            permit.check("open")?;
            {
                let mut facts = self.world.facts();
                facts.open = true;
                facts.opened += 1;
                facts.events.push("open");
            }
            self.world.pulse().await
        }
        .boxed()
    }
}

impl KeeperPort for Ports {
    fn arm(
        &self,
        epoch: Epoch,
        process: (i32, u64),
        deadline: Option<Boottime>,
    ) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let mut facts = self.facts();
            facts.held = Some(KeeperHolds { epoch, process, deadline });
            facts.events.push("armed");
            Ok(())
        }
        .boxed()
    }
    fn extend(&self, epoch: Epoch, pid: i32, deadline: Boottime) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let mut facts = self.facts();
            if facts.keeper_silent {
                return Err("no answer".into());
            }
            let held = facts.held.as_mut().filter(|h| h.epoch == epoch && h.process.0 == pid);
            held.ok_or("not held")?.deadline = Some(deadline);
            facts.events.push("extended");
            Ok(())
        }
        .boxed()
    }
    fn disarm(&self, epoch: Epoch, pid: i32) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let mut facts = self.facts();
            facts.held.take_if(|h| h.epoch == epoch && h.process.0 == pid);
            facts.events.push("disarmed");
            Ok(())
        }
        .boxed()
    }
    fn closed(&self, epoch: Epoch, pid: i32) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let mut facts = self.facts();
            facts.held.take_if(|h| h.epoch == epoch && h.process.0 == pid).ok_or("not held")?;
            facts.events.push("released");
            Ok(())
        }
        .boxed()
    }
    fn holding(&self) -> BoxFuture<'_, Result<Option<KeeperHolds>, String>> {
        async move {
            let mut facts = self.facts();
            facts.keeper_asked += 1;
            if facts.keeper_silent { Err("no answer".into()) } else { Ok(facts.held) }
        }
        .boxed()
    }
    fn died(&self) -> BoxFuture<'_, ()> {
        self.0.keeper_died.notified().boxed()
    }
}

impl Propose for Ports {
    fn propose(&self, change: Change) -> BoxFuture<'_, Result<Outcome, NotCommitted>> {
        async move {
            self.facts().proposed.push(change);
            if self.facts().leaderless {
                return Err(NotCommitted { why: "no leader".into(), never: true });
            }
            if self.facts().group_silent {
                sleep(Duration::from_secs(3)).await;
                return Err(NotCommitted { why: "no majority".into(), never: false });
            }
            Ok(Outcome::Applied)
        }
        .boxed()
    }
}

fn never<'a, T: Send + 'a>() -> SqlFuture<'a, T> {
    Box::pin(async { Err(SqlError::Unsafe("a guard does not ask for this".into())) })
}

impl ManagedServer for Ports {
    fn pulse(&self) -> SqlFuture<'_, Pulse> {
        Box::pin(async move {
            self.facts().pulses += 1;
            if self.facts().pulse_hangs {
                let after = Duration::from_secs(1);
                sleep(after).await;
                return Err(SqlError::TimedOut { what: "pulse", after });
            }
            let facts = self.facts();
            let empty = GtidSet::empty(Dialect::Mysql);
            Ok(Pulse {
                switch: if facts.open { Switch::Open } else { Switch::ClosedToAll },
                offline_mode: false,
                executed: empty.clone(),
                received: empty,
                replication: replica_of("b", 3306).replication.filter(|_| facts.follows),
                semi_sync: SemiSync { source_enabled: facts.waits, ..SemiSync::default() },
                uptime: Duration::from_secs(1),
                threads_connected: 1,
            })
        })
    }
    fn close<'a>(&'a self, _: &'a CloseOptions) -> SqlFuture<'a, ClosedProof> {
        Box::pin(async move {
            if self.facts().close_hangs {
                sleep(Duration::from_secs(3)).await;
                return Err(SqlError::LockWaitTimeout);
            }
            let now = self.now();
            let mut facts = self.facts();
            facts.open = false;
            facts.closed += 1;
            facts.closed_at = Some(now);
            facts.events.push("closed");
            Ok(ClosedProof {
                sessions_killed: Vec::new(),
                sessions_left: Vec::new(),
                xa_prepared: 0,
                xa_can_commit: false,
                offline: false,
                executed: GtidSet::empty(Dialect::Mysql),
                writers_left: Vec::new(),
            })
        })
    }
    fn stop_waiting<'a>(&'a self, _: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            self.facts().waits = false;
            Ok(())
        })
    }
    fn let_go<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            permit.check("let go")?;
            let takes = self.facts().let_go_takes;
            sleep(takes).await;
            self.facts().let_go += 1;
            Ok(())
        })
    }
    fn ping(&self) -> SqlFuture<'_, ()> {
        never()
    }
    fn inventory(&self) -> SqlFuture<'_, Inventory> {
        never()
    }
    fn warm_up(&self) -> SqlFuture<'_, ()> {
        never()
    }
    fn set_acker<'a>(&'a self, _: bool, _: &'a Permit) -> SqlFuture<'a, ()> {
        never()
    }
    fn sync_relay_log<'a>(&'a self, _: bool, _: &'a Permit) -> SqlFuture<'a, ()> {
        never()
    }
    fn stop_receiver<'a>(&'a self, _: &'a Permit) -> SqlFuture<'a, ()> {
        never()
    }
    fn start_receiver<'a>(&'a self, _: &'a Permit) -> SqlFuture<'a, ()> {
        never()
    }
    fn start_replication<'a>(&'a self, _: &'a Permit) -> SqlFuture<'a, ()> {
        never()
    }
    fn forget_source<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            permit.check("forget")?;
            self.facts().events.push("forgets");
            let takes = self.facts().forgetting_takes;
            sleep(takes).await;
            let mut facts = self.facts();
            facts.follows = false;
            facts.events.push("forgot");
            Ok(())
        })
    }
    fn follow<'a>(&'a self, _: &'a Source, _: &'a Permit) -> SqlFuture<'a, ()> {
        never()
    }
    fn wait_applied<'a>(&'a self, _: &'a GtidSet, _: Duration) -> SqlFuture<'a, bool> {
        never()
    }
    fn executed(&self) -> SqlFuture<'_, GtidSet> {
        never()
    }
    fn prove_commit(&self, _: Duration) -> SqlFuture<'_, ()> {
        never()
    }
    fn set_event_scheduler<'a>(&'a self, on: bool, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let takes = self.facts().scheduler_takes;
            sleep(takes).await;
            permit.check("event scheduler")?;
            self.facts().scheduler_on = on;
            Ok(())
        })
    }
    fn kill_own_leftovers(&self) -> SqlFuture<'_, u32> {
        never()
    }
    fn accounts_that_write_while_closed(&self) -> SqlFuture<'_, Vec<Account>> {
        never()
    }
    fn privileges(&self) -> SqlFuture<'_, Privileges> {
        never()
    }
}
