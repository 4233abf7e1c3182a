//! `batonctl maintenance` and `batonctl restart`.

use std::time::Duration;

use baton_proto::control::{Done, MaintenanceRequest, RestartRequest};
use tokio::time::Instant;
use tonic::Status;

use super::Control;
use super::forward::not_the_leader;
use super::orders::{done, instant, word};
use super::refusal::{by_state, refused};
use crate::decide::leaving::waits_until;
use crate::decide::maintenance::{may_begin, waits_for, written};
use crate::operate::{Acted, Action, Order};
use crate::state::{Change, ClusterState, NodeName, Phase, Refusal};

/// Bounds of a maintenance. A forgotten one must not leave a server out for ever.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the server may take to leave the list of ackers before the operator is told to look.
const STANDS_ASIDE: Duration = Duration::from_secs(20);
/// How long this node may take to apply what another one has committed.
const APPLIES: Duration = Duration::from_secs(2);
/// How long another acker that has just come back is waited for, and how often it is looked at.
const ACKNOWLEDGE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Stopping a server, which writes its dirty pages first, and starting it.
const RESTARTS: Duration = Duration::from_secs(45);

impl Control {
    pub(super) async fn maintenance(&self, request: MaintenanceRequest) -> Result<Done, Status> {
        let node = NodeName::from(request.node.as_str());
        if request.end {
            let ended = Change::EndMaintenance { node: node.clone(), until_ms: None, by: request.by };
            self.commit(ended).await?;
            let details = ["it is read from again once it has caught up, and becomes an acker by itself"];
            return Ok(done(format!("{node}'s maintenance is over"), details));
        }
        let length = Duration::from_millis(request.for_ms);
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Err(Status::invalid_argument(
                "a maintenance lasts from 1 minute to 7 days; pass for example --for 2h",
            ));
        }
        self.not_the_writer(&node)?;
        self.others_acknowledge(&node).await?;
        let until_ms = self.now_ms().saturating_add_unsigned(request.for_ms);
        let begin = Change::Maintain { node: node.clone(), until_ms, word: word(request.by, request.reason) };
        self.commit(begin).await?;
        let told = match self.stands_aside(&node).await {
            true => "it is out: nobody reads from it, and no commit waits for it".to_owned(),
            false => self.still_counted_on(&node).await,
        };
        let ends = format!("batonctl maintenance {node} --end ends it before");
        Ok(Done {
            message: format!("{node} is in maintenance until {}", instant(until_ms)),
            details: vec![told, ends],
        })
    }

    /// What a server in maintenance waits for that is not out yet.
    async fn still_counted_on(&self, node: &NodeName) -> String {
        let (state, seen) = self.gathered().await;
        let until = waits_until(&state, &seen, node).map(|until| format!(" until {until}"));
        let until = until.unwrap_or_default();
        format!("it is still an acker{until}: stop it only once batonctl status shows it out")
    }

    fn not_the_writer(&self, node: &NodeName) -> Result<(), Status> {
        let state = self.state();
        let writes = state.phase == Phase::Managed && state.grant.as_ref().is_some_and(|g| g.node == *node);
        if !writes {
            return Ok(());
        }
        Err(refused(format!("{node} is the writer: run batonctl switchover first, or pass --switchover")))
    }

    /// Waits, bounded, until no write would wait for the server.
    async fn others_acknowledge(&self, node: &NodeName) -> Result<(), Status> {
        let deadline = Instant::now() + ACKNOWLEDGE;
        let mut upto = None;
        loop {
            let (state, seen) = self.gathered().await;
            upto = upto.or_else(|| written(&state, &seen));
            if may_begin(&state, &seen, node, upto.as_ref()) {
                return Ok(());
            }
            // A node that leads no more is told nothing by the others, and would wait in vain.
            if !self.group.leadership().borrow().mine {
                return Err(not_the_leader());
            }
            if Instant::now() >= deadline {
                let why = waits_for(&state, &seen, node, upto.as_ref());
                return Err(refused(format!(
                    "no other acker acknowledges yet, and commits would wait for {node}: {why}; see batonctl status"
                )));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits, bounded, until it is on no list any more.
    async fn stands_aside(&self, node: &NodeName) -> bool {
        let aside = |state: &ClusterState| state.out.contains_key(node) || !state.in_maintenance(node);
        let mut states = self.group.states();
        // Committed elsewhere, where this node does not lead any more.
        let here = states.wait_for(|applied| applied.state.in_maintenance(node));
        let _applied_or_ended = tokio::time::timeout(APPLIES, here).await.is_ok();
        let waited =
            tokio::time::timeout(STANDS_ASIDE, states.wait_for(|applied| aside(&applied.state))).await;
        matches!(waited, Ok(Ok(_))) && self.state().out.contains_key(node)
    }

    /// Stops and starts the server of a node in maintenance.
    pub(super) async fn restart_server(&self, request: RestartRequest) -> Result<Done, Status> {
        let node = NodeName::from(request.node.as_str());
        self.not_the_writer(&node)?;
        let is_out = |state: &ClusterState| state.in_maintenance(&node) && state.out.contains_key(&node);
        let mut states = self.group.states();
        // Another node may have been told so, and this one hears of it.
        let out = states.wait_for(|applied| is_out(&applied.state));
        if !matches!(tokio::time::timeout(APPLIES, out).await, Ok(Ok(_))) {
            return Err(by_state(Refusal::NotInMaintenance(node)));
        }
        let state = self.state();
        let term = self.group.leadership().borrow().term;
        let order = Order { term, epoch: state.epoch(), operation: request.id };
        match self.hands.act(node.clone(), order, Action::RestartServer, RESTARTS).await {
            Some(Acted::Done) => Ok(done(format!("{node}'s server has been restarted"), [])),
            Some(Acted::Failed(why)) => Err(refused(format!("{node}'s server was not restarted: {why}"))),
            _ => Err(Status::deadline_exceeded(format!(
                "{node} has not said within {} s that its server runs again; see `batonctl status`",
                RESTARTS.as_secs()
            ))),
        }
    }
}
