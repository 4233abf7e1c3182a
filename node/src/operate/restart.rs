//! Restarting the server beside this node, once per request, however often and by whomever it is asked.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use super::rebuild::Unit;
use crate::gtid::Dialect;
use crate::sql::{ManagedServer, Permit};

/// What became of a request.
type Result = std::result::Result<(), String>;

/// The latest request; `None` while it is under way.
struct Request {
    id: String,
    result: watch::Receiver<Option<Result>>,
}

/// Stops and starts the server by what supervises it.
pub struct Restart {
    server: Arc<dyn ManagedServer>,
    unit: Unit,
    latest: Mutex<Option<Request>>,
}

impl Restart {
    /// Nothing has been asked for yet.
    pub fn new(server: Arc<dyn ManagedServer>, unit: Unit) -> Self {
        Self { server, unit, latest: Mutex::default() }
    }

    /// Stops the server and starts it again; the caller's bound ends the waiting and not the work. The same `id` again
    /// waits for the same restart.
    ///
    /// # Errors
    /// In words: another restart is under way, or what the commands said.
    pub async fn run(&self, id: &str) -> Result {
        let mut result = self.begin(id).await?;
        let ended = result.wait_for(Option::is_some).await;
        ended.ok().and_then(|result| result.clone()).unwrap_or_else(|| Err("the node is stopping".into()))
    }

    async fn begin(&self, id: &str) -> std::result::Result<watch::Receiver<Option<Result>>, String> {
        let mut latest = self.latest.lock().await;
        if let Some(known) = &*latest {
            if known.id == id {
                return Ok(known.result.clone());
            }
            if known.result.borrow().is_none() {
                return Err("another restart of it is under way".into());
            }
        }
        let (told, result) = watch::channel(None);
        *latest = Some(Request { id: id.to_owned(), result: result.clone() });
        let (server, unit) = (Arc::clone(&self.server), self.unit.clone());
        crate::task::spawn(async move {
            let restarted = restart(&*server, &unit).await;
            match &restarted {
                Ok(()) => info!("the server has been restarted"),
                Err(why) => warn!(why, "the server was not restarted"),
            }
            told.send_replace(Some(restarted));
        });
        Ok(result)
    }
}

async fn restart(server: &dyn ManagedServer, unit: &Unit) -> Result {
    let dialect = server.inventory().await.map_err(|error| error.to_string())?.dialect;
    let unit = match dialect {
        Dialect::Mariadb => unit.for_mariadb(),
        Dialect::Mysql => unit.clone(),
    };
    unit.check()?;
    if let Err(error) = server.end_applier(&Permit::unconditional()).await {
        // It only takes longer to stop.
        info!(%error, "its applier was not ended before the stop");
    }
    unit.stop().await?;
    unit.start().await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_server_that_could_not_be_started_again_is_not_stopped() {
        let command = || Some(vec!["/bin/true".to_owned()]);
        assert!(Unit { start: command(), stop: command() }.check().is_ok());
        let stops = Unit { start: None, stop: command() }.check().unwrap_err();
        assert_eq!(stops, "rebuild.start is not set in the configuration");
        assert!(Unit { start: command(), stop: Some(Vec::new()) }.check().is_err());
    }
}
