//! Questions: what is gathered for them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use baton_proto::control::{
    BackupListReply, BackupListRequest, CheckReply, RecoveryReply, RecoveryRequest, StatusReply,
    StatusRequest, WhyReply, WhyRequest,
};
use futures::future::join_all;
use jiff::tz::TimeZone;
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status};

use super::backup::list;
use super::check::{check, to_wire};
use super::forward::{Caller, Place};
use super::history::history;
use super::page::Picture;
use super::recovery::recovery;
use super::refusal::refused;
use super::status::status;
use super::why::{why_ended, why_now};
use super::{Control, View, WithoutLeader};
use crate::decide::finding::answers;
use crate::decide::seen::Observations;
use crate::state::{ClusterState, Epoch, NodeName};

/// A leader that has just been elected waits so long for the first reports, which are on their way.
const FIRST_REPORTS: Duration = Duration::from_millis(600);
/// Between two looks at them.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Without a leader the other nodes are asked what they see; those who do not answer within this do not answer.
const ASKED: Duration = Duration::from_secs(1);
/// Operations on the page.
const SHOWN: u32 = 10;

impl Control {
    /// What all nodes see. With reports of fewer than half of them a new leader would call everything dead.
    pub(super) async fn gathered(&self) -> (Arc<ClusterState>, Observations) {
        let deadline = Instant::now() + FIRST_REPORTS;
        loop {
            let (state, seen) = (self.state(), (self.seen)());
            let heard = state.members.keys().filter(|n| answers(&seen, n)).count();
            if heard * 2 > state.members.len() || Instant::now() >= deadline {
                return (state, seen);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// From the leader where there is one, else from all nodes that answer.
    pub(super) async fn status_wherever(&self, caller: &Caller) -> StatusReply {
        match self.place(caller).await {
            Ok(Place::Here) => return self.status_as_leader().await,
            Ok(Place::There(leader)) => {
                let asked = self.ask(&leader, StatusRequest {}, async |mut c, q| c.status(q).await).await;
                if let Ok(answer) = asked {
                    return answer.into_inner();
                }
            }
            Err(_nobody_leads) => {}
        }
        self.status_without_leader(caller).await
    }

    /// What the page for people shows.
    pub async fn picture(&self) -> Picture {
        let caller = Caller::client("page");
        let reasons = async {
            let here = async |request: WhyRequest| self.why(&request).await;
            let request = Request::new(WhyRequest { epoch: 0 });
            self.lead(request, caller.clone(), here, async |mut c, q| c.why(q).await).await
        };
        let backups = async {
            let here = async |request: BackupListRequest| Ok(self.backups(&request).await);
            let request = Request::new(BackupListRequest::default());
            self.lead(request, caller.clone(), here, async |mut c, q| c.backup_list(q).await).await
        };
        let recovery = async {
            let here = async |_: RecoveryRequest| Ok(self.recovery().await);
            let request = Request::new(RecoveryRequest {});
            self.lead(request, caller.clone(), here, async |mut c, q| c.recovery(q).await).await
        };
        let status = self.status_wherever(&caller);
        let (status, why, backups, recovery) =
            tokio::join!(status, timeout(ASKED, reasons), timeout(ASKED, backups), timeout(ASKED, recovery));
        let (state, at_ms) = (self.state(), self.now_ms());
        Picture {
            status,
            history: history(&state, SHOWN, 0, at_ms),
            why: why.ok().and_then(Result::ok).map(Response::into_inner),
            backups: backups.ok().and_then(Result::ok).map(Response::into_inner),
            recovery: recovery.ok().and_then(Result::ok).map(Response::into_inner),
            lease_ms: state.safety.lease_ttl_ms,
            at_ms,
        }
    }

    pub(super) async fn status_as_leader(&self) -> StatusReply {
        let (state, seen) = self.gathered().await;
        self.with_view(&state, &seen, None, status)
    }

    /// What this node sees itself, and what the others that answer say of themselves.
    pub(super) async fn status_without_leader(&self, caller: &Caller) -> StatusReply {
        let mut others = Vec::new();
        if !caller.forwarded {
            let asked = self.others().into_iter().map(|node| async move {
                let question = self.ask(&node, StatusRequest {}, async |mut c, q| c.status(q).await);
                let answer = timeout(ASKED, question).await;
                Some(answer.ok()?.ok()?.into_inner())
            });
            others = join_all(asked).await.into_iter().flatten().collect();
        }
        if let Some(leader) = others.iter().position(|o| !o.leader.is_empty() && o.leader == o.answered_by) {
            return others.swap_remove(leader);
        }
        self.status_together(&others)
    }

    fn status_together(&self, others: &[StatusReply]) -> StatusReply {
        // What formation says lags behind: the binding stands before.
        let unbound = self.group.binding().is_none();
        let without = WithoutLeader {
            answered: others.iter().map(|o| NodeName::from(o.answered_by.as_str())).collect::<BTreeSet<_>>(),
            formation: unbound.then(|| self.group.formation().borrow().to_string()),
        };
        let (state, seen) = (self.state(), self.own_view());
        let mut reply = self.with_view(&state, &seen, Some(&without), status);
        for other in others {
            let said = other.nodes.iter().find(|n| n.name == other.answered_by);
            let here = reply.nodes.iter_mut().find(|n| n.name == other.answered_by);
            if let (Some(said), Some(here)) = (said, here) {
                *here = said.clone();
            }
        }
        reply
    }

    pub(super) async fn why(&self, request: &WhyRequest) -> Result<WhyReply, Status> {
        if request.epoch == 0 {
            let (state, seen) = self.gathered().await;
            return Ok(self.with_view(&state, &seen, None, why_now));
        }
        why_ended(&self.state(), Epoch(request.epoch), self.now_ms()).ok_or_else(|| {
            refused(format!(
                "no operation on record ended epoch {}; `batonctl history` lists them",
                request.epoch
            ))
        })
    }

    pub(super) async fn check(&self) -> CheckReply {
        let (state, seen) = self.gathered().await;
        let findings = self.with_view(&state, &seen, None, check);
        CheckReply { findings: findings.into_iter().map(to_wire).collect() }
    }

    pub(super) async fn backups(&self, request: &BackupListRequest) -> BackupListReply {
        let (state, seen) = self.gathered().await;
        let zones = |zone: &str| TimeZone::get(zone).ok();
        list(&state, &seen, &request.backup, self.now_ms(), &zones)
    }

    pub(super) async fn recovery(&self) -> RecoveryReply {
        let (state, seen) = self.gathered().await;
        self.with_view(&state, &seen, None, recovery)
    }

    /// Only this node's own report.
    fn own_view(&self) -> Observations {
        let mut seen = Observations::default();
        seen.insert(self.me.clone(), (self.own)(), Duration::ZERO);
        seen
    }

    pub(super) fn with_view<T>(
        &self,
        state: &ClusterState,
        seen: &Observations,
        without_leader: Option<&WithoutLeader>,
        answer: impl FnOnce(&View<'_>) -> T,
    ) -> T {
        let membership = self.group.membership();
        let leadership = self.group.leadership().borrow().clone();
        answer(&View {
            cluster: &self.cluster,
            me: &self.me,
            state,
            seen,
            lasting: (self.lasting)(),
            membership: &Arc::clone(&membership),
            leadership: &leadership,
            without_leader,
            followers: &self.followers.borrow(),
            now_ms: self.now_ms(),
        })
    }
}
