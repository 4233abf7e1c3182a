//! A disk of the simulation. It outlives the node that writes to it; what was written is there, and what still waited
//! for the disk when the node died is not.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::error::StoreError;
use super::machine::Position;
use super::thread::Message;
use super::{Store, from_json, schema, to_json};

/// How often a disk that hangs is tried again.
const HANGS: Duration = Duration::from_millis(50);

/// One node's disk. Clones are the same one.
#[derive(Clone)]
pub struct MemoryDisk {
    connection: Arc<Mutex<Connection>>,
    kept: Kept,
    hangs: Arc<AtomicBool>,
    latency: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl MemoryDisk {
    /// A blank disk. `latency` is asked before each transaction.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn new(latency: impl Fn() -> Duration + Send + Sync + 'static) -> Result<Self, StoreError> {
        let connection = Connection::open_in_memory()
            .map_err(|e| StoreError::from_sqlite(&PathBuf::from("memory"), "open", &e))?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            kept: Kept::default(),
            hangs: Arc::default(),
            latency: Arc::new(latency),
        })
    }

    /// From now on the node applies nothing of what it has in its log, or it does again.
    pub fn hold_applying(&self, held: bool) {
        self.kept.held.store(held, Ordering::SeqCst);
    }

    pub(super) fn kept(&self) -> Kept {
        self.kept.clone()
    }

    /// From now on nothing reaches the disk, or it does again.
    pub fn hang(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::SeqCst);
    }

    /// From now on there is no space left, or there is again.
    pub fn fill(&self, full: bool) {
        let connection = self.lock();
        let pages: i64 =
            connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap_or(i64::MAX);
        let most = if full { pages } else { 1 << 30 };
        // SQLite never sets fewer pages than there are; that it refused would show as a disk that is not full.
        let _ = connection.pragma_update_and_check(None, "max_page_count", most, |_| Ok(()));
    }

    pub(super) fn prepare(&self, machine_id: &str, new_store_id: &str) -> Result<String, StoreError> {
        schema::identity(&PathBuf::from("memory"), &mut self.lock(), machine_id, new_store_id)
    }

    /// Runs what is handed in, in its order, each after the disk's latency.
    pub(super) async fn serve(self, mut inbox: mpsc::Receiver<Message>) {
        while let Some(message) = inbox.recv().await {
            match message {
                Message::Run(job) => {
                    sleep((self.latency)()).await;
                    while self.hangs.load(Ordering::SeqCst) {
                        sleep(HANGS).await;
                    }
                    job(&mut self.lock());
                }
                Message::Close(done) => {
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The replicated state as it was written last. Made into text when it is read, and not each time that it is written:
/// that was most of what a run took.
#[derive(Clone, Default)]
pub(super) struct Kept {
    position: Arc<Mutex<Option<Position>>>,
    held: Arc<AtomicBool>,
}

impl Kept {
    /// Waits until the node may apply what it has in its log.
    pub(super) async fn may_apply(&self) {
        while self.held.load(Ordering::SeqCst) {
            sleep(HANGS).await;
        }
    }

    pub(super) fn write(&self, position: Position) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }

    /// As a disk gives it back.
    pub(super) fn read(&self) -> rusqlite::Result<Option<Position>> {
        let kept = self.position.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let again = |kept: Position| {
            Ok(Position {
                last_applied: from_json(0, &to_json(&kept.last_applied)?)?,
                membership: from_json(1, &to_json(&kept.membership)?)?,
                state: Arc::new(from_json(2, &to_json(&*kept.state)?)?),
            })
        };
        kept.map(again).transpose()
    }
}

impl Store {
    /// Opens the store on a disk of the simulation, or makes it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(disk: &MemoryDisk, machine_id: &str, new_store_id: &str) -> Result<Self, StoreError> {
        let store_id = disk.prepare(machine_id, new_store_id)?;
        let path = PathBuf::from("memory");
        let thread = super::thread::Thread::on(path.clone(), disk.clone());
        Ok(Self { thread, path: Arc::new(path), store_id: store_id.into() })
    }
}
