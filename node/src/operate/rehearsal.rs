//! A node's part in a rehearsal: its server is ended as a crash would end it and started again, takes rows and is read.
//! Only where the configuration of this very node says that the cluster is there for that.

use std::sync::Arc;

use futures::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tracing::warn;

use super::action::{Acted, Part};
use super::rebuild::Unit;
use crate::decide::seen::Process;
use crate::sql::{ManagedServer, Permit, SqlError};

/// Connects by this node's own router, as a client of the writer would: the id of the server that answered.
pub type ByRouter = Arc<dyn Fn() -> BoxFuture<'static, Result<u32, String>> + Send + Sync>;

/// No privilege on a schema.
const SCHEMA_DENIED: u16 = 1044;

/// What a rehearsal may do here.
pub struct Rehearsal {
    /// `server.allow_rehearsal`.
    pub allowed: bool,
    /// The server.
    pub server: Arc<dyn ManagedServer>,
    /// Starts the server.
    pub unit: Unit,
    /// Its process.
    pub process: watch::Receiver<Process>,
}

impl Rehearsal {
    /// Does one part.
    ///
    /// # Errors
    /// In words: not allowed, or what stood in the way.
    pub async fn run(&self, part: Part, permit: &Permit) -> Result<Acted, String> {
        if !self.allowed {
            return Err("server.allow_rehearsal is not set in this node's configuration".into());
        }
        match part {
            Part::Ask => self.unit.check_start()?,
            Part::Kill => self.kill()?,
            Part::Start => self.start().await?,
            Part::Begin => self.server.rehearsal_begins(permit).await.map_err(sql)?,
            Part::Write(number) => self.server.rehearsal_writes(number, permit).await.map_err(sql)?,
            Part::Look => return self.server.rehearsal_seen().await.map(Acted::Rehearsed).map_err(sql),
            Part::End => self.server.rehearsal_ends(permit).await.map_err(sql)?,
        }
        Ok(Acted::Done)
    }

    fn running(&self) -> Option<i32> {
        match *self.process.borrow() {
            Process::Running { pid } => Some(pid),
            Process::Unknown | Process::Gone { .. } | Process::Absent => None,
        }
    }

    fn kill(&self) -> Result<(), String> {
        let pid = self.running().and_then(Pid::from_raw).ok_or("its server is not running")?;
        warn!(?pid, "a rehearsal ends the server");
        kill_process(pid, Signal::KILL).map_err(|error| format!("its server could not be killed: {error}"))
    }

    async fn start(&self) -> Result<(), String> {
        match self.running() {
            Some(_) => Ok(()),
            None => self.unit.start().await,
        }
    }
}

/// In words, with the mend where it is the account's fault.
fn sql(error: SqlError) -> String {
    let denied = match &error {
        SqlError::MissingPrivilege { .. } => true,
        SqlError::Other { errno, .. } => *errno == SCHEMA_DENIED,
        _ => false,
    };
    if denied {
        format!("{error}; give Baton's account what `batonctl grants` prints")
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use secrecy::SecretString;

    use super::*;
    use crate::sql::{Address, Connector, SqlServer};

    #[tokio::test]
    async fn nothing_is_done_where_it_is_not_allowed() {
        let permit = Permit::unconditional();
        let (_told, process) = watch::channel(Process::Running { pid: 1 });
        let unit = Unit { start: Some(vec!["/bin/true".into()]), stop: None };
        // Connects to nothing before it is asked.
        let connector = Connector::new(Address::Socket("/nowhere".into()), "baton", SecretString::default());
        let server = Arc::new(SqlServer::new(&connector));
        let rehearsal = Rehearsal { allowed: false, server, unit, process };
        for part in [Part::Ask, Part::Kill, Part::Start, Part::Begin, Part::Write(1), Part::Look, Part::End] {
            let refused = rehearsal.run(part, &permit).await.unwrap_err();
            assert!(refused.contains("server.allow_rehearsal"), "{part:?}: {refused}");
        }
        let (_told, process) = watch::channel(Process::Absent);
        let allowed = Rehearsal { allowed: true, process, ..rehearsal };
        assert_eq!(allowed.run(Part::Ask, &permit).await, Ok(Acted::Done));
        assert_eq!(allowed.run(Part::Start, &permit).await, Ok(Acted::Done));
        assert_eq!(allowed.run(Part::Kill, &permit).await, Err("its server is not running".into()));
    }

    #[test]
    fn an_account_that_may_not_write_is_told_the_mend() {
        let denied = |errno| sql(SqlError::Other { errno, message: "Access denied".into() });
        assert!(denied(1044).contains("batonctl grants"));
        assert!(!denied(1062).contains("batonctl grants"));
    }
}
