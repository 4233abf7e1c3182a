//! Which backups are needed, in their order: a full one, and the increments after it up to the one that is wanted.

use super::replay::Fit;
use super::shelf::{Held, Shelf};
use crate::backup::engine::Extent;
use crate::backup::manifest::Manifest;
use crate::gtid::DialectMismatch;

/// More increments than anybody takes in a row.
const LENGTH_MAX: usize = 1000;

/// What is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    /// The full one first; never empty.
    parts: Vec<Manifest>,
    /// Newer ones that were passed over, the newest first, each with the reason.
    pub(super) passed_over: Vec<(String, String)>,
    /// Whether it lies before what is wanted shows only once its server runs.
    pub(super) is_guess: bool,
}

impl Chain {
    /// What the restored server comes from in the end.
    pub(super) fn last(&self) -> Option<&Manifest> {
        self.parts.last()
    }

    pub(super) fn parts(&self) -> &[Manifest] {
        &self.parts
    }

    /// The same, if its server says so once it runs.
    pub(super) fn guessed(self) -> Self {
        Self { is_guess: true, ..self }
    }

    /// What the last one adds to is not wanted.
    pub(super) fn keep_last(&mut self) {
        let last = self.parts.pop();
        self.parts = last.into_iter().collect();
    }

    #[cfg(test)]
    pub(super) fn parts_mut(&mut self) -> &mut [Manifest] {
        &mut self.parts
    }

    /// Bytes of all streams.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().fold(0, |all, part| all.saturating_add(part.stream.bytes))
    }

    /// Bytes as they are stored.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.stream.stored_bytes()).sum()
    }
}

/// The chain that ends with `wanted`, or with the newest backup that is complete with all it needs and that `fits`.
pub(super) async fn choose(
    shelf: &Shelf,
    wanted: Option<&str>,
    fits: impl Fn(&Manifest) -> Result<Fit, DialectMismatch>,
) -> Result<Chain, String> {
    let fit = |chain: &Chain| chain.last().map_or(Ok(Fit::Later), &fits).map_err(|e| e.to_string());
    if let Some(wanted) = wanted {
        let chain = chain_to(shelf, wanted).await?;
        return match fit(&chain)? {
            Fit::Yes => Ok(chain),
            Fit::Later => Err(format!("{wanted} has what comes after the moment that is wanted")),
            Fit::No(why) => Err(format!("{wanted}: {why}")),
        };
    }
    let (mut passed_over, mut later) = (Vec::new(), 0);
    for id in shelf.ids().into_iter().rev() {
        let chain = match chain_to(shelf, &id).await {
            Ok(chain) => chain,
            Err(why) => {
                passed_over.push((id, why));
                continue;
            }
        };
        match fit(&chain)? {
            Fit::Yes => return Ok(Chain { passed_over, ..chain }),
            Fit::Later => later += 1,
            Fit::No(why) => passed_over.push((id, why)),
        }
    }
    let store = shelf.store.name();
    match passed_over.first() {
        None if later > 0 => Err(format!(
            "store {store} has {later} backups of {} that could be gone on from, and none of them lies before the moment that \
             is wanted",
            shelf.cluster
        )),
        None => Err(format!("store {store} has no backup of {}", shelf.cluster)),
        Some((id, why)) => {
            Err(format!("store {store} has no backup of {} that is complete; {id}: {why}", shelf.cluster))
        }
    }
}

async fn chain_to(shelf: &Shelf, id: &str) -> Result<Chain, String> {
    let mut parts = vec![whole(shelf.read(id).await?)?];
    while let Some(base) = parts.last().and_then(|part| part.extent.base()) {
        let held = shelf.read(base).await.map_err(|why| format!("it needs {base}: {why}"))?;
        let base = whole(held)?;
        if let Some(increment) = parts.last() {
            fits(&base, increment)?;
        }
        parts.push(base);
        if parts.len() > LENGTH_MAX {
            return Err(format!("it needs more than {LENGTH_MAX} others"));
        }
    }
    parts.reverse();
    Ok(Chain { parts, passed_over: Vec::new(), is_guess: false })
}

fn whole(held: Held) -> Result<Manifest, String> {
    if held.lacks.is_empty() {
        return Ok(held.manifest);
    }
    Err(format!("{} is not complete: {}", held.manifest.backup, held.lacks.join(", ")))
}

/// Whether an increment goes onto that base. The programs that apply it have been seen to say "OK" where it does not.
fn fits(base: &Manifest, increment: &Manifest) -> Result<(), String> {
    let Extent::Incremental { from_lsn, .. } = &increment.extent else { return Ok(()) };
    let (id, of) = (&increment.backup, &base.backup);
    let is_child = increment.server.lineage.parent.as_ref() == Some(of);
    if base.engine != increment.engine {
        return Err(format!("{id} is of {} and its base {of} of {}", increment.engine, base.engine));
    }
    if base.server.lineage.id != increment.server.lineage.id && !is_child {
        return Err(format!("{id} is of another data directory than its base {of}"));
    }
    if base.lsn.is_none_or(|lsn| lsn.to != *from_lsn) {
        return Err(format!("{id} does not begin where its base {of} ends"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::super::testing::{Folder, manifest};
    use super::*;

    async fn chosen(folder: &Folder, wanted: Option<&str>) -> Result<Vec<String>, String> {
        let shelf = Shelf::look(folder.store(), None).await?;
        let chain = choose(&shelf, wanted, |_| Ok(Fit::Yes)).await?;
        let passed = chain.passed_over.iter().map(|(id, _)| format!("not {id}"));
        Ok(chain.parts.iter().map(|part| part.backup.clone()).chain(passed).collect())
    }

    #[tokio::test]
    async fn the_newest_that_is_complete_with_its_bases() {
        let folder = Folder::new("chain");
        folder.put(&manifest("2026a", None));
        folder.put(&manifest("2026b", Some("2026a")));
        folder.put(&manifest("2026c", Some("2026b")));
        assert_eq!(chosen(&folder, None).await.unwrap(), ["2026a", "2026b", "2026c"]);
        assert_eq!(chosen(&folder, Some("2026a")).await.unwrap(), ["2026a"]);
        // Without one of its bases an increment is nothing.
        fs::remove_file(folder.object("2026b", 1)).unwrap();
        assert_eq!(chosen(&folder, None).await.unwrap(), ["2026a", "not 2026c", "not 2026b"]);
        let error = chosen(&folder, Some("2026c")).await.unwrap_err();
        assert_eq!(error, "2026b is not complete: shop/backups/2026b/data.00001 is missing");
        // What has no manifest is no backup.
        fs::create_dir(folder.path().join("shop/backups/2026d")).unwrap();
        fs::write(folder.object("2026d", 0), "x").unwrap();
        let shelf = Shelf::look(folder.store(), None).await.unwrap();
        assert_eq!((shelf.ids().len(), shelf.cut_off()), (3, vec!["2026d".to_owned()]));
        let error = chosen(&folder, Some("2026d")).await.unwrap_err();
        assert_eq!(error, "store disk has no backup 2026d of shop");
    }

    #[test]
    fn an_increment_of_something_else_is_refused() {
        let (base, good) = (manifest("a", None), manifest("b", Some("a")));
        assert_eq!(fits(&base, &good), Ok(()));
        let mut other = base.clone();
        other.server.lineage.id = "another".into();
        assert!(fits(&other, &good).unwrap_err().contains("another data directory"));
        let mut later = base.clone();
        later.lsn.as_mut().unwrap().to += 1;
        assert!(fits(&later, &good).unwrap_err().contains("does not begin where"));
        let clone = Manifest { engine: "clone".into(), ..base };
        assert!(fits(&clone, &good).unwrap_err().contains("of mariadb-backup and its base a of clone"));
    }
}
