//! Reads an object piece by piece. When the connection breaks, the rest is asked for.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tracing::info;

use super::Store;
use super::error::StoreError;
use super::retry::tried;
use super::s3::Answer;
use crate::backup::pipeline::ObjectSource;

/// Of a file.
const PIECE: usize = 1 << 20;
/// Breaks in one place; getting on by a byte counts as another one.
const BREAKS_MAX: u32 = 8;
const PAUSE: Duration = Duration::from_secs(1);

/// An object being read.
pub struct Download {
    store: Store,
    key: String,
    at: u64,
    total: Option<u64>,
    answer: Option<Answer>,
    breaks: u32,
}

impl Download {
    pub(super) fn new(store: Store, key: &str) -> Self {
        Self { store, key: key.to_owned(), at: 0, total: None, answer: None, breaks: 0 }
    }

    /// The next piece; `None` once all of the object was read.
    ///
    /// # Errors
    /// After some tries: the store's last word, or that the object has changed meanwhile.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            if self.total.is_some_and(|total| self.at >= total) {
                return Ok(None);
            }
            match self.next().await {
                Ok(Some(piece)) => {
                    self.at += piece.len() as u64;
                    self.breaks = 0;
                    return Ok(Some(piece));
                }
                // Its size is known now, and it may have none.
                Ok(None) => {}
                Err(error) if error.is_transient() && self.breaks < BREAKS_MAX => {
                    self.breaks += 1;
                    self.answer = None;
                    info!(%error, at = self.at, "the rest is asked for");
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        match self.store.clone() {
            Store::Files(store) => {
                let (piece, total) = store.read(&self.key, self.at, PIECE).await?;
                self.has(total)?;
                Ok(Some(piece).filter(|piece| !piece.is_empty()))
            }
            Store::S3(store) => {
                let mut answer = match self.answer.take() {
                    Some(answer) => answer,
                    None => {
                        let (answer, total) = tried(|| store.read(&self.key, self.at)).await?;
                        self.has(total)?;
                        if total == self.at {
                            return Ok(None);
                        }
                        answer
                    }
                };
                let broken = |why: String| StoreError::transient(store.name(), &self.key, why);
                let piece = answer.piece().await.map_err(broken)?;
                let piece = piece.ok_or_else(|| broken("the answer was cut off".into()))?;
                self.answer = Some(answer);
                Ok(Some(piece))
            }
        }
    }

    /// What was read before belongs to an object of that size.
    fn has(&mut self, total: u64) -> Result<(), StoreError> {
        if *self.total.get_or_insert(total) == total && self.at <= total {
            return Ok(());
        }
        Err(StoreError::wrong(self.store.name(), &self.key, "it has changed while it was read"))
    }
}

/// A backup's objects, for readers that block. Never on a thread of the runtime.
pub struct StoredObjects {
    store: Store,
    keys: Vec<String>,
    runtime: Handle,
}

impl StoredObjects {
    /// The objects of these names, in their order.
    #[must_use]
    pub fn new(store: Store, keys: Vec<String>, runtime: Handle) -> Self {
        Self { store, keys, runtime }
    }
}

impl ObjectSource for StoredObjects {
    fn open(&mut self, object: u32) -> io::Result<Box<dyn Read + Send>> {
        let key =
            self.keys.get(object as usize).ok_or_else(|| io::Error::other("it is not in the manifest"))?;
        let (download, runtime) = (self.store.get(key), self.runtime.clone());
        Ok(Box::new(Blocking { download, runtime, piece: Bytes::new() }))
    }
}

struct Blocking {
    download: Download,
    runtime: Handle,
    piece: Bytes,
}

impl Read for Blocking {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.download.piece())? {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let taken = self.piece.len().min(into.len());
        let now = self.piece.split_to(taken);
        for (to, from) in into.iter_mut().zip(now) {
            *to = from;
        }
        Ok(taken)
    }
}
