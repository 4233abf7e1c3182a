//! A node's part in a rehearsal: its server is ended as a crash would end it, and started again. Only where the
//! configuration of this very node says that the cluster is there for that.

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tracing::warn;

use super::action::Part;
use super::rebuild::Unit;
use crate::decide::seen::Process;

/// What a rehearsal may do here.
pub struct Rehearsal {
    /// `server.allow_rehearsal`.
    pub allowed: bool,
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
    pub async fn run(&self, part: Part) -> Result<(), String> {
        if !self.allowed {
            return Err("server.allow_rehearsal is not set in this node's configuration".into());
        }
        match part {
            Part::Ask => self.unit.check_start(),
            Part::Kill => self.kill(),
            Part::Start => self.start().await,
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn nothing_is_done_where_it_is_not_allowed() {
        let (_told, process) = watch::channel(Process::Running { pid: 1 });
        let unit = Unit { start: Some(vec!["/bin/true".into()]), stop: None };
        let rehearsal = Rehearsal { allowed: false, unit, process };
        for part in [Part::Ask, Part::Kill, Part::Start] {
            assert!(rehearsal.run(part).await.unwrap_err().contains("server.allow_rehearsal"));
        }
        let (_told, process) = watch::channel(Process::Absent);
        let allowed = Rehearsal { allowed: true, process, ..rehearsal };
        assert_eq!(allowed.run(Part::Ask).await, Ok(()));
        assert_eq!(allowed.run(Part::Start).await, Ok(()));
        assert_eq!(allowed.run(Part::Kill).await, Err("its server is not running".into()));
    }
}
