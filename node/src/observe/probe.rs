//! Every server of the cluster, seen over the network from here.
//!
//! A server at rest is asked for its whole pulse once in three times, and else for a glance: what would make the pulse show
//! something new shows there too, and the whole pulse is taken at once then. Something new on one server, or in the
//! replicated state, may soon be on the others, which are asked for the whole from there on for a while.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use self::record::{Question, Record, Said, Word};
use super::digest::ProbeDigest;
use super::own::OwnHandle;
use crate::decide::seen::Probe;
use crate::sql::{ManagedServer, SqlError, SqlFuture};
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
/// From one probe to the next of the server beside this node, while its own watch shows the same. More often it would tell
/// nothing but whether the way over the network is there, whose loss is counted from the last answer anyway.
const OWN_EVERY: Duration = Duration::from_secs(1);
/// How old what the own watch shows may be for that: it looks several times as often.
const OWN_FRESH: Duration = Duration::from_millis(500);

/// Makes the means to ask the server at `host:port`; connects to nothing yet. What it makes keeps its connection open,
/// so that a server without a connection left still answers.
pub type Connect = Arc<dyn Fn(&str) -> Arc<dyn ManagedServer> + Send + Sync>;

/// Probes every server it is told of, each in a task of its own. The tasks end with it.
pub struct Prober {
    connect: Connect,
    news: Arc<Notify>,
    /// Told when something was new anywhere.
    stir: Arc<watch::Sender<()>>,
    /// The node whose server stands beside this one, and what its own watch shows.
    own: Mutex<Option<(NodeName, OwnHandle)>>,
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
        Self { connect, news, stir: Arc::default(), own: Mutex::default(), targets: Mutex::default() }
    }

    /// The server of `me` has a watch of its own: it is probed seldom while that shows the same. Counts for servers that are
    /// followed later.
    pub fn spare(&self, me: NodeName, own: OwnHandle) {
        *lock(&self.own) = Some((me, own));
    }

    /// Probes exactly these servers, `host:port` each, from now on. One whose address did not change is not disturbed.
    /// To be called again with every change of the replicated state: whoever follows another source by it is seen at once.
    /// Must be called within a tokio runtime.
    pub fn follow(&self, servers: &BTreeMap<NodeName, String>) {
        let mut targets = lock(&self.targets);
        targets.retain(|node, target| servers.get(node) == Some(&target.address));
        self.stir.send_replace(());
        for (node, address) in servers {
            targets.entry(node.clone()).or_insert_with(|| self.start(node, address));
        }
    }

    /// What is seen of each now.
    pub fn now(&self) -> BTreeMap<NodeName, Probe> {
        let now = Instant::now();
        lock(&self.targets).iter().map(|(node, t)| (node.clone(), lock(&t.record).at(now))).collect()
    }

    /// What of [`Self::now`] matters at once.
    pub(super) fn digest(&self) -> BTreeMap<NodeName, ProbeDigest> {
        lock(&self.targets).iter().map(|(node, t)| (node.clone(), lock(&t.record).digest())).collect()
    }

    fn start(&self, node: &NodeName, address: &str) -> Target {
        let record = Arc::new(Mutex::new(Record::new(Instant::now())));
        let own = lock(&self.own).as_ref().filter(|(me, _)| me == node).map(|(_, own)| own.clone());
        let probing = Probing {
            server: (self.connect)(address),
            record: Arc::clone(&record),
            news: Arc::clone(&self.news),
            stirred: self.stir.subscribe(),
            stir: Arc::clone(&self.stir),
            own,
        };
        let task = crate::task::spawn(probing.run());
        Target { address: address.to_owned(), record, task }
    }
}

/// The probing of one server.
struct Probing {
    server: Arc<dyn ManagedServer>,
    record: Arc<Mutex<Record>>,
    news: Arc<Notify>,
    stir: Arc<watch::Sender<()>>,
    stirred: watch::Receiver<()>,
    own: Option<OwnHandle>,
}

impl Probing {
    /// Asks again and again. Never a bare TCP connection: the server would count it against this host.
    async fn run(mut self) {
        loop {
            let begun = Instant::now();
            let question = lock(&self.record).question(begun);
            let answer = self.ask(question).await;
            let now = Instant::now();
            let said = lock(&self.record).take(question, answer, now.saturating_duration_since(begun), now);
            if said.moved {
                self.stir.send_replace(());
                // It has counted this itself.
                self.stirred.mark_unchanged();
            }
            self.news.notify_one();
            self.rest(begun, said).await;
        }
    }

    async fn ask(&self, question: Question) -> Result<Word, SqlError> {
        let mut asked = put(&*self.server, question);
        if let Ok(answer) = timeout(LATE, &mut asked).await {
            return answer;
        }
        lock(&self.record).is_late();
        self.news.notify_one();
        // Its connection is not given up for being late: a late answer is an answer.
        timeout(HANG, asked).await.unwrap_or(Err(SqlError::TimedOut { what: "probe", after: HANG }))
    }

    /// Until the next question is due: earlier where this server was only glanced at and something is new elsewhere, later
    /// for the own server while its watch agrees.
    async fn rest(&mut self, begun: Instant, Said { pause, .. }: Said) {
        loop {
            let spared = pause == EVERY && self.own_watch_agrees();
            let due = begun + if spared { OWN_EVERY } else { pause };
            // What the watch shows grows old without a word.
            let look = due.min(Instant::now() + EVERY);
            tokio::select! {
                () = sleep_until(look) => if Instant::now() >= due { return },
                Ok(()) = self.stirred.changed() => if lock(&self.record).stir(Instant::now()) { return },
                true = changed(&mut self.own) => {}
            }
        }
    }

    fn own_watch_agrees(&self) -> bool {
        self.own.as_ref().is_some_and(|own| {
            own.lately(OWN_FRESH, |pulse| lock(&self.record).agrees_with(pulse)).unwrap_or(false)
        })
    }
}

fn put(server: &dyn ManagedServer, question: Question) -> SqlFuture<'_, Word> {
    match question {
        Question::Whole => Box::pin(async { Ok(Word::Whole(Box::new(server.pulse().await?))) }),
        Question::Glance { channel } => {
            Box::pin(async move { Ok(Word::Glance(server.glance(channel).await?)) })
        }
    }
}

/// Waits for the own watch's next reading; for ever where there is no such watch.
async fn changed(own: &mut Option<OwnHandle>) -> bool {
    match own {
        Some(own) => own.changed().await,
        None => pending().await,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

mod record;
#[cfg(test)]
mod tests;
