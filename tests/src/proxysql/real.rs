//! A real ProxySQL, in a folder of its own on a host of the sandbox.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::console::Console;
use super::placed::{Changes, Placed, Runtime};
use super::{ADMIN, ProxySqlOptions, READER_GROUP, WRITER_GROUP};
use crate::sandbox::{Account, Host, log_tail, on_path, until, within};

const VERSION_BOUND: Duration = Duration::from_secs(10);
/// It makes its own certificate at the first start.
const START_BOUND: Duration = Duration::from_secs(30);
const STOP_BOUND: Duration = Duration::from_secs(10);
/// Between two looks at who clients are led to.
const LOOK: Duration = Duration::from_millis(30);

/// `proxysql`, if it is on PATH. Says once which kind of instance the tests of this process get.
pub(super) async fn program() -> Result<Option<&'static Path>> {
    static PROGRAM: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    let find = async || {
        let Some(program) = on_path("proxysql") else {
            println!("no proxysql on PATH: a double stands in");
            return Ok(None);
        };
        let mut command = Command::new(&program);
        command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
        let said = within("proxysql --version", VERSION_BOUND, command.output()).await?;
        println!("{}: {}", program.display(), String::from_utf8_lossy(&said.stdout).trim());
        Ok::<_, anyhow::Error>(Some(program))
    };
    Ok(PROGRAM.get_or_try_init(find).await?.as_deref())
}

/// One instance. Dropping it ends it.
#[derive(Debug)]
pub struct Real {
    program: &'static Path,
    host: Host,
    folder: PathBuf,
    options: ProxySqlOptions,
    process: Mutex<Option<Child>>,
    console: Arc<Console>,
    runtime: Arc<watch::Sender<Runtime>>,
    /// Looks at who clients are led to.
    _watching: JoinSet<()>,
}

impl Real {
    /// A new instance.
    ///
    /// # Errors
    /// When it does not start: the message has the end of its log.
    pub(super) async fn start(program: &'static Path, host: &Host, options: ProxySqlOptions) -> Result<Self> {
        let folder = host.folder().join(format!("proxysql-{}", options.port));
        fs::create_dir(&folder)?;
        let console = Arc::new(Console::new(SocketAddr::from((host.address(), options.port))));
        let runtime = Arc::default();
        let mut watching = JoinSet::new();
        watching.spawn_on(keep_watching(Arc::clone(&console), Arc::clone(&runtime)), host.runtime());
        let mut real = Self {
            program,
            host: host.clone(),
            folder,
            options,
            process: Mutex::default(),
            console,
            runtime,
            _watching: watching,
        };
        fs::write(real.config(), real.config_text())?;
        real.launch().await?;
        Ok(real)
    }

    pub(super) async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.launch().await
    }

    pub(super) async fn stop(&mut self) -> Result<()> {
        self.console.hang_up().await;
        let Some(mut process) = self.process().take() else { return Ok(()) };
        within("the end of ProxySQL", STOP_BOUND, process.kill()).await
    }

    pub(super) async fn wipe(&mut self) -> Result<()> {
        self.stop().await?;
        fs::remove_file(self.folder.join("proxysql.db"))?;
        self.launch().await
    }

    pub(super) fn freeze(&self, frozen: bool) -> Result<()> {
        let pid = self.process().as_ref().and_then(Child::id);
        let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).context("it does not run")?;
        Ok(kill_process(pid, if frozen { Signal::STOP } else { Signal::CONT })?)
    }

    pub(super) fn admin(&self) -> SocketAddr {
        SocketAddr::from((self.host.address(), self.options.port))
    }

    pub(super) fn data(&self) -> SocketAddr {
        SocketAddr::from((self.host.address(), self.options.port + 1))
    }

    pub(super) async fn edit(&self, statement: &str) -> Result<()> {
        let (console, statement) = (Arc::clone(&self.console), statement.to_owned());
        self.host.run(async move { console.run(&statement).await }).await
    }

    pub(super) async fn placed(&self) -> Result<Vec<Placed>> {
        let console = Arc::clone(&self.console);
        self.host.run(async move { console.placed().await }).await
    }

    pub(super) fn most_writers(&self) -> usize {
        self.runtime.borrow().most_writers
    }

    pub(super) fn changes(&self) -> Changes {
        Changes::new(&self.runtime)
    }

    /// Whether it ended without being told to.
    pub(super) fn has_crashed(&self) -> bool {
        self.process().as_mut().is_some_and(|process| !matches!(process.try_wait(), Ok(None)))
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn config(&self) -> PathBuf {
        self.folder.join("proxysql.cnf")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Starts the process, and waits until it answers.
    async fn launch(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = self.host.command(self.program);
        // In its own folder: what a crash leaves goes with it.
        command.current_dir(&self.folder).arg("--foreground").arg("-D").arg(&self.folder);
        command.arg("-c").arg(self.config()).stdout(log.try_clone()?).stderr(log);
        *self.process() = Some(command.spawn().context("cannot start ProxySQL")?);
        let up = until("ProxySQL to answer", START_BOUND, async || {
            if self.has_crashed() {
                return Ok(Some(false));
            }
            self.placed().await?;
            let data = self.data();
            self.host.run(async move { Ok(tokio::net::TcpStream::connect(data).await.map(drop)?) }).await?;
            Ok(Some(true))
        });
        let up = match up.await {
            Ok(true) => return Ok(()),
            Ok(false) => anyhow!("ProxySQL exited"),
            Err(error) => error,
        };
        Err(up.context(log_tail(&self.log())))
    }

    /// As whoever set the instance up left it. It is read when there is no database yet.
    fn config_text(&self) -> String {
        let (address, port, data) = (self.host.address(), self.options.port, self.options.port + 1);
        let (folder, app, monitor) = (self.folder.display(), Account::APP, Account::BATON);
        let stays = if self.options.stays_for_ids { 5 } else { 0 };
        let groups = match self.options.monitored {
            true => format!("{{ writer_hostgroup={WRITER_GROUP}, reader_hostgroup={READER_GROUP} }}"),
            false => String::new(),
        };
        format!(
            "datadir=\"{folder}\"\n\
             admin_variables={{ admin_credentials=\"admin:admin;{}:{}\" mysql_ifaces=\"{address}:{port}\" }}\n\
             mysql_variables={{ threads=2 interfaces=\"{address}:{data}\"\n\
             monitor_username=\"{}\" monitor_password=\"{}\"\n\
             monitor_read_only_interval=500 monitor_read_only_timeout=800\n\
             auto_increment_delay_multiplex={stays} query_retries_on_failure=0 }}\n\
             mysql_users=( {{ username=\"{}\", password=\"{}\", default_hostgroup={WRITER_GROUP} }} )\n\
             mysql_replication_hostgroups=( {groups} )\n",
            ADMIN.0, ADMIN.1, monitor.user, monitor.password, app.user, app.password
        )
    }
}

/// One that does not answer leads to whom it did, as far as anybody knows.
async fn keep_watching(console: Arc<Console>, runtime: Arc<watch::Sender<Runtime>>) {
    loop {
        if let Ok(servers) = console.placed().await {
            runtime.send_if_modified(|runtime| {
                runtime.servers != servers
                    && runtime.change(|runtime| {
                        runtime.servers = servers;
                        true
                    })
            });
        }
        sleep(LOOK).await;
    }
}
