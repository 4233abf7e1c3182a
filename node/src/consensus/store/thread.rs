//! The one thread that owns the one connection to the store.
//!
//! Jobs run in the order in which they were handed in, each in a transaction of its own. The first failure is
//! the last job: everything behind it is refused, so that nothing can be written after a lost write.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::error::StoreError;

/// How many jobs may wait. openraft hands in a few at a time; more means that the disk hangs.
const QUEUE: usize = 256;
/// How long a job may wait and run before the disk counts as hanging.
const BOUND: Duration = Duration::from_secs(10);

pub(super) type Job = Box<dyn FnOnce(&mut Connection) + Send>;

pub(super) enum Message {
    Run(Job),
    Close(oneshot::Sender<()>),
}

/// A job that was handed in; its answer comes once it is on disk.
pub(crate) struct Pending<T> {
    answer: oneshot::Receiver<Result<T, StoreError>>,
    doing: &'static str,
    thread: Thread,
}

impl<T> Pending<T> {
    /// Waits, at most 10 s, until the job's transaction is on disk.
    pub(crate) async fn done(self) -> Result<T, StoreError> {
        match tokio::time::timeout(BOUND, self.answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(self.thread.closed()),
            Err(_) => Err(self.thread.hangs(self.doing)),
        }
    }
}

/// A handle on the thread.
#[derive(Clone)]
pub(crate) struct Thread {
    jobs: mpsc::Sender<Message>,
    failure: Arc<OnceLock<StoreError>>,
    path: Arc<PathBuf>,
    /// Where a disk of the simulation keeps the state.
    #[cfg(feature = "simulation")]
    pub(super) kept: Option<super::memory::Kept>,
}

impl Thread {
    /// Moves the connection onto a new thread.
    pub(crate) fn spawn(path: PathBuf, mut connection: Connection) -> Result<Self, StoreError> {
        let (jobs, mut inbox) = mpsc::channel(QUEUE);
        let builder = std::thread::Builder::new().name("group-store".into());
        let handle = Self {
            jobs,
            failure: Arc::default(),
            path: Arc::new(path),
            #[cfg(feature = "simulation")]
            kept: None,
        };
        builder
            .spawn(move || {
                while let Some(message) = inbox.blocking_recv() {
                    match message {
                        Message::Run(job) => job(&mut connection),
                        Message::Close(done) => {
                            drop(connection);
                            // Nobody waits any more only if the closing side ran out of time.
                            let _ = done.send(());
                            return;
                        }
                    }
                }
            })
            .map_err(|e| StoreError::CannotOpen { path: handle.path.to_path_buf(), detail: e.to_string() })?;
        Ok(handle)
    }

    /// A disk of the simulation takes the thread's place.
    #[cfg(feature = "simulation")]
    pub(super) fn on(path: PathBuf, disk: super::MemoryDisk) -> Self {
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let kept = Some(disk.kept());
        crate::task::spawn(disk.serve(inbox));
        Self { jobs, failure: Arc::default(), path: Arc::new(path), kept }
    }

    /// Hands a job in; it runs after all that were handed in before it.
    pub(crate) async fn start<T, F>(&self, doing: &'static str, work: F) -> Result<Pending<T>, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, receiver) = oneshot::channel();
        self.hand_in(doing, work, move |result| {
            // The asker may have run out of time; the failure is on record in the thread's handle.
            let _ = answer.send(result);
        })
        .await?;
        Ok(Pending { answer: receiver, doing, thread: self.clone() })
    }

    /// Hands a job in and calls `done` on the store's thread once it is on disk, or with the failure.
    pub(crate) async fn hand_in<T, F, D>(
        &self,
        doing: &'static str,
        work: F,
        done: D,
    ) -> Result<(), StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        D: FnOnce(Result<T, StoreError>) + Send + 'static,
    {
        if let Some(failure) = self.failure.get() {
            return Err(failure.clone());
        }
        let (failure, path) = (self.failure.clone(), self.path.clone());
        let job: Job = Box::new(move |connection| {
            if let Some(earlier) = failure.get() {
                return done(Err(earlier.clone()));
            }
            let result = in_transaction(connection, work).map_err(|e| {
                let error = StoreError::from_sqlite(&path, doing, &e);
                failure.get_or_init(|| error).clone()
            });
            done(result);
        });
        match tokio::time::timeout(BOUND, self.jobs.send(Message::Run(job))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.closed()),
            Err(_) => Err(self.hangs(doing)),
        }
    }

    /// Ends the thread after the jobs handed in so far, and lets go of the file.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        let ending = async {
            if self.jobs.send(Message::Close(done)).await.is_ok() {
                let _ = closed.await;
            }
        };
        // A disk that hangs must not keep the daemon from ending.
        let _ = tokio::time::timeout(BOUND, ending).await;
    }

    fn closed(&self) -> StoreError {
        self.failure.get().cloned().unwrap_or_else(|| StoreError::Closed { path: self.path.to_path_buf() })
    }

    fn hangs(&self, doing: &'static str) -> StoreError {
        let error = StoreError::Hangs { path: self.path.to_path_buf(), doing, seconds: BOUND.as_secs() };
        self.failure.get_or_init(|| error).clone()
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction()?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}
