//! What the guard has done behind its back: whatever could take longer than a lease may wait for it. Each piece of work is
//! bounded by itself, there is at most one of each kind, and its end comes back to the loop as a [`Done`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{info, warn};

use super::events::{Events, EventsSeen};
use super::freezing;
use super::guard::{Attached, Guard};
use super::ports::{Frozen, NotCommitted, Opener, Running};
use crate::decide::seen::Process;
use crate::sql::SqlError;
use crate::state::{Change, Epoch, Outcome};

/// How often a server that is not there is looked for.
const ATTACH_AGAIN: Duration = Duration::from_millis(50);
/// Ends that may wait to be read: one of each kind and those of a few processes.
pub(super) const DONE: usize = 16;

/// Work behind the guard's back that has ended.
pub(super) enum Done {
    /// The server's socket was connected to, or not.
    Attached(Result<Box<dyn Opener>, SqlError>),
    /// The process has taken a fatal signal.
    Dying(Arc<dyn Running>),
    /// The process has exited, and whether its port refuses.
    Exited(Arc<dyn Running>, bool),
    /// The group was told of something, or not.
    Told(Result<(), NotCommitted>),
    /// The server was to be reported open, and is closed.
    NotOpen(Epoch),
    /// The server's source was forgotten, or not.
    Forgot(Result<(), SqlError>),
    /// The server was told to go on without ackers, by the entry of this index.
    LetGo(u64, Result<(), SqlError>),
    /// The event scheduler was switched, or not.
    Events(Events, Result<(), SqlError>),
    /// The server was to be closed for a switchover, by the process it was then.
    Frozen(Epoch, i32, freezing::Outcome, oneshot::Sender<Frozen>),
    /// The server was made to wait: the connection comes back.
    Waits(Box<dyn Opener>, Result<(), String>, oneshot::Sender<Result<(), String>>),
}

/// What is under way.
pub(super) struct Behind {
    pub(super) done: mpsc::Sender<Done>,
    attaching: bool,
    attach_at: Instant,
    telling: bool,
    pub(super) forgetting: bool,
    pub(super) freezing: bool,
    pub(super) letting_go: bool,
    /// The newest entry that the server was let go by, in this process.
    pub(super) let_go: u64,
    /// A let-go that failed may still take effect until then.
    pub(super) let_go_unsure_until: Option<Instant>,
    /// When a let-go that failed is tried again.
    pub(super) let_go_again: Option<Instant>,
}

impl Behind {
    pub(super) fn new(done: mpsc::Sender<Done>) -> Self {
        Self {
            done,
            attaching: false,
            attach_at: Instant::now(),
            telling: false,
            forgetting: false,
            freezing: false,
            letting_go: false,
            let_go: 0,
            let_go_unsure_until: None,
            let_go_again: None,
        }
    }

    /// When the next attempt to attach is due; `now` or later. Far off while one is under way.
    pub(super) fn attach_at(&self, now: Instant) -> Instant {
        const FAR: Duration = Duration::from_secs(1);
        if self.attaching || self.attach_at < now { now + FAR } else { self.attach_at }
    }
}

impl Guard {
    /// Sees to it that the server's process is found through a connection to its socket, which is kept for opening.
    pub(super) fn look_for_server(&mut self) {
        let wanted = match &self.server {
            Attached::None | Attached::Gone { .. } => true,
            Attached::To { opener, .. } => opener.as_ref().is_some_and(|o| o.is_broken()),
            Attached::Dying { .. } => false,
        };
        if !wanted || self.behind.attaching || Instant::now() < self.behind.attach_at {
            return;
        }
        self.behind.attaching = true;
        let (attach, done) = (Arc::clone(&self.ports.attach), self.behind.done.clone());
        crate::task::spawn(async move {
            let attached = attach.attach().await;
            let _over = done.send(Done::Attached(attached)).await;
        });
    }

    /// Proposes a change; one at a time, and again by the loop until the state shows it. `only_if_open`: the server is
    /// asked first whether it is open, for who reports it did not open it just now.
    /// Whether it was proposed now.
    pub(super) fn tell(&mut self, change: Change, only_if_open: Option<Epoch>) -> bool {
        if std::mem::replace(&mut self.behind.telling, true) {
            return false;
        }
        let (propose, server) = (Arc::clone(&self.ports.propose), Arc::clone(&self.ports.server));
        let done = self.behind.done.clone();
        crate::task::spawn(async move {
            let told = match only_if_open {
                Some(epoch) => match server.pulse().await {
                    Ok(pulse) if pulse.switch.is_closed() => Done::NotOpen(epoch),
                    Ok(_) => Done::Told(settled(propose.propose(change).await)),
                    Err(error) => Done::Told(Err(NotCommitted { why: error.to_string(), never: true })),
                },
                None => Done::Told(settled(propose.propose(change).await)),
            };
            let _over = done.send(told).await;
        });
        true
    }

    /// Takes in what has ended.
    pub(super) async fn finish(&mut self, done: Done) {
        match done {
            Done::Attached(attached) => self.attached(attached),
            Done::Dying(process) => self.server_dying(&process),
            Done::Exited(process, refuses) => self.server_exited(&process, refuses),
            Done::Told(told) => {
                self.behind.telling = false;
                self.adopting.told(&told);
                if let Err(error) = told {
                    self.trouble = Some(error.why);
                }
            }
            Done::NotOpen(epoch) => {
                self.behind.telling = false;
                warn!(%epoch, "the server is closed and was not reported open yet: this epoch has had its opening");
                if let Err(why) = self.memory.change(|r| r.closed = r.closed.max(epoch)).await {
                    self.trouble = Some(why);
                }
            }
            Done::Events(wanted, switched) => self.events_switched(wanted, switched),
            Done::Forgot(forgot) => self.forgot(forgot),
            Done::LetGo(index, let_go) => self.was_let_go(index, let_go),
            Done::Frozen(epoch, pid, outcome, reply) => self.frozen(epoch, pid, outcome, reply).await,
            Done::Waits(opener, result, reply) => {
                if let Attached::To { process, opener: away @ None } = &mut self.server
                    && process.pid() == opener.pid()
                {
                    *away = Some(opener);
                }
                let _asker_gone = reply.send(result);
            }
        }
    }

    fn attached(&mut self, attached: Result<Box<dyn Opener>, SqlError>) {
        self.behind.attaching = false;
        self.behind.attach_at = Instant::now();
        let Ok(opener) = attached else {
            self.behind.attach_at += ATTACH_AGAIN;
            if matches!(self.server, Attached::None) {
                self.process.send_if_modified(|p| std::mem::replace(p, Process::Absent) != Process::Absent);
            }
            return;
        };
        self.look_now();
        if let Attached::To { process, opener: pinned } = &mut self.server
            && process.pid() == opener.pid()
            && !process.has_exited()
        {
            *pinned = Some(opener);
            return;
        }
        match self.ports.attach.process(opener.pid()) {
            Ok(process) => {
                info!(pid = opener.pid(), "attached to the server");
                self.process.send_replace(Process::Running { pid: opener.pid() });
                self.watch(Arc::clone(&process));
                self.server = Attached::To { process, opener: Some(opener) };
                self.events = EventsSeen::default();
            }
            Err(error) => {
                self.behind.attach_at += ATTACH_AGAIN;
                self.trouble = Some(error.to_string());
            }
        }
    }

    /// One watch for each process that was attached to, for as long as it lives.
    fn watch(&self, process: Arc<dyn Running>) {
        let (attach, done) = (Arc::clone(&self.ports.attach), self.behind.done.clone());
        crate::task::spawn(async move {
            if process.exited().await.is_err() {
                return;
            }
            if !process.has_exited() {
                let _over = done.send(Done::Dying(Arc::clone(&process))).await;
                if process.exit_completed().await.is_err() {
                    return;
                }
            }
            let refuses = attach.refuses().await;
            let _over = done.send(Done::Exited(process, refuses)).await;
        });
    }

    fn is_attached_to(&self, other: &Arc<dyn Running>) -> bool {
        match &self.server {
            Attached::To { process, .. } | Attached::Dying { process } => Arc::ptr_eq(process, other),
            Attached::None | Attached::Gone { .. } => false,
        }
    }

    /// Nothing is asked of it, and no lease renewed for it, from here on.
    fn server_dying(&mut self, process: &Arc<dyn Running>) {
        if !self.is_attached_to(process) {
            return;
        }
        let pid = process.pid();
        warn!(pid, "the server's process has taken a fatal signal");
        self.rounds = None;
        self.lease = None;
        self.trouble = Some(format!("the server's process {pid} has been killed and has not exited"));
        self.server = Attached::Dying { process: Arc::clone(process) };
    }

    /// Gone, where its port refuses. Otherwise another process listens there already, which is attached to next.
    fn server_exited(&mut self, process: &Arc<dyn Running>, refuses: bool) {
        if !self.is_attached_to(process) {
            return;
        }
        let pid = process.pid();
        self.rounds = None;
        self.lease = None;
        self.trouble = None;
        self.behind.attach_at = Instant::now();
        if refuses {
            warn!(pid, "the server's process has exited and its port refuses");
            self.process.send_replace(Process::Gone { pid });
            self.server = Attached::Gone { pid };
        } else {
            self.process.send_replace(Process::Unknown);
            self.server = Attached::None;
        }
    }
}

fn settled(outcome: Result<Outcome, NotCommitted>) -> Result<(), NotCommitted> {
    match outcome? {
        Outcome::Applied => Ok(()),
        Outcome::Refused(refusal) => Err(NotCommitted { why: refusal.to_string(), never: true }),
    }
}
