//! `batonctl backup pin`, `unpin`, `delete` and `prune`: which backups stay, and which leave their stores.

use baton_proto::control::{
    BackupDeleteRequest, BackupLeaving, BackupPinRequest, BackupPruneReply, BackupPruneRequest,
    BackupVerdict, Done,
};
use tonic::Status;

use super::Control;
use super::refusal::refused;
use crate::decide::backup::prune::{first_that_goes, kept};
use crate::state::{Backup, Backups, Change, Refusal, UnixMillis};

impl Control {
    pub(super) async fn backup_pin(&self, request: BackupPinRequest) -> Result<Done, Status> {
        let BackupPinRequest { backup, pinned: is_pinned, by } = request;
        self.commit(Change::PinBackup { backup: backup.clone(), is_pinned, by }).await?;
        let message = match is_pinned {
            true => format!("{backup} is kept, whatever its age, until `batonctl backup unpin {backup}`"),
            false => format!("{backup} is kept for as long as each store's rules say"),
        };
        Ok(Done { message, details: Vec::new() })
    }

    pub(super) async fn backup_delete(&self, request: BackupDeleteRequest) -> Result<Done, Status> {
        let BackupDeleteRequest { backup, by } = request;
        let state = self.state();
        let Some(listed) = state.backups.catalogue.get(&backup) else {
            return Err(refused(Refusal::NoSuchBackup(backup)));
        };
        let stores = listed.stores.clone();
        self.commit(Change::LeaveStores { backup: backup.clone(), stores, by, by_rule: false }).await?;
        let state = self.state();
        let marked = state.backups.catalogue.get(&backup).map(|listed| leaving(&state.backups, listed));
        let details = marked.unwrap_or_default().iter().map(|one| in_words(one, self.now_ms())).collect();
        let message = format!("{backup} is to be deleted; `batonctl backup pin {backup}` keeps it after all");
        Ok(Done { message, details })
    }

    pub(super) async fn backup_prune(&self, request: BackupPruneRequest) -> Result<BackupPruneReply, Status> {
        if self.state().backups.plan.is_none() {
            return Err(refused("no node that has led names a [[store]], so there are no rules"));
        }
        let mut marked = 0;
        if !request.dry_run {
            let most: usize = self.state().backups.catalogue.values().map(|backup| backup.stores.len()).sum();
            // One at a time, as each changes what stays: an increment goes before what it adds to.
            for _ in 0..most {
                let Some((backup, store)) = goes(&self.state().backups, self.now_ms()) else { break };
                self.commit(Change::LeaveStores {
                    backup,
                    stores: vec![store],
                    by: request.by.clone(),
                    by_rule: true,
                })
                .await?;
                marked += 1;
            }
        }
        Ok(BackupPruneReply { verdicts: verdicts(&self.state().backups, self.now_ms()), marked })
    }
}

/// One that is to be marked by its store's rules, if there is one.
fn goes(backups: &Backups, now_ms: UnixMillis) -> Option<(String, String)> {
    let mut stores = backups.plan.as_ref()?.stores.iter();
    stores.find_map(|(store, keep)| Some((first_that_goes(backups, store, keep, now_ms)?, store.clone())))
}

/// By each store's rules, the newest first.
fn verdicts(backups: &Backups, now_ms: UnixMillis) -> Vec<BackupVerdict> {
    let Some(plan) = &backups.plan else { return Vec::new() };
    let mut all = Vec::new();
    for (store, keep) in &plan.stores {
        let mut kept = kept(backups, store, keep, now_ms);
        for (id, listed) in backups.catalogue.iter().rev().filter(|(_, b)| b.stores.contains(store)) {
            let stays = kept.remove(id).flatten().map(|stays| stays.to_string());
            all.push(BackupVerdict {
                store: store.clone(),
                backup: id.clone(),
                began_ms: listed.began_ms,
                stays: stays.unwrap_or_default(),
                due_ms: listed.leaving.get(store).map_or(0, |leaving| leaving.due_ms(plan)),
                prunes: keep.prunes,
            });
        }
    }
    all
}

/// The stores that a backup is to leave.
pub(super) fn leaving(backups: &Backups, listed: &Backup) -> Vec<BackupLeaving> {
    let Some(plan) = &backups.plan else { return Vec::new() };
    let told = listed.leaving.iter().map(|(store, leaving)| BackupLeaving {
        store: store.clone(),
        due_ms: leaving.due_ms(plan),
        by: leaving.by.clone(),
        prunes: plan.stores.get(store).is_some_and(|keep| keep.prunes),
        error: leaving.failed.as_ref().map(|(_, why)| why.clone()).unwrap_or_default(),
    });
    told.collect()
}

fn in_words(leaving: &BackupLeaving, now_ms: UnixMillis) -> String {
    let store = &leaving.store;
    let hours = leaving.due_ms.saturating_sub(now_ms).max(0) / 3_600_000;
    match leaving.prunes {
        true => format!("store {store}: Baton removes it in {hours} h"),
        false => {
            format!("store {store}: Baton may not remove it there (prune); delete it yourself in {hours} h")
        }
    }
}
