//! One instance, kept right for as long as this node leads: at once when something else is wanted, every second or two in
//! any case. It may have been restarted, wiped, changed by hand, by its own monitor or by the other instances of its
//! cluster; all the same to Baton. One that does not answer is asked again for ever, a second after each failure, and holds
//! up nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::admin::{Admin, Limits};
use super::board::{Board, Condition, Shown};
use super::desired::Desired;
use super::fault::AdminError;
use super::follow::Leading;
use super::push::{Aim, Round, Stopped, round, save};
use super::rows::{Actual, Difference, Groups};
use crate::config::{HostPort, ProxysqlConfig, read_password};
use crate::state::UnixMillis;

/// How often an instance is compared when nothing has changed. Half of the 3 s within which it is right again.
const EVERY: Duration = Duration::from_millis(1500);
/// After a change it is looked at soon, and again: an answer about read_only that its monitor was waiting for may undo it.
const AFTER_CHANGE: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(700)];
/// How long a file with a password may take to be read.
const PASSWORD: Duration = Duration::from_secs(2);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(1);
/// A state that is newer was committed just now by a group that this node leads; an older one is confirmed before use.
const JUST_NOW: Duration = Duration::from_secs(1);
/// Repairs are put on record at most this often for each instance: two parties that fight would fill it.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// What every instance is to have, and when the group agreed on it.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// `None`: nothing is to be touched, as nobody is in charge or another node leads.
    pub(super) desired: Option<Arc<Desired>>,
    pub(super) since: Instant,
}

/// Something for the record: what, and why.
pub(super) type Note = (String, String);

/// Keeps one instance right.
pub(super) struct Keeper {
    pub(super) proxy: ProxysqlConfig,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) board: Arc<Board>,
    pub(super) leading: Leading,
    pub(super) notes: mpsc::Sender<Note>,
    /// The comment of rows that Baton makes.
    pub(super) mark: String,
    pub(super) now_ms: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    /// Its password is being read.
    pub(super) reading: Arc<AtomicBool>,
}

/// What is remembered between two looks.
#[derive(Default)]
struct Memory {
    link: Option<Admin>,
    /// How many looks since the last change.
    looks: usize,
    noted: Option<Instant>,
    failing: bool,
    /// What it had last, also when it has not answered since.
    had: Option<Arc<Desired>>,
}

impl Keeper {
    /// Runs until nobody gives orders any more.
    pub(super) async fn run(mut self) {
        self.board.insert(self.shown());
        let mut memory = Memory::default();
        loop {
            let order = self.orders.borrow_and_update().clone();
            let pause = match &order.desired {
                Some(desired) => self.look(&mut memory, desired, order.since).await,
                None => {
                    memory = Memory::default();
                    self.board.insert(self.shown());
                    EVERY
                }
            };
            tokio::select! {
                changed = self.orders.changed() => {
                    memory.looks = 0;
                    if changed.is_err() {
                        return;
                    }
                }
                () = sleep(pause) => {}
            }
        }
    }

    fn groups(&self) -> Groups {
        Groups { writer: self.proxy.writer_hostgroup, reader: self.proxy.reader_hostgroup }
    }

    fn shown(&self) -> Shown {
        Shown {
            name: self.proxy.name.clone(),
            admin: self.proxy.admin.clone(),
            groups: self.groups(),
            condition: Condition::Unknown,
            in_effect: None,
            wanted: None,
            mark: self.mark.clone(),
            actual: Actual::default(),
            differences: Vec::new(),
            read_ms: 0,
            read_took: Duration::ZERO,
            repairs: 0,
            repaired: None,
        }
    }

    /// Looks once, and puts right what is not. Returns when to look again.
    async fn look(&self, memory: &mut Memory, desired: &Arc<Desired>, since: Instant) -> Duration {
        self.board.change(&self.proxy.name, |shown| shown.wanted = Some(Arc::clone(desired)));
        let aim = Aim { desired, groups: self.groups(), mark: &self.mark };
        let reused = memory.link.is_some();
        let mut outcome = self.attempt(memory, &aim, since).await;
        // One that was restarted since has cut the connection; that it is there shows a new one.
        if reused && matches!(&outcome, Err(Stopped::Admin(AdminError::Gone(_)))) {
            outcome = self.attempt(memory, &aim, since).await;
        }
        match outcome {
            Ok(round) => self.after(memory, &aim, round).await,
            Err(Stopped::Superseded) => AFTER_CHANGE[0],
            Err(Stopped::Admin(error)) => {
                self.failed(memory, &error);
                AGAIN
            }
        }
    }

    async fn attempt(&self, memory: &mut Memory, aim: &Aim<'_>, since: Instant) -> Result<Round, Stopped> {
        let mut admin = match memory.link.take() {
            Some(admin) => admin,
            None => self.connect().await?,
        };
        let current = || {
            let order = self.orders.borrow();
            (self.leading.mine)() && order.desired.as_deref() == Some(aim.desired)
        };
        // Asked again after the wait: much may have been agreed on meanwhile.
        let may = || async {
            current() && (since.elapsed() <= JUST_NOW || ((self.leading.confirmed)().await && current()))
        };
        let outcome = round(&mut admin, aim, may).await;
        let is_broken = matches!(&outcome, Err(Stopped::Admin(error)) if error.breaks_connection());
        memory.link = (!is_broken).then_some(admin);
        outcome
    }

    async fn connect(&self) -> Result<Admin, AdminError> {
        let path = self.proxy.password_file.clone();
        // A file system that hangs must not keep the orders from being read, nor take a thread at each try.
        if self.reading.swap(true, Ordering::SeqCst) {
            return Err(AdminError::Password(
                "its file has been read since the last try, without an end".into(),
            ));
        }
        let reading = Arc::clone(&self.reading);
        let read = crate::task::ask_host(move || {
            let password = read_password(&path);
            reading.store(false, Ordering::SeqCst);
            Some(password)
        });
        let read = timeout(PASSWORD, read).await.ok().flatten();
        let password = read.unwrap_or_else(|| Err("the password could not be read".into()));
        let password = password.map_err(AdminError::Password)?;
        Admin::connect(&self.proxy.admin, &self.proxy.user, &password, Limits::default()).await
    }

    async fn after(&self, memory: &mut Memory, aim: &Aim<'_>, round: Round) -> Duration {
        let name = &self.proxy.name;
        if memory.failing {
            memory.failing = false;
            info!(proxysql = %name, "answers again");
        }
        let condition = condition(&round.after, &round.foreign, aim.groups);
        let repaired = repaired(memory, aim, &round);
        if let Some(what) = &repaired {
            warn!(proxysql = %name, what, "its routing was put right");
            self.note(memory, what);
        } else if round.changed {
            info!(proxysql = %name, epoch = %aim.desired.epoch, writer = ?aim.desired.writer, "routing pushed");
        }
        let in_effect = round.after.is_empty();
        if in_effect {
            memory.had = Some(Arc::new(aim.desired.clone()));
        }
        self.board.change(name, |shown| {
            shown.condition = condition;
            shown.actual = round.actual;
            shown.differences = round.after;
            shown.read_ms = (self.now_ms)();
            shown.read_took = round.read_took;
            if in_effect {
                shown.in_effect = shown.wanted.clone();
            }
            if repaired.is_some() {
                shown.repairs += 1;
                shown.repaired = repaired;
            }
        });
        // Not before the next push: what passes is kept only once it has lasted.
        let settled = aim.desired.writer.is_some() && aim.desired.settling.is_none();
        let lasts = !round.changed && (settled || memory.looks >= AFTER_CHANGE.len());
        if in_effect
            && lasts
            && let Some(admin) = memory.link.as_mut()
            && let Err(error) = save(admin, aim).await
        {
            warn!(proxysql = %name, %error, "what is right is not kept on its disk; tried again");
        }
        let pause = AFTER_CHANGE.get(memory.looks).copied().unwrap_or(EVERY);
        // Soon again after a repair too, but not for as long as somebody undoes each of them.
        memory.looks = if round.changed && memory.looks > AFTER_CHANGE.len() { 0 } else { memory.looks + 1 };
        pause
    }

    fn note(&self, memory: &mut Memory, what: &str) {
        if memory.noted.is_some_and(|noted| noted.elapsed() < NOTE_EVERY) {
            return;
        }
        memory.noted = Some(Instant::now());
        let note = (format!("routing of {} put right", self.proxy.name), what.to_owned());
        // What finds no room is in the log.
        let _full = self.notes.try_send(note);
    }

    fn failed(&self, memory: &mut Memory, error: &AdminError) {
        let name = &self.proxy.name;
        if !memory.failing {
            memory.failing = true;
            warn!(proxysql = %name, admin = %self.proxy.admin, %error, mend = error.mend(), "cannot be routed");
        }
        let why = format!("{error}; {}", error.mend());
        self.board.change(name, |shown| {
            shown.condition = Condition::Unreachable(why);
            shown.in_effect = None;
        });
    }
}

/// What was put right though nothing new was wanted, in words.
fn repaired(memory: &Memory, aim: &Aim<'_>, round: &Round) -> Option<String> {
    let drifted = !round.before.is_empty() && memory.had.as_deref() == Some(aim.desired);
    drifted.then(|| in_words(&round.before))
}

fn condition(after: &[Difference], foreign: &[HostPort], groups: Groups) -> Condition {
    if !after.is_empty() {
        return Condition::Diverged(in_words(after));
    }
    match foreign.first() {
        None => Condition::Right,
        Some(server) => Condition::Diverged(format!(
            "{server} in writer hostgroup {} is not of this cluster; delete it, or name another group",
            groups.writer
        )),
    }
}

fn in_words(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
