//! One instance taken to what is wanted: read, planned, changed, loaded, read back, saved.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::admin::Admin;
use super::desired::Desired;
use super::fault::AdminError;
use super::plan::{Plan, is_unsaved, plan};
use super::rows::{Actual, Difference, Groups, Table};
use crate::config::HostPort;

pub(super) const LOAD: &str = "LOAD MYSQL SERVERS TO RUNTIME";
pub(super) const SAVE: &str = "SAVE MYSQL SERVERS TO DISK";
/// How long statements that are at the old writer may take to come back before it is closed. An autocommit write takes a
/// few milliseconds; a transaction that is open longer ends with an error.
const FINISHES: Duration = Duration::from_millis(60);
/// Between two looks at them.
const LOOK: Duration = Duration::from_millis(3);

/// What a round found and did.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// What clients were led by that they should not have been, before.
    pub(super) before: Vec<Difference>,
    /// The same after it; empty when all is right.
    pub(super) after: Vec<Difference>,
    /// Used writers that are not of this cluster.
    pub(super) foreign: Vec<HostPort>,
    /// Whether anything was changed.
    pub(super) changed: bool,
    /// What the instance has at the end.
    pub(super) actual: Actual,
    /// How long it took to read what it had at first.
    pub(super) read_took: Duration,
}

/// Why a round went no further.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The instance.
    Admin(AdminError),
    /// Something else is wanted by now, or this node leads no more.
    Superseded,
}

impl From<AdminError> for Stopped {
    fn from(error: AdminError) -> Self {
        Self::Admin(error)
    }
}

/// What a round is to do.
pub(super) struct Aim<'a> {
    pub(super) desired: &'a Desired,
    pub(super) groups: Groups,
    pub(super) mark: &'a str,
}

/// One round. `may` is asked before anything is changed and again before it is loaded: what is pushed must be what is wanted
/// then, by a node that leads then. Bounded by the connection's own limits.
pub(super) async fn round<F>(admin: &mut Admin, aim: &Aim<'_>, may: impl Fn() -> F) -> Result<Round, Stopped>
where
    F: Future<Output = bool>,
{
    let began = Instant::now();
    let mut actual = admin.actual(aim.groups).await?;
    let read_took = began.elapsed();
    let Plan { statements, memory, load, differences: before, foreign } = aim.plan(&actual);
    let mut round = Round { before, foreign, changed: load, read_took, ..Round::default() };
    if !round.changed {
        round.actual = actual;
        return Ok(round);
    }
    if !may().await {
        return Err(Stopped::Superseded);
    }
    for statement in &statements {
        admin.run(statement).await?;
    }
    if !may().await {
        return Err(Stopped::Superseded);
    }
    admin.run(LOAD).await?;
    actual.memory = memory;
    actual.runtime = admin.table(Table::Runtime, aim.groups).await?;
    let read_back = aim.plan(&actual);
    (round.after, round.foreign) = (read_back.differences, read_back.foreign);
    finishes(admin, aim).await?;
    round.actual = actual;
    Ok(round)
}

/// Keeps what is right for the instance's next start, if it is not kept yet; nobody waits for it.
pub(super) async fn save(admin: &mut Admin, aim: &Aim<'_>) -> Result<(), AdminError> {
    let disk = admin.table(Table::Disk, aim.groups).await?;
    if is_unsaved(aim.desired, aim.groups, &disk, aim.mark) {
        admin.run(SAVE).await?;
    }
    Ok(())
}

/// Where the old writer is drained: until what is at it has come back, bounded.
async fn finishes(admin: &mut Admin, aim: &Aim<'_>) -> Result<(), AdminError> {
    let Some(server) = aim.draining() else { return Ok(()) };
    let deadline = Instant::now() + FINISHES;
    while Instant::now() < deadline && admin.in_use(aim.groups.writer, server).await? > 0 {
        sleep(LOOK).await;
    }
    Ok(())
}

impl Aim<'_> {
    fn plan(&self, actual: &Actual) -> Plan {
        plan(self.desired, self.groups, actual, self.mark)
    }

    fn draining(&self) -> Option<&HostPort> {
        let node = self.desired.draining.as_ref()?;
        self.desired.servers.iter().find(|(_, (name, _))| name == node).map(|(address, _)| address)
    }
}
