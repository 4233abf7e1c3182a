//! Operations that are cut off: at the very moment at which a step is committed the leader is killed, or the target (the
//! server that is to become the writer, or that comes back). No other fault. Whatever was begun must be finished or
//! undone, nothing acknowledged lost, and no two servers open meanwhile.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use baton_node::cut;
use baton_node::state::{OperationKind, StepName};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::clients::{self, Ledger};
use super::watch::Watch;
use super::{Report, adopt, faults, liveness};
use crate::sim::fleet::User;
use crate::sim::world::node::Node;
use crate::sim::world::{World, WorldError};

/// How long an operation may take to reach a step.
const REACHED_WITHIN: Duration = Duration::from_secs(60);
/// How long a host without power stays so.
const DARK: Duration = Duration::from_secs(3);
/// For how long a switchover is held up that is to be taken back: longer than writes may pause.
const HELD_UP: Duration = Duration::from_secs(4);
/// Between two looks whether something is over.
const LOOK: Duration = Duration::from_millis(50);

/// What is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operated {
    /// The writer's server dies.
    Failover,
    /// An operator wants the writer elsewhere.
    Ordered,
    /// A healthy writer moves as planned.
    Switchover,
    /// The same, taken back: a session's lock is in the way of the close.
    LeftOpen,
    /// The same, taken back: the closed writer has what the target does not apply in time.
    Reopened,
    /// The server that was the writer comes back, and is an acker again.
    Return,
}

/// Who dies at the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The daemon that leads.
    Leader,
    /// The server of the target.
    TargetServer,
    /// The whole host of the target.
    TargetHost,
}

/// One operation, cut off at one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// What.
    pub operated: Operated,
    /// At which step.
    pub step: StepName,
    /// Who dies then.
    pub victim: Victim,
}

impl Operated {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Failover, Self::Ordered, Self::Switchover, Self::LeftOpen, Self::Reopened, Self::Return];

    /// Its steps, in order.
    pub fn steps(self) -> &'static [StepName] {
        match self {
            Self::Failover | Self::Ordered => OperationKind::Failover.steps(),
            Self::Switchover => OperationKind::Switchover.steps(),
            Self::LeftOpen => StepName::LEFT_OPEN,
            Self::Reopened => StepName::REOPENED,
            Self::Return => StepName::RETURN,
        }
    }
}

impl Victim {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Leader, Self::TargetServer, Self::TargetHost];
}

impl Cut {
    /// Every operation at every step, with every victim.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for operated in Operated::ALL {
            for step in operated.steps() {
                all.extend(Victim::ALL.map(|victim| Self { operated, step: *step, victim }));
            }
        }
        all
    }
}

/// Runs one, in the world of this seed, and says whether its step was reached: not every world takes every step (nobody
/// has to follow a new writer that may go on alone).
///
/// # Errors
/// When the simulation itself cannot run.
pub fn run(seed: u64, cut: Cut, shown: bool) -> Result<(Report, bool), WorldError> {
    let runtime = super::seeded(seed).enable_time().start_paused(true).build()?;
    let report = runtime.block_on(play(seed, cut, shown));
    cut::watch(None);
    drop(runtime);
    report
}

async fn play(seed: u64, cut: Cut, shown: bool) -> Result<(Report, bool), WorldError> {
    let begun = Instant::now();
    let world = Arc::new(World::new(seed, shown).await?);
    let ledger = Arc::new(Ledger::default());
    let played = scenes(&world, &ledger, cut).await;
    let reached = played.as_ref().is_ok_and(|reached| *reached);
    let report = Report {
        seed,
        broken: played.err(),
        trace: world.trace.tail(),
        digest: world.trace.digest(),
        length: begun.elapsed(),
        faults: 2,
        writes: (ledger.tried(), ledger.acknowledged()),
        epochs: world.newest().0.epoch().0,
    };
    Ok((report, reached))
}

async fn scenes(world: &Arc<World>, ledger: &Arc<Ledger>, cut: Cut) -> Result<bool, String> {
    tokio::spawn(faults::servers_start_again(Arc::clone(world)));
    let mut watch = Watch::new(Arc::clone(world));
    adopt(world).await?;
    clients::start(world, ledger);
    watched(&mut watch, at_rest(world)).await?;
    let struck = tokio::spawn(strike_at(Arc::clone(world), cut, at(world, cut.step)));
    begin(world, cut.operated).await?;
    let striker = struck.abort_handle();
    let struck = async move { struck.await.map_err(|e| e.to_string())? };
    let reached = watched(&mut watch, async move {
        match tokio::time::timeout(REACHED_WITHIN, struck).await {
            Ok(struck) => struck.map(|()| true),
            Err(_) => Ok(false),
        }
    })
    .await?;
    striker.abort();
    watched(&mut watch, at_rest(world)).await.map(|()| reached)
}

/// Waits for `over`, and asks every invariant meanwhile.
async fn watched<T: Send + 'static>(
    watch: &mut Watch,
    over: impl Future<Output = Result<T, String>> + Send + 'static,
) -> Result<T, String> {
    let over = tokio::spawn(over);
    while !over.is_finished() {
        watch.run(LOOK).await?;
    }
    over.await.map_err(|e| e.to_string())?
}

fn at_rest(world: &Arc<World>) -> impl Future<Output = Result<(), String>> + Send + 'static {
    let world = Arc::clone(world);
    async move { liveness::comes_to_rest(&world).await }
}

async fn begin(world: &Arc<World>, operated: Operated) -> Result<(), String> {
    let writer = world.writer().ok_or("nobody is the writer")?;
    match operated {
        Operated::Failover | Operated::Return => world.fleet.kill(writer.name.as_str()),
        Operated::Ordered => {
            let to = world.replicas().into_iter().next().ok_or("no replica")?;
            to.propose(faults::moved(world, &world.draw, &to));
        }
        Operated::Switchover | Operated::LeftOpen | Operated::Reopened => {
            let to = world.replicas().into_iter().next().ok_or("no replica")?;
            match operated {
                Operated::LeftOpen => lock_tables(world, writer).await?,
                Operated::Reopened => drop(tokio::spawn(falls_behind(Arc::clone(world), Arc::clone(&to)))),
                _ => {}
            }
            to.propose(faults::planned(world, &world.draw, &to));
        }
    }
    Ok(())
}

/// A session holds a lock that a close waits for, from now on until well after the longest pause, or its own end.
async fn lock_tables(world: &Arc<World>, writer: &Node) -> Result<(), String> {
    let (host, bound) = (writer.name.to_string(), HELD_UP);
    let from = world.nodes.first().ok_or("no host")?.name.to_string();
    let client = world.fleet.client(&from, &host, User::Ordinary, bound).await.map_err(|e| e.to_string())?;
    client.lock_tables(true, bound).await.map_err(|e| e.to_string())?;
    tokio::spawn(async move {
        sleep(HELD_UP).await;
        drop(client);
    });
    Ok(())
}

/// From the moment at which the writer is about to be closed, the target applies what it receives far too slowly.
async fn falls_behind(world: Arc<World>, target: Arc<Node>) {
    let is_frozen = |world: &World| world.newest().0.operation.as_ref().is_some_and(|o| o.is_frozen());
    let begun = Instant::now();
    while !is_frozen(&world) && begun.elapsed() < REACHED_WITHIN {
        sleep(Duration::from_millis(1)).await;
    }
    world.fleet.set_apply_delay(target.name.as_str(), HELD_UP);
    sleep(HELD_UP).await;
    world.fleet.set_apply_delay(target.name.as_str(), Duration::ZERO);
}

/// Catches the leader at the step, and strikes before anybody has done anything more.
async fn strike_at(world: Arc<World>, cut: Cut, caught: oneshot::Receiver<Arc<Node>>) -> Result<(), String> {
    let before = world.writer().cloned().ok_or("nobody is the writer")?;
    let epoch = world.newest().0.epoch();
    let leader = caught.await.map_err(|_| "nobody watches the steps".to_owned())?;
    let target = match cut.operated {
        // On the way back it is the old writer that is to be the next.
        Operated::Return | Operated::LeftOpen | Operated::Reopened => Some(before),
        _ if world.newest().0.epoch() > epoch => world.writer().cloned(),
        _ => world.replicas().into_iter().next(),
    };
    let target = target.ok_or("no target")?;
    world.trace.line(|| {
        format!(
            "CUT {:?} at {}: {:?}; {} leads, target {}",
            cut.operated, cut.step, cut.victim, leader.name, target.name
        )
    });
    match cut.victim {
        Victim::Leader => leader.kill(),
        Victim::TargetServer => {
            world.fleet.kill(target.name.as_str());
            leader.go_on();
        }
        Victim::TargetHost => {
            faults::lose_power(&world, &target);
            leader.go_on();
            sleep(DARK).await;
            target.start();
        }
    }
    Ok(())
}

/// The next time that the leader has applied `step` it stands still, and is handed over here; nothing happens once
/// nobody waits here any more.
pub(super) fn at(world: &Arc<World>, step: StepName) -> oneshot::Receiver<Arc<Node>> {
    let (catch, caught) = oneshot::channel();
    let (catch, world) = (RefCell::new(Some(catch)), Arc::downgrade(world));
    let reached = move |reached: &str| {
        let Some(world) = world.upgrade().filter(|_| reached == step.as_str()) else { return };
        let Some(leader) = world.leader().filter(|leader| leader.is_current()) else { return };
        let Some(catch) = catch.borrow_mut().take().filter(|catch| !catch.is_closed()) else { return };
        leader.stop();
        if catch.send(Arc::clone(leader)).is_err() {
            leader.go_on();
        }
    };
    cut::watch(Some(Rc::new(reached)));
    caught
}
