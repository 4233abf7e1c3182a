//! `baton-node`: the daemon beside a server or on a witness host, its keeper, and the small commands around them.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use baton_node::archive::process as archiving;
use baton_node::backup::process::attend;
use baton_node::config::{Config, ConfigErrors, Loaded, environment, render_check, render_effective};
use baton_node::daemon::{Daemon, Recovery, recover, stop, stop_server};
use baton_node::guard::{boot, keeper};
use baton_node::quarantine::render_folder;
use baton_node::restore::{BackupsArgs, FindArgs, RestoreArgs, Search, backups, find, restore};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

/// Automatic failover for MySQL and MariaDB that loses no acknowledged write.
#[derive(Parser)]
#[command(name = "baton-node", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the node; systemd does this
    Run {
        #[command(flatten)]
        file: File,
        /// One JSON object a line instead of text
        #[arg(long, env = "BATON_LOG_JSON")]
        log_json: bool,
    },
    /// Say what is wrong with the configuration, and where
    CheckConfig(File),
    /// Show every value with its source
    PrintConfig(File),
    /// Refuse to let a server start that would come up open; the server's unit runs this before each start
    CheckBoot {
        /// The server's program with all its arguments
        #[arg(last = true, required = true)]
        server: Vec<String>,
    },
    /// Ready this node for a stop for good; the node's unit runs this before each stop
    Stop {
        #[command(flatten)]
        file: File,
        /// Close the server, if it is the writer; the others move the write role
        #[arg(long)]
        force: bool,
    },
    /// Close the server before its orderly stop, or kill it; the server's unit runs this before each stop
    StopServer {
        #[command(flatten)]
        file: File,
        /// The server's process: systemd's $MAINPID
        #[arg(long)]
        pid: i32,
    },
    /// Start the group anew on this node, when its majority is gone for good; read docs/runbook.md first
    Recover {
        #[command(flatten)]
        file: File,
        /// The node that goes on: this one
        #[arg(long)]
        keep: String,
        /// All other members, separated by commas
        #[arg(long, required = true, value_delimiter = ',')]
        drop: Vec<String>,
        /// Why; it stays in the history, with your name
        #[arg(long)]
        reason: String,
        /// Go on though acknowledged writes may be lost
        #[arg(long)]
        accept_loss: bool,
        /// Show what is known and what would be done, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// The cluster's name, in place of typing it
        #[arg(long, value_name = "CLUSTER")]
        yes_i_mean: Option<String>,
    },
    /// Restore a backup from a store: needs no daemon and no cluster, only the store and a private key
    Restore(Box<RestoreArgs>),
    /// List what a store holds, by its manifests alone
    Backups(BackupsArgs),
    /// Find the transactions in the archive of the binlog that dropped, emptied or changed a table
    Find(Box<FindArgs>),
    /// Writes the SQL of an archive; the daemon starts it
    #[command(hide = true)]
    RenderArchive { folder: PathBuf },
    /// Makes the backup that its input says, or reads one again; the daemon starts it
    #[command(hide = true)]
    Backup,
    /// Archives the binlog as its input says; the daemon starts it
    #[command(hide = true)]
    Archive,
    /// The process that ends a lease without the daemon; the daemon starts it
    #[command(hide = true)]
    Keeper {
        #[arg(long)]
        run_dir: PathBuf,
        #[arg(long, num_args = 1.., allow_hyphen_values = true)]
        hard_fence: Option<Vec<String>>,
    },
}

/// The lowest priority there is.
const RENDER_NICE: i32 = 19;

#[derive(Args)]
struct File {
    /// The configuration file, the same on every node
    #[arg(long, env = "BATON_CONFIG", default_value = "/etc/baton/baton.toml")]
    config: PathBuf,
    /// This node's name in it
    #[arg(long, env = "BATON_NODE")]
    node: String,
}

impl File {
    fn load(&self) -> Result<Loaded, ConfigErrors> {
        Config::load(&self.config, &self.node, &environment())
    }
}

fn main() -> ExitCode {
    match Cli::parse().command {
        // Before any thread exists: the keeper has none.
        Command::Keeper { run_dir, hard_fence } => {
            let options = keeper::KeeperOptions { run_dir, hard_fence_command: hard_fence };
            keep(&options)
        }
        Command::CheckBoot { server } => {
            let (program, arguments) = server.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
            report(boot::check(Path::new(program), arguments).map_err(|e| e.to_string()))
        }
        Command::RenderArchive { folder } => {
            // Beside a server that has its own work to do.
            let _as_it_is = rustix::process::nice(RENDER_NICE);
            report(render_folder(&folder).map_err(|e| e.to_string()))
        }
        Command::Backup => {
            // What it has to say to the daemon goes out by stdout.
            tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).init();
            report(attend())
        }
        Command::Archive => {
            tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).init();
            report(archiving::attend())
        }
        Command::Restore(args) => report(restored(|| restore(&args))),
        Command::Backups(args) => report(restored(|| backups(&args))),
        Command::Find(args) => searched(restored(|| find(&args))),
        Command::CheckConfig(file) => {
            let loaded = file.load();
            println!("{}", render_check(&loaded));
            if loaded.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Command::PrintConfig(file) => report(file.load().map_err(|e| e.to_string()).map(|loaded| {
            print!("{}", render_effective(&loaded));
        })),
        Command::Stop { file, force } => {
            report(small(&file, async |loaded| stop(&loaded, force).await).map(|said| println!("{said}")))
        }
        Command::StopServer { file, pid } => report(
            small(&file, async |loaded| stop_server(&loaded, pid).await).map(|said| println!("{said}")),
        ),
        Command::Recover { file, keep, drop, reason, accept_loss, dry_run, yes_i_mean } => {
            let recovery = Recovery { keep, drop, reason, accept_loss, dry_run, cluster: yes_i_mean };
            report(
                small(&file, async |loaded| recover(&loaded, recovery).await).map(|said| println!("{said}")),
            )
        }
        Command::Run { file, log_json } => {
            start_log(log_json);
            end_on_panic();
            match run(&file) {
                Err(why) if log_json => {
                    error!("{why}");
                    ExitCode::FAILURE
                }
                ended => report(ended),
            }
        }
    }
}

/// The daemon reads the keeper's standard output until it is up, and tells why it is not. Later nobody reads there.
fn keep(options: &keeper::KeeperOptions) -> ExitCode {
    let Err(why) = keeper::run(options) else { return ExitCode::SUCCESS };
    if writeln!(io::stdout(), "{why}").is_err() {
        drop(writeln!(io::stderr(), "baton-node keeper: {why}"));
    }
    ExitCode::FAILURE
}

fn report(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("baton-node: {why}");
            ExitCode::FAILURE
        }
    }
}

/// As grep has it: 1 is nothing, and 2 that nobody can tell.
fn searched(result: Result<Search, String>) -> ExitCode {
    match result {
        Ok(Search::Found) => ExitCode::SUCCESS,
        Ok(Search::Nothing) => ExitCode::from(1),
        Ok(Search::Incomplete) => ExitCode::from(2),
        Err(why) => {
            eprintln!("baton-node: {why}");
            ExitCode::from(2)
        }
    }
}

/// Openraft warns of each heartbeat to a node that is away, several times a second.
const LOGGED: &str = "info,openraft=warn,openraft::core::heartbeat=error,openraft::replication=error,\
                      mysql_async=warn,h2=warn,hyper=warn,tower=warn";

fn start_log(json: bool) {
    let filter = EnvFilter::try_from_env("BATON_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if json {
        log.json().init();
    } else {
        log.with_target(false).with_ansi(io::stderr().is_terminal()).init();
    }
}

/// Buckets are reached over TLS. What is tried again is for a log, which an operator has to ask for.
fn restored<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let filter = EnvFilter::try_from_env("BATON_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false).init();
    work()
}

/// A panicked task must not leave half a daemon behind; systemd starts a whole one.
fn end_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        std::process::abort();
    }));
}

fn run(file: &File) -> Result<(), String> {
    let loaded = file.load().map_err(|e| e.to_string())?;
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return Err("another TLS provider is installed already".into());
    }
    let program =
        std::env::current_exe().map_err(|e| format!("this program's own path cannot be read: {e}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Few and always the same: the node must stay small beside its server.
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("the runtime cannot start: {e}"))?;
    let ended = runtime.block_on(async {
        let daemon = Daemon::start(&loaded, &program).await.map_err(|e| e.to_string())?;
        info!(node = file.node, cluster = loaded.config.cluster.name, "started");
        ready();
        let (mut term, mut int) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
        let mut hup = on(SignalKind::hangup())?;
        let mut usr1 = on(SignalKind::user_defined1())?;
        let (live, steps) = (daemon.reloader(), daemon.steps());
        let reloading = async {
            let mut current = loaded;
            while hup.recv().await.is_some() {
                reload(file, &mut current, &live);
            }
        };
        let stepping = async {
            while usr1.recv().await.is_some() {
                steps.down().await;
            }
        };
        let stop = async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
                () = reloading => {}
                () = stepping => {}
            }
            info!("stopping");
        };
        daemon.run(stop).await
    });
    // The host may have been asked something that it does not answer, a name for example: the process does not stay for it.
    runtime.shutdown_background();
    ended
}

/// A command beside the daemon, on a runtime of its own.
fn small(file: &File, work: impl AsyncFnOnce(Loaded) -> Result<String, String>) -> Result<String, String> {
    let loaded = file.load().map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("the runtime cannot start: {e}"))?;
    runtime.block_on(work(loaded))
}

fn on(kind: SignalKind) -> Result<tokio::signal::unix::Signal, String> {
    signal(kind).map_err(|e| format!("signals cannot be received: {e}"))
}

/// Tells systemd; elsewhere nobody listens.
fn ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        warn!(%error, "systemd could not be told");
    }
}

/// All or none: a file with one key that needs a restart changes nothing.
fn reload(file: &File, current: &mut Loaded, live: &baton_node::daemon::Reloader) {
    let next = match file.load() {
        Ok(next) => next,
        Err(errors) => {
            error!("not reloaded, nothing changed: {errors}");
            return;
        }
    };
    match Config::reload_diff(&current.config, &next.config) {
        Ok(changes) => {
            live.reload(&next.config);
            info!(?changes, "reloaded");
            *current = next;
        }
        Err(refused) => error!("not reloaded, nothing changed: {refused}"),
    }
}
