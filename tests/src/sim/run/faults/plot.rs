//! Faults in an order that single ones seldom come in. Each is a schedule that loses writes, or opens two servers, as soon
//! as one rule of `docs/safety.md` is left out.

use std::sync::Arc;
use std::time::Duration;

use baton_node::state::{Epoch, OperationKind};
use tokio::time::{Instant, sleep, timeout};

use super::Faults;
use super::act::{mend, moved, others};
use super::kind::Fault;
use crate::sim::run::steps;
use crate::sim::world::node::Node;

/// Between two looks at what has been granted.
const LOOK: Duration = Duration::from_millis(1);
/// What a schedule waits for comes within this, or the faults before it have made it impossible.
pub(super) const COMES_WITHIN: Duration = Duration::from_secs(10);

/// One such order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plot {
    /// The writer is lost while its replicas have much to apply.
    SlowCandidates,
    /// Of two replicas one has received more, and the other has applied more.
    MoreAppliedLessReceived,
    /// The writer's daemon stands still while its host is cut off: only the keeper is left.
    LeftToItsKeeper,
    /// The writer's keeper stands still while its host is cut off: only the daemon is left, and commits that wait for ackers
    /// hold its close up.
    LeftToItsDaemon,
    /// A server is about to be opened when its host is cut off; its epoch is over when it is heard again by some.
    OpensLate,
    /// The voters that a cut-off writer has its lease from start anew.
    VotersStartAnew,
    /// The writer is moved while one of its replicas is cut off from it.
    MovedWithReplicaCutOff,
    /// What the next writer's rival receives after everybody could have been asked.
    RivalReceivesMore,
    /// No majority for longer than a lease.
    MajorityStandsStill,
    /// The writer and its voters have not applied that most of them vote no longer.
    Outvoted,
    /// The leader dies right after a step of a failover.
    LeaderDiesAtAStep,
}

impl Plot {
    /// All of them.
    pub(super) const ALL: [Self; 11] = [
        Self::SlowCandidates,
        Self::MoreAppliedLessReceived,
        Self::LeftToItsKeeper,
        Self::LeftToItsDaemon,
        Self::OpensLate,
        Self::VotersStartAnew,
        Self::MovedWithReplicaCutOff,
        Self::RivalReceivesMore,
        Self::MajorityStandsStill,
        Self::Outvoted,
        Self::LeaderDiesAtAStep,
    ];
}

impl Faults {
    /// Plays one to its end; everything is mended then.
    pub(super) async fn play(&self, plot: Plot) {
        let Some(writer) = self.world.writer().cloned() else { return };
        self.world.trace.line(|| format!("PLOT {plot:?} around {}", writer.name));
        let played = match plot {
            Plot::SlowCandidates => self.slow_candidates(&writer).await,
            Plot::MoreAppliedLessReceived => self.more_applied_less_received(&writer).await,
            Plot::LeftToItsKeeper => self.left_to_its_keeper(&writer).await,
            Plot::LeftToItsDaemon => self.left_to_its_daemon(&writer).await,
            Plot::OpensLate => self.opens_late(&writer).await,
            Plot::VotersStartAnew => self.voters_start_anew(&writer).await,
            Plot::MovedWithReplicaCutOff => self.moved_with_replica_cut_off(&writer).await,
            Plot::RivalReceivesMore => self.rival_receives_more(&writer).await,
            Plot::MajorityStandsStill => self.majority_stands_still(&writer).await,
            Plot::Outvoted => self.outvoted(&writer).await,
            Plot::LeaderDiesAtAStep => self.leader_dies_at_a_step(&writer).await,
        };
        if played.is_none() {
            self.world.trace.line(|| "cannot be played now".into());
        }
        self.world.nodes.iter().for_each(|node| mend(&self.world, node));
    }

    async fn slow_candidates(&self, writer: &Arc<Node>) -> Option<()> {
        for replica in self.world.replicas() {
            self.begin(Fault::SlowApplier, &replica);
        }
        sleep(self.draw.millis(500..4000)).await;
        self.loses_power_until_replaced(writer).await;
        Some(())
    }

    async fn more_applied_less_received(&self, writer: &Arc<Node>) -> Option<()> {
        let near = self.draw.one(&self.world.replicas())?;
        let far = self.world.replicas().into_iter().find(|r| r.name != near.name)?;
        self.begin(Fault::SlowApplier, &far);
        self.world.fleet.set_apply_delay(far.name.as_str(), self.draw.millis(100..300));
        sleep(self.draw.millis(1500..4000)).await;
        self.cut(writer, &near);
        sleep(self.draw.millis(200..1000)).await;
        self.loses_power_until_replaced(writer).await;
        Some(())
    }

    /// The next writer is chosen while nothing is mended yet.
    async fn loses_power_until_replaced(&self, writer: &Arc<Node>) {
        let before = self.world.newest().0.epoch();
        self.begin(Fault::Power, writer);
        let chosen = self.until(COMES_WITHIN, || self.world.newest().0.epoch() > before).await;
        self.world.trace.line(|| if chosen.is_some() { "replaced" } else { "not replaced yet" }.into());
        sleep(self.draw.millis(100..1500)).await;
    }

    async fn left_to_its_keeper(&self, writer: &Arc<Node>) -> Option<()> {
        self.begin(Fault::StopDaemon, writer);
        self.begin(Fault::Isolate, writer);
        sleep(self.draw.millis(2000..7000)).await;
        Some(())
    }

    async fn left_to_its_daemon(&self, writer: &Arc<Node>) -> Option<()> {
        self.begin(Fault::StopKeeper, writer);
        self.begin(Fault::Isolate, writer);
        sleep(self.draw.millis(2000..7000)).await;
        Some(())
    }

    /// The voters must not grant a revoked epoch to whoever has not heard of its end.
    async fn opens_late(&self, writer: &Arc<Node>) -> Option<()> {
        let world = &self.world;
        let before = world.newest().0.epoch();
        // It keeps its process until its disk answers, so that it can take no epoch.
        self.begin(Fault::ServerDiskStalls, writer);
        self.begin(Fault::KillServer, writer);
        let (epoch, node) = self.next_writer(before).await?;
        self.begin(Fault::NodeDiskHangs, &node);
        self.begin(Fault::Isolate, &node);
        let revoked = || world.newest().0.is_revoked(epoch);
        self.until(COMES_WITHIN, revoked).await?;
        sleep(self.draw.millis(100..2500)).await;
        let leader = world.leader()?;
        for other in others(world, node.name.as_str()).filter(|other| *other != leader.name.as_str()) {
            world.net.mend(&other, node.name.as_str());
            world.net.mend(node.name.as_str(), &other);
        }
        node.disk().hang(false);
        world.trace.line(|| format!("{} hears of all but the leader", node.name));
        sleep(self.draw.millis(100..1000)).await;
        world.fleet.set_disk(writer.name.as_str(), crate::sim::fleet::Disk::Fine);
        sleep(self.draw.millis(3000..7000)).await;
        Some(())
    }

    /// The next epoch and its node, which has not opened yet and knows that it is to.
    async fn next_writer(&self, before: Epoch) -> Option<(Epoch, Arc<Node>)> {
        let granted = || {
            let state = self.world.newest().0;
            let grant = state.live_grant().filter(|g| g.epoch > before && g.opened_ms.is_none())?;
            let node = self.world.node(grant.node.as_str())?;
            let knows = node.running()?.states.borrow().state.epoch() == grant.epoch;
            knows.then(|| (grant.epoch, Arc::clone(node)))
        };
        self.until(COMES_WITHIN, || granted().is_some()).await?;
        granted()
    }

    /// What they granted before counts until it has run out.
    async fn voters_start_anew(&self, writer: &Arc<Node>) -> Option<()> {
        let world = &self.world;
        let leader = world.leader().filter(|l| l.name != writer.name)?;
        let rest: Vec<_> =
            world.nodes.iter().filter(|n| n.name != writer.name && n.name != leader.name).collect();
        // With the writer's own voter a majority.
        let (granting, cut_off) = rest.split_at_checked(world.nodes.len() / 2)?;
        for node in cut_off.iter().copied().chain([leader]) {
            self.cut(writer, node);
        }
        sleep(world.newest().0.safety.lease_ttl() + self.draw.millis(100..1000)).await;
        leader.propose(moved(world, &self.draw, granting.first()?));
        self.begin(Fault::StopDaemon, writer);
        self.begin(Fault::Isolate, writer);
        for node in granting {
            self.begin(Fault::KillDaemon, node);
        }
        sleep(self.draw.millis(2000..5000)).await;
        Some(())
    }

    async fn moved_with_replica_cut_off(&self, writer: &Arc<Node>) -> Option<()> {
        let leader = self.world.leader()?;
        let replica = self.draw.one(&self.world.replicas())?;
        self.world.net.weather(0, self.draw.millis(20..200));
        sleep(self.draw.millis(200..1500)).await;
        leader.propose(moved(&self.world, &self.draw, &replica));
        sleep(self.draw.millis(0..600)).await;
        self.cut(writer, &replica);
        sleep(self.draw.millis(2000..5000)).await;
        Some(())
    }

    /// The writer has not heard of its end, and goes on with one acker, which the leader no longer reaches. What was read
    /// before the writer's lease has run out is not all.
    async fn rival_receives_more(&self, writer: &Arc<Node>) -> Option<()> {
        let world = &self.world;
        let leader = world.leader().filter(|l| l.name != writer.name)?;
        let replicas = world.replicas();
        let rival = replicas.iter().find(|r| r.name != leader.name)?;
        let next = replicas.iter().find(|r| r.name != rival.name)?;
        self.until(COMES_WITHIN, || world.newest().0.durability.is_lossless()).await?;
        let epoch = world.newest().0.epoch();
        self.begin(Fault::SlowApplier, next);
        sleep(self.draw.millis(500..2000)).await;
        self.cut(writer, leader);
        leader.propose(moved(world, &self.draw, next));
        self.until(COMES_WITHIN, || world.newest().0.is_revoked(epoch)).await?;
        sleep(self.draw.millis(3..60)).await;
        self.cut(writer, next);
        self.cut(leader, rival);
        sleep(self.draw.millis(3000..8000)).await;
        Some(())
    }

    async fn majority_stands_still(&self, writer: &Arc<Node>) -> Option<()> {
        for node in self.world.nodes.iter().filter(|n| n.name != writer.name) {
            self.begin(Fault::StopDaemon, node);
        }
        sleep(self.world.newest().0.safety.lease_ttl() + self.draw.millis(0..2000)).await;
        Some(())
    }

    async fn leader_dies_at_a_step(&self, writer: &Arc<Node>) -> Option<()> {
        let step = self.draw.one(OperationKind::Failover.steps())?;
        let caught = steps::at(&self.world, step);
        self.begin(Fault::KillServer, writer);
        let leader = timeout(COMES_WITHIN, caught).await.ok()?.ok()?;
        self.count(|| format!("{} led, and is killed at {step}", leader.name));
        leader.kill();
        sleep(self.draw.millis(500..5000)).await;
        Some(())
    }

    pub(super) fn cut(&self, one: &Node, other: &Node) {
        self.count(|| format!("Cut {} {}", one.name, other.name));
        self.world.net.cut_both(one.name.as_str(), other.name.as_str());
    }

    pub(super) async fn until(&self, bound: Duration, holds: impl Fn() -> bool) -> Option<()> {
        let end = Instant::now() + bound;
        while !holds() {
            if Instant::now() >= end {
                return None;
            }
            sleep(LOOK).await;
        }
        Some(())
    }
}
