//! Puts the rooms of one node together, out of parts that the caller chose: the daemon hands in the real ones, the
//! simulation its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tracing::info;

use super::ports::{GroupApplied, StoreNotes, states_only};
use super::reports::ToLeader;
use super::start::StartError;
use super::watchdog::Turns;
use crate::alert::{Alerting, Listeners};
use crate::consensus::{Group, GroupOptions};
use crate::decide::archive::Archiving;
use crate::decide::backup::Backing;
use crate::decide::copying::Copying;
use crate::decide::diagnose::Lasting;
use crate::decide::seen::{GuardSeen, Report};
use crate::guard::clock::Clock;
use crate::guard::{Applied, Attach, Guard, GuardHandle, GuardPorts, KeeperPort, Voter};
use crate::observe::{
    Digest, OwnHandle, OwnSetup, OwnTrial, OwnWatch, Prober, Refused, Reporter, ReporterSetup, SourceLogin,
    SourceTrial, Table, TrialHandle, TrialSetup, digest, see,
};
use crate::operate::actor::Wall;
use crate::operate::attend::{Remote, SourceAt};
use crate::operate::{
    AckerWatch, Actor, ArchiveParts, ArchiveRunner, Attend, BackupParts, BackupRunner, ByRouter, CatchingUp,
    Copies, DeclaredSource, Donor, FollowEvents, FollowerWatch, Followers, Following, Granting, Hands,
    HookSource, HookWatch, Hooks, Lead, Net, Proposer, RebuildParts, Rebuilder, ReceiverStop, Rehearsal,
    Restart, Tools,
};
use crate::peers::Peers;
use crate::proxysql::Board;
use crate::quarantine::{Archiver, Keep};
use crate::route::Leaving;
use crate::serve::Callers;
use crate::serve::peer::PeerService;
use crate::sql::{Account, ManagedServer};
use crate::state::{BackupPlan, ClusterState, Live, NodeName, UnixMillis};
use crate::task::spawn_in;

/// Reasons to end that may wait to be read.
const FATAL: usize = 4;

/// Names the replicated settings that this node's file gives another value.
pub type ConfigDiffers = Arc<dyn Fn(&ClusterState) -> Vec<String> + Send + Sync>;

/// For how long this node's certificate is valid yet; `None` where there is none.
pub type CertificateLeft = Arc<dyn Fn() -> Option<Duration> + Send + Sync>;

/// What a node is made of.
pub struct Parts {
    /// The group, with the store and the connections to the others.
    pub group: GroupOptions,
    /// Counts suspended time.
    pub clock: Arc<dyn Clock>,
    /// The wall clock.
    pub now: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    /// What this node's file sets at any time.
    pub live: Live,
    /// What it says of backups.
    pub backups: Option<BackupPlan>,
    /// Servers by address.
    pub remote: Remote,
    /// Replicated settings that this node's file gives another value.
    pub config_differs: ConfigDiffers,
    /// By what the callers of the peer service are known.
    pub callers: Callers,
    /// The operator's programs.
    pub hooks: HookSource,
    /// Servers without a node.
    pub declared: DeclaredSource,
    /// The source at an address, with the replication account.
    pub source_at: SourceAt,
    /// For how long this node's certificate is valid yet.
    pub certificate_left: CertificateLeft,
    /// Who is told what happens.
    pub listeners: watch::Receiver<Listeners>,
    /// The sessions of its router, if it has one.
    pub leaving: Leaving,
    /// Where its router leads a client of the writer; `None` where it does not route.
    pub by_router: Option<ByRouter>,
    /// The server beside it; `None` on a witness.
    pub beside: Option<BesideParts>,
}

/// What a data node is made of, too.
pub struct BesideParts {
    /// The server beside it.
    pub server: Arc<dyn ManagedServer>,
    /// That server's socket.
    pub attach: Arc<dyn Attach>,
    /// The keeper.
    pub keeper: Arc<dyn KeeperPort>,
    /// The source at an address, with the replication account.
    pub source_at: SourceAt,
    /// That account, to be tried now and then; `None` where it is not.
    pub source_login: Option<SourceLogin>,
    /// Accounts that may write while the server is closed.
    pub accepts: Arc<dyn Fn(&Account) -> bool + Send + Sync>,
    /// Whether the writer's event scheduler is to be on.
    pub events: bool,
    /// The means to rebuild the server; `None` where there are none.
    pub rebuild: Option<RebuildParts>,
    /// The means to make backups; `None` where there are none.
    pub backup: Option<BackupParts>,
    /// The means to archive the binlog; `None` where there are none.
    pub archive: Option<ArchiveParts>,
    /// Archives the transactions that this server alone has.
    pub archiver: Arc<dyn Archiver>,
}

/// What this node sees itself, now.
pub(super) type OwnView = Arc<dyn Fn() -> Report + Send + Sync>;

/// A node whose parts run.
pub struct Assembly {
    pub(super) me: NodeName,
    pub(super) cluster: String,
    pub(super) group: Group,
    pub(super) peers: Arc<Peers>,
    pub(super) states: watch::Receiver<Arc<ClusterState>>,
    pub(super) table: Arc<Table>,
    pub(super) proposer: Proposer,
    pub(super) live: watch::Sender<Live>,
    pub(super) backups: watch::Sender<Option<BackupPlan>>,
    pub(super) lasting: watch::Sender<Lasting>,
    pub(super) prober: Arc<Prober>,
    pub(super) own: OwnView,
    /// What of it calls for a report at once.
    matters: Arc<dyn Fn() -> Digest + Send + Sync>,
    /// Of a data node.
    pub(super) guard: Option<GuardHandle>,
    /// Of a data node.
    pub(super) archiver: Option<Arc<dyn Archiver>>,
    /// What each ProxySQL was last seen to have, while this node leads.
    pub(super) routing: Arc<Board>,
    /// The turns of the loop that reports.
    pub(super) reports: Turns,
    pub(super) hooks: Hooks,
    pub(super) by_router: Option<ByRouter>,
    /// How servers without a node are; empty unless this node leads.
    pub(super) followers: watch::Sender<Followers>,
    declared: DeclaredSource,
    source_at: SourceAt,
    pub(super) tasks: JoinSet<()>,
    pub(super) ended: mpsc::Sender<String>,
    pub(super) fatal: mpsc::Receiver<String>,
    voter: Arc<Voter>,
    remote: Remote,
    news: Arc<Notify>,
    clock: Arc<dyn Clock>,
    pub(super) callers: Callers,
    pub(super) listeners: watch::Receiver<Listeners>,
    actor: Option<Arc<Actor>>,
    leaving: Leaving,
    donor: Option<Arc<Donor>>,
}

/// The parts that only a data node has.
struct Beside {
    server: Arc<dyn ManagedServer>,
    source_at: SourceAt,
    own: OwnHandle,
    trial: TrialHandle,
    stop: Arc<ReceiverStop>,
    /// Told why the server does not follow the writer.
    follows: watch::Sender<Following>,
    /// Has the server looked at, and what is seen told to the leader, at once.
    nudge: Arc<Notify>,
    /// How far a rebuild of it is.
    copying: watch::Receiver<Option<Copying>>,
    /// What copies it.
    tools: Option<Tools>,
    /// How far a task about backups is.
    backing: watch::Receiver<Option<Backing>>,
    /// What makes backups of it.
    backup: Option<BackupParts>,
    /// How its binlog is archived.
    archiving: watch::Receiver<Option<Archiving>>,
    /// Where the replication account is refused.
    refused: watch::Receiver<Refused>,
}

impl Assembly {
    /// Starts every part.
    ///
    /// # Errors
    /// [`StartError`] names what is wrong and the mend.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let (me, peers) = (parts.group.node.clone(), Arc::clone(&parts.group.peers));
        let (cluster, draw_id) = (parts.group.cluster.clone(), Arc::clone(&parts.group.draw_id));
        let group = Group::open(parts.group).await?;
        let applied: Arc<dyn Applied> = Arc::new(GroupApplied(group.clone()));
        let notes = Arc::new(StoreNotes(group.notes()));
        let voter = Voter::new(Arc::clone(&parts.clock), applied, notes).await.map_err(StartError::Other)?;
        let news = Arc::new(Notify::new());
        let prober = Arc::new(Prober::new(Arc::clone(&parts.remote), Arc::clone(&news)));
        let (ended, fatal) = mpsc::channel(FATAL);
        let mut assembly = Self {
            states: states_only(&group),
            proposer: Proposer::new(group.clone(), me.clone(), draw_id, Arc::clone(&parts.now)),
            table: Arc::new(Table::new(Arc::clone(&parts.now))),
            live: watch::Sender::new(parts.live),
            backups: watch::Sender::new(parts.backups),
            lasting: watch::Sender::new(Lasting::default()),
            own: Arc::new(Report::default),
            matters: Arc::new(|| Digest::of(&Report::default())),
            guard: None,
            archiver: None,
            routing: Arc::default(),
            reports: Turns::default(),
            hooks: Hooks { cluster: cluster.clone(), me: me.clone(), source: parts.hooks },
            by_router: parts.by_router,
            followers: watch::Sender::default(),
            declared: parts.declared,
            source_at: parts.source_at,
            tasks: JoinSet::new(),
            voter: Arc::new(voter),
            remote: parts.remote,
            clock: parts.clock,
            callers: parts.callers,
            listeners: parts.listeners,
            actor: None,
            leaving: parts.leaving,
            donor: None,
            me,
            cluster,
            group,
            peers,
            prober,
            ended,
            fatal,
            news,
        };
        let beside = match parts.beside {
            Some(beside) => Some(assembly.beside(beside, Arc::clone(&parts.now)).await?),
            None => None,
        };
        if let Some(beside) = &beside {
            assembly.prober.spare(assembly.me.clone(), beside.own.clone());
        }
        let differs = (parts.config_differs, parts.certificate_left);
        assembly.view(beside.as_ref(), differs, Arc::clone(&parts.now));
        assembly.observe(u64::try_from((parts.now)()).unwrap_or(1).saturating_mul(1000));
        assembly.operate(beside);
        assembly.watch_group();
        Ok(assembly)
    }

    /// This node's part in the group.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Proposals in this node's name.
    pub fn proposer(&self) -> &Proposer {
        &self.proposer
    }

    /// What answers the other nodes.
    pub fn peer_service(&self) -> PeerService {
        PeerService {
            cluster: self.cluster.clone(),
            callers: self.callers,
            group: self.group.clone(),
            voter: Arc::clone(&self.voter),
            table: Arc::clone(&self.table),
            actor: self.actor.clone(),
            leaving: self.leaving.clone(),
            donor: self.donor.clone(),
        }
    }

    /// Waits until a part has ended that the node cannot do without, and answers why. The process must then end.
    pub async fn ended(&mut self) -> String {
        self.fatal.recv().await.unwrap_or_default()
    }

    pub(super) fn net(&self) -> Net {
        Net {
            me: self.me.clone(),
            group: self.group.clone(),
            peers: Arc::clone(&self.peers),
            voter: Arc::clone(&self.voter),
            actor: self.actor.clone(),
            leaving: self.leaving.clone(),
            remote: Arc::clone(&self.remote),
        }
    }

    /// The guard, and what looks after the server for it.
    async fn beside(&mut self, parts: BesideParts, now: Wall) -> Result<Beside, StartError> {
        let BesideParts {
            server,
            attach,
            keeper,
            source_at,
            source_login,
            accepts,
            events,
            rebuild,
            backup,
            archive,
            archiver,
        } = parts;
        self.archiver = Some(archiver);
        let nudge = Arc::new(Notify::new());
        let (guard, handle) = Guard::new(GuardPorts {
            me: self.me.clone(),
            clock: Arc::clone(&self.clock),
            notes: Arc::new(StoreNotes(self.group.notes())),
            voters: Arc::new(self.net()),
            applied: Arc::new(GroupApplied(self.group.clone())),
            attach,
            server: Arc::clone(&server),
            keeper,
            states: self.states.clone(),
            propose: Arc::new(self.proposer.clone()),
            nudge: Arc::clone(&nudge),
            accepts: Arc::clone(&accepts),
            events,
        })
        .await
        .map_err(StartError::Other)?;
        let over = self.ended.clone();
        spawn_in(&mut self.tasks, async move {
            let why = guard.run().await;
            let _stopping = over.send(why.to_owned()).await;
        });
        self.guard = Some(handle.clone());
        let seen = handle.clone();
        let (follows, following) = watch::channel(Following::default());
        let guard_seen = move || {
            let view = seen.seen();
            let Following { trouble, lacks, left } = following.borrow().clone();
            GuardSeen { trouble: view.trouble.clone().or(trouble), lacks, left, ..view }
        };
        let (watch, own) = OwnWatch::new(OwnSetup {
            server: Arc::clone(&server),
            process: handle.process(),
            guard: Arc::new(guard_seen),
            accepts,
            nudge: Arc::clone(&nudge),
            news: Arc::clone(&self.news),
        });
        spawn_in(&mut self.tasks, watch.run());
        let (holds, states) = (handle.clone(), self.states.clone());
        let (trying, trial) = OwnTrial::new(TrialSetup {
            server: Arc::clone(&server),
            own: own.clone(),
            may_write: Arc::new(move || {
                let state = states.borrow();
                let ttl = state.safety.lease_ttl();
                let renewed = holds.seen().lease.is_some_and(|(_, left)| left * 2 > ttl);
                renewed && state.durability.is_lossless()
            }),
        });
        spawn_in(&mut self.tasks, trying.run());
        let refused = self.try_sources(source_login);
        if events {
            let (me, server) = (self.me.clone(), Arc::clone(&server));
            let follow = FollowEvents::new(me, server, self.states.clone(), self.proposer.clone());
            spawn_in(&mut self.tasks, follow.run());
        }
        let notes = Arc::new(StoreNotes(self.group.notes()));
        let stop = Arc::new(ReceiverStop::load(notes).await.map_err(StartError::Other)?);
        let (progress, copying) = watch::channel(None);
        let tools = rebuild.as_ref().map(|parts| parts.tools.clone());
        let rehearsal = rebuild.as_ref().map(|parts| Rehearsal {
            allowed: parts.rehearsal,
            server: Arc::clone(&server),
            unit: parts.unit.clone(),
            process: handle.process(),
        });
        let restart = rebuild.as_ref().map(|parts| Restart::new(Arc::clone(&server), parts.unit.clone()));
        if let Some(parts) = rebuild {
            let donor = Donor::new(self.me.clone(), Arc::clone(&server), self.states.clone(), &parts);
            self.donor = Some(Arc::new(donor));
            let rebuilder = Rebuilder {
                me: self.me.clone(),
                server: Arc::clone(&server),
                process: handle.process(),
                remote: Arc::clone(&self.remote),
                parts,
                copies: Copies { group: self.group.clone(), peers: Arc::clone(&self.peers) },
                states: self.states.clone(),
                proposer: self.proposer.clone(),
                progress,
            };
            spawn_in(&mut self.tasks, rebuilder.run());
        }
        let (progress, backing) = watch::channel(None);
        if let Some(parts) = backup.clone() {
            let runner = BackupRunner {
                me: self.me.clone(),
                cluster: self.cluster.clone(),
                parts,
                states: self.states.clone(),
                proposer: self.proposer.clone(),
                progress,
            };
            spawn_in(&mut self.tasks, runner.run());
        }
        let (progress, archiving) = watch::channel(None);
        if let Some(parts) = archive {
            let runner = ArchiveRunner {
                me: self.me.clone(),
                cluster: self.cluster.clone(),
                parts,
                states: self.states.clone(),
                progress,
            };
            spawn_in(&mut self.tasks, runner.run());
        }
        let actor = Actor::new(Arc::clone(&server), handle, self.states.clone(), Arc::clone(&stop));
        let actor = actor.with_sources(Arc::clone(&source_at)).with_wall(now).with_events(events);
        let actor = actor.with_restart(restart).with_rehearsal(rehearsal);
        self.actor = Some(Arc::new(actor.with_hooks(self.hooks.clone())));
        Ok(Beside {
            server,
            source_at,
            own,
            trial,
            stop,
            follows,
            nudge,
            copying,
            tools,
            backing,
            backup,
            archiving,
            refused,
        })
    }

    /// Tries the replication account where the server beside this node may have to follow.
    fn try_sources(&mut self, login: Option<SourceLogin>) -> watch::Receiver<Refused> {
        let (shown, refused) = watch::channel(Refused::default());
        if let Some(login) = login {
            let (me, states) = (self.me.clone(), self.states.clone());
            spawn_in(&mut self.tasks, SourceTrial { me, states, login, shown }.run());
        }
        refused
    }

    fn view(
        &mut self,
        beside: Option<&Beside>,
        (config_differs, certificate_left): (ConfigDiffers, CertificateLeft),
        now: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    ) {
        let own = beside.map(|b| b.own.clone());
        let trial = beside.map(|b| b.trial.clone());
        let copying = beside.map(|b| b.copying.clone());
        let tools = beside.and_then(|b| b.tools.clone());
        let backing = beside.map(|b| b.backing.clone());
        let backup = beside.and_then(|b| b.backup.clone());
        let archiving = beside.map(|b| b.archiving.clone());
        let refused = beside.map(|b| b.refused.clone());
        let (prober, states, routing) =
            (Arc::clone(&self.prober), self.states.clone(), Arc::clone(&self.routing));
        let (watched, probed, tried) = (own.clone(), Arc::clone(&prober), trial.clone());
        let (differs, of_states) = (Arc::clone(&config_differs), states.clone());
        self.matters = Arc::new(move || {
            let tried = tried.as_ref().map(TrialHandle::now);
            digest(watched.as_ref(), &probed, differs(&of_states.borrow()), tried.as_ref())
        });
        self.own = Arc::new(move || {
            let mut report = see(own.as_ref(), &prober, config_differs(&states.borrow()));
            report.tried = trial.as_ref().map(TrialHandle::now);
            report.copying = copying.as_ref().and_then(|c| c.borrow().clone());
            report.lacks_for_copy = tools.as_ref().and_then(Tools::lacks);
            report.certificate_left = certificate_left();
            report.routing = routing.seen();
            report.archiving = archiving.as_ref().and_then(|a| a.borrow().clone());
            report.sources_refused = refused.as_ref().map(|r| r.borrow().clone()).unwrap_or_default();
            report.backing = backing.as_ref().and_then(|b| b.borrow().clone());
            let dialect = report.own.as_ref().and_then(|own| own.about.as_ref()).map(|about| about.dialect);
            report.lacks_for_backup = backup.as_ref().zip(dialect).and_then(|(b, dialect)| b.lacks(dialect));
            report.wall_ms = now();
            report
        });
    }

    /// Probes, and reports to whoever leads.
    fn observe(&mut self, first_serial: u64) {
        let (mut states, probing) = (self.states.clone(), Arc::clone(&self.prober));
        spawn_in(&mut self.tasks, async move {
            loop {
                let servers: BTreeMap<NodeName, String> = states
                    .borrow_and_update()
                    .probed()
                    .filter_map(|(n, m)| Some((n.clone(), m.server.clone()?)))
                    .collect();
                probing.follow(&servers);
                if states.changed().await.is_err() {
                    return;
                }
            }
        });
        let nudge = Arc::new(Notify::new());
        let (own, matters) = (Arc::clone(&self.own), Arc::clone(&self.matters));
        let (turns, looks) = (self.reports.clone(), self.reports.clone());
        let reporter = Reporter::new(ReporterSetup {
            see: Arc::new(move || {
                turns.turn();
                own()
            }),
            digest: Arc::new(move || {
                looks.turn();
                matters()
            }),
            sink: Arc::new(ToLeader {
                me: self.me.clone(),
                group: self.group.clone(),
                peers: Arc::clone(&self.peers),
                table: Arc::clone(&self.table),
            }),
            news: Arc::clone(&self.news),
            nudge: Arc::clone(&nudge),
            first_serial,
        });
        spawn_in(&mut self.tasks, reporter.run());
        let mut leadership = self.group.leadership();
        spawn_in(&mut self.tasks, async move {
            while leadership.changed().await.is_ok() {
                nudge.notify_one();
            }
        });
    }

    /// Leads when it falls to this node, and attends to its own server.
    fn operate(&mut self, beside: Option<Beside>) {
        let hands: Arc<dyn Hands> = Arc::new(self.net());
        let lead = Lead {
            me: self.me.clone(),
            group: self.group.clone(),
            table: Arc::clone(&self.table),
            hands: Arc::clone(&hands),
            proposer: self.proposer.clone(),
            hooks: self.hooks.clone(),
            live: self.live.subscribe(),
            backups: self.backups.subscribe(),
            lasting: self.lasting.clone(),
            routing: Arc::clone(&self.routing),
        };
        spawn_in(&mut self.tasks, lead.run());
        let watch = HookWatch {
            hooks: self.hooks.clone(),
            states: self.states.clone(),
            leadership: self.group.leadership(),
            proposer: self.proposer.clone(),
        };
        spawn_in(&mut self.tasks, watch.run());
        let watch = FollowerWatch {
            group: self.group.clone(),
            declared: Arc::clone(&self.declared),
            remote: Arc::clone(&self.remote),
            source_at: Arc::clone(&self.source_at),
            states: self.states.clone(),
            followers: self.followers.clone(),
        };
        spawn_in(&mut self.tasks, watch.run());
        let alerting = Alerting {
            cluster: self.cluster.clone(),
            group: self.group.clone(),
            table: Arc::clone(&self.table),
            proposer: self.proposer.clone(),
            followers: self.followers.subscribe(),
            lasting: self.lasting.subscribe(),
            listeners: self.listeners.clone(),
            draw: {
                let ids = self.proposer.clone();
                Arc::new(move || ids.draw_id())
            },
            answers: Arc::new(self.control_service()),
        };
        spawn_in(&mut self.tasks, alerting.run());
        let Some(Beside { server, source_at, stop, follows, nudge, .. }) = beside else { return };
        let (granted, still) = watch::channel(Granting::Unknown);
        let watching =
            AckerWatch { me: self.me.clone(), group: self.group.clone(), hands, states: self.states.clone() };
        spawn_in(&mut self.tasks, watching.run(granted));
        let attend = Attend {
            me: self.me.clone(),
            server,
            remote: Arc::clone(&self.remote),
            source_at,
            states: self.states.clone(),
            granted: still,
            stop,
            tuned: None,
            catching_up: CatchingUp::default(),
            shown: follows,
            nudge,
        };
        spawn_in(&mut self.tasks, attend.run());
        self.keep_extra();
    }

    /// Archives what this server alone has.
    fn keep_extra(&mut self) {
        let Some(archiver) = self.archiver.clone() else { return };
        let (me, states, proposer) = (self.me.clone(), self.states.clone(), self.proposer.clone());
        spawn_in(&mut self.tasks, Keep { me, archiver, states, proposer }.run());
    }

    fn watch_group(&mut self) {
        let (group, over) = (self.group.clone(), self.ended.clone());
        spawn_in(&mut self.tasks, async move {
            let why = group.stopped().await;
            let _stopping = over.send(format!("consensus has stopped: {why}")).await;
        });
        let mut formation = self.group.formation();
        spawn_in(&mut self.tasks, async move {
            loop {
                info!(status = %*formation.borrow_and_update(), "group");
                if formation.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}
