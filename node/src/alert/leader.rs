//! On the leader: looks at what there is to tell, has it agreed on, and tells it. Beside everything else: nothing waits for it.
//!
//! That a sink is about to be told is committed before, and that it was, after. So one leader at most tells a thing, and the
//! next one knows what may have been told already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::decide::{Memory, Moment, SEES_AFTER, changes};
use super::due::{Due, due};
use super::event::{Condition, conditions, of_followers};
use super::heartbeat::{Heart, is_healthy};
use super::retry::Pace;
use super::room::{Audience, with_room};
use super::sink::{Outcome, Sink, Sinks};
use super::telegram::buttons::buttons;
use super::telegram::{Answers, Desk};
use crate::consensus::Group;
use crate::decide::diagnose::{Lasting, diagnose};
use crate::observe::Table;
use crate::operate::{Followers, Proposer};
use crate::state::{AlertChange, Alerts, Change, ClusterState, Notice, UnixMillis};

/// Without news, the leader looks again this often; more often while an operation runs.
const TICK: Duration = Duration::from_millis(250);
const TICK_MOVING: Duration = Duration::from_millis(50);
/// While nobody is told anything.
const TICK_IDLE: Duration = Duration::from_secs(10);
/// How long a majority may take to confirm the leadership.
const CONFIRM: Duration = Duration::from_secs(1);
/// After a commit that failed.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Who is told, by the file as it was read last.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    /// What happens.
    pub sinks: Arc<Sinks>,
    /// That all is well.
    pub heart: Option<Heart>,
}

impl Listeners {
    fn is_nobody(&self) -> bool {
        self.sinks.is_empty() && self.heart.is_none()
    }
}

/// What the leader's alerts need.
pub struct Alerting {
    /// The cluster's name.
    pub cluster: String,
    /// The group.
    pub group: Group,
    /// What the nodes report.
    pub table: Arc<Table>,
    /// Proposals in this node's name.
    pub proposer: Proposer,
    /// How servers without a node are.
    pub followers: watch::Receiver<Followers>,
    /// How long some conditions have lasted, as the leader's loop counts.
    pub lasting: watch::Receiver<Lasting>,
    /// Who is told.
    pub listeners: watch::Receiver<Listeners>,
    /// Draws what no button of an earlier notice holds.
    pub draw: Arc<dyn Fn() -> String + Send + Sync>,
    /// What people may ask by Telegram.
    pub answers: Arc<dyn Answers>,
}

/// What one attempt to tell came to.
struct Attempt {
    sink: String,
    id: String,
    revision: u32,
    /// It said that it may be one.
    repeat: bool,
    outcome: Outcome,
}

/// What has come in.
enum News {
    Attempt(Attempt),
    Beat(Result<(), String>),
    Listeners,
}

/// One term of leading.
struct Term<'a> {
    alerting: &'a Alerting,
    began: Instant,
    memory: Memory,
    paces: BTreeMap<String, Pace>,
    /// What was tried in this term and has not arrived for certain: notice and sink.
    not_arrived: BTreeSet<(String, String)>,
    /// What is being told at this moment: notice and sink.
    under_way: BTreeSet<(String, String)>,
    /// What became of attempts and is not agreed on yet.
    records: Vec<AlertChange>,
    attempts: JoinSet<Attempt>,
    beats: JoinSet<Result<(), String>>,
    next_beat: Instant,
    beating: bool,
}

impl Alerting {
    /// Tells whenever this node leads, until the group's handle ends.
    pub async fn run(self) {
        let (mut leadership, mut listeners) = (self.group.leadership(), self.listeners.clone());
        loop {
            let now = leadership.borrow_and_update().clone();
            let nobody = listeners.borrow_and_update().is_nobody();
            let wanted = now.mine && (!nobody || self.group.states().borrow().state.alerts.begun);
            // Also so that all that the last leader told has been applied here.
            if wanted && self.group.confirm_leadership(CONFIRM).await.is_ok() {
                let over = async {
                    let mut watching = self.group.leadership();
                    let _ended = watching.wait_for(|l| !l.mine || l.term != now.term).await;
                };
                tokio::select! {
                    () = Term::new(&self).run() => {}
                    () = self.listen() => {}
                    () = over => {}
                }
            } else if wanted {
                tokio::time::sleep(AFTER_FAILURE).await;
            } else {
                tokio::select! {
                    changed = leadership.changed() => if changed.is_err() { return },
                    Ok(()) = listeners.changed() => {}
                }
            }
        }
    }
}

impl Alerting {
    /// Listens to those whom the file names, and to others once that names others.
    async fn listen(&self) {
        let mut listeners = self.listeners.clone();
        let desk = Desk {
            cluster: &self.cluster,
            group: &self.group,
            proposer: &self.proposer,
            answers: &*self.answers,
        };
        loop {
            let sinks = Arc::clone(&listeners.borrow_and_update().sinks);
            let hear = async {
                match &sinks.ears {
                    Some(ears) => ears.listen(&desk).await,
                    None => std::future::pending().await,
                }
            };
            let renewed = async {
                if listeners.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = hear => {}
                () = renewed => {}
            }
        }
    }
}

impl<'a> Term<'a> {
    fn new(alerting: &'a Alerting) -> Self {
        let now = Instant::now();
        Self {
            alerting,
            began: now,
            memory: Memory::default(),
            paces: BTreeMap::new(),
            not_arrived: BTreeSet::new(),
            under_way: BTreeSet::new(),
            records: Vec::new(),
            attempts: JoinSet::new(),
            beats: JoinSet::new(),
            // Before that it sees too little to call anything well.
            next_beat: now + SEES_AFTER,
            beating: true,
        }
    }

    async fn run(mut self) {
        let mut states = self.alerting.group.states();
        let mut listeners = self.alerting.listeners.clone();
        loop {
            let state = Arc::clone(&states.borrow_and_update().state);
            let to = listeners.borrow_and_update().clone();
            if let Err(why) = self.turn(&state, &to).await {
                warn!(why, "what people are to be told could not be agreed on");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
            let tick = match &state.operation {
                _ if to.is_nobody() => TICK_IDLE,
                Some(operation) if operation.opened_ms.is_none() => TICK_MOVING,
                _ => TICK,
            };
            let news = async {
                tokio::select! {
                    Ok(()) = states.changed() => None,
                    Ok(()) = listeners.changed() => Some(News::Listeners),
                    Some(Ok(attempt)) = self.attempts.join_next() => Some(News::Attempt(attempt)),
                    Some(Ok(beat)) = self.beats.join_next() => Some(News::Beat(beat)),
                    else => std::future::pending().await,
                }
            };
            match timeout(tick, news).await {
                Ok(Some(News::Attempt(attempt))) => self.take(attempt),
                Ok(Some(News::Beat(beat))) => note_beat(&mut self.beating, beat),
                Ok(Some(News::Listeners)) => self.paces.values_mut().for_each(|p| p.mended(Instant::now())),
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// What there is to tell, agreed on in one entry and begun.
    ///
    /// # Errors
    /// In words, when that was not committed; the next turn sees what became of it.
    async fn turn(&mut self, state: &ClusterState, to: &Listeners) -> Result<(), String> {
        if state.cluster.is_none() || (to.is_nobody() && !state.alerts.begun) {
            return Ok(());
        }
        let seen = self.alerting.table.snapshot(state);
        let diagnosis = diagnose(state, &seen, *self.alerting.lasting.borrow());
        let now_ms = self.alerting.proposer.now_ms();
        let mut conditions = conditions(state, &diagnosis, now_ms);
        conditions.extend(of_followers(state, &self.alerting.followers.borrow()));
        self.beat(to.heart.as_ref(), is_healthy(state, &diagnosis, &conditions));
        if to.sinks.is_empty() == state.alerts.begun {
            return self.commit(vec![AlertChange::Listen(!to.sinks.is_empty())]).await;
        }
        if to.sinks.is_empty() {
            return Ok(());
        }
        self.tell(state, to, &conditions, now_ms).await
    }

    async fn tell(
        &mut self,
        state: &ClusterState,
        to: &Listeners,
        conditions: &[Condition],
        now_ms: UnixMillis,
    ) -> Result<(), String> {
        let moment = Moment { leading: self.began.elapsed(), at_ms: now_ms };
        let mut entry = self.records.clone();
        entry.extend(changes(&mut self.memory, state, conditions, moment));
        entry = self.with_room(state, entry, to, now_ms);
        for change in &mut entry {
            if let AlertChange::Put { nonce, .. } = change {
                *nonce = (self.alerting.draw)();
            }
        }
        let after = if entry.is_empty() { state.alerts.clone() } else { state.alerts.after(now_ms, &entry) };
        let next = self.next(state, &after, to, now_ms);
        entry.extend(next.iter().filter(|(_, due)| due.edit.is_none()).map(|(sink, due)| sending(sink, due)));
        if !entry.is_empty()
            && let Err(why) = self.commit(entry).await
        {
            let marked = next.into_iter().filter(|(_, due)| !due.repeat);
            self.not_arrived.extend(marked.map(|(sink, due)| (due.notice.id, sink.wants.sink)));
            return Err(why);
        }
        for record in std::mem::take(&mut self.records) {
            if let AlertChange::Sent { sink, .. } = record
                && let Some(pace) = self.paces.get_mut(&sink)
            {
                pace.done();
            }
        }
        for (sink, due) in next {
            self.begin(sink, due);
        }
        Ok(())
    }

    /// With notices named that make room, so that those who were still to be told of them hear how many they were.
    fn with_room(
        &self,
        state: &ClusterState,
        entry: Vec<AlertChange>,
        to: &Listeners,
        now_ms: UnixMillis,
    ) -> Vec<AlertChange> {
        let on_its_way = |notice: &Notice, sink: &str| {
            let key = (notice.id.clone(), sink.to_owned());
            let begun = notice.told.get(sink).is_some_and(|told| told.sending.is_some());
            self.under_way.contains(&key) || (begun && !self.not_arrived.contains(&key))
        };
        let wants = to.sinks.all.iter().map(|sink| &sink.wants).collect();
        with_room(&state.alerts, entry, &Audience { wants, on_its_way: &on_its_way }, now_ms)
    }

    /// For each sink that may be spoken to, the first thing it has not been told.
    fn next(
        &mut self,
        state: &ClusterState,
        alerts: &Alerts,
        to: &Listeners,
        now_ms: UnixMillis,
    ) -> Vec<(Sink, Due)> {
        let now = Instant::now();
        let mut next = Vec::new();
        for sink in &to.sinks.all {
            let name = &sink.wants.sink;
            let pace = self.paces.entry(name.clone()).or_insert_with(|| Pace::new(now));
            if !pace.is_free(now) {
                continue;
            }
            if let Some(mut due) = due(alerts, &sink.wants, now_ms) {
                if sink.wants.buttons {
                    due.buttons = buttons(state, &due.notice);
                }
                due.repeat &= !self.not_arrived.contains(&(due.notice.id.clone(), name.clone()));
                next.push((sink.clone(), due));
            }
        }
        next
    }

    fn begin(&mut self, sink: Sink, due: Due) {
        if let Some(pace) = self.paces.get_mut(&sink.wants.sink) {
            pace.began(Instant::now());
        }
        self.under_way.insert((due.notice.id.clone(), sink.wants.sink.clone()));
        let cluster = self.alerting.cluster.clone();
        self.attempts.spawn(async move {
            let outcome = sink.tell(&cluster, &due).await;
            let (repeat, revision) = (due.repeat, due.notice.revision);
            Attempt { sink: sink.wants.sink, id: due.notice.id, revision, repeat, outcome }
        });
    }

    /// Nothing more is said to a sink until what became of this is agreed on.
    fn take(&mut self, attempt: Attempt) {
        let Attempt { sink, id, revision, repeat, outcome } = attempt;
        let key = (id.clone(), sink.clone());
        self.not_arrived.remove(&key);
        self.under_way.remove(&key);
        let record = match outcome {
            Outcome::Told(message) => AlertChange::Sent { id, sink, revision, message, refused: false },
            Outcome::Gone => AlertChange::Sent { id, sink, revision: 0, message: None, refused: false },
            Outcome::Refused(why) => {
                warn!(sink, notice = id, why, "an alert was refused, and is not sent there again");
                AlertChange::Sent { id, sink, revision, message: None, refused: true }
            }
            Outcome::Later { why, after, unsure } => {
                if !unsure && !repeat {
                    self.not_arrived.insert(key);
                }
                let pace = self.paces.entry(sink.clone()).or_insert_with(|| Pace::new(Instant::now()));
                if pace.failed(Instant::now(), after) {
                    warn!(sink, why, "an alert could not be sent; it is tried again");
                }
                return;
            }
        };
        self.records.push(record);
    }

    fn beat(&mut self, heart: Option<&Heart>, healthy: bool) {
        let now = Instant::now();
        let Some(heart) = heart.filter(|_| healthy && now >= self.next_beat) else { return };
        self.next_beat = now + heart.every;
        let heart = heart.clone();
        if self.beats.is_empty() {
            self.beats.spawn(async move { heart.beat().await });
        }
    }

    async fn commit(&self, changes: Vec<AlertChange>) -> Result<(), String> {
        // A notice that is gone meanwhile is no reason to try again.
        self.alerting.proposer.change(Change::Alerts(changes)).await.map(drop)
    }
}

fn sending(sink: &Sink, due: &Due) -> AlertChange {
    AlertChange::Sending {
        id: due.notice.id.clone(),
        sink: sink.wants.sink.clone(),
        revision: due.notice.revision,
    }
}

/// Said once when it stops and once when it goes on.
fn note_beat(beating: &mut bool, beat: Result<(), String>) {
    match &beat {
        Ok(()) if !*beating => info!("the dead man's switch is told again"),
        Err(why) if *beating => warn!(why, "the dead man's switch could not be told; it is tried again"),
        _ => {}
    }
    *beating = beat.is_ok();
}
