//! The archiver on real servers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::error::ArchiveError;
use super::files::{Cut, Cutter};
use super::folder::{Folder, SQL, kept};
use super::manifest::Manifest;
use super::pick::may_begin_with;
use super::render::{JOB, Job};
use super::{Archived, Archiver, Extra, Shown};
use crate::sql::{BinlogReader, SqlError};
use crate::state::UnixMillis;

/// The whole of reading the binlog. A gigabyte takes seconds on an idle host.
const READ_WITHIN: Duration = Duration::from_secs(3600);
/// Writing the SQL, at low priority.
const RENDER_WITHIN: Duration = Duration::from_secs(1800);
/// Events on their way from the server to the disk; one can be large.
const ON_THE_WAY: usize = 8;
/// Characters of what the rendering process said that are told.
const SAID_MAX: usize = 200;

/// Archives from the server's binlog into a folder.
pub struct BinlogArchiver {
    reader: BinlogReader,
    folder: Folder,
    program: PathBuf,
    now: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
}

impl BinlogArchiver {
    /// Archives go to folders in `folder`. `program` is this binary, which renders the SQL in a process of its own.
    pub fn new(
        reader: BinlogReader,
        folder: PathBuf,
        program: PathBuf,
        now: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    ) -> Self {
        Self { reader, folder: Folder::new(folder), program, now }
    }

    async fn write(&self, extra: &Extra) -> Result<Archived, ArchiveError> {
        if let Some(archived) = self.found(extra).await? {
            return Ok(archived);
        }
        let (source, bytes) = self.first_file(extra).await?;
        let (folder, id) = (self.folder.clone(), extra.id());
        let part = on_disk(move || {
            let part = folder.begin(&id)?;
            // The cut and the SQL, which is rarely more than that.
            folder.room().check(bytes.saturating_mul(2))?;
            Ok(part)
        })
        .await?;
        let cut = timeout(READ_WITHIN, self.cut(extra, &source, &part)).await;
        let late = || SqlError::TimedOut { what: "read the binlog", after: READ_WITHIN };
        let cut = cut.unwrap_or_else(|_| Err(late().into()))?;
        self.render(extra, &cut, &part).await?;
        let (folder, extra, now) = (self.folder.clone(), extra.clone(), (self.now)());
        on_disk(move || {
            let manifest = manifest(&extra, cut, now, &part)?;
            let path = folder.finish(&part, &manifest)?;
            Ok(archived(&manifest, &path))
        })
        .await
    }

    /// The archive, where it is there and whole. One that is damaged is written anew.
    async fn found(&self, extra: &Extra) -> Result<Option<Archived>, ArchiveError> {
        let (folder, extra) = (self.folder.clone(), extra.clone());
        let found = on_disk(move || {
            let id = extra.id();
            let Some(manifest) = folder.manifest(&id)?.filter(|m| m.gtids == extra.gtids) else {
                return Ok(None);
            };
            folder.verify(&manifest)?;
            Ok(Some(archived(&manifest, &folder.path(&id))))
        })
        .await;
        match found {
            Err(ArchiveError::Damaged { path, why }) => {
                tracing::warn!(path, why, "an archive is damaged and is written anew");
                Ok(None)
            }
            other => other,
        }
    }

    /// The newest file before which nothing wanted came, and the bytes from there to the end of the binlog.
    async fn first_file(&self, extra: &Extra) -> Result<(String, u64), ArchiveError> {
        let mut bytes = 0;
        for file in self.reader.files().await?.into_iter().rev() {
            bytes += file.size;
            if may_begin_with(&self.reader.before(&file.name).await?, &extra.gtids) {
                return Ok((file.name, bytes));
            }
        }
        Err(ArchiveError::Purged(extra.gtids.clone()))
    }

    /// Reads here, writes on a thread that may wait for the disk.
    async fn cut(&self, extra: &Extra, source: &str, part: &Path) -> Result<Cut, ArchiveError> {
        let mut events = self.reader.events(source).await?;
        let (sender, mut receiver) = mpsc::channel(ON_THE_WAY);
        let mut cutter = Cutter::new(part, self.folder.room(), extra.gtids.clone(), source);
        let writing = on_disk(move || {
            while let Some(event) = receiver.blocking_recv() {
                cutter.take(&event)?;
            }
            Ok(cutter)
        });
        let reading = async {
            let sender = sender;
            while let Some(event) = events.next().await? {
                // The writer is gone only with an error of its own.
                if sender.send(event).await.is_err() {
                    break;
                }
            }
            Ok::<_, ArchiveError>(())
        };
        let (written, read) = tokio::join!(writing, reading);
        let cutter = written?;
        read?;
        on_disk(move || cutter.finish()).await
    }

    async fn render(&self, extra: &Extra, cut: &Cut, part: &Path) -> Result<(), ArchiveError> {
        let mut columns = BTreeMap::new();
        for (schema, table) in &cut.tables {
            // Names are a help to the reader: without them columns are numbered.
            let known = self.reader.columns(schema, table).await.unwrap_or_default();
            columns.insert(format!("{schema}.{table}"), known);
        }
        let files = cut.files.iter().map(|f| f.name.clone()).collect();
        let (job, path) = (Job { head: head(extra, cut), files, columns }, part.join(JOB));
        on_disk(move || {
            let text = serde_json::to_vec(&job).map_err(std::io::Error::other);
            text.and_then(|text| std::fs::write(&path, text)).map_err(ArchiveError::at(&path))
        })
        .await?;
        self.run_renderer(part).await?;
        let path = part.join(JOB);
        on_disk(move || std::fs::remove_file(&path).map_err(ArchiveError::at(&path))).await
    }

    async fn run_renderer(&self, part: &Path) -> Result<(), ArchiveError> {
        let mut command = Command::new(&self.program);
        command.arg("render-archive").arg(part).kill_on_drop(true);
        let run = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
        let late = || ArchiveError::Sql(format!("not done within {} s", RENDER_WITHIN.as_secs()));
        let output = timeout(RENDER_WITHIN, run).await.map_err(|_| late())?;
        let output = output.map_err(ArchiveError::at(&self.program))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.lines().next_back().unwrap_or_default().chars().take(SAID_MAX).collect();
        Err(ArchiveError::Sql(format!("{}: {said}", output.status)))
    }
}

impl Archiver for BinlogArchiver {
    fn archive<'a>(&'a self, extra: &'a Extra) -> BoxFuture<'a, Result<Archived, ArchiveError>> {
        self.write(extra).boxed()
    }

    fn show<'a>(&'a self, id: &'a str, sql_max: u64) -> BoxFuture<'a, Result<Option<Shown>, ArchiveError>> {
        let (folder, id) = (self.folder.clone(), id.to_owned());
        on_disk(move || {
            let Some(manifest) = folder.manifest(&id)? else { return Ok(None) };
            let (sql, sql_left) = folder.sql(&id, sql_max)?;
            let path = folder.path(&id).display().to_string();
            Ok(Some(Shown { manifest, path, sql, sql_left }))
        })
        .boxed()
    }
}

/// Work that may wait for the disk, on a thread of its own.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(ArchiveError::Sql(format!("the thread that writes has ended: {error}"))),
    }
}

fn manifest(extra: &Extra, cut: Cut, now: UnixMillis, part: &Path) -> Result<Manifest, ArchiveError> {
    let mut files = cut.files;
    files.push(kept(&part.join(SQL), None)?);
    Ok(Manifest {
        id: extra.id(),
        node: extra.node.clone(),
        epoch: extra.epoch,
        gtids: extra.gtids.clone(),
        transactions: cut.transactions,
        why: why(extra),
        quarantined_ms: extra.since_ms,
        archived_ms: now,
        server_version: cut.server_version,
        files,
    })
}

fn why(extra: &Extra) -> String {
    format!("{} had them and the writer of epoch {} had not", extra.node, extra.epoch)
}

fn head(extra: &Extra, cut: &Cut) -> Vec<String> {
    vec![
        format!("Transactions that {} alone had, archived by Baton before anything may discard them.", extra.node),
        format!("Why: {}.", why(extra)),
        format!("GTID set: {}", extra.gtids),
        format!("Transactions here: {}, from a server {}", cut.transactions, cut.server_version),
        "For reading. Columns have the names that the table gave them when this was written; where it did not say,"
            .to_owned(),
        "they are numbered from @1. The binlog files beside this one have everything, for mysqlbinlog.".to_owned(),
    ]
}

fn archived(manifest: &Manifest, path: &Path) -> Archived {
    Archived {
        bytes: manifest.files.iter().map(|f| f.bytes).sum(),
        path: path.display().to_string(),
        at_ms: manifest.archived_ms,
    }
}
