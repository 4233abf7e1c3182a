//! The two leases that are longer than an ordinary one: up to 15 s for a planned restart of the daemon, and an open end
//! for a pause. Both end alike: an ordinary majority first, then the keeper's ordinary deadline, then the next request
//! says so, and the voters forget the longer one.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::asking;
use super::clock::Boottime;
use super::guard::{Attached, Guard};
use super::ports::{Lease, LeaseRequest};
use crate::state::{ClusterState, Epoch, OPEN_ENDED};

/// What the guard asks the voters for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asks {
    /// `lease_ttl`.
    #[default]
    Ordinary,
    /// Time for the next process to start.
    HandOver,
    /// The length of a pause.
    OpenEnd,
}

/// How the lease was handed over to the process that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandedOver {
    /// The server beside this node is not open under a lease.
    Nothing,
    /// The lease has no end, for a pause.
    Paused,
    /// The keeper holds a longer lease, which ends after this.
    For(Duration),
}

/// A hand-over under way.
pub(super) struct HandOver {
    /// A lease that ends before this is none of it.
    at_least: Boottime,
    reply: oneshot::Sender<Result<HandedOver, String>>,
}

impl Guard {
    /// Sends a round of requests when one is due.
    pub(super) fn ask_when_due(&mut self, state: &ClusterState, epoch: Epoch) {
        let now = Instant::now();
        if now < self.next_round {
            return;
        }
        self.next_round = now + self.pace();
        // The own log may know of a newer membership than any answer, or of a first one: none is known while a snapshot
        // is being installed.
        let newest = self.newest_membership();
        let open_ended = self.is_open_ended();
        let (round, ttl) = (self.ports.clock.now(), state.safety.lease_ttl());
        // A lease from before the length was made shorter is not an ordinary one either.
        let is_ordinary = !self.long && self.lease.is_none_or(|lease| lease.until <= round + ttl);
        let Some((_, rounds)) = &mut self.rounds else { return };
        rounds.adopt(newest);
        let ordinary = LeaseRequest {
            epoch,
            membership: rounds.electorate().index,
            length: ttl,
            keeper_armed: true,
            hand_over: false,
            settled: self.asks == Asks::Ordinary && is_ordinary,
            round,
        };
        let longer = match self.asks {
            Asks::Ordinary => None,
            Asks::HandOver => Some(LeaseRequest {
                length: state.safety.longest_grant(true),
                hand_over: true,
                ..ordinary.clone()
            }),
            Asks::OpenEnd => {
                Some(LeaseRequest { length: OPEN_ENDED, keeper_armed: !open_ended, ..ordinary.clone() })
            }
        };
        // A voter that has not applied the pause yet refuses the longer one: that must not cost the lease.
        let ordinary = (self.asks != Asks::OpenEnd || !open_ended).then_some(ordinary);
        for request in ordinary.into_iter().chain(longer) {
            asking::ask_all(&self.ports.voters, rounds.electorate().voters(), &request, &self.replies);
        }
    }

    /// Whether the lease has no end.
    pub(super) fn is_open_ended(&self) -> bool {
        self.lease.is_some_and(|lease| lease.until == Boottime::NEVER)
    }

    /// Changes what is asked for. The end of a pause begins with a keeper that holds the server again, still without a
    /// deadline, and with answers of new rounds alone.
    pub(super) async fn choose_length(&mut self, state: &ClusterState, epoch: Epoch) {
        let asks = match (&self.handing_over, &state.pause) {
            (Some(_), _) => Asks::HandOver,
            (None, Some(_)) => Asks::OpenEnd,
            (None, None) => Asks::Ordinary,
        };
        if asks == self.asks {
            return;
        }
        if self.asks == Asks::OpenEnd {
            self.leave_open_end(epoch).await;
        } else {
            self.asks = asks;
            self.ask_now();
        }
    }

    /// Answers without an end that are still on their way count for nothing from here on.
    async fn leave_open_end(&mut self, epoch: Epoch) {
        let long = self.long || self.is_open_ended();
        if self.is_open_ended() {
            let Attached::To { process, .. } = &self.server else { return };
            let identity = (process.pid(), process.start_time_ticks());
            if let Err(error) = self.keeper.arm(epoch, identity, None).await {
                self.trouble = Some(format!("the pause is over, but the keeper does not hold: {error}"));
                return;
            }
        }
        self.begin_rounds(epoch);
        self.long = long;
    }

    /// What the answers give: the keeper learns it first, then it counts here.
    pub(super) async fn renewed(&mut self) {
        let Some((epoch, rounds)) = &self.rounds else { return };
        let (epoch, Some((until, length))) = (*epoch, rounds.held()) else { return };
        let record = &self.memory.record;
        if record.opened != epoch || record.closed >= epoch || record.refused >= epoch {
            return;
        }
        let Attached::To { process, .. } = &self.server else { return };
        let identity = (process.pid(), process.start_time_ticks());
        let held = self.lease.map_or(Boottime::BOOT, |lease| lease.until);
        let taken = if until == Boottime::NEVER {
            if self.asks != Asks::OpenEnd || held == until {
                return;
            }
            self.go_without_end(epoch, identity.0).await
        } else if self.long && self.asks == Asks::Ordinary {
            if until <= self.ports.clock.now() {
                return;
            }
            self.become_ordinary(epoch, identity, until).await
        } else if held >= until {
            return;
        } else {
            self.keeper.extend(epoch, identity.0, until).await
        };
        match taken {
            Ok(()) => {
                self.lease = Some(Lease { epoch, until, length });
                self.trouble = None;
            }
            Err(error) => self.trouble = Some(format!("the keeper did not take the lease: {error}")),
        }
        self.hand_over_if_granted();
    }

    /// A majority has granted it, and keeps it on disk. Written down here first: the next process finds a keeper that
    /// holds nothing.
    async fn go_without_end(&mut self, epoch: Epoch, pid: i32) -> Result<(), String> {
        self.memory.change(|r| r.open_ended = epoch).await?;
        self.keeper.disarm(epoch, pid).await?;
        info!(%epoch, "paused: the server stays open without the daemons");
        Ok(())
    }

    /// Only after this do the requests say that nothing longer is held.
    async fn become_ordinary(
        &mut self,
        epoch: Epoch,
        identity: (i32, u64),
        until: Boottime,
    ) -> Result<(), String> {
        self.keeper.arm(epoch, identity, Some(until)).await?;
        self.memory.change(|r| r.open_ended = Epoch(0)).await?;
        info!(%epoch, "the lease is an ordinary one again");
        self.long = false;
        Ok(())
    }

    /// A planned restart of this process.
    pub(super) fn begin_hand_over(&mut self, reply: oneshot::Sender<Result<HandedOver, String>>) {
        let now = self.ports.clock.now();
        let answer = match self.lease.filter(|lease| lease.until > now) {
            Some(_) if self.is_open_ended() => HandedOver::Paused,
            Some(_) => {
                // Nothing before this question counts, and most of what is asked for must be left.
                let longest = self.ports.states.borrow().safety.longest_grant(true);
                self.handing_over = Some(HandOver { at_least: now + longest, reply });
                return;
            }
            None => HandedOver::Nothing,
        };
        self.handed_over = answer == HandedOver::Paused;
        let _asker_gone = reply.send(Ok(answer));
    }

    fn hand_over_if_granted(&mut self) {
        let Some(lease) = self.lease else { return };
        if let Some(handing) = self.handing_over.take_if(|handing| lease.until >= handing.at_least) {
            let left = lease.until.saturating_since(self.ports.clock.now());
            self.handed_over = true;
            let _asker_gone = handing.reply.send(Ok(HandedOver::For(left)));
        }
    }

    /// Without a lease there is nothing to hand over any more.
    pub(super) fn give_up_hand_over(&mut self, why: &str) {
        if let Some(handing) = self.handing_over.take() {
            warn!(why, "the lease is not handed over");
            let _asker_gone = handing.reply.send(Err(why.to_owned()));
        }
    }
}
