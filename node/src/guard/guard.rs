//! The guard's loop: attach to the server, do what the state wants of it, and never let it be open without a lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::error;

use super::adopting::Adopting;
use super::asking::{self, REPLIES, Reply};
use super::behind::{Behind, DONE, Done};
use super::clock::{Boottime, Clock};
use super::duty::{Duty, duty};
use super::events::EventsSeen;
use super::handle::{GuardHandle, Request, Seen};
use super::holding::Holding;
use super::lease::Rounds;
use super::longer::{Asks, HandOver};
use super::ports::{Attach, KeeperPort, Lease, Notes, Opener, Propose, Running, Voters};
use super::record::Memory;
use super::voter::Applied;
use crate::decide::seen::{GuardSeen, Process};
use crate::sql::{Account, ManagedServer, Pulse, SqlError};
use crate::state::{ClusterState, Epoch, NodeName, OperationId};

/// How often a server that should be closed is looked at, and what has not been told is told again.
const LOOK_IF_OPEN: Duration = Duration::from_millis(200);
/// The shortest sleep of the loop: whatever is due and cannot be done now must not keep a processor busy.
const BREATH: Duration = Duration::from_millis(2);
/// Requests that may wait while the guard opens or closes.
const REQUESTS: usize = 16;

/// What the guard needs of the world.
pub struct GuardPorts {
    /// This node.
    pub me: NodeName,
    /// Counts suspended time.
    pub clock: Arc<dyn Clock>,
    /// Durable facts.
    pub notes: Arc<dyn Notes>,
    /// The voters.
    pub voters: Arc<dyn Voters>,
    /// The newest membership.
    pub applied: Arc<dyn Applied>,
    /// The socket of the server beside this node.
    pub attach: Arc<dyn Attach>,
    /// That server.
    pub server: Arc<dyn ManagedServer>,
    /// The keeper beside it.
    pub keeper: Arc<dyn KeeperPort>,
    /// The replicated state, as applied here.
    pub states: watch::Receiver<Arc<ClusterState>>,
    /// The group.
    pub propose: Arc<dyn Propose>,
    /// Told when something here changed that the leader must know.
    pub nudge: Arc<Notify>,
    /// Whether the writer's event scheduler is to be on.
    pub events: bool,
    /// Accounts that may write while the server is closed: Baton's, replication's, and those the policy names.
    pub accepts: Arc<dyn Fn(&Account) -> bool + Send + Sync>,
}

/// The guard of one server.
pub struct Guard {
    pub(super) ports: GuardPorts,
    /// The keeper, and that it holds nothing, remembered for a moment. Nothing here speaks to it in another way.
    pub(super) keeper: Holding,
    pub(super) memory: Memory,
    pub(super) server: Attached,
    pub(super) rounds: Option<(Epoch, Rounds)>,
    /// Answers to rounds from before this count for nothing.
    pub(super) rounds_since: Boottime,
    pub(super) asks: Asks,
    /// The keeper's deadline may be later than that of an ordinary lease, or none.
    pub(super) long: bool,
    pub(super) handing_over: Option<HandOver>,
    /// The next process holds the lease from here on.
    pub(super) handed_over: bool,
    pub(super) lease: Option<Lease>,
    pub(super) trouble: Option<String>,
    /// Since when a server that may not be open was seen open.
    pub(super) open_since: Option<Boottime>,
    /// The switchover that was taken back last: nothing closes the server for it any more.
    pub(super) taken_back: Option<OperationId>,
    /// The newest epoch that was released and whose server waits for no acker any more.
    pub(super) given_back: Epoch,
    pub(super) behind: Behind,
    pub(super) events: EventsSeen,
    pub(super) adopting: Adopting,
    done: mpsc::Receiver<Done>,
    duty: Duty,
    pub(super) replies: mpsc::Sender<Reply>,
    answers: mpsc::Receiver<Reply>,
    requests: mpsc::Receiver<Request>,
    /// Told with each request to kill a server that hangs: it cuts off a look at it.
    fencing: Arc<Notify>,
    pub(super) process: watch::Sender<Process>,
    seen: Arc<Mutex<Seen>>,
    pub(super) next_round: Instant,
    next_look: Instant,
}

/// The server, as far as the guard has hold of it.
pub(super) enum Attached {
    /// Not found yet, or no longer.
    None,
    /// Its process, and the connection that may open it; that is away while it makes the server wait.
    To { process: Arc<dyn Running>, opener: Option<Box<dyn Opener>> },
    /// It has taken a fatal signal and runs none of its code any more, but has not exited yet (a core dump, a frozen
    /// disk, much memory to give back): it keeps its port, and answers nothing.
    Dying { process: Arc<dyn Running> },
    /// Seen to exit, its port refusing.
    Gone { pid: i32 },
}

impl Guard {
    /// A guard that has done nothing yet.
    ///
    /// # Errors
    /// When its memory cannot be read.
    pub async fn new(ports: GuardPorts) -> Result<(Self, GuardHandle), String> {
        let memory = Memory::load(Arc::clone(&ports.notes)).await?;
        let (replies, answers) = mpsc::channel(REPLIES);
        let (sender, requests) = mpsc::channel(REQUESTS);
        let (done_sender, done) = mpsc::channel(DONE);
        let (process, process_seen) = watch::channel(Process::Unknown);
        let seen =
            Arc::new(Mutex::new(Seen { view: GuardSeen::default(), lease: None, turned: ports.clock.now() }));
        let fencing = Arc::new(Notify::new());
        let handle = GuardHandle {
            requests: sender,
            fencing: Arc::clone(&fencing),
            process: process_seen,
            seen: Arc::clone(&seen),
            clock: Arc::clone(&ports.clock),
        };
        let now = Instant::now();
        let keeper = Holding::new(Arc::clone(&ports.keeper), Arc::clone(&ports.clock));
        let guard = Self {
            ports,
            keeper,
            memory,
            server: Attached::None,
            rounds: None,
            rounds_since: Boottime::BOOT,
            asks: Asks::default(),
            long: false,
            handing_over: None,
            handed_over: false,
            lease: None,
            trouble: None,
            open_since: None,
            taken_back: None,
            given_back: Epoch(0),
            behind: Behind::new(done_sender),
            events: EventsSeen::default(),
            adopting: Adopting::default(),
            done,
            duty: Duty::Observe,
            replies,
            answers,
            requests,
            fencing,
            process,
            seen,
            next_round: now,
            next_look: now,
        };
        Ok((guard, handle))
    }

    /// Guards until the keeper dies, the states end or the lease is handed over. The caller then ends the process.
    ///
    /// Nothing here waits for a server, the network or the group while the guard holds a lease: a wait longer than the
    /// lease would end with the keeper killing a healthy writer. What may take long is done behind ([`Behind`]).
    pub async fn run(mut self) -> &'static str {
        let keeper = Arc::clone(&self.ports.keeper);
        loop {
            self.look_for_server();
            self.do_duty().await;
            self.publish();
            if self.handed_over {
                return "the lease has been handed over";
            }
            let wake = self.wake_at();
            tokio::select! {
                changed = self.ports.states.changed() => if changed.is_err() {
                    return "the replicated state has ended";
                },
                Some(reply) = self.answers.recv() => self.take(reply).await,
                Some(request) = self.requests.recv() => self.serve(request).await,
                Some(done) = self.done.recv() => self.finish(done).await,
                () = keeper.died() => {
                    self.keeper_died().await;
                    return "the keeper has died";
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let mut wake = self.next_look.min(self.behind.attach_at(now));
        if self.rounds.is_some() {
            wake = wake.min(self.next_round);
        }
        if let Some(close_at) = self.close_at() {
            wake = wake.min(now + close_at.saturating_since(self.ports.clock.now()));
        }
        wake.max(now + BREATH)
    }

    /// What the state wants, and one step towards it.
    async fn do_duty(&mut self) {
        let state = Arc::clone(&self.ports.states.borrow_and_update());
        let duty = duty(&state, &self.ports.me, self.memory.record.refused);
        if duty != self.duty {
            self.duty = duty;
            self.look_now();
        }
        match duty {
            Duty::Observe => self.observe(&state).await,
            Duty::Closed => self.keep_closed().await,
            Duty::Write(epoch) => self.write(&state, epoch).await,
            Duty::TakeOver(epoch) => self.take_over(&state, epoch).await,
        }
    }

    async fn take(&mut self, reply: Reply) {
        let mut next = Some(reply);
        while let Some(reply) = next {
            self.count(reply);
            next = self.answers.try_recv().ok();
        }
        self.renewed().await;
    }

    /// Takes in the answers that have come so far.
    pub(super) fn drain(&mut self) {
        while let Ok(reply) = self.answers.try_recv() {
            self.count(reply);
        }
    }

    /// Waits for one more answer, bounded.
    pub(super) async fn one_answer(&mut self, bound: Duration) {
        if let Ok(Some(reply)) = tokio::time::timeout(bound, self.answers.recv()).await {
            self.count(reply);
        }
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::Fence(epoch, hangs, reply) => {
                let fenced = self.fence(epoch, hangs).await;
                let _asker_gone = reply.send(fenced);
            }
            Request::Freeze(freeze, reply) => self.freeze(freeze, reply),
            Request::MakeWait(epoch, since, reply) => self.make_wait(epoch, since, reply).await,
            Request::HandOver(reply) => self.begin_hand_over(reply),
            Request::StepDown(reply) => {
                let stepped_down = match self.lease {
                    Some(lease) => self.end_epoch(lease.epoch, "the node is stopped for good").await,
                    None => Ok(()),
                };
                let _asker_gone = reply.send(stepped_down);
            }
        }
    }

    /// What the server says of itself; `None` when it is to be killed because it hangs, which must not wait for its answer.
    pub(super) async fn pulse_unless_fenced(&mut self) -> Option<Result<Pulse, SqlError>> {
        tokio::select! {
            pulse = self.ports.server.pulse() => Some(pulse),
            () = self.fencing.notified() => None,
        }
    }

    /// The time between two rounds, and between the last one and the close: a fifth of the lease. While the lease held was
    /// granted for a shorter time than is asked for now (the voters have not applied the longer one yet, and refuse), a
    /// fifth of that.
    pub(super) fn pace(&self) -> Duration {
        let ttl = self.ports.states.borrow().safety.lease_ttl();
        asking::interval(self.lease.map_or(ttl, |lease| lease.length.min(ttl)))
    }

    /// The next round is due now.
    pub(super) fn ask_now(&mut self) {
        self.next_round = Instant::now();
    }

    pub(super) fn look_later(&mut self) {
        self.next_look = Instant::now() + LOOK_IF_OPEN;
    }

    pub(super) fn look_within(&mut self, moment: Duration) {
        self.next_look = Instant::now() + moment;
    }

    pub(super) fn look_now(&mut self) {
        self.next_look = Instant::now();
    }

    pub(super) fn look_is_due(&self) -> bool {
        Instant::now() >= self.next_look
    }

    /// When the guard starts to close: one renewal's time before the lease ends.
    pub(super) fn close_at(&self) -> Option<Boottime> {
        self.lease.map(|lease| lease.until.saturating_sub(self.pace()))
    }

    /// Whether the running process is the one that was opened under the newest epoch.
    pub(super) fn is_opened_process(&self) -> bool {
        matches!(&self.server, Attached::To { process, .. }
            if (process.pid(), process.start_time_ticks()) == self.memory.record.process)
    }

    /// Without its keeper no server is open: closed, and at the end of its lease killed where the close hangs. A server
    /// that nobody has a lease for yet (observed, or being adopted) is left as its people run it.
    async fn keeper_died(&mut self) {
        self.rounds = None;
        let lease = self.lease.take();
        if lease.is_none() && matches!(self.duty, Duty::Observe | Duty::TakeOver(_)) {
            error!("the keeper has died; nothing was under a lease");
            return;
        }
        if lease.is_some_and(|lease| lease.until == Boottime::NEVER) {
            error!("the keeper has died; in a pause the server stays open");
            return;
        }
        error!("the keeper has died; closing the server");
        if matches!(self.server, Attached::To { .. }) {
            self.close_or_kill(lease, None, "the keeper has died").await;
        }
    }

    fn publish(&self) {
        let record = &self.memory.record;
        let running = matches!(self.server, Attached::To { .. });
        let view = GuardSeen {
            lease: None,
            opened: record.opened,
            refused: record.refused,
            restarted: running && record.opened > Epoch(0) && !self.is_opened_process(),
            closed: record.closed,
            keeper: true,
            waits_since: record.waits_since,
            trouble: self.trouble.clone().or_else(|| self.events.trouble.clone()),
            lacks: None,
            left: None,
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.view != view {
            self.ports.nudge.notify_one();
        }
        *seen = Seen { view, lease: self.lease, turned: self.ports.clock.now() };
    }
}
