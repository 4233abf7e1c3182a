//! The promise of a node never to receive from an epoch's writer again. The proof `starved` counts it, so it is on disk
//! before anybody hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use crate::guard::Notes;
use crate::state::Epoch;

/// Key of the newest epoch that this node has promised never to receive from again.
const KEY: &str = "receiver.promised";

/// The epoch from which this node's server must receive no more, shared by whoever could start its receiver.
pub struct ReceiverStop {
    notes: Arc<dyn Notes>,
    stopped: AtomicU64,
    /// The newest epoch on disk. Held while one is written, so that an older one never overwrites a newer.
    written: Mutex<u64>,
}

impl ReceiverStop {
    /// What was promised before this process began.
    ///
    /// # Errors
    /// When the note cannot be read.
    pub async fn load(notes: Arc<dyn Notes>) -> Result<Self, String> {
        let promised = match notes.get(KEY).await? {
            Some(text) => text.parse().map_err(|_| format!("note {KEY} is not a number: {text}"))?,
            None => 0,
        };
        Ok(Self { notes, stopped: AtomicU64::new(promised), written: Mutex::new(promised) })
    }

    /// From now on nothing is received from the writer of `epoch`, or of an older one; also after a restart, once this
    /// has returned.
    ///
    /// # Errors
    /// When it is not on disk. It holds for this process all the same.
    pub async fn promise(&self, epoch: Epoch) -> Result<(), String> {
        self.stopped.fetch_max(epoch.0, Ordering::SeqCst);
        let mut written = self.written.lock().await;
        if *written < epoch.0 {
            self.notes.put(KEY, epoch.0.to_string()).await?;
            *written = epoch.0;
        }
        Ok(())
    }

    /// Whether receiving from the writer of `epoch` is allowed.
    pub fn allows(&self, epoch: Epoch) -> bool {
        epoch.0 > self.stopped.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::sync::Mutex as PlainMutex;

    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;

    /// A disk that outlives the process, and can be full.
    #[derive(Default)]
    struct Disk {
        notes: PlainMutex<BTreeMap<&'static str, String>>,
        full: PlainMutex<bool>,
    }

    impl Notes for Disk {
        fn get(&self, key: &'static str) -> BoxFuture<'_, Result<Option<String>, String>> {
            async move { Ok(self.notes.lock().unwrap().get(key).cloned()) }.boxed()
        }

        fn put(&self, key: &'static str, value: String) -> BoxFuture<'_, Result<(), String>> {
            async move {
                if *self.full.lock().unwrap() {
                    return Err("disk full".to_owned());
                }
                self.notes.lock().unwrap().insert(key, value);
                Ok(())
            }
            .boxed()
        }
    }

    async fn started(disk: &Arc<Disk>) -> ReceiverStop {
        let notes: Arc<dyn Notes> = disk.clone();
        ReceiverStop::load(notes).await.unwrap()
    }

    #[tokio::test]
    async fn a_promise_outlives_the_process() {
        let disk = Arc::new(Disk::default());
        let before = started(&disk).await;
        assert!(before.allows(Epoch(1)), "nothing promised yet");
        before.promise(Epoch(4)).await.unwrap();
        assert!(!before.allows(Epoch(4)) && before.allows(Epoch(5)));
        let after = started(&disk).await;
        assert!(!after.allows(Epoch(4)) && !after.allows(Epoch(3)) && after.allows(Epoch(5)));
    }

    #[tokio::test]
    async fn an_older_promise_takes_no_newer_one_back() {
        let disk = Arc::new(Disk::default());
        let stop = started(&disk).await;
        stop.promise(Epoch(7)).await.unwrap();
        stop.promise(Epoch(6)).await.unwrap();
        assert!(!started(&disk).await.allows(Epoch(7)));
    }

    #[tokio::test]
    async fn a_promise_that_is_not_on_disk_is_none_though_it_is_kept() {
        let disk = Arc::new(Disk::default());
        let stop = started(&disk).await;
        *disk.full.lock().unwrap() = true;
        assert!(stop.promise(Epoch(2)).await.is_err());
        assert!(!stop.allows(Epoch(2)));
        *disk.full.lock().unwrap() = false;
        stop.promise(Epoch(2)).await.unwrap();
        assert!(!started(&disk).await.allows(Epoch(2)), "asked again, it is written");
    }
}
