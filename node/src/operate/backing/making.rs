//! What a backup of this node's server is to be, and what the group keeps of one that was made.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;
use tracing::warn;

use super::{BackupRunner, FACTS_WITHIN, PARTS_AT_ONCE, SHARE_MIN_PERCENT};
use crate::backup::engine::{Engine, Extent};
use crate::backup::lineage::{Lineage, Record};
use crate::backup::lineage_file;
use crate::backup::manifest::{About, Manifest, Server, backup_prefix, manifest_key};
use crate::backup::run::{Made, RunSpec};
use crate::backup::settings::Settings;
use crate::decide::backup::chain::{Now, base};
use crate::sql::backup_facts::{BackupFacts, backup_facts};
use crate::state::{Backup, BackupKind, BackupTask, BackupWork};

/// So many increments of one slot may fail before its next try is a full backup: it may be their base.
const INCREMENTS_TRIED: u32 = 2;
/// What all stores may take to list a chain.
const LOOKS_WITHIN: Duration = Duration::from_secs(60);
/// So many threads compress at full speed at most: they are faster by then than what reads a server.
const THREADS_MAX: u32 = 4;
/// A longer set is in the manifest alone: the whole state is written at each change.
const GTIDS_MAX: usize = 16 << 10;

/// A backup that can be begun.
pub(super) struct Prepared {
    /// What it is to be.
    pub(super) spec: RunSpec,
    /// The data directory in which it is noted once it is made; `None` where no increment can be made from it.
    data: Option<PathBuf>,
    /// Why it is a full one although an increment was asked for.
    full_because: Option<String>,
}

impl BackupRunner {
    pub(super) async fn prepare(
        &self,
        settings: &Settings,
        backup: &str,
        task: &BackupTask,
    ) -> Result<Prepared, String> {
        let facts = backup_facts(&self.parts.connector, FACTS_WITHIN).await;
        let facts = facts.map_err(|e| format!("the server does not say what it is: {e}"))?;
        let engine = settings.engine(facts.dialect).map_err(|why| format!("{} {why}", self.me))?;
        if matches!(engine, Engine::Dump { .. }) && !facts.lacks_for_dump.is_empty() {
            let (user, lacks) = (&settings.account.user, facts.lacks_for_dump.join(", "));
            return Err(format!(
                "a dump would leave out what {user} may not see: GRANT {lacks} ON *.* to it"
            ));
        }
        let record = self.record(&engine, &facts);
        let (extent, full_because) = match self.wanted(settings, task, &engine, &facts, &record).await {
            Ok(extent) => (extent, None),
            Err(why) => (Extent::Full, Some(why)),
        };
        let data = record.is_ok().then(|| facts.data.clone());
        let lineage = record.map_or_else(|_| self.fresh(), |record| record.lineage);
        let BackupFacts { dialect, version, uuid, bytes, .. } = facts;
        let server = Server { node: self.me.to_string(), dialect, version, uuid, lineage, data_bytes: bytes };
        let about = About {
            backup: backup.to_owned(),
            cluster: self.cluster.clone(),
            epoch: self.states.borrow().epoch().0,
            job: task.slot.as_ref().map(|slot| slot.schedule.clone()),
            server,
            began_ms: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default(),
        };
        let spec = RunSpec {
            about,
            engine,
            extent,
            account: Some(settings.account.clone()),
            recipients: settings.recipients.clone(),
            stores: settings.stores.clone(),
            run: settings.run.clone(),
            level: 1,
            threads: threads_of(task),
            parts_at_once: PARTS_AT_ONCE,
            bytes_per_s: settings.bytes_per_s,
            share_min_percent: SHARE_MIN_PERCENT,
            cleans: settings.prunes.clone(),
            object_bytes: None,
        };
        Ok(Prepared { spec, data, full_because })
    }

    /// How much is read.
    ///
    /// # Errors
    /// Why that has to be everything although an increment was asked for.
    async fn wanted(
        &self,
        settings: &Settings,
        task: &BackupTask,
        engine: &Engine,
        facts: &BackupFacts,
        record: &Result<Record, String>,
    ) -> Result<Extent, String> {
        if !matches!(task.work, BackupWork::Make { kind: BackupKind::Incremental, .. }) {
            return Ok(Extent::Full);
        }
        if !engine.makes_increments() {
            return Err(format!("{} makes no increments", engine.name()));
        }
        if task.slot.as_ref().is_some_and(|slot| slot.number > INCREMENTS_TRIED) {
            return Err(format!("{INCREMENTS_TRIED} tries for this slot came to nothing"));
        }
        let record = record.as_ref().map_err(Clone::clone)?;
        let stores: Vec<String> = settings.stores.iter().map(|store| store.name.clone()).collect();
        let now = Now {
            node: &self.me,
            lineage: &record.lineage.id,
            parent: record.lineage.parent.as_deref(),
            knows: &record.backups,
            version: &facts.version,
            lsn: facts.lsn,
            stores: &stores,
        };
        let state = self.states.borrow().clone();
        let (base, from_lsn) = base(&state.backups, &now, self.proposer.now_ms())?;
        let chain = std::iter::once(base.as_str()).chain(state.backups.bases(&base).map(|(id, _)| id));
        let parts: Vec<_> = chain.filter_map(|id| state.backups.catalogue.get_key_value(id)).collect();
        let looked = timeout(LOOKS_WITHIN, self.are_there(settings, &parts)).await;
        looked.map_err(|_| {
            format!("its stores did not say within {} s what they have", LOOKS_WITHIN.as_secs())
        })??;
        Ok(Extent::Incremental { base, from_lsn })
    }

    /// Whether every store has all of these by its listing: the group is not told what a bucket's own rules, or people, remove.
    async fn are_there(&self, settings: &Settings, parts: &[(&String, &Backup)]) -> Result<(), String> {
        for place in &settings.stores {
            let store = place.open()?;
            for (id, listed) in parts {
                let items = store.list(&backup_prefix(&self.cluster, id)).await.map_err(|e| e.to_string())?;
                let key = manifest_key(&self.cluster, id);
                let (manifest, objects): (Vec<_>, Vec<_>) = items.iter().partition(|item| item.key == key);
                let bytes: u64 = objects.iter().map(|item| item.bytes).sum();
                if manifest.is_empty()
                    || objects.len() != listed.objects as usize
                    || bytes != listed.stored_bytes
                {
                    return Err(format!(
                        "{id}, which it would need, is not whole in store {} any more",
                        place.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// What is noted in the data directory, which gets a lineage if it has none.
    ///
    /// # Errors
    /// Why no increment can be made from a backup of it.
    fn record(&self, engine: &Engine, facts: &BackupFacts) -> Result<Record, String> {
        // A rebuild by CLONE leaves the file in place and not the data.
        if !engine.makes_increments() {
            return Err(format!("{} makes no increments", engine.name()));
        }
        let fresh = || Record { lineage: self.fresh(), backups: Vec::new() };
        let found = lineage_file::read(&facts.data).and_then(|found| match found {
            Some(record) => Ok(record),
            None => {
                let record = fresh();
                lineage_file::write(&facts.data, &record).map(|()| record)
            }
        });
        found.inspect_err(|why| warn!(why, "increments cannot be made from this backup"))
    }

    /// A lineage that nothing else has.
    fn fresh(&self) -> Lineage {
        Lineage { id: self.proposer.draw_id(), parent: None }
    }

    /// What the group keeps of one that was made.
    pub(super) fn made(&self, prepared: Prepared, made: Made) -> Backup {
        let Made { manifest, manifest_blake3, stores, failed } = made;
        for (store, why) in &failed {
            warn!(backup = manifest.backup, store, why, "the backup is not in this store");
        }
        let noted = prepared.data.map(|data| lineage_file::note(&data, &manifest.backup));
        let can_be_added_to = match noted {
            Some(Err(why)) => {
                warn!(why, "increments cannot be made from this backup");
                false
            }
            noted => noted.is_some(),
        };
        let mut backup = listed(manifest, manifest_blake3, stores);
        backup.full_because = prepared.full_because;
        if !can_be_added_to {
            (backup.lineage, backup.to_lsn) = (String::new(), 0);
        }
        backup
    }
}

/// Beside the one that reads. A polite one leaves the others alone.
fn threads_of(task: &BackupTask) -> u32 {
    if !matches!(task.work, BackupWork::Make { full_speed: true, .. }) {
        return 1;
    }
    let all =
        std::thread::available_parallelism().map_or(1, |all| u32::try_from(all.get()).unwrap_or(u32::MAX));
    all.min(THREADS_MAX)
}

/// What the group keeps of a backup; the rest is in its manifest.
pub(super) fn listed(manifest: Manifest, manifest_blake3: String, stores: Vec<String>) -> Backup {
    let ms = |ms: u64| i64::try_from(ms).unwrap_or_default();
    Backup {
        node: manifest.server.node.as_str().into(),
        epoch: crate::state::Epoch(manifest.epoch),
        base: manifest.extent.base().map(ToOwned::to_owned),
        lineage: manifest.server.lineage.id,
        to_lsn: manifest.lsn.map_or(0, |lsn| lsn.to),
        stored_bytes: manifest.stream.stored_bytes(),
        objects: u32::try_from(manifest.stream.objects.len()).unwrap_or(u32::MAX),
        bytes: manifest.stream.bytes,
        engine: manifest.engine,
        server_version: manifest.server.version,
        began_ms: ms(manifest.began_ms),
        ended_ms: ms(manifest.ended_ms),
        gtids: manifest
            .position
            .map(|position| position.gtids)
            .filter(|gtids| gtids.len() <= GTIDS_MAX)
            .unwrap_or_default(),
        stores,
        manifest_blake3,
        ..Backup::default()
    }
}
