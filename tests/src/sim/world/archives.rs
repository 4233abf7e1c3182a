//! The archives on one host's disk, by name. They are made from the server's own set, as the real ones are from its
//! binlog, and outlive the daemon.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baton_node::gtid::GtidSet;
use baton_node::quarantine::{ArchiveError, Archived, Archiver, Extra, Shown};
use baton_node::sql::ManagedServer;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::sleep;

use super::clock::HostClock;

/// Reading the binlog and writing the files.
const TAKES: Duration = Duration::from_millis(150);

/// Archives what the server of its host alone has.
pub struct Archives {
    server: Arc<dyn ManagedServer>,
    clock: Arc<HostClock>,
    written: Mutex<BTreeMap<String, (GtidSet, i64)>>,
}

impl Archives {
    /// An empty disk of a host with this clock.
    pub fn new(server: Arc<dyn ManagedServer>, clock: Arc<HostClock>) -> Self {
        Self { server, clock, written: Mutex::default() }
    }

    /// Whether the archive is there, and of these transactions.
    pub fn has(&self, id: &str, gtids: &GtidSet) -> bool {
        self.written_at(id, gtids).is_some()
    }

    /// When it was written, in milliseconds since 1970.
    fn written_at(&self, id: &str, gtids: &GtidSet) -> Option<i64> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(id).filter(|(of, _)| of == gtids).map(|(_, at_ms)| *at_ms)
    }

    async fn write(&self, extra: &Extra) -> Result<i64, ArchiveError> {
        let have = self.server.executed().await?;
        let missing = extra.gtids.subtract(&have).unwrap_or_else(|_| extra.gtids.clone());
        if !missing.is_empty() {
            return Err(ArchiveError::NotFound(missing));
        }
        sleep(TAKES).await;
        let at_ms = self.clock.wall_ms();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(extra.id(), (extra.gtids.clone(), at_ms));
        Ok(at_ms)
    }
}

impl Archiver for Archives {
    fn archive<'a>(&'a self, extra: &'a Extra) -> BoxFuture<'a, Result<Archived, ArchiveError>> {
        async move {
            let at_ms = match self.written_at(&extra.id(), &extra.gtids) {
                Some(at_ms) => at_ms,
                None => self.write(extra).await?,
            };
            Ok(Archived { bytes: 1, path: format!("quarantine/{}", extra.id()), at_ms })
        }
        .boxed()
    }

    fn show<'a>(&'a self, _id: &'a str, _: u64) -> BoxFuture<'a, Result<Option<Shown>, ArchiveError>> {
        futures::future::ready(Ok(None)).boxed()
    }
}
