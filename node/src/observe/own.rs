//! Watches the server beside this node.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::about::Facts;
use super::digest::{OwnDigest, OwnParts};
use super::pulse::{Receiving, convert};
use crate::decide::seen::{About, GuardSeen, NoAnswer, OwnServer, Process, Pulse};
use crate::sql::{self, Account, ManagedServer, SqlError};

/// From one pulse to the next.
const PULSE_EVERY: Duration = Duration::from_millis(150);
/// From one inventory to the next.
const ABOUT_EVERY: Duration = Duration::from_secs(10);
/// From an inventory that failed, or that found something wrong, to the next.
const ABOUT_AGAIN: Duration = Duration::from_secs(5);
/// Every call to a server has its own bound; this one ends a call that breaks that promise.
const HANG: Duration = Duration::from_secs(5);

/// What an [`OwnWatch`] needs.
#[derive(Clone)]
pub struct OwnSetup {
    /// The server.
    pub server: Arc<dyn ManagedServer>,
    /// Its process, as the guard sees it.
    pub process: watch::Receiver<Process>,
    /// What the guard did and holds; must not block.
    pub guard: Arc<dyn Fn() -> GuardSeen + Send + Sync>,
    /// Accounts that the policy allows to write while the server is closed; must not block.
    pub accepts: Arc<dyn Fn(&Account) -> bool + Send + Sync>,
    /// Told when the guard changed something: what it did is passed on, and the pulse taken, at once.
    pub nudge: Arc<Notify>,
    /// Tells the reporter that there may be something new.
    pub news: Arc<Notify>,
}

/// Takes the server's pulse several times a second and reads seldom what seldom changes.
pub struct OwnWatch {
    setup: OwnSetup,
    answers: watch::Sender<Answers>,
    receiving: Receiving,
    facts: Option<Facts>,
    pulse_due: Instant,
    facts_due: Instant,
}

/// What the server last said.
#[derive(Clone, Debug, Default)]
struct Answers {
    pulse: Option<(Pulse, Instant)>,
    error: Option<NoAnswer>,
    about: Option<About>,
}

/// Reads what an [`OwnWatch`] last saw.
#[derive(Clone)]
pub struct OwnHandle {
    answers: watch::Receiver<Answers>,
    process: watch::Receiver<Process>,
    guard: Arc<dyn Fn() -> GuardSeen + Send + Sync>,
}

impl OwnHandle {
    /// As seen now: the process and the guard are asked at this moment, the pulse is as old as it says.
    pub fn now(&self) -> OwnServer {
        let answers = self.answers.borrow().clone();
        let age = answers.pulse.as_ref().map(|(_, at)| at.elapsed()).unwrap_or_default();
        OwnServer {
            process: self.process.borrow().clone(),
            pulse: answers.pulse.map(|(pulse, _)| pulse),
            pulse_age: age,
            error: answers.error,
            guard: (self.guard)(),
            about: answers.about,
        }
    }

    /// What of [`Self::now`] matters at once.
    pub(super) fn digest(&self) -> OwnDigest {
        // Asked before anything is borrowed: it may take its time for a lock.
        let guard = (self.guard)();
        let (process, answers) = (self.process.borrow().clone(), self.answers.borrow());
        OwnDigest::from(OwnParts {
            process: &process,
            answers: answers.error.is_none(),
            pulse: answers.pulse.as_ref().map(|(pulse, _)| pulse),
            guard: &guard,
            about: answers.about.as_ref(),
        })
    }

    /// What the server said within that time, if it runs and has answered since with nothing else.
    pub(super) fn lately<T>(&self, within: Duration, look: impl FnOnce(&Pulse) -> T) -> Option<T> {
        let runs = matches!(*self.process.borrow(), Process::Running { .. });
        let answers = self.answers.borrow();
        let answered = answers.pulse.as_ref().filter(|_| runs && answers.error.is_none());
        answered.filter(|(_, at)| at.elapsed() <= within).map(|(pulse, _)| look(pulse))
    }

    /// Waits for the next change or reading; false when the watch has ended.
    pub async fn changed(&mut self) -> bool {
        self.answers.changed().await.is_ok()
    }
}

type Asked = BoxFuture<'static, (Instant, Result<sql::Pulse, SqlError>)>;
type Read = BoxFuture<'static, Result<Facts, SqlError>>;

impl OwnWatch {
    /// Asks nothing before it runs.
    pub fn new(setup: OwnSetup) -> (Self, OwnHandle) {
        let (answers, receiver) = watch::channel(Answers::default());
        let (process, guard) = (setup.process.clone(), Arc::clone(&setup.guard));
        let now = Instant::now();
        let receiving = Receiving::default();
        let watch = Self { setup, answers, receiving, facts: None, pulse_due: now, facts_due: now };
        (watch, OwnHandle { answers: receiver, process, guard })
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        let (mut asked, mut read): (Option<Asked>, Option<Read>) = (None, None);
        let mut guarded = true;
        loop {
            // A call that hangs must not hold up the news of a dead process: nothing here waits for one thing only.
            tokio::select! {
                changed = self.setup.process.changed(), if guarded => {
                    guarded = changed.is_ok();
                    (asked, read) = (None, None);
                    self.another_process();
                }
                () = self.setup.nudge.notified() => self.told(),
                (at, answer) = in_flight(&mut asked) => self.answered(at, answer),
                facts = in_flight(&mut read) => self.read(facts),
                () = sleep_until(self.pulse_due), if asked.is_none() => {
                    self.pulse_due = Instant::now() + PULSE_EVERY;
                    asked = Some(ask(Arc::clone(&self.setup.server)));
                }
                () = sleep_until(self.facts_due), if read.is_none() && self.answers.borrow().error.is_none() => {
                    self.facts_due = Instant::now() + ABOUT_EVERY;
                    read = Some(read_facts(Arc::clone(&self.setup.server)));
                }
            }
        }
    }

    /// What the old process said stays, as old as it is: it is the last that was seen of its data. What is configured
    /// may differ now.
    fn another_process(&mut self) {
        self.receiving = Receiving::default();
        self.facts = None;
        self.facts_due = Instant::now();
        self.answers.send_modify(|answers| answers.about = None);
        self.told();
    }

    /// The process or the guard changed: passed on before the server is asked about it.
    fn told(&mut self) {
        self.pulse_due = Instant::now();
        self.publish(|_| ());
    }

    fn answered(&mut self, at: Instant, answer: Result<sql::Pulse, SqlError>) {
        match answer {
            Ok(pulse) => {
                if self.facts.is_none() && self.answers.borrow().error.is_some() {
                    self.facts_due = Instant::now();
                }
                let seen = convert(&pulse, &mut self.receiving, at);
                let about = self.facts.as_ref().map(|f| f.about(&pulse, &*self.setup.accepts));
                // Somebody mends it now, perhaps, and asks whether it is mended.
                if about.iter().flat_map(|a| &a.findings).any(|f| f.error) {
                    self.facts_due = self.facts_due.min(Instant::now() + ABOUT_AGAIN);
                }
                self.publish(|answers| *answers = Answers { pulse: Some((seen, at)), error: None, about });
            }
            Err(error) => {
                // A connection that broke says nothing yet: the next one tells a dead server from a killed session.
                let broke = matches!(error, SqlError::Gone { .. });
                if broke && self.answers.borrow().error.is_none() {
                    self.pulse_due = Instant::now();
                }
                let refused = error.server_answered();
                // What was read with another account or from another server says nothing of this one.
                if matches!(error, SqlError::AccessDenied { .. } | SqlError::MissingPrivilege { .. })
                    || matches!(error, SqlError::Unsupported(_))
                {
                    self.facts = None;
                    self.answers.send_modify(|answers| answers.about = None);
                }
                let error = NoAnswer { what: error.to_string(), mend: error.mend().into(), refused };
                self.publish(|answers| answers.error = Some(error));
            }
        }
    }

    fn read(&mut self, facts: Result<Facts, SqlError>) {
        match facts {
            Ok(facts) => {
                self.facts = Some(facts);
                self.pulse_due = Instant::now();
            }
            // The pulse over the same connection says why.
            Err(_) => self.facts_due = Instant::now() + ABOUT_AGAIN,
        }
    }

    fn publish(&self, change: impl FnOnce(&mut Answers)) {
        self.answers.send_modify(change);
        self.setup.news.notify_one();
    }
}

fn ask(server: Arc<dyn ManagedServer>) -> Asked {
    Box::pin(async move {
        // The answer is at least as old as the question.
        let at = Instant::now();
        let answer = timeout(HANG, server.pulse()).await;
        (at, answer.unwrap_or(Err(SqlError::TimedOut { what: "pulse", after: HANG })))
    })
}

fn read_facts(server: Arc<dyn ManagedServer>) -> Read {
    Box::pin(async move {
        let facts = timeout(HANG * 2, Facts::read(&*server)).await;
        facts.unwrap_or(Err(SqlError::TimedOut { what: "inventory", after: HANG * 2 }))
    })
}

/// The result of a call under way, once; never, when none is.
async fn in_flight<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(call) => {
            let result = call.await;
            *slot = None;
            result
        }
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
