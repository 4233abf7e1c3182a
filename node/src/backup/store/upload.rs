//! Sends a backup's parts to a store, a few at once, and completes each object when its last part is there.

use std::collections::BTreeMap;
use std::io;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::warn;

use super::error::StoreError;
use super::{PartTag, Store, Upload};
use crate::backup::pipeline::{ObjectSummary, Part, PartSink};

/// Parts that wait for the uploader.
const WAITING_MAX: usize = 1;

/// The pipeline's end of a queue. A part waits until there is room.
pub struct Queue(mpsc::Sender<Part>);

impl PartSink for Queue {
    fn part(&mut self, part: Part) -> io::Result<()> {
        self.0.blocking_send(part).map_err(|_| io::Error::other("the upload has ended"))
    }
}

/// A queue to an uploader. What its sender, which blocks, was told is uploaded once the uploader says so and not before.
#[must_use]
pub fn channel() -> (Queue, mpsc::Receiver<Part>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Queue(sender), receiver)
}

/// Uploads one backup to one store.
pub struct Uploader {
    store: Store,
    /// The name of each object, but for its number.
    prefix: String,
    part_bytes: usize,
    at_once: usize,
    open: BTreeMap<u32, Open>,
    running: JoinSet<Result<(u32, u32, PartTag), StoreError>>,
}

/// An object on its way.
struct Open {
    upload: Upload,
    tags: BTreeMap<u32, PartTag>,
    /// How many parts it has, once that is known.
    ends: Option<(usize, ObjectSummary)>,
}

impl Uploader {
    /// Objects are called `prefix` and their number, in five digits. `at_once` parts of `part_bytes` are sent at a time, at
    /// least one; each of them is held in memory.
    #[must_use]
    pub fn new(store: Store, prefix: &str, part_bytes: usize, at_once: usize) -> Self {
        let (open, running) = (BTreeMap::new(), JoinSet::new());
        Self { store, prefix: prefix.to_owned(), part_bytes, at_once: at_once.max(1), open, running }
    }

    /// What object `number` is called.
    #[must_use]
    pub fn key(prefix: &str, number: u32) -> String {
        format!("{prefix}{number:05}")
    }

    /// Uploads all parts that come, until nobody sends any more. What is not complete then, or when a store refuses, is taken
    /// back. How many objects were completed; `None` when the last one never got its end.
    ///
    /// # Errors
    /// The store's last word about the first part that it did not take.
    pub async fn run(mut self, mut parts: mpsc::Receiver<Part>) -> Result<Option<u32>, StoreError> {
        let done = self.send_all(&mut parts).await;
        // Nobody may wait for a place in a queue that nobody reads.
        drop(parts);
        self.running.shutdown().await;
        for open in self.open.values() {
            if let Err(error) = self.store.abort(&open.upload).await {
                warn!(%error, "an upload could not be taken back; the next backup tries again");
            }
        }
        let objects = done?;
        Ok(Some(objects).filter(|_| self.open.is_empty()))
    }

    async fn send_all(&mut self, parts: &mut mpsc::Receiver<Part>) -> Result<u32, StoreError> {
        let mut objects = 0;
        loop {
            let is_full = self.running.len() >= self.at_once;
            tokio::select! {
                Some(sent) = self.running.join_next() => objects += self.sent(sent).await?,
                part = parts.recv(), if !is_full => match part {
                    Some(part) => self.send(part).await?,
                    None => break,
                },
            }
        }
        while let Some(sent) = self.running.join_next().await {
            objects += self.sent(sent).await?;
        }
        Ok(objects)
    }

    async fn send(&mut self, part: Part) -> Result<(), StoreError> {
        if part.number == 0 {
            let key = Self::key(&self.prefix, part.object);
            let upload = self.store.begin(&key, self.part_bytes).await?;
            self.open.insert(part.object, Open { upload, tags: BTreeMap::new(), ends: None });
        }
        let Some(open) = self.open.get_mut(&part.object) else {
            return Err(StoreError::wrong(self.store.name(), &self.prefix, "a part came without its object"));
        };
        open.ends = part.ends.map(|summary| (part.number as usize + 1, summary));
        let (store, upload) = (self.store.clone(), open.upload.clone());
        self.running.spawn(async move {
            let tag = store.part(&upload, part.number, part.data).await?;
            Ok((part.object, part.number, tag))
        });
        Ok(())
    }

    /// 1 if that completed an object.
    async fn sent(
        &mut self,
        sent: Result<Result<(u32, u32, PartTag), StoreError>, tokio::task::JoinError>,
    ) -> Result<u32, StoreError> {
        let sent = sent.map_err(|e| StoreError::wrong(self.store.name(), &self.prefix, e))?;
        let (object, number, tag) = sent?;
        let Some(open) = self.open.get_mut(&object) else { return Ok(0) };
        open.tags.insert(number, tag);
        let Some((parts, summary)) = &open.ends else { return Ok(0) };
        if open.tags.len() < *parts {
            return Ok(0);
        }
        let tags: Vec<_> = open.tags.values().cloned().collect();
        self.store.complete(&open.upload, &tags, summary.bytes).await?;
        self.open.remove(&object);
        Ok(1)
    }
}
