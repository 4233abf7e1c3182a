//! An archive of the binlog as tests look at it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_node::archive::coverage::{Coverage, Piece, coverage};
use baton_node::archive::entry::Entry;
use baton_node::archive::index::{Index, entries};
use baton_node::archive::open::content;
use baton_node::backup::pipeline::Identity;
use baton_node::backup::store::Store;
use baton_node::gtid::GtidSet;
use baton_tests::sandbox::{Dialect, Server, server_program, until};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// Where an archive lies, and the key that reads it.
pub(super) struct Shelf {
    /// The folder that the store `store` is in.
    pub(super) root: PathBuf,
    pub(super) store: Store,
    pub(super) key: String,
    pub(super) dialect: Dialect,
}

/// For a server, or the archive of one, to have caught up on a busy machine.
const SOON: Duration = Duration::from_secs(90);

/// Every file of a store.
pub(super) type Stored = BTreeMap<PathBuf, Vec<u8>>;

impl Shelf {
    /// Every entry, by its key.
    pub(super) async fn entries(&self) -> Result<BTreeMap<String, Entry>> {
        let (entries, unreadable) = entries(&self.store, "shop").await?;
        ensure!(unreadable.is_empty(), "{unreadable:?}");
        Ok(entries)
    }

    pub(super) async fn covered(&self) -> Result<Coverage> {
        // Entries that come meanwhile are in the second look only, and roll-ups say no more than entries do.
        let rolled = Index::look(&self.store, "shop").await.map_err(anyhow::Error::msg)?;
        ensure!(rolled.unreadable() == 0, "{rolled:?}");
        let rolled = coverage(&rolled.pieces()?)?;
        let pieces: Vec<_> = self.entries().await?.values().map(Piece::of).collect();
        let found = coverage(&pieces)?.context("nothing is archived")?;
        if let Some(rolled) = rolled {
            ensure!(found.archived.contains(&rolled.archived)?, "{rolled:?}\n{found:?}");
        }
        Ok(found)
    }

    /// A beginning knows by the roll-ups what the entries say. To be asked once nobody archives any more.
    pub(super) async fn rolled_as_written(&self) -> Result<()> {
        let rolled = Index::look(&self.store, "shop").await.map_err(anyhow::Error::msg)?;
        let rolled = coverage(&rolled.pieces()?)?;
        let found = Some(self.covered().await?);
        ensure!(rolled == found, "{rolled:?}\n{found:?}");
        let (rollups, known) = (self.root.join("store/shop/binlog/rollups/1"), self.entries().await?.len());
        ensure!(fs::read_dir(rollups)?.count() > 0, "{known} entries and no roll-up");
        Ok(())
    }

    /// What the server has and the archive neither has nor follows.
    async fn missing(&self, server: &Server) -> Result<GtidSet> {
        self.lacks(&executed(server).await?).await
    }

    async fn lacks(&self, wanted: &GtidSet) -> Result<GtidSet> {
        let found = self.covered().await?;
        Ok(wanted.subtract(&found.base)?.subtract(&found.archived)?)
    }

    /// Everything that the server has now is in the store soon, whatever comes after it.
    pub(super) async fn gets_all(&self, server: &Server) -> Result<()> {
        // A server that restarts does not answer.
        let wanted = until("the server to answer", SOON, async || Ok(executed(server).await.ok())).await?;
        let has_all = async || {
            // There is no archive at first.
            Ok(self.lacks(&wanted).await.is_ok_and(|lacks| lacks.is_empty()).then_some(()))
        };
        let waited = until("everything to be archived", SOON, has_all).await;
        let found = self.covered().await;
        waited.with_context(|| format!("wanted: {wanted}\nfound: {found:?}"))
    }

    /// What the archive adds to what went before it is what the server has.
    pub(super) async fn has_all(&self, server: &Server) -> Result<Coverage> {
        let (found, missing) = (self.covered().await?, self.missing(server).await?);
        ensure!(found.holes.is_empty(), "holes: {}", found.holes);
        ensure!(missing.is_empty(), "not archived: {missing}\n{found:?}");
        ensure!(found.windows.len() == 1, "{:?}", found.windows);
        Ok(found)
    }

    /// What is archived beside the line is nothing that the writer has.
    pub(super) async fn is_beside(&self, side: &GtidSet, writer: &Server) -> Result<()> {
        let has = executed(writer).await?;
        ensure!(side.subtract(&has)? == *side, "beside the line: {side}\non the writer: {has}");
        Ok(())
    }

    /// Each segment as a file, read by the program that came with the server. The SQL of all.
    pub(super) async fn readable(&self, entries: &BTreeMap<String, Entry>) -> Result<String> {
        let name = if self.dialect == Dialect::MySql { "mysqlbinlog" } else { "mariadb-binlog" };
        let program = server_program(self.dialect).await?.0.with_file_name(name);
        let folder = self.root.join("unsealed");
        fs::create_dir_all(&folder)?;
        let mut text = String::new();
        for (number, entry) in entries.values().enumerate() {
            let path = folder.join(format!("{number:05}.binlog"));
            self.unsealed(entry, path.clone()).await?;
            let mut command = Command::new(&program);
            // A damaged checksum is an error, and so is an event that is not where it says.
            let options = ["--no-defaults", "--verify-binlog-checksum", "--base64-output=decode-rows", "-v"];
            command.args(options).arg(&path);
            let output = spawn_blocking(move || command.output()).await??;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success() && !said.contains("ERROR"), "{}: {said}", path.display());
            text += &String::from_utf8_lossy(&output.stdout);
        }
        Ok(text)
    }

    async fn unsealed(&self, entry: &Entry, path: PathBuf) -> Result<()> {
        let (store, entry, runtime) = (self.store.clone(), entry.clone(), Handle::current());
        let keys = Identity::read_all(&self.key)?;
        spawn_blocking(move || {
            let mut stream = content(&store, &entry, keys, runtime);
            std::io::copy(&mut stream, &mut fs::File::create(path)?)?;
            Ok(())
        })
        .await?
    }

    pub(super) fn stored(&self) -> Result<Stored> {
        let mut found = Stored::new();
        let mut folders = vec![self.root.join("store")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.to_string_lossy().ends_with(".partial") {
                    found.insert(path.clone(), fs::read(&path)?);
                }
            }
        }
        Ok(found)
    }

    /// Nothing that was there before is gone or has changed.
    pub(super) fn kept(&self, before: &Stored) -> Result<()> {
        let after = self.stored()?;
        let changed = before.iter().filter(|(path, data)| after.get(*path) != Some(data));
        let changed: Vec<_> = changed.map(|(path, _)| path).collect();
        ensure!(changed.is_empty(), "written over or removed: {changed:?}");
        Ok(())
    }
}

/// The replica has everything that the source has now.
pub(super) async fn level(source: &Server, replica: &Server) -> Result<()> {
    let wanted = executed(source).await?;
    let is_level = async || Ok(executed(replica).await?.contains(&wanted)?.then_some(()));
    until("the replica to catch up", SOON, is_level).await
}

async fn executed(server: &Server) -> Result<GtidSet> {
    Ok(match server.dialect() {
        Dialect::MySql => GtidSet::parse_mysql(&server.executed().await?)?,
        Dialect::MariaDb => {
            let state: Vec<String> = server.query("SELECT @@GLOBAL.gtid_binlog_state").await?;
            GtidSet::parse_mariadb_state(&state.concat())?
        }
    })
}
