//! `batonctl backup`: who makes one, its end by hand, and the list.

use baton_proto::control::{
    Archive, Backup as Listed, BackupBegun, BackupCancelRequest, BackupListReply, BackupNowRequest,
    BackupScanRequest, BackupSchedule as Planned, BackupTask as Told, BackupVerifyRequest, Done, Stretch,
};
use tonic::Status;

use super::Control;
use super::refusal::refused;
use crate::decide::archive::known;
use crate::decide::backup::choose::{Wanted, choose};
use crate::decide::backup::field::{scanner, servers};
use crate::decide::backup::schedule::{Zones, next_ms, retried_ms};
use crate::decide::backup::{Backing, LAG_MAX, backup_id, chains};
use crate::decide::seen::Observations;
use crate::state::{
    Backup, BackupKind, BackupTask, BackupWork, Backups, Change, ClusterState, NodeName, OperationId,
    Refusal, Schedule, UnixMillis,
};

impl Control {
    pub(super) async fn backup_now(&self, request: BackupNowRequest) -> Result<BackupBegun, Status> {
        let (state, seen) = self.gathered().await;
        if state.live_grant().is_none() {
            return Err(refused(
                "there is no writer now; give the command again when `batonctl status` shows one",
            ));
        }
        let node = (!request.node.is_empty()).then(|| NodeName::from(request.node.as_str()));
        if let Some(node) = node.as_ref().filter(|node| !state.members.contains_key(*node)) {
            return Err(refused(Refusal::NoSuchNode(node.clone())));
        }
        let kind = match request.kind.as_str() {
            "" | "full" => BackupKind::Full,
            "incremental" => BackupKind::Incremental,
            other => {
                return Err(refused(format!(
                    "there is no kind \"{other}\" of backups; write full or incremental"
                )));
            }
        };
        let chains = chains(&state, kind, self.now_ms());
        let wanted = Wanted { node, allow_writer: request.allow_writer, lag_max: LAG_MAX, chains };
        let servers = servers(&state, &seen);
        match choose(&servers, &wanted) {
            Ok(server) => {
                let work = BackupWork::Make {
                    backup: backup_id(self.now_ms(), &server.node),
                    kind,
                    at_writer: request.allow_writer,
                    full_speed: request.full_speed,
                };
                self.begin_backup(&server.node, work, request.by).await
            }
            Err(nobody) => Ok(BackupBegun { refusal: nobody.to_string(), ..BackupBegun::default() }),
        }
    }

    /// The node that made or found it reads it again while it is a member, then any: a folder may be on its host alone.
    pub(super) async fn backup_verify(&self, request: BackupVerifyRequest) -> Result<BackupBegun, Status> {
        let (state, seen) = self.gathered().await;
        let backup = request.backup;
        let Some(listed) = state.backups.catalogue.get(&backup) else {
            return Err(refused(Refusal::NoSuchBackup(backup)));
        };
        let is_there = state.data_nodes().any(|(node, _)| node == listed.keeper());
        let other = scanner(&state, &seen).filter(|_| !is_there);
        let node = other.as_ref().unwrap_or(listed.keeper());
        self.begin_backup(node, BackupWork::Verify { backup }, request.by).await
    }

    pub(super) async fn backup_cancel(&self, request: BackupCancelRequest) -> Result<Done, Status> {
        let state = self.state();
        let task = state.backups.task.as_ref();
        let task =
            task.ok_or_else(|| refused("no backup is made or read now; see `batonctl backup list`"))?;
        let why = format!("ended by {}", request.by);
        self.commit(Change::EndBackup { task: task.id.clone(), why, by_hand: true }).await?;
        let (verb, about, node) = (task.work.verb(), task.work.subject(), &task.node);
        Ok(Done { message: format!("{node} does not {verb} {about} any more"), details: Vec::new() })
    }

    /// A node looks through its stores; without a name one that answers and has any, and rather not the writer's.
    pub(super) async fn backup_scan(&self, request: BackupScanRequest) -> Result<BackupBegun, Status> {
        let (state, seen) = self.gathered().await;
        let node = match request.node.as_str() {
            "" => scanner(&state, &seen),
            name => Some(NodeName::from(name)),
        };
        match node {
            Some(node) => self.begin_backup(&node, BackupWork::Scan, request.by).await,
            None => {
                let refusal = "no data node answers that has a [[store]] in its file".to_owned();
                Ok(BackupBegun { refusal, ..BackupBegun::default() })
            }
        }
    }

    async fn begin_backup(
        &self,
        node: &NodeName,
        work: BackupWork,
        by: String,
    ) -> Result<BackupBegun, Status> {
        let (id, backup) = (self.operation_id(), work.backup().to_owned());
        let task = BackupTask {
            id: id.clone(),
            node: node.clone(),
            work,
            by,
            started_ms: self.now_ms(),
            begun: false,
            slot: None,
        };
        self.commit(Change::BeginBackup(task)).await?;
        Ok(BackupBegun { id: id.to_string(), backup, node: node.to_string(), refusal: String::new() })
    }
}

/// `batonctl backup list`, or `show` with the id of `one`.
pub(super) fn list(
    state: &ClusterState,
    seen: &Observations,
    one: &str,
    now_ms: UnixMillis,
    zones: Zones<'_>,
) -> BackupListReply {
    let backups = &state.backups;
    let wanted = backups.catalogue.iter().rev().filter(|(id, _)| one.is_empty() || *id == one);
    let ended = backups.ended.iter().rev().map(|over| Told {
        ended_ms: over.ended_ms,
        error: over.error.clone().unwrap_or_default(),
        note: over.note.clone().unwrap_or_default(),
        ..told(&over.task, None)
    });
    let listed = |(id, backup): (&String, &Backup)| match one.is_empty() {
        // A set may be long, and there may be thousands of backups.
        true => Listed { gtids: String::new(), ..listed(backups, id, backup) },
        false => listed(backups, id, backup),
    };
    BackupListReply {
        backups: wanted.map(listed).collect(),
        task: backups.task.as_ref().map(|task| told(task, progress(seen, &task.node, &task.id))),
        ended: ended.collect(),
        schedules: backups
            .plan
            .iter()
            .flat_map(|plan| &plan.schedules)
            .map(|(name, schedule)| planned(backups, name, schedule, now_ms, zones))
            .collect(),
        archive: archive(state, seen),
    }
}

/// As the node says whose turn it is.
pub(super) fn archive(state: &ClusterState, seen: &Observations) -> Option<Archive> {
    let node = &state.collector.as_ref()?.node;
    let said = known(seen, node).unwrap_or_default();
    let stretches = said.covers();
    let stretches = stretches.iter().map(|s| Stretch { first_ms: s.first_ms, last_ms: s.last_ms }).collect();
    Some(Archive {
        node: node.to_string(),
        works: said.works,
        behind: said.behind,
        holes: said.holes,
        error: said.error,
        waits: said.waits,
        stretches,
    })
}

fn planned(
    backups: &Backups,
    name: &str,
    schedule: &Schedule,
    now_ms: UnixMillis,
    zones: Zones<'_>,
) -> Planned {
    let slot = backups.slots.get(name).filter(|slot| slot.tries > 0);
    let next = next_ms(schedule, now_ms, zones);
    Planned {
        name: name.to_owned(),
        cron: schedule.cron.clone(),
        kind: schedule.kind.name().to_owned(),
        time_zone: schedule.zone.clone(),
        next_ms: *next.as_ref().unwrap_or(&0),
        fault: next.err().unwrap_or_default(),
        slot_ms: slot.map_or(0, |slot| slot.at_ms),
        tries: slot.map_or(0, |slot| slot.tries),
        error: slot
            .and_then(|slot| slot.failed.as_ref())
            .map(|failed| failed.why.clone())
            .unwrap_or_default(),
        retry_ms: retried_ms(backups, name).unwrap_or_default(),
    }
}

fn progress<'s>(seen: &'s Observations, node: &NodeName, task: &OperationId) -> Option<&'s Backing> {
    seen.of(node)?.report.backing.as_ref().filter(|backing| backing.task == task.0)
}

fn told(task: &BackupTask, backing: Option<&Backing>) -> Told {
    let far = backing.cloned().unwrap_or_default();
    let left = (far.rate > 0 && far.total > far.bytes).then(|| (far.total - far.bytes).div_ceil(far.rate));
    Told {
        id: task.id.to_string(),
        what: task.work.verb().to_owned(),
        backup: task.work.backup().to_owned(),
        node: task.node.to_string(),
        by: task.by.clone(),
        started_ms: task.started_ms,
        ended_ms: 0,
        error: String::new(),
        note: String::new(),
        bytes: far.bytes,
        stored_bytes: far.stored_bytes,
        total_bytes: far.total,
        bytes_per_second: far.rate,
        schedule: task.slot.as_ref().map(|slot| slot.schedule.clone()).unwrap_or_default(),
        slot_ms: task.slot.as_ref().map_or(0, |slot| slot.at_ms),
        seconds_left: left.and_then(|left| i64::try_from(left).ok()).unwrap_or(-1),
    }
}

fn listed(backups: &Backups, id: &str, backup: &Backup) -> Listed {
    let verified = backup.verified.as_ref();
    Listed {
        id: id.to_owned(),
        node: backup.node.to_string(),
        epoch: backup.epoch.0,
        kind: if backup.base.is_some() { BackupKind::Incremental } else { BackupKind::Full }
            .name()
            .to_owned(),
        base: backup.base.clone().unwrap_or_default(),
        full_because: backup.full_because.clone().unwrap_or_default(),
        chain_fault: backup.base.as_ref().and_then(|base| backups.fault_of(base)).unwrap_or_default(),
        engine: backup.engine.clone(),
        server_version: backup.server_version.clone(),
        began_ms: backup.began_ms,
        ended_ms: backup.ended_ms,
        gtids: backup.gtids.clone(),
        bytes: backup.bytes,
        stored_bytes: backup.stored_bytes,
        objects: backup.objects,
        stores: backup.stores.clone(),
        manifest_blake3: backup.manifest_blake3.clone(),
        verified_ms: verified.map_or(0, |verified| verified.at_ms),
        pinned: backup.is_pinned,
        leaving: super::retention::leaving(backups, backup),
        fault: verified.and_then(|verified| verified.fault.clone()).unwrap_or_default(),
    }
}
