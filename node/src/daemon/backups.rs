//! What the configuration says of backups, as the rooms need it.

use std::path::PathBuf;

use crate::backup::pipeline::{Recipient, Recipients};
use crate::backup::run::{AccountSpec, StorePlace, StoreSpec};
use crate::backup::settings::{Settings, Way};
use crate::config::{BackupEngine, Config, StoreConfig, StoreType};
use crate::operate::ArchiveSettings;

const MIB: u64 = 1 << 20;
/// Where the binlog waits for its store.
const SPOOL: &str = "binlog";

/// `None` where no store is configured, or nobody could read what lies there.
pub(super) fn settings(config: &Config) -> Option<Settings> {
    let backup = &config.backup;
    if config.stores.is_empty() {
        return None;
    }
    let way = backup.engine.map(|engine| match engine {
        BackupEngine::MariadbBackup => Way::MariadbBackup,
        BackupEngine::Clone => Way::Clone,
        BackupEngine::Dump => Way::Dump,
    });
    Some(Settings {
        recipients: Recipients::new(keys(backup.escrow.as_deref()), keys(backup.readers.as_deref())).ok()?,
        stores: config.stores.iter().map(store).collect(),
        prunes: config.stores.iter().filter(|s| s.prune).map(|s| s.name.clone()).collect(),
        way,
        stage: backup.stage.clone(),
        mariadb_backup: config.rebuild.mariadb_backup.clone(),
        dump: backup.dump_program.clone(),
        path: std::env::var_os("PATH").unwrap_or_default(),
        bytes_per_s: backup.mib_per_second.map(|mib| mib.saturating_mul(MIB)),
        account: account(config),
        run: config.paths.run.clone(),
    })
}

/// `None` where no store is named for it.
pub(super) fn archive(config: &Config) -> Option<ArchiveSettings> {
    let (archive, of_backups) = (&config.archive, settings(config)?);
    let name = archive.store.as_ref()?;
    let store = of_backups.stores.into_iter().find(|store| store.name == *name)?;
    Some(ArchiveSettings {
        account: account(config),
        recipients: of_backups.recipients,
        store,
        spool: config.paths.data.join(SPOOL),
        spool_bytes: archive.spool_mib.saturating_mul(MIB),
        keep_free_bytes: archive.keep_free_mib.saturating_mul(MIB),
        segment_bytes: archive.segment_mib.saturating_mul(MIB),
        segment_every: archive.segment_every,
    })
}

fn account(config: &Config) -> AccountSpec {
    AccountSpec {
        user: config.server.user.clone(),
        password_file: config.server.password_file.clone(),
        socket: config.server.socket.clone(),
    }
}

/// The configuration has checked each.
fn keys(list: Option<&str>) -> Vec<Recipient> {
    list.unwrap_or_default().split(',').filter_map(|key| key.parse().ok()).collect()
}

/// The configuration has checked that what its kind needs is there.
fn store(store: &StoreConfig) -> StoreSpec {
    let path = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let place = match store.kind {
        StoreType::Files => StorePlace::Files { path: path(&store.path) },
        StoreType::S3 => StorePlace::S3 {
            endpoint: text(&store.endpoint),
            bucket: text(&store.bucket),
            region: store.region.clone(),
            prefix: text(&store.prefix),
            credentials_file: path(&store.credentials_file),
            ca: store.ca.clone(),
        },
    };
    StoreSpec { name: store.name.clone(), required: store.required, place }
}
