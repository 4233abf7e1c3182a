//! What people change on purpose while everything else goes wrong: one such change in each run, by the service that
//! answers `batonctl`, given again until it is done.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::control::control_server::Control as _;
use baton_proto::control::{
    AddNodeRequest, ConfigApplyRequest, PauseRequest, RemoveNodeRequest, ResumeRequest,
};
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status};

use crate::sim::world::World;
use crate::sim::world::draw::Draw;
use crate::sim::world::node::{Node, Running};

/// Pause before a command that was refused, or whose leader was lost, is given again.
pub(super) const AGAIN: Duration = Duration::from_secs(2);
/// No command takes longer.
pub(super) const WITHIN: Duration = Duration::from_secs(60);
/// How often a command is given before the change counts as impossible: longer than all faults together.
pub(super) const TRIES: u32 = 100;

/// A planned change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planned {
    /// The writer's daemon is restarted, the others' as well.
    Restart,
    /// `batonctl pause`, and `batonctl resume` later.
    Pause,
    /// `batonctl config apply` with another lease and other priorities.
    Configure,
    /// `batonctl node remove` of a witness or a replica, and `batonctl node add` on a blank disk.
    Rejoin,
}

impl Planned {
    /// All of them.
    const ALL: [Self; 5] = [Self::Restart, Self::Pause, Self::Configure, Self::Rejoin, Self::Rejoin];

    /// The change of this run, made at some time of it.
    ///
    /// # Errors
    /// When it could not be made, however often it was tried.
    pub(super) async fn make(world: &World, draw: &Draw) -> Result<(), String> {
        sleep(draw.millis(5_000..80_000)).await;
        let Some(planned) = draw.one(&Self::ALL) else { return Ok(()) };
        world.trace.line(|| format!("PLANNED {planned:?}"));
        match planned {
            Self::Restart => restart(world, draw).await,
            Self::Pause => pause(world, draw).await?,
            Self::Configure => configure(world, draw).await?,
            Self::Rejoin => rejoin(world, draw).await?,
        }
        world.trace.line(|| format!("PLANNED {planned:?} is done"));
        Ok(())
    }
}

async fn restart(world: &World, draw: &Draw) {
    let writer = world.writer().cloned();
    let mut nodes = world.nodes.clone();
    nodes.sort_by_key(|node| writer.as_ref().is_none_or(|w| w.name != node.name));
    for node in nodes {
        node.restart();
        sleep(draw.millis(100..4000)).await;
    }
}

async fn pause(world: &World, draw: &Draw) -> Result<(), String> {
    let by = || "the simulation".to_owned();
    let for_ms = draw.of(60_000..90_000);
    order(
        world,
        "pause",
        |world, _: &()| world.newest().0.pause.is_some(),
        async |leader, _| {
            let request = PauseRequest { for_ms, reason: "work on the network".into(), by: by() };
            running(leader)?.control.pause(Request::new(request)).await.map(drop)
        },
    )
    .await?;
    if draw.chance(500) {
        // In a pause every daemon may stop, and no write is refused.
        restart(world, draw).await;
    }
    sleep(draw.millis(1000..20_000)).await;
    order(
        world,
        "resume",
        |world, _: &()| world.newest().0.pause.is_none(),
        async |leader, _| {
            running(leader)?.control.resume(Request::new(ResumeRequest { by: by() })).await.map(drop)
        },
    )
    .await
    .map(drop)
}

async fn configure(world: &World, draw: &Draw) -> Result<(), String> {
    let lease_ms = draw.of(8..40) * 100;
    let nodes: String = world
        .nodes
        .iter()
        .map(|node| {
            let server = format!("server = \"{}:3306\"\npriority = {}\n", node.name, draw.of(50..150));
            let rest = if node.has_server { server } else { String::new() };
            format!("[[node]]\nname = \"{0}\"\npeer = \"{0}:7000\"\n{rest}", node.name)
        })
        .collect();
    let file = format!("[cluster]\nname = \"sim\"\n{nodes}[failover]\nlease_ttl = \"{lease_ms}ms\"\n");
    order(
        world,
        "config apply",
        |_, _: &()| false,
        async |leader, _| {
            let request = ConfigApplyRequest {
                file: file.clone(),
                path: "baton.toml".into(),
                dry_run: false,
                by: "the simulation".into(),
            };
            running(leader)?.control.config_apply(Request::new(request)).await.map(drop)
        },
    )
    .await
    .map(drop)
}

/// A node that the rules let go: the holder of the grant stays, and so does an acker that is needed.
async fn rejoin(world: &World, draw: &Draw) -> Result<(), String> {
    let left = order(world, "node remove", has_left, async |leader, left| {
        // The leader too: it hands the leadership over first.
        let mut nodes = world.nodes.clone();
        nodes.retain(|n| world.writer().is_none_or(|w| w.name != n.name));
        let node = left
            .take()
            .or_else(|| draw.one(&nodes))
            .ok_or_else(|| Status::unavailable("nobody can leave"))?;
        let removed = remove(leader, &node).await;
        // One that was begun goes on; what is refused leaves another choice.
        let refused = matches!(&removed, Err(status) if status.code() == Code::FailedPrecondition);
        *left = (!refused).then_some(node);
        removed
    })
    .await?;
    let node = left.ok_or("nobody was removed")?;
    sleep(draw.millis(0..3000)).await;
    node.begin_anew().map_err(|e| e.to_string())?;
    sleep(draw.millis(0..3000)).await;
    let votes = |world: &World, _: &Option<Arc<Node>>| world.votes(&node.name);
    order(world, "node add", votes, async |leader, _| add(leader, &node).await).await.map(drop)
}

/// `batonctl node remove`.
pub(super) async fn remove(leader: &Node, node: &Node) -> Result<(), Status> {
    let request = RemoveNodeRequest { name: node.name.to_string(), by: "the simulation".into() };
    running(leader)?.control.remove_node(Request::new(request)).await.map(drop)
}

/// `batonctl node add`.
pub(super) async fn add(leader: &Node, node: &Node) -> Result<(), Status> {
    let request = AddNodeRequest {
        name: node.name.to_string(),
        peer: format!("{}:7000", node.name),
        server: if node.has_server { format!("{}:3306", node.name) } else { String::new() },
        zone: String::new(),
        by: "the simulation".into(),
    };
    running(leader)?.control.add_node(Request::new(request)).await.map(drop)
}

fn has_left(world: &World, left: &Option<Arc<Node>>) -> bool {
    left.as_ref().is_some_and(|node| is_gone(world, node))
}

pub(super) fn is_gone(world: &World, node: &Node) -> bool {
    let known = world.newest().0.members.contains_key(&node.name);
    !known && world.leader().is_some() && !world.votes(&node.name)
}

/// Gives a command to whoever leads until it is done; `done` tells of one whose answer was lost. `of` is kept from one
/// time to the next, and is the answer.
async fn order<T: Default>(
    world: &World,
    what: &str,
    done: impl Fn(&World, &T) -> bool,
    mut give: impl AsyncFnMut(&Node, &mut T) -> Result<(), Status>,
) -> Result<T, String> {
    let (mut of, mut last) = (T::default(), String::new());
    for _ in 0..TRIES {
        if done(world, &of) {
            return Ok(of);
        }
        if let Some(leader) = world.leader() {
            match timeout(WITHIN, give(leader, &mut of)).await {
                Ok(Ok(())) => return Ok(of),
                Ok(Err(status)) => last = status.message().to_owned(),
                Err(_) => last = "no answer".to_owned(),
            }
            world.trace.line(|| format!("{what}: {last}"));
        }
        sleep(AGAIN).await;
    }
    Err(format!("`batonctl {what}` was never done: {last}"))
}

fn running(leader: &Node) -> Result<Arc<Running>, Status> {
    leader.running().ok_or_else(|| Status::unavailable("the leader has gone"))
}
