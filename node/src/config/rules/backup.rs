//! Whether `[backup]` and the entries of `[[store]]` make sense.

use super::super::model::{BackupEngine, ScheduleKind, StoreConfig, StoreType};
use super::Rules;

impl Rules<'_> {
    pub(super) fn backups(&mut self) {
        let config = self.config;
        let backup = &config.backup;
        // A key that is none is told already.
        let is_told = self.findings.about("backup.escrow");
        if !config.stores.is_empty() && backup.escrow.is_none() && !is_told {
            let text = "there are stores and no key to encrypt for; write the public key of one that is kept offline";
            self.error(&["backup.escrow"], text.to_owned());
        }
        if backup.engine == Some(BackupEngine::Clone) && backup.stage.is_none() {
            self.error(&["backup.stage", "backup.engine"], "clone needs a stage; name a folder".to_owned());
        }
        if !config.stores.is_empty() && !config.stores.iter().any(|store| store.required) {
            let text = "no store is required, so a backup would count that none has; make one of them so";
            self.of_list("store", 0, "required", text.to_owned());
        }
        if let Some(name) = &config.archive.store
            && !config.stores.iter().any(|store| store.name == *name)
        {
            let text =
                format!("there is no store named \"{name}\"; write a [[store]], or the name of another");
            self.error(&["archive.store"], text);
        }
        for (index, schedule) in backup.schedules.iter().enumerate() {
            if backup.schedules[..index].iter().any(|other| other.name == schedule.name) {
                let text = format!("two schedules are named \"{}\"; give each its own name", schedule.name);
                self.of_list("backup.schedule", index, "name", text);
            }
            let is_other = backup.engine.is_some_and(|engine| engine != BackupEngine::MariadbBackup);
            if schedule.kind == ScheduleKind::Incremental && is_other {
                let text =
                    "backup.engine makes no increments; write kind = \"full\", or leave the engine to Baton";
                self.of_list("backup.schedule", index, "kind", text.to_owned());
            }
        }
        for (index, store) in config.stores.iter().enumerate() {
            if config.stores[..index].iter().any(|other| other.name == store.name) {
                let text = format!("two stores are named \"{}\"; give each its own name", store.name);
                self.of_list("store", index, "name", text);
            }
            self.store(index, store);
        }
    }

    fn store(&mut self, index: usize, store: &StoreConfig) {
        let of_files = [("path", store.path.is_some())];
        let of_s3 = [
            ("endpoint", store.endpoint.is_some()),
            ("bucket", store.bucket.is_some()),
            ("credentials_file", store.credentials_file.is_some()),
        ];
        let (kind, needed, others): (_, &[_], &[_]) = match store.kind {
            StoreType::Files => ("files", &of_files, &of_s3),
            StoreType::S3 => ("s3", &of_s3, &of_files),
        };
        for (key, _) in needed.iter().filter(|(_, is_set)| !is_set) {
            self.of_list("store", index, key, format!("is missing; a store of type \"{kind}\" needs it"));
        }
        for (key, _) in others.iter().filter(|(_, is_set)| *is_set) {
            self.of_list(
                "store",
                index,
                key,
                format!("says nothing to a store of type \"{kind}\"; remove it"),
            );
        }
    }
}
