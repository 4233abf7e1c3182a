//! A real server on a host.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use super::SERVER_PORT;
use super::bounded::{until, within};
use super::dialect::{Account, Dialect};
use super::disk::Disk;
use super::host::Host;
use super::option_file::{Place, option_file};
use super::programs::Programs;
use super::template::copy_data;
use super::unit;

/// How long a server may take to accept connections: a second usually, more after a crash on a busy machine.
const START_BOUND: Duration = Duration::from_secs(60);
const STOP_BOUND: Duration = Duration::from_secs(30);
const CONNECT_BOUND: Duration = Duration::from_secs(5);
const STATEMENT_BOUND: Duration = Duration::from_secs(20);
/// How much of an error log goes into an error message.
const TAIL_BYTES: u64 = 12_000;

/// A server: its data, its option file and, when it is started, its process.
#[derive(Debug)]
pub struct Server {
    host: Host,
    dialect: Dialect,
    server_id: u32,
    programs: Programs,
    folder: PathBuf,
    disk: Option<Disk>,
    process: Option<Child>,
}

impl Server {
    /// Gives the host a data directory, on a file system of its own if asked for, and an option file. Servers made with the same options have the same data.
    ///
    /// # Errors
    /// When the server is not on this machine or its data directory cannot be made.
    pub async fn create(
        host: &Host,
        dialect: Dialect,
        server_id: u32,
        has_disk: bool,
        extra_options: &[String],
    ) -> Result<Self> {
        let programs = Programs::locate(dialect).await?;
        let folder = host.folder().to_owned();
        let data = folder.join("data");
        let disk = match has_disk {
            true => {
                let at = folder.join("disk");
                let disk = Disk::mount(&folder.join("disk.image"), &at).await?;
                copy_data(dialect, &programs, extra_options, &at.join("data")).await?;
                symlink(at.join("data"), &data)?;
                Some(disk)
            }
            false => {
                copy_data(dialect, &programs, extra_options, &data).await?;
                None
            }
        };
        let place = Place { folder: &folder, address: host.address(), server_id };
        fs::write(folder.join("my.cnf"), option_file(dialect, &programs, &place, extra_options))?;
        unit::write(&folder, &programs)?;
        Ok(Self { host: host.clone(), dialect, server_id, programs, folder, disk, process: None })
    }

    /// The host it is on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its family.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Its `server_id`.
    pub fn server_id(&self) -> u32 {
        self.server_id
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.host.address(), SERVER_PORT))
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("mysqld.sock")
    }

    /// Its data directory.
    pub fn data_directory(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Whether a program that copies its data waits at its end for as long as this is on.
    ///
    /// # Errors
    /// When the file cannot be written or removed.
    pub fn hold_copy(&self, on: bool) -> Result<()> {
        self.hold(unit::HOLD_COPY, on)
    }

    /// Whether the command by which its node stops it waits at its end for as long as this is on.
    ///
    /// # Errors
    /// When the file cannot be written or removed.
    pub fn hold_stop(&self, on: bool) -> Result<()> {
        self.hold(unit::HOLD_STOP, on)
    }

    fn hold(&self, name: &str, on: bool) -> Result<()> {
        let hold = self.folder.join(name);
        let done = if on { fs::write(&hold, "") } else { fs::remove_file(&hold) };
        done.with_context(|| format!("cannot change {}", hold.display()))
    }

    /// Whether it runs, by its pid file, which an orderly stop removes: also where its node has started it.
    pub fn has_pid_file(&self) -> bool {
        self.folder.join("mysqld.pid").exists()
    }

    /// The file system that only its data are on.
    ///
    /// # Errors
    /// When they are on no such.
    pub fn disk(&self) -> Result<&Disk> {
        self.disk
            .as_ref()
            .with_context(|| format!("the server on {} has no disk of its own", self.host.name()))
    }

    /// Its option file, read at each start.
    pub fn option_file(&self) -> PathBuf {
        self.folder.join("my.cnf")
    }

    /// Its process's id, `None` when it is not running.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    /// Starts the server and waits until it accepts connections on its socket and its port.
    ///
    /// # Errors
    /// When it exits, or does not accept connections in time; the message has the end of its error log.
    pub async fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.ready().await
    }

    /// Starts the server's process and does not wait for anything.
    ///
    /// # Errors
    /// When it runs already, or cannot be started.
    pub fn launch(&mut self) -> Result<()> {
        if self.exited()?.is_none() {
            bail!("the server on {} runs already (pid {:?})", self.host.name(), self.pid());
        }
        let out = OpenOptions::new().create(true).append(true).open(self.folder.join("server.out"))?;
        let mut option = std::ffi::OsString::from("--defaults-file=");
        option.push(self.option_file());
        let mut command = self.host.command(self.programs.server());
        command.arg(option).stdout(out.try_clone()?).stderr(out).stdin(Stdio::null());
        self.process = Some(command.spawn().context("cannot start the server")?);
        Ok(())
    }

    /// Waits until the server, once launched, accepts connections on its socket and its port.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn ready(&mut self) -> Result<()> {
        let (socket, address) = (self.socket(), self.address());
        let (host, process) = (self.host.clone(), &mut self.process);
        let up = until("the server to accept connections", START_BOUND, async || {
            if let Some(process) = process.as_mut()
                && let Some(status) = process.try_wait()?
            {
                return Ok(Some(Err(status)));
            }
            Conn::new(root_options(&socket)).await?.disconnect().await?;
            host.run(async move {
                Ok(Conn::new(tcp_options(address, Account::BATON)).await?.disconnect().await?)
            })
            .await?;
            Ok(Some(Ok(())))
        })
        .await;
        let up = match up {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(status)) => anyhow!("the server exited: {status}"),
            Err(error) => error,
        };
        Err(up.context(format!(
            "{} {} does not start{}",
            self.host.name(),
            self.dialect,
            self.error_log_tail()
        )))
    }

    /// Sends a signal to the server's process.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.with_context(|| format!("no server runs on {}", self.host.name()))?;
        // Not reused meanwhile: the process, even dead, keeps its pid until we wait for it.
        kill_process(pid, signal).with_context(|| format!("cannot send {signal:?} to {pid:?}"))
    }

    /// Is the server's process at its end, and how did it end? Success when none was ever started. A process that ended
    /// by itself, or that somebody else killed, is seen here; [`Server::pid`] goes on naming it until then.
    ///
    /// # Errors
    /// When the process cannot be asked about.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        let Some(process) = self.process.as_mut() else { return Ok(Some(ExitStatus::default())) };
        let status = process.try_wait()?;
        if status.is_some() {
            self.process = None;
        }
        Ok(status)
    }

    /// Waits for the end of the server's process.
    ///
    /// # Errors
    /// When none was started, or it goes on for longer than `bound`.
    pub async fn wait_exit(&mut self, bound: Duration) -> Result<ExitStatus> {
        let process =
            self.process.as_mut().with_context(|| format!("no server runs on {}", self.host.name()))?;
        let status = within("the server's exit", bound, process.wait()).await?;
        self.process = None;
        Ok(status)
    }

    /// Stops the server in an orderly way if it runs, and starts it again.
    ///
    /// # Errors
    /// When it does not stop in time, or does not start.
    pub async fn restart(&mut self) -> Result<()> {
        if self.exited()?.is_none() {
            self.kill(Signal::TERM)?;
            self.wait_exit(STOP_BOUND).await?;
        }
        self.start().await
    }

    /// A connection as root through the socket: possible whatever the network does.
    ///
    /// # Errors
    /// When the server does not answer in time.
    pub async fn connect(&self) -> Result<Conn> {
        let what = format!("connecting to {}", self.host.name());
        within(&what, CONNECT_BOUND, Conn::new(root_options(&self.socket()))).await
    }

    /// Whether it accepts a connection of root through its socket now.
    pub async fn answers(&self) -> bool {
        self.connect().await.is_ok()
    }

    /// Runs statements as root, one after another on one connection.
    ///
    /// # Errors
    /// The first failure, with its statement.
    pub async fn execute<S: AsRef<str>>(&self, statements: impl IntoIterator<Item = S>) -> Result<()> {
        let mut connection = self.connect().await?;
        for statement in statements {
            let statement = statement.as_ref();
            let what = format!("{}: {statement}", self.host.name());
            within(&what, STATEMENT_BOUND, connection.query_drop(statement)).await?;
        }
        // As in `query`.
        drop(within("disconnecting", CONNECT_BOUND, connection.disconnect()).await);
        Ok(())
    }

    /// The rows of one query as root.
    ///
    /// # Errors
    /// When it fails or takes too long. Panics when a row is not a `T`.
    pub async fn query<T: FromRow + Send + 'static>(&self, query: &str) -> Result<Vec<T>> {
        let mut connection = self.connect().await?;
        let what = format!("{}: {query}", self.host.name());
        let rows = within(&what, STATEMENT_BOUND, connection.query(query)).await?;
        // A server that Baton closes in this moment has ended the session already.
        drop(within("disconnecting", CONNECT_BOUND, connection.disconnect()).await);
        Ok(rows)
    }

    /// The value of a status variable, empty when there is none of this name.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn status(&self, name: &str) -> Result<String> {
        let rows: Vec<(String, String)> = self.query(&format!("SHOW GLOBAL STATUS LIKE '{name}'")).await?;
        Ok(rows.into_iter().next().map(|row| row.1).unwrap_or_default())
    }

    /// The GTID set of what the server has committed, as it prints it.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn executed(&self) -> Result<String> {
        let query = match self.dialect {
            Dialect::MySql => "SELECT @@GLOBAL.gtid_executed",
            Dialect::MariaDb => "SELECT @@GLOBAL.gtid_current_pos",
        };
        let rows: Vec<String> = self.query(query).await?;
        rows.into_iter().next().context("the server has no GTID set")
    }

    /// The end of the server's error log, on a line of its own, for error messages.
    pub fn error_log_tail(&self) -> String {
        log_tail(&self.folder.join("error.log"))
    }
}

fn root_options(socket: &Path) -> Opts {
    let socket = socket.to_string_lossy().into_owned();
    base_options().socket(Some(socket)).user(Some("root")).into()
}

/// Options for a connection over TCP.
pub(crate) fn tcp_options(address: SocketAddr, account: Account) -> Opts {
    base_options()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some(account.user))
        .pass(Some(account.password))
        .into()
}

/// The last two spare a question after each connect.
fn base_options() -> OptsBuilder {
    OptsBuilder::default().prefer_socket(false).max_allowed_packet(Some(16 << 20)).wait_timeout(Some(28_800))
}

/// The end of a log, or why there is none, beginning with a line break.
pub fn log_tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Ok(text) => format!("\n--- {} ---\n{text}", log.display()),
        Err(error) => format!("\n({}: {error})", log.display()),
    }
}
