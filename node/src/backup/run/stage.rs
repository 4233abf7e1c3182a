//! The copy that CLONE writes into a folder, before it becomes a stream. It goes with the backup, however that ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::statvfs;
use tracing::{info, warn};

use super::spec::RunSpec;
use crate::backup::engine::{Engine, Findings, Position};
use crate::sql::clone_local::clone_local;
use crate::sql::{Address, Connector};

/// What a day cannot copy on a local disk is too much for this engine.
const COPIED_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// Of what the data has, so much more has to be free: the server goes on meanwhile.
const ROOM_PERCENT: u64 = 110;

/// How a copy's folder begins; the backup's id follows.
const COPY: &str = "baton-clone-";

pub(super) struct Stage {
    folder: PathBuf,
    found: Findings,
}

impl Stage {
    /// Has the server write its copy, where the engine needs one.
    pub(super) async fn prepare(spec: &RunSpec) -> Result<Option<Self>, String> {
        let Engine::Clone { stage } = &spec.engine else { return Ok(None) };
        let account = spec.local_account()?.ok_or("CLONE needs an account")?;
        remove_copies(spec)?;
        has_room(stage, spec.about.server.data_bytes)?;
        let folder = stage.join(format!("{COPY}{}", spec.about.backup));
        // From here on it is removed, also when the server has written a part of it only.
        let mut staged = Self { folder, found: Findings::default() };
        let connector = Connector::new(Address::Socket(account.socket), account.user, account.password);
        let copied = clone_local(&connector, &staged.folder, COPIED_WITHIN).await;
        let copied = copied.map_err(|e| format!("CLONE LOCAL: {e}"))?;
        info!(folder = %staged.folder.display(), gtids = copied.gtids, "the copy is there");
        staged.found.position = Some(Position { gtids: copied.gtids, ..Position::default() });
        staged.found.server_version = copied.version.clone();
        staged.found.tool_version = copied.version;
        Ok(Some(staged))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is known of the copy beside its files.
    pub(super) fn adds_to(&self, found: Findings) -> Findings {
        Findings { inventory: found.inventory, ..self.found.clone() }
    }
}

/// Every copy that was made for this node: of a backup that is over, or of a process that was killed.
pub(super) fn remove_copies(spec: &RunSpec) -> Result<(), String> {
    let Engine::Clone { stage } = &spec.engine else { return Ok(()) };
    for left in fs::read_dir(stage).into_iter().flatten().flatten() {
        let name = left.file_name().to_string_lossy().into_owned();
        let is_this = |id: &str| {
            id == spec.about.backup
                || id.split_once('-').is_some_and(|(_, node)| node == spec.about.server.node)
        };
        if name.strip_prefix(COPY).is_some_and(is_this) {
            remove(&left.path())?;
        }
    }
    Ok(())
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(why) = remove(&self.folder) {
            warn!(why, "a copy of the server's data is left");
        }
    }
}

fn remove(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{} cannot be removed: {error}", folder.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn has_room(stage: &Path, data_bytes: u64) -> Result<(), String> {
    let found = statvfs(stage).map_err(|e| format!("{} cannot be looked at: {e}", stage.display()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let needed = data_bytes / 100 * ROOM_PERCENT;
    if free >= needed {
        return Ok(());
    }
    let missing = needed - free;
    Err(format!(
        "CLONE needs {needed} bytes in {} and {free} are free: {missing} are missing; make room there",
        stage.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_refused_with_what_is_missing() {
        assert_eq!(has_room(&std::env::temp_dir(), 1000), Ok(()));
        let why = has_room(&std::env::temp_dir(), u64::MAX / 2).err().unwrap_or_default();
        assert!(why.contains("are missing; make room there"), "{why}");
    }
}
