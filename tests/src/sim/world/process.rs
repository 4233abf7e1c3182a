//! A server's process and its socket, as guard and keeper take hold of them.

use std::io;
use std::sync::Arc;

use baton_node::guard::process::ProcessError;
use baton_node::guard::{Attach, Opener, Running};
use baton_node::sql::SqlError;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::sim::fleet::{Fleet, Socket};

/// One run of a server, held as by a pidfd.
#[derive(Clone)]
pub struct Process {
    fleet: Fleet,
    host: String,
    pid: i32,
    start_ticks: u64,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Process({} {})", self.host, self.pid)
    }
}

/// The process with this pid.
pub fn find(fleet: &Fleet, host: &str, pid: i32) -> Result<Process, ProcessError> {
    let seen = fleet.process(host).filter(|p| p.pid == pid).ok_or(ProcessError::NotRunning { pid })?;
    Ok(Process { fleet: fleet.clone(), host: host.to_owned(), pid, start_ticks: seen.start_ticks })
}

/// The process with this pid, if it started then.
pub fn find_exact(fleet: &Fleet, host: &str, pid: i32, ticks: u64) -> Result<Process, ProcessError> {
    let found = find(fleet, host, pid)?;
    if found.start_ticks == ticks {
        return Ok(found);
    }
    Err(ProcessError::Reused { pid, expected: ticks, found: found.start_ticks })
}

impl Process {
    fn is_there(&self) -> bool {
        self.fleet.process(&self.host).is_some_and(|p| p.pid == self.pid)
    }
}

impl Running for Process {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn start_time_ticks(&self) -> u64 {
        self.start_ticks
    }

    fn can_kill(&self) -> Result<(), ProcessError> {
        if self.is_there() { Ok(()) } else { Err(ProcessError::NotRunning { pid: self.pid }) }
    }

    fn kill(&self) -> Result<(), ProcessError> {
        self.fleet.kill_process(&self.host, self.pid, self.start_ticks);
        Ok(())
    }

    fn has_exited(&self) -> bool {
        !self.is_there()
    }

    fn runs_no_more(&self) -> bool {
        self.fleet.process(&self.host).is_none_or(|p| p.pid != self.pid || p.runs_no_more)
    }

    fn exited(&self) -> BoxFuture<'_, io::Result<()>> {
        self.fleet.exited(&self.host, self.pid).map(Ok).boxed()
    }

    fn exit_completed(&self) -> BoxFuture<'_, io::Result<()>> {
        self.fleet.exit_completed(&self.host, self.pid).map(Ok).boxed()
    }
}

/// The server's socket, for the guard.
pub struct Plug {
    socket: Socket,
    fleet: Fleet,
    host: String,
}

impl Plug {
    /// Of the server on this host.
    pub fn new(fleet: &Fleet, host: &str) -> Self {
        Self { socket: fleet.socket(host), fleet: fleet.clone(), host: host.to_owned() }
    }
}

impl Attach for Plug {
    fn process(&self, pid: i32) -> Result<Arc<dyn Running>, ProcessError> {
        find(&self.fleet, &self.host, pid).map(|p| Arc::new(p) as Arc<dyn Running>)
    }

    fn attach(&self) -> BoxFuture<'_, Result<Box<dyn Opener>, SqlError>> {
        self.socket.attach()
    }

    fn refuses(&self) -> BoxFuture<'_, bool> {
        self.socket.refuses()
    }
}
