//! Sends a running server, which has the backup's dump, what follows it: as SQL that the family's own program makes of the
//! segments, over one connection. It has one thread, and MariaDB cannot take XA transactions in this way that wait prepared
//! while others go on.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, copy};
use tokio::process::{Child, ChildStdin};
use tokio::time::timeout;

use super::apply::{cut, left};
use super::gather::{Part, Ready};
use super::until::position;
use crate::backup::manifest::Manifest;
use crate::backup::program::{command, said};
use crate::gtid::{Dialect, GtidSet};
use crate::restore::flow::{Source, ended, started};
use crate::restore::progress::Progress;
use crate::sql::Connector;
use crate::sql::loading::receiver;

/// After the last statement was sent the client waits for the largest transaction at most.
const ENDS_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// A segment that is not taken for so long is not taken any more.
const SENT_WITHIN: Duration = Duration::from_secs(24 * 3600);
const SEGMENT: &str = "segment";
const CLIENT_LOG: &str = "client.log";
const READER_LOG: &str = "reader.log";

/// What is sent, and by which programs.
pub(in crate::restore) struct Sending<'a> {
    pub(in crate::restore) ready: &'a Ready,
    pub(in crate::restore) source: &'a Source,
    /// A folder for what ends with it.
    pub(in crate::restore) scratch: &'a Path,
    /// `mysqlbinlog` or `mariadb-binlog`.
    pub(in crate::restore) reader: &'a Path,
    /// The client as it is called.
    pub(in crate::restore) client: &'a [OsString],
}

impl Sending<'_> {
    /// Sends all of it to a server that has just got the dump `last`.
    ///
    /// # Errors
    /// In words; the server has a part then.
    pub(in crate::restore) async fn run(
        &self,
        last: &Manifest,
        connector: &Connector,
        progress: &Progress,
    ) -> Result<(), String> {
        let base = position(last).ok_or("nobody knows which transactions the dump has")?;
        let parts = left(self.ready, &base)?;
        let log = self.scratch.join(CLIENT_LOG);
        progress.stage("replaying");
        let mut client = started(self.client, &log, Stdio::piped())?;
        let mut input = client.stdin.take().ok_or("the client has no input")?;
        let total: u64 = parts.iter().map(|part| part.entry.stream.bytes).sum();
        let mut bytes = 0;
        for part in &parts {
            let sent = timeout(SENT_WITHIN, self.send(part, &mut input)).await;
            if let Err(why) = sent.unwrap_or_else(|_| Err("the server takes no more".to_owned())) {
                return Err(refused(client, &log, why).await);
            }
            bytes += part.entry.stream.bytes;
            progress.moved(bytes, total);
        }
        input.shutdown().await.map_err(|e| format!("the client's input: {e}"))?;
        drop(input);
        ended(client, "the client", &log, ENDS_WITHIN).await?;
        if base.dialect() == Dialect::Mariadb {
            // What does not come into its binlog it notes nowhere.
            return Ok(());
        }
        let has = receiver(connector).await.map_err(|e| e.to_string())?.gtids;
        let has = GtidSet::parse_mysql(&has).map_err(|e| e.to_string())?;
        let lacks = self.ready.goal.subtract(&has).map_err(|e| e.to_string())?;
        if lacks.is_empty() { Ok(()) } else { Err(format!("the server lacks {lacks}, which it was sent")) }
    }

    async fn send(&self, part: &Part, input: &mut ChildStdin) -> Result<(), String> {
        let path = self.scratch.join(SEGMENT);
        cut(self.source, part, &path).await?;
        let log: PathBuf = self.scratch.join(READER_LOG);
        let file = fs::File::create(&log).map_err(|e| format!("{} cannot be written: {e}", log.display()))?;
        let words = [self.reader.into(), "--no-defaults".into(), path.clone().into_os_string()];
        let mut reader = command(&words, file).stdout(Stdio::piped()).spawn();
        let reader =
            reader.as_mut().map_err(|e| format!("{} cannot be started: {e}", self.reader.display()))?;
        let mut output = reader.stdout.take().ok_or("it has no output")?;
        copy(&mut output, input).await.map_err(|e| format!("the client takes no more: {e}"))?;
        let status = reader.wait().await.map_err(|e| e.to_string())?;
        if !status.success() {
            return Err(format!("{} ended with {status}: {}", self.reader.display(), said(&log)));
        }
        fs::remove_file(&path).map_err(|e| format!("{} cannot be removed: {e}", path.display()))
    }
}

/// What the client says when it ends is why, where it has ended.
async fn refused(client: Child, log: &Path, why: String) -> String {
    match ended(client, "the client", log, Duration::from_secs(5)).await {
        Err(said) if !said.contains("was not done within") => said,
        _ => why,
    }
}
