//! The other end of a rebuild on MariaDB: this node reads the server beside it with mariadb-backup and sends what that
//! writes, piece by piece, as fast as the receiver takes it and no faster.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baton_proto::peer::CopyPiece;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tonic::Status;
use tracing::info;

use super::RebuildParts;
use super::backup::Tools;
use crate::backup::account::{AccountFile, LocalAccount, remove as remove_account};
use crate::backup::program::{command, said};
use crate::decide::giving::{Asked, may_give};
use crate::sql::ManagedServer;
use crate::state::{ClusterState, NodeName};

/// The file with the account, in the run directory.
const ACCOUNT: &str = "rebuild-give.cnf";
/// What the program says.
const LOG: &str = "rebuild-give.log";
/// Where the program puts what it needs itself.
const SCRATCH: &str = "rebuild-give";
/// As much as a pipe holds.
const PIECE: usize = 64 << 10;
/// How long a request waits for this node to apply what it is for.
const APPLIED_WITHIN: Duration = Duration::from_secs(5);
/// How long it waits for an earlier one to have ended.
const FREE_WITHIN: Duration = Duration::from_secs(10);
/// After the last byte the program has nothing left to do but to end.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// What a copy is sent as.
pub type Pieces = BoxStream<'static, Result<CopyPiece, Status>>;

/// Gives copies of the server beside this node.
pub struct Donor {
    me: NodeName,
    server: Arc<dyn ManagedServer>,
    states: watch::Receiver<Arc<ClusterState>>,
    tools: Tools,
    account: LocalAccount,
    run: PathBuf,
    /// One copy at a time.
    turn: Arc<Semaphore>,
}

/// A copy under way. Whoever drops it ends the program.
struct Giving {
    child: Child,
    output: ChildStdout,
    states: watch::Receiver<Arc<ClusterState>>,
    me: NodeName,
    asked: Asked,
    total: u64,
    log: PathBuf,
    is_over: bool,
    _account: AccountFile,
    _turn: OwnedSemaphorePermit,
}

impl Donor {
    /// Whoever gave a copy before, and ended in the middle, may have left the account behind.
    pub fn new(
        me: NodeName,
        server: Arc<dyn ManagedServer>,
        states: watch::Receiver<Arc<ClusterState>>,
        parts: &RebuildParts,
    ) -> Self {
        let RebuildParts { tools, account, run, .. } = parts.clone();
        remove_account(&run.join(ACCOUNT));
        Self { me, server, states, tools, account, run, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Begins a copy for another node. It ends by itself when the group no longer wants it.
    ///
    /// # Errors
    /// In words: not agreed on by the group, the programs are missing, or the server cannot be read.
    pub async fn give(&self, asked: Asked) -> Result<Pieces, Status> {
        self.allowed(&asked).await.map_err(Status::permission_denied)?;
        let turn = timeout(FREE_WITHIN, Arc::clone(&self.turn).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Status::unavailable(format!("{} gives another copy just now", self.me)));
        };
        let failed = |why: String| Status::failed_precondition(why);
        let tools = self.tools.find().map_err(|why| failed(format!("{} {why}", self.me)))?;
        let places = self.server.data_places().await.map_err(|e| failed(format!("its server: {e}")))?;
        let total = crate::task::ask_host(move || Some(size_of(&places.data))).await.unwrap_or(0);
        let log = self.run.join(LOG);
        let said_to = File::create(&log).map_err(|e| failed(format!("{}: {e}", log.display())))?;
        let account = AccountFile::write(&self.run.join(ACCOUNT), &self.account).map_err(failed)?;
        let words = tools.give(account.path(), &self.run.join(SCRATCH));
        let started = command(&words, said_to).stdout(std::process::Stdio::piped()).spawn();
        let mut child = started.map_err(|e| failed(format!("mariadb-backup cannot be started: {e}")))?;
        let output = child.stdout.take().ok_or_else(|| failed("mariadb-backup has no output".into()))?;
        info!(to = %asked.by, operation = %asked.operation, attempt = asked.attempt, total, "gives a copy");
        let giving = Giving {
            child,
            output,
            states: self.states.clone(),
            me: self.me.clone(),
            asked,
            total,
            log,
            is_over: false,
            _account: account,
            _turn: turn,
        };
        Ok(try_unfold(giving, Giving::next).boxed())
    }

    /// This node may apply the entry a moment later than the one that asks.
    async fn allowed(&self, asked: &Asked) -> Result<(), String> {
        let mut states = self.states.clone();
        let is_allowed = |state: &Arc<ClusterState>| may_give(state, &self.me, asked).is_ok();
        drop(timeout(APPLIED_WITHIN, states.wait_for(is_allowed)).await);
        may_give(&self.states.borrow(), &self.me, asked)
    }
}

impl Giving {
    /// The next piece; the last one says so, and comes only when the program has ended well.
    async fn next(mut self) -> Result<Option<(CopyPiece, Self)>, Status> {
        if self.is_over {
            return Ok(None);
        }
        let mut data = Vec::with_capacity(PIECE);
        let (me, asked) = (self.me.clone(), self.asked.clone());
        let states = &mut self.states;
        let withdrawn = async {
            let is_withdrawn = |state: &Arc<ClusterState>| may_give(state, &me, &asked).is_err();
            drop(states.wait_for(is_withdrawn).await);
        };
        let read = tokio::select! {
            read = self.output.read_buf(&mut data) => read,
            () = withdrawn => return Err(Status::aborted(format!("{me}: the copy is no longer wanted"))),
        };
        if read.map_err(|e| Status::aborted(format!("mariadb-backup: {e}")))? == 0 {
            let ended = timeout(ENDS_WITHIN, self.child.wait()).await;
            if !matches!(ended, Ok(Ok(status)) if status.success()) {
                return Err(Status::aborted(format!("mariadb-backup: {}", said(&self.log))));
            }
            info!(to = %self.asked.by, "the copy is given");
            self.is_over = true;
        }
        let piece = CopyPiece { data, total: self.total, last: self.is_over };
        Ok(Some((piece, self)))
    }
}

/// Bytes below `folder` that a copy brings along; what cannot be read counts as nothing.
fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size_of(&entry.path()),
        Ok(found) if found.is_file() && is_copied(&entry.file_name().to_string_lossy()) => found.len(),
        Ok(_) | Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Neither logs nor what a server makes anew at its start. An estimate: binlogs may have any name.
fn is_copied(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_numbered = ending.len() >= 6 && ending.bytes().all(|b| b.is_ascii_digit());
    let is_log = is_numbered && !name.starts_with("aria_log");
    !is_log
        && !name.starts_with("ib_logfile")
        && !name.starts_with("ibtmp")
        && !matches!(ending, "log" | "err" | "pid")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_estimate_leaves_logs_out() {
        for name in ["ibdata1", "t.ibd", "undo001", "aria_log.00000001", "t.MAD", "t.frm", "db.opt"] {
            assert!(is_copied(name), "{name}");
        }
        for name in ["binlog.000001", "relay.000123", "ib_logfile0", "ibtmp1", "error.log", "db1.err"] {
            assert!(!is_copied(name), "{name}");
        }
        let folder = std::env::temp_dir().join(format!("baton-size-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("app")).unwrap();
        std::fs::write(folder.join("app/t.ibd"), [0; 7]).unwrap();
        std::fs::write(folder.join("binlog.000001"), [0; 100]).unwrap();
        assert_eq!(size_of(&folder), 7);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
