//! Starts what was restored for a look, and ends it again: on a socket that only this user reaches, without network,
//! replication, events or a binlog, so that nothing is written that would use up a GTID.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::owner::Owner;
use super::progress::Progress;
use super::replay::RELAY;
use crate::backup::program::said;
use crate::gtid::Dialect;
use crate::sql::trial::{Looked, answers, look};
use crate::sql::{Address, Connector, Limits};

/// The recovery of a clone that was made under load, and an upgrade of system tables.
const STARTS_WITHIN: Duration = Duration::from_secs(2 * 3600);
/// It writes back what it has in memory.
const STOPS_WITHIN: Duration = Duration::from_secs(3600);
const LOOK: Duration = Duration::from_millis(200);
/// What mariadb-backup leaves of the options without which InnoDB does not find its way.
const OPTIONS: &str = "backup-my.cnf";
/// Unix sockets have short names: it is not beside the data.
const SOCKET: &str = "sock";
/// Nobody's.
const SERVER_ID: u32 = 4_294_901_762;
/// More threads than that get in each other's way.
const WORKERS_MAX: usize = 16;
/// What the server says.
const LOG: &str = "error.log";

/// What is to be started.
pub(super) struct Trial<'a> {
    pub(super) dialect: Dialect,
    pub(super) program: &'a Path,
    pub(super) data: &'a Path,
    /// An option file in place of what came with the data.
    pub(super) options: Option<&'a Path>,
    pub(super) owner: Option<&'a Owner>,
    /// It replays what is put into this folder.
    pub(super) relays: Option<&'a Path>,
}

/// Starts it, looks at all tables, and ends it.
pub(super) async fn try_out(trial: &Trial<'_>, progress: &Progress) -> Result<Looked, String> {
    with_server(trial, progress, async |connector| {
        progress.stage("checking tables");
        look(connector, |done, all| progress.counted(done, all)).await.map_err(|e| e.to_string())
    })
    .await
}

/// Starts it, does something with it, and ends it.
pub(super) async fn with_server<T>(
    trial: &Trial<'_>,
    progress: &Progress,
    what: impl AsyncFnOnce(&Connector) -> Result<T, String>,
) -> Result<T, String> {
    let place = Place::make(trial.owner)?;
    let mut server = start(trial, &place)?;
    progress.stage("starting the restored server");
    let connector = Connector::new(Address::Socket(place.socket()), "root", String::new().into());
    let connector = connector.with_limits(Limits { connect: Duration::from_secs(10), ..Limits::default() });
    is_up(&place.log(), &mut server, &connector).await?;
    let done = what(&connector).await;
    progress.stage("stopping the restored server");
    stop(&place.log(), server).await?;
    done
}

fn start(trial: &Trial<'_>, place: &Place) -> Result<Child, String> {
    let failed = |e: std::io::Error| format!("{} cannot be written: {e}", place.log().display());
    let log = OpenOptions::new().create_new(true).append(true).open(place.log()).map_err(failed)?;
    if let Some(owner) = trial.owner {
        owner.give(&place.log())?;
    }
    let output = log.try_clone().map_err(failed)?;
    let mut words = words(trial, &place.0).into_iter();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).stdin(Stdio::null()).stdout(output).stderr(log).kill_on_drop(true);
    command.spawn().map_err(|e| format!("{} cannot be started: {e}", trial.program.display()))
}

/// Both families take what comes last on the command line, whatever an option file says.
fn words(trial: &Trial<'_>, place: &Path) -> Vec<OsString> {
    let with = |option: &str, path: &Path| {
        let mut word = OsString::from(option);
        word.push(path);
        word
    };
    let left = trial.data.join(OPTIONS);
    let defaults = match trial.options {
        Some(file) => with("--defaults-file=", file),
        None if left.is_file() => with("--defaults-file=", &left),
        None => "--no-defaults".into(),
    };
    let user = trial.owner.map(|owner| owner.name.clone());
    // As root neither starts without being told so.
    let user = user.or_else(|| geteuid().is_root().then(|| "root".to_owned()));
    let mut words = vec![trial.program.into(), defaults];
    words.extend(user.map(|user| OsString::from(format!("--user={user}"))));
    words.extend([
        with("--datadir=", trial.data),
        with("--socket=", &place.join(SOCKET)),
        with("--pid-file=", &place.join("pid")),
        with("--log-error=", &place.join(LOG)),
        // What is replayed may sort whole tables, and has its own disk for that.
        with("--tmpdir=", trial.relays.unwrap_or(place)),
        "--skip-networking".into(),
        "--skip-grant-tables".into(),
        "--skip-log-bin".into(),
        // Of what it has to apply nothing was written by a server of this id.
        OsString::from(format!("--server-id={SERVER_ID}")),
    ]);
    let own: &[&str] = match trial.dialect {
        Dialect::Mysql => &[
            "--mysqlx=OFF",
            "--skip-replica-start",
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--super-read-only=ON",
        ],
        Dialect::Mariadb => &["--skip-slave-start", "--read-only=ON"],
    };
    words.extend(own.iter().map(OsString::from));
    if let Some(folder) = trial.relays {
        let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().min(WORKERS_MAX));
        words.extend(match trial.dialect {
            Dialect::Mysql => vec![
                format!("--replica-parallel-workers={workers}").into(),
                OsString::from("--replica-skip-errors=OFF"),
                OsString::from("--replica-exec-mode=STRICT"),
            ],
            Dialect::Mariadb => vec![
                // 10.11.18 dies of a signal when several workers apply files that no receiver wrote.
                OsString::from("--slave-parallel-threads=0"),
                OsString::from("--slave-skip-errors=OFF"),
                OsString::from("--slave-exec-mode=STRICT"),
            ],
        });
        words.extend([
            with("--relay-log=", &folder.join(RELAY)),
            with("--relay-log-index=", &folder.join(format!("{RELAY}.index"))),
            "--relay-log-recovery=OFF".into(),
            // What it has is of use only once it has ended in order.
            "--innodb-flush-log-at-trx-commit=0".into(),
        ]);
    }
    words
}

async fn is_up(log: &Path, server: &mut Child, connector: &Connector) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        if let Ok(Some(status)) = server.try_wait() {
            return Err(format!("the restored server ended with {status}: {}", said(log)));
        }
        match answers(connector).await {
            Ok(()) => return Ok(()),
            Err(error) if begun.elapsed() >= STARTS_WITHIN => {
                return Err(format!("the restored server does not answer: {error}; {}", said(log)));
            }
            Err(_) => sleep(LOOK).await,
        }
    }
}

/// Its data is whole only when it has ended by itself.
async fn stop(log: &Path, mut server: Child) -> Result<(), String> {
    let pid = server.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if let Some(pid) = pid {
        // Not waited for yet: its pid is its own.
        kill_process(pid, Signal::TERM).map_err(|e| format!("the restored server cannot be stopped: {e}"))?;
    }
    match timeout(STOPS_WITHIN, server.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("the restored server stopped with {status}: {}", said(log))),
        Ok(Err(error)) => Err(format!("the restored server: {error}")),
        Err(_) => Err(format!("the restored server did not stop within {} s", STOPS_WITHIN.as_secs())),
    }
}

/// A folder for its socket, which goes with it.
struct Place(PathBuf);

impl Place {
    fn make(owner: Option<&Owner>) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("baton-restore-{}", std::process::id()));
        let failed = |e: std::io::Error| format!("{} cannot be made: {e}", path.display());
        DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        let place = Self(path);
        if let Some(owner) = owner {
            owner.give(&place.0)?;
        }
        Ok(place)
    }

    fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }

    fn log(&self) -> PathBuf {
        self.0.join(LOG)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_reaches_it_and_it_writes_nothing_of_its_own() {
        for (dialect, closed) in
            [(Dialect::Mysql, "--super-read-only=ON"), (Dialect::Mariadb, "--read-only=ON")]
        {
            let trial = Trial {
                dialect,
                program: Path::new("/usr/sbin/server"),
                data: Path::new("/nowhere/data"),
                options: None,
                owner: None,
                relays: None,
            };
            let words: Vec<_> = words(&trial, Path::new("/tmp/x"))
                .into_iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            assert_eq!(words[..2], ["/usr/sbin/server", "--no-defaults"], "it has to be named first");
            for word in ["--skip-networking", "--skip-log-bin", "--datadir=/nowhere/data", closed] {
                assert!(words.iter().any(|w| w == word), "{word} in {words:?}");
            }
        }
    }
}
