//! A cluster in memory: Baton's nodes on virtual time, the servers of [`super::fleet`], and what is between them.

pub mod archives;
pub mod clock;
pub mod draw;
pub mod keeper;
pub mod net;
pub mod node;
mod parts;
pub mod process;
pub mod trace;

use std::sync::Arc;
use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::sql::{ManagedServer, Permit, Switch};
use baton_node::state::{ClusterState, NodeName, Safety};
use tokio::time::sleep;

use self::draw::Draw;
use self::net::Net;
use self::node::{Around, Node, Plan};
use self::trace::Trace;
use super::fleet::{Fleet, ServerSettings};
use super::invariants::Applied;

/// What goes wrong in a world itself: a mistake of the simulation, not of Baton.
pub type WorldError = Box<dyn std::error::Error>;

/// A whole cluster.
pub struct World {
    /// Every node, in the order of the configuration.
    pub nodes: Vec<Arc<Node>>,
    /// The servers.
    pub fleet: Fleet,
    /// The network.
    pub net: Net,
    /// What happens.
    pub trace: Trace,
    /// All chance that is left.
    pub draw: Draw,
}

/// The replicated state of the node that has applied most, and the index of its last entry.
pub type Newest = (Arc<ClusterState>, u64);

/// Which disk a node runs on, and the last entry that it has applied, while it runs.
pub type AppliedUpTo = (u32, Option<u64>);

impl World {
    /// Three to five nodes, two or three of them beside a server; the first server is open and has the others as its
    /// replicas, as its people left it.
    ///
    /// # Errors
    /// When the world itself cannot be made.
    pub async fn new(seed: u64, shown: bool) -> Result<Self, WorldError> {
        let draw = Draw::new(seed);
        let shapes: [(u32, u32); 5] = [(2, 1), (2, 1), (3, 0), (3, 1), (3, 2)];
        let (data, witnesses) = draw.one(&shapes).unwrap_or((2, 1));
        let mut nodes: Vec<(NodeName, bool)> =
            (1..=data).map(|n| (NodeName::from(format!("db{n}").as_str()), true)).collect();
        nodes.extend((1..=witnesses).map(|n| (NodeName::from(format!("app{n}").as_str()), false)));
        let dialect = if draw.chance(500) { Dialect::Mysql } else { Dialect::Mariadb };
        let net = Net::new(draw.fork());
        let settings = (1..=data).map(|n| server(&draw, n, dialect)).collect();
        let fleet = Fleet::new(settings, Arc::new(net.clone()), draw.number());
        tokio::spawn(fleet.clone().run());
        let trace = Trace::new(shown);
        trace.line(|| format!("seed {seed}: {data} servers ({dialect:?}), {witnesses} witnesses"));
        let plan = Arc::new(Plan { nodes: nodes.clone(), safety: Safety::default() });
        let around = Around { plan, fleet: fleet.clone(), net: net.clone(), trace: trace.clone() };
        let made = nodes.into_iter().map(|(name, data)| Node::new(around.clone(), name, data, draw.fork()));
        let nodes = made.collect::<Result<Vec<_>, _>>()?;
        let world = Self { nodes, fleet, net, trace, draw };
        world.set_up_servers().await?;
        world.nodes.iter().for_each(Node::start);
        Ok(world)
    }

    /// As people set up replication by hand.
    async fn set_up_servers(&self) -> Result<(), WorldError> {
        for host in self.fleet.hosts() {
            self.fleet.start(&host);
        }
        sleep(Duration::from_secs(5)).await;
        self.fleet.set_switch("db1", Switch::Open);
        for host in self.fleet.hosts().into_iter().filter(|h| h != "db1") {
            let replica = self.fleet.remote(&host, &host);
            replica.follow(&parts::source("db1", 3306), &Permit::unconditional()).await?;
        }
        Ok(())
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|n| n.name.as_str() == name)
    }

    /// What the node that has applied most knows.
    pub fn newest(&self) -> Newest {
        let states = self.nodes.iter().filter_map(|n| n.running()).map(|r| {
            let applied = r.states.borrow();
            (Arc::clone(&applied.state), applied.index)
        });
        states.max_by_key(|(_, index)| *index).unwrap_or_default()
    }

    /// What each running node has applied.
    pub fn states(&self) -> Vec<Applied> {
        let applied = |node: &Arc<Node>| {
            let applied = node.running()?.states.borrow().clone();
            let (state, index) = (Arc::clone(&applied.state), applied.index);
            Some(Applied { node: node.name.clone(), store: node.store(), state, index })
        };
        self.nodes.iter().filter_map(applied).collect()
    }

    /// The node that leads, if one knows that it does.
    pub fn leader(&self) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|n| n.running().is_some_and(|r| r.group.leadership().borrow().mine))
    }

    /// Of each node.
    pub fn applied(&self) -> Vec<AppliedUpTo> {
        let index = |n: &Arc<Node>| n.running().map(|r| r.states.borrow().index);
        self.nodes.iter().map(|n| (n.store(), index(n))).collect()
    }

    /// Whether the leader knows this node as a voter.
    pub fn votes(&self, node: &NodeName) -> bool {
        let leading = self.leader().and_then(|leader| leader.running());
        leading.is_some_and(|r| r.group.membership().voter_names().contains(node))
    }

    /// The node of the newest grant, if there is one.
    pub fn writer(&self) -> Option<&Arc<Node>> {
        let state = self.newest().0;
        state.grant.as_ref().and_then(|grant| self.node(grant.node.as_str()))
    }

    /// The nodes beside the other servers.
    pub fn replicas(&self) -> Vec<Arc<Node>> {
        let writer = self.writer().map(|w| w.name.clone());
        let others = self.nodes.iter().filter(|n| n.has_server && Some(&n.name) != writer.as_ref());
        others.cloned().collect()
    }

    /// Waits until something holds; false when it does not within `bound`.
    pub async fn until(&self, bound: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        const LOOK: Duration = Duration::from_millis(50);
        let end = tokio::time::Instant::now() + bound;
        while !holds(self) {
            if tokio::time::Instant::now() >= end {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }
}

impl Drop for World {
    /// The services that listen on the network hold it themselves.
    fn drop(&mut self) {
        self.net.end();
    }
}

fn server(draw: &Draw, number: u32, dialect: Dialect) -> ServerSettings {
    ServerSettings {
        sync_takes: draw.micros(300..2000),
        apply_takes: draw.micros(200..3000),
        start_takes: draw.millis(300..3000),
        ..ServerSettings::safe(&format!("db{number}"), dialect, number)
    }
}
