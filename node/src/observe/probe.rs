//! Every server of the cluster, seen over the network from here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::pulse::source;
use crate::decide::seen::{Probe, ProbeError, Replica};
use crate::gtid::GtidSet;
use crate::sql::{ManagedServer, Pulse, Replication, SqlError, Switch};
use crate::state::NodeName;

/// From one probe to the next.
const EVERY: Duration = Duration::from_millis(300);
/// An answer that takes longer is late: the probe shows [`ProbeError::Silent`] until it comes.
const LATE: Duration = Duration::from_millis(500);
/// Every call to a server has its own bound; this one ends a call that breaks that promise.
const HANG: Duration = Duration::from_secs(5);
/// After this long without a word a server is asked less often. A frozen server counts every abandoned handshake once it
/// thaws, and blocks the host after `max_connect_errors` of them.
const LONG_SILENT: Duration = Duration::from_secs(10);
/// From one probe to the next then.
const SELDOM: Duration = Duration::from_secs(2);

/// Makes the means to ask the server at `host:port`; connects to nothing yet. What it makes keeps its connection open,
/// so that a server without a connection left still answers.
pub type Connect = Arc<dyn Fn(&str) -> Arc<dyn ManagedServer> + Send + Sync>;

/// Probes every server it is told of, each in a task of its own. The tasks end with it.
pub struct Prober {
    connect: Connect,
    news: Arc<Notify>,
    targets: Mutex<BTreeMap<NodeName, Target>>,
}

struct Target {
    address: String,
    record: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Prober {
    /// Probes nothing yet; `news` is told whenever a probe has ended.
    pub fn new(connect: Connect, news: Arc<Notify>) -> Self {
        Self { connect, news, targets: Mutex::default() }
    }

    /// Probes exactly these servers, `host:port` each, from now on. One whose address did not change is not disturbed.
    /// Must be called within a tokio runtime.
    pub fn follow(&self, servers: &BTreeMap<NodeName, String>) {
        let mut targets = lock(&self.targets);
        targets.retain(|node, target| servers.get(node) == Some(&target.address));
        for (node, address) in servers {
            targets.entry(node.clone()).or_insert_with(|| self.start(address));
        }
    }

    /// What is seen of each now.
    pub fn now(&self) -> BTreeMap<NodeName, Probe> {
        let now = Instant::now();
        lock(&self.targets).iter().map(|(node, t)| (node.clone(), lock(&t.record).at(now))).collect()
    }

    fn start(&self, address: &str) -> Target {
        let record = Arc::new(Mutex::new(Record::new(Instant::now())));
        let server = (self.connect)(address);
        let task = crate::task::spawn(probe(server, Arc::clone(&record), Arc::clone(&self.news)));
        Target { address: address.to_owned(), record, task }
    }
}

/// Asks again and again. Never a bare TCP connection: the server would count it against this host.
async fn probe(server: Arc<dyn ManagedServer>, record: Arc<Mutex<Record>>, news: Arc<Notify>) {
    loop {
        let begun = Instant::now();
        let answer = {
            let mut asked = server.pulse();
            match timeout(LATE, &mut asked).await {
                Ok(answer) => answer,
                Err(_) => {
                    lock(&record).error = Some(ProbeError::Silent);
                    news.notify_one();
                    // Its connection is not given up for being late: a late answer is an answer.
                    timeout(HANG, asked)
                        .await
                        .unwrap_or(Err(SqlError::TimedOut { what: "probe", after: HANG }))
                }
            }
        };
        let now = Instant::now();
        let pause = lock(&record).take(answer, now.saturating_duration_since(begun), now);
        news.notify_one();
        sleep_until(begun + pause).await;
    }
}

/// What is known of one server.
#[derive(Debug)]
struct Record {
    /// When probing began.
    since: Instant,
    answered: Option<Instant>,
    took: Option<Duration>,
    error: Option<ProbeError>,
    open: Option<bool>,
    executed: Option<GtidSet>,
    replica: Option<Replica>,
    /// Since when its replication has been seen to stand still.
    stopped: Option<Instant>,
}

impl Record {
    fn new(since: Instant) -> Self {
        Self {
            since,
            answered: None,
            took: None,
            error: None,
            open: None,
            executed: None,
            replica: None,
            stopped: None,
        }
    }

    /// Takes an answer in; returns how long after the question the next one is due.
    fn take(&mut self, answer: Result<Pulse, SqlError>, took: Duration, now: Instant) -> Duration {
        let before = self.error;
        match answer {
            Ok(pulse) => {
                self.answered = Some(now);
                self.took = Some(took);
                self.error = None;
                self.open = Some(pulse.switch == Switch::Open);
                self.executed = Some(pulse.executed);
                self.replicates(pulse.replication.as_ref(), now);
            }
            Err(error) => {
                let kind = kind(&error);
                self.error = Some(kind);
                if kind.answered() {
                    self.answered = Some(now);
                } else if before.is_none() && matches!(error, SqlError::Gone { .. }) {
                    // A connection that broke says nothing yet; whether the server is there the next one tells.
                    return Duration::ZERO;
                }
            }
        }
        let tired = self.error == Some(ProbeError::Silent) && self.silent_for(now) >= LONG_SILENT;
        if tired { SELDOM } else { EVERY }
    }

    fn replicates(&mut self, channel: Option<&Replication>, now: Instant) {
        let stands = channel.is_some_and(|c| !(c.io_running && c.sql_running));
        self.stopped = stands.then(|| self.stopped.unwrap_or(now));
        self.replica = channel.map(|c| Replica {
            source: source(c),
            stopped_for: None,
            behind: c.seconds_behind.map(Duration::from_secs),
        });
    }

    fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.answered.unwrap_or(self.since))
    }

    fn at(&self, now: Instant) -> Probe {
        Probe {
            silent_for: self.silent_for(now),
            ever: self.answered.is_some(),
            took: self.took,
            error: self.error,
            open: self.open,
            executed: self.executed.clone(),
            replica: self.replica.clone().map(|replica| Replica {
                stopped_for: self.stopped.map(|stopped| now.saturating_duration_since(stopped)),
                ..replica
            }),
        }
    }
}

fn kind(error: &SqlError) -> ProbeError {
    match error {
        SqlError::Refused { .. } => ProbeError::Refused,
        SqlError::TooManyConnections => ProbeError::TooManyConnections,
        SqlError::AccessDenied { .. } => ProbeError::Denied,
        other if other.server_answered() => ProbeError::Other,
        _ => ProbeError::Silent,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
