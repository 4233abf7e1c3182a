//! The control service: who may call, who answers, and what is answered.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::control::control_server;
use baton_proto::control::{
    AddNodeRequest, AdoptReply, AdoptRequest, AlertTestReply, AlertTestRequest, BackupBegun,
    BackupCancelRequest, BackupDeleteRequest, BackupListReply, BackupListRequest, BackupNowRequest,
    BackupPinRequest, BackupPruneReply, BackupPruneRequest, BackupScanRequest, BackupVerifyRequest,
    CheckReply, CheckRequest, ConfigApplyReply, ConfigApplyRequest, ConfigShowReply, ConfigShowRequest, Done,
    EventsReply, EventsRequest, FailoverRequest, HistoryReply, HistoryRequest, MaintenanceRequest,
    MuteRequest, PauseRequest, QuarantineListReply, QuarantineListRequest, QuarantineReleaseRequest,
    QuarantineShowReply, QuarantineShowRequest, RebuildReply, RebuildRequest, RecoveryReply, RecoveryRequest,
    RehearseReply, RehearseRequest, ReleaseRequest, RemoveNodeRequest, RestartRequest, ResumeRequest,
    RoutingReply, RoutingRequest, StatusReply, StatusRequest, SwitchoverReply, SwitchoverRequest, WhyReply,
    WhyRequest,
};
use jiff::Timestamp;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::forward::Caller;
use super::refusal::{by_state, not_committed};
use crate::alert::Listeners;
use crate::consensus::Group;
use crate::decide::diagnose::Lasting;
use crate::decide::seen::{Observations, Report};
use crate::identity::{Peer, peer_of};
use crate::operate::{ByRouter, Followers, Hands, HookSource};
use crate::peers::Peers;
use crate::proxysql::Board;
use crate::quarantine::Archiver;
use crate::state::{Change, ClusterState, Command, CommandId, NodeName, OperationId, UnixMillis};

/// Bound on getting one command committed.
const COMMIT: Duration = Duration::from_secs(5);

/// By what a caller is known.
#[derive(Clone, Copy, Debug)]
pub enum Callers {
    /// The certificate of the connection.
    Certificates,
    /// Everybody is taken for a node.
    #[cfg(any(test, feature = "simulation"))]
    Anybody,
}

/// Answers `batonctl`. Clones share everything.
#[derive(Clone)]
pub struct Control {
    /// This node's part in the group.
    pub group: Group,
    /// Connections to the other nodes.
    pub peers: Arc<Peers>,
    /// This node.
    pub me: NodeName,
    /// The cluster's name.
    pub cluster: String,
    /// Who may call.
    pub callers: Callers,
    /// What all nodes see, as reported to this one; asked only while this node leads.
    pub seen: Arc<dyn Fn() -> Observations + Send + Sync>,
    /// What this node sees itself, now.
    pub own: Arc<dyn Fn() -> Report + Send + Sync>,
    /// How long some conditions have lasted, as the leader's loop counts.
    pub lasting: Arc<dyn Fn() -> Lasting + Send + Sync>,
    /// What archived the extra transactions of this node's server; `None` on a witness.
    pub archiver: Option<Arc<dyn Archiver>>,
    /// What each ProxySQL was last seen to have, while this node leads.
    pub routing: Arc<Board>,
    /// What other nodes can be asked about their servers.
    pub hands: Arc<dyn Hands>,
    /// Where this node's router leads a client of the writer; `None` where it does not route.
    pub by_router: Option<ByRouter>,
    /// How servers without a node are; empty unless this node leads.
    pub followers: watch::Receiver<Followers>,
    /// The operator's programs, of this node's file.
    pub hooks: HookSource,
    /// Who is told what happens, while this node leads.
    pub listeners: watch::Receiver<Listeners>,
    /// Draws an id for a command or an operation.
    pub new_id: Arc<dyn Fn() -> String + Send + Sync>,
    /// Wall clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Control {
    /// The replicated state as applied here.
    pub(super) fn state(&self) -> Arc<ClusterState> {
        Arc::clone(&self.group.states().borrow().state)
    }

    pub(super) fn now_ms(&self) -> UnixMillis {
        (self.now)().as_millisecond()
    }

    pub(super) fn operation_id(&self) -> OperationId {
        OperationId((self.new_id)())
    }

    /// Gets a change committed.
    ///
    /// # Errors
    /// The state's refusal, or why it was not committed.
    pub(super) async fn commit(&self, change: Change) -> Result<(), Status> {
        let command =
            Command { id: CommandId((self.new_id)()), by: self.me.clone(), at_ms: self.now_ms(), change };
        let outcome = self.group.propose(command, COMMIT).await.map_err(not_committed)?;
        outcome.into_result().map_err(by_state)
    }

    /// Who calls, or a refusal: clients and nodes of this cluster may. A node that the group has left behind has nothing to
    /// say but that; another may be asked.
    pub(super) fn caller<Q>(&self, request: &Request<Q>) -> Result<Caller, Status> {
        let peer = match self.callers {
            Callers::Certificates => peer_of(request, &self.cluster)?,
            #[cfg(any(test, feature = "simulation"))]
            Callers::Anybody => Peer::Node(self.me.to_string()),
        };
        if let Some(left) = self.group.left_behind() {
            return Err(Status::unavailable(left.to_string()));
        }
        match peer {
            Peer::Client(name) => Ok(Caller::client(&name)),
            Peer::Node(name) => {
                let state = self.state();
                let node = NodeName::from(name);
                let known = state.members.is_empty() || state.members.contains_key(&node);
                if !known && self.group.membership().by_name(&node).is_none() {
                    return Err(Status::permission_denied(format!(
                        "{node} is not a member of this cluster any more"
                    )));
                }
                Ok(Caller::node(&node, request))
            }
        }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl control_server::Control for Control {
    async fn status(&self, request: Request<StatusRequest>) -> Answer<StatusReply> {
        let caller = self.caller(&request)?;
        Ok(Response::new(self.status_wherever(&caller).await))
    }

    async fn history(&self, request: Request<HistoryRequest>) -> Answer<HistoryReply> {
        self.caller(&request)?;
        let HistoryRequest { limit, epoch } = request.into_inner();
        Ok(Response::new(super::history::history(&self.state(), limit, epoch, self.now_ms())))
    }

    async fn events(&self, request: Request<EventsRequest>) -> Answer<EventsReply> {
        self.caller(&request)?;
        let EventsRequest { since_ms, limit } = request.into_inner();
        Ok(Response::new(super::events::events(&self.state(), since_ms, limit)))
    }

    async fn why(&self, request: Request<WhyRequest>) -> Answer<WhyReply> {
        let caller = self.caller(&request)?;
        let here = async |request: WhyRequest| self.why(&request).await;
        self.lead(request, caller, here, async |mut c, q| c.why(q).await).await
    }

    async fn check(&self, request: Request<CheckRequest>) -> Answer<CheckReply> {
        let caller = self.caller(&request)?;
        let here = async |_: CheckRequest| Ok(self.check().await);
        self.lead(request, caller, here, async |mut c, q| c.check(q).await).await
    }

    async fn routing(&self, request: Request<RoutingRequest>) -> Answer<RoutingReply> {
        let caller = self.caller(&request)?;
        let here =
            async |_: RoutingRequest| Ok(super::routing::routing(&self.state(), &self.routing.shown()));
        self.lead(request, caller, here, async |mut c, q| c.routing(q).await).await
    }

    async fn pause(&self, request: Request<PauseRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: PauseRequest| self.pause(request).await;
        self.lead(request, caller, here, async |mut c, q| c.pause(q).await).await
    }

    async fn resume(&self, request: Request<ResumeRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: ResumeRequest| self.resume(request).await;
        self.lead(request, caller, here, async |mut c, q| c.resume(q).await).await
    }

    async fn failover(&self, request: Request<FailoverRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: FailoverRequest| self.failover(request).await;
        self.lead(request, caller, here, async |mut c, q| c.failover(q).await).await
    }

    async fn switchover(&self, request: Request<SwitchoverRequest>) -> Answer<SwitchoverReply> {
        let caller = self.caller(&request)?;
        let here = async |request: SwitchoverRequest| self.switchover(request).await;
        self.lead(request, caller, here, async |mut c, q| c.switchover(q).await).await
    }

    async fn maintenance(&self, request: Request<MaintenanceRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: MaintenanceRequest| self.maintenance(request).await;
        self.lead(request, caller, here, async |mut c, q| c.maintenance(q).await).await
    }

    async fn restart_server(&self, request: Request<RestartRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: RestartRequest| self.restart_server(request).await;
        self.lead(request, caller, here, async |mut c, q| c.restart_server(q).await).await
    }

    async fn rehearse(&self, request: Request<RehearseRequest>) -> Answer<RehearseReply> {
        let caller = self.caller(&request)?;
        if request.get_ref().part == super::rehearsal::ROUTE {
            return self.rehearse_route(request.into_inner(), &caller).await;
        }
        let here = async |request: RehearseRequest| self.rehearse(request).await;
        self.lead(request, caller, here, async |mut c, q| c.rehearse(q).await).await
    }

    async fn adopt(&self, request: Request<AdoptRequest>) -> Answer<AdoptReply> {
        let caller = self.caller(&request)?;
        let here = async |request: AdoptRequest| self.adopt(request).await;
        self.lead(request, caller, here, async |mut c, q| c.adopt(q).await).await
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: ReleaseRequest| self.release(request).await;
        self.lead(request, caller, here, async |mut c, q| c.release(q).await).await
    }

    async fn rebuild(&self, request: Request<RebuildRequest>) -> Answer<RebuildReply> {
        let caller = self.caller(&request)?;
        let here = async |request: RebuildRequest| self.rebuild(request).await;
        self.lead(request, caller, here, async |mut c, q| c.rebuild(q).await).await
    }

    async fn add_node(&self, request: Request<AddNodeRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: AddNodeRequest| self.add_node(request).await;
        self.lead(request, caller, here, async |mut c, q| c.add_node(q).await).await
    }

    async fn remove_node(&self, request: Request<RemoveNodeRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: RemoveNodeRequest| self.remove_node(request).await;
        self.lead(request, caller, here, async |mut c, q| c.remove_node(q).await).await
    }

    async fn config_show(&self, request: Request<ConfigShowRequest>) -> Answer<ConfigShowReply> {
        let caller = self.caller(&request)?;
        let here = async |_: ConfigShowRequest| Ok(self.show_config().await);
        self.lead(request, caller, here, async |mut c, q| c.config_show(q).await).await
    }

    async fn config_apply(&self, request: Request<ConfigApplyRequest>) -> Answer<ConfigApplyReply> {
        let caller = self.caller(&request)?;
        let here = async |request: ConfigApplyRequest| self.apply_config(request).await;
        self.lead(request, caller, here, async |mut c, q| c.config_apply(q).await).await
    }

    async fn quarantine_list(&self, request: Request<QuarantineListRequest>) -> Answer<QuarantineListReply> {
        let caller = self.caller(&request)?;
        let here = async |_: QuarantineListRequest| Ok(super::quarantine::list(&self.state()));
        self.lead(request, caller, here, async |mut c, q| c.quarantine_list(q).await).await
    }

    async fn quarantine_show(&self, request: Request<QuarantineShowRequest>) -> Answer<QuarantineShowReply> {
        let caller = self.caller(&request)?;
        self.show_quarantine(request.into_inner(), &caller).await
    }

    async fn quarantine_release(&self, request: Request<QuarantineReleaseRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: QuarantineReleaseRequest| self.release_quarantine(request).await;
        self.lead(request, caller, here, async |mut c, q| c.quarantine_release(q).await).await
    }

    async fn mute(&self, request: Request<MuteRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: MuteRequest| self.mute(request).await;
        self.lead(request, caller, here, async |mut c, q| c.mute(q).await).await
    }

    async fn alert_test(&self, request: Request<AlertTestRequest>) -> Answer<AlertTestReply> {
        let caller = self.caller(&request)?;
        let here = async |request: AlertTestRequest| self.alert_test(request).await;
        self.lead(request, caller, here, async |mut c, q| c.alert_test(q).await).await
    }

    async fn backup_now(&self, request: Request<BackupNowRequest>) -> Answer<BackupBegun> {
        let caller = self.caller(&request)?;
        let here = async |request: BackupNowRequest| self.backup_now(request).await;
        self.lead(request, caller, here, async |mut c, q| c.backup_now(q).await).await
    }

    async fn backup_verify(&self, request: Request<BackupVerifyRequest>) -> Answer<BackupBegun> {
        let caller = self.caller(&request)?;
        let here = async |request: BackupVerifyRequest| self.backup_verify(request).await;
        self.lead(request, caller, here, async |mut c, q| c.backup_verify(q).await).await
    }

    async fn backup_scan(&self, request: Request<BackupScanRequest>) -> Answer<BackupBegun> {
        let caller = self.caller(&request)?;
        let here = async |request: BackupScanRequest| self.backup_scan(request).await;
        self.lead(request, caller, here, async |mut c, q| c.backup_scan(q).await).await
    }

    async fn backup_cancel(&self, request: Request<BackupCancelRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: BackupCancelRequest| self.backup_cancel(request).await;
        self.lead(request, caller, here, async |mut c, q| c.backup_cancel(q).await).await
    }

    async fn backup_pin(&self, request: Request<BackupPinRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: BackupPinRequest| self.backup_pin(request).await;
        self.lead(request, caller, here, async |mut c, q| c.backup_pin(q).await).await
    }

    async fn backup_delete(&self, request: Request<BackupDeleteRequest>) -> Answer<Done> {
        let caller = self.caller(&request)?;
        let here = async |request: BackupDeleteRequest| self.backup_delete(request).await;
        self.lead(request, caller, here, async |mut c, q| c.backup_delete(q).await).await
    }

    async fn backup_prune(&self, request: Request<BackupPruneRequest>) -> Answer<BackupPruneReply> {
        let caller = self.caller(&request)?;
        let here = async |request: BackupPruneRequest| self.backup_prune(request).await;
        self.lead(request, caller, here, async |mut c, q| c.backup_prune(q).await).await
    }

    async fn backup_list(&self, request: Request<BackupListRequest>) -> Answer<BackupListReply> {
        let caller = self.caller(&request)?;
        let here = async |request: BackupListRequest| Ok(self.backups(&request).await);
        self.lead(request, caller, here, async |mut c, q| c.backup_list(q).await).await
    }

    async fn recovery(&self, request: Request<RecoveryRequest>) -> Answer<RecoveryReply> {
        let caller = self.caller(&request)?;
        let here = async |_: RecoveryRequest| Ok(self.recovery().await);
        self.lead(request, caller, here, async |mut c, q| c.recovery(q).await).await
    }
}
