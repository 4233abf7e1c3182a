//! One host of a sandbox.

use std::ffi::OsStr;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, gettid, move_into_link_name_space};
use tokio::process::Command;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::links::Links;
use super::members::{HOST, Members, SANDBOX};

/// A host: an address, a folder, and a place where programs and sockets are this host's own. Cloning it gives another
/// handle to the same host.
#[derive(Debug, Clone)]
pub struct Host {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    pub(super) folder: PathBuf,
    pub(super) sandbox: String,
    pub(super) runtime: Handle,
    /// `None` where the host is but a loopback address.
    pub(super) namespace: Option<PathBuf>,
    pub(super) links: Option<Arc<Links>>,
}

impl Host {
    /// `h1`, `h2` …, or `client`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host's address, which the sandbox's other hosts reach it by.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A folder for what runs on this host.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The host's network namespace as a path for `nsenter --net=…`, `None` where there are no namespaces.
    pub fn namespace(&self) -> Option<&Path> {
        self.namespace.as_deref()
    }

    /// A command that runs `program` on this host, in a process group of its own. The child's pid is the program's own.
    /// The child is killed when its handle is dropped, and at the latest with the sandbox, with all it started.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut option = std::ffi::OsString::from("--net=");
                option.push(namespace);
                let mut command = Command::new("nsenter");
                command.arg(option).arg("--").arg(program);
                command
            }
            None => Command::new(program),
        };
        command.env(SANDBOX, &self.sandbox).env(HOST, format!("{}/{}", self.sandbox, self.name));
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        command
    }

    /// All processes on this host, however they were started. The test's own threads are not among them.
    pub(super) fn members(&self) -> Members {
        let namespace = self.namespace.as_ref().and_then(|path| std::fs::read_link(path).ok());
        Members::of_host(&self.sandbox, &self.name, namespace)
    }

    /// The pids of all processes on this host, however they were started.
    pub fn processes(&self) -> Vec<u32> {
        self.members().pids().iter().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()).collect()
    }

    /// The runtime on which sockets are this host's own. It has one thread: blocking it stops all that runs there.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs `work` on [`Host::runtime`] and waits for it. When the caller is dropped, `work` is ended.
    ///
    /// # Errors
    /// What `work` fails with, or that it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn_on(work, &self.runtime);
        match tasks.join_next().await {
            Some(ended) => ended.with_context(|| format!("on {}", self.name))?,
            None => Err(anyhow!("nothing ran on {}", self.name)),
        }
    }

    /// Runs a blocking `closure` on a thread of its own whose sockets are this host's, and waits for it.
    ///
    /// # Errors
    /// What `closure` fails with, or that the thread cannot enter the namespace.
    pub async fn enter<T: Send + 'static>(
        &self,
        closure: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let namespace = self.namespace.clone();
        let (done, result) = oneshot::channel();
        // Not a pooled blocking thread: it would take the namespace along into the next one's work.
        std::thread::Builder::new().name(format!("in-{}", self.name)).spawn(move || {
            let outcome = enter_namespace(namespace.as_deref()).and_then(|()| closure());
            // Nobody may be waiting any more.
            let _ = done.send(outcome);
        })?;
        result.await.map_err(|_| anyhow!("the closure on {} panicked", self.name))?
    }
}

fn enter_namespace(namespace: Option<&Path>) -> Result<()> {
    if let Some(path) = namespace {
        let link = File::open(path).with_context(|| format!("no namespace {}", path.display()))?;
        move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network))?;
    }
    Ok(())
}

/// A thread with a current-thread runtime, and with a network namespace that lives as long as it (or a process in it)
/// does. So namespaces need no names, and none is left when the test's process dies.
#[derive(Debug)]
pub(super) struct HostThread {
    pub(super) runtime: Handle,
    /// Path of the namespace for other processes to open.
    pub(super) namespace: Option<PathBuf>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HostThread {
    pub(super) fn start(name: &str, own_namespace: bool) -> Result<Self> {
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(format!("host-{name}")).spawn(move || {
            let made = own_namespace.then(unshare_network).transpose();
            let made = made.and_then(|namespace| {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                Ok((namespace, runtime))
            });
            let runtime = match made {
                Ok((namespace, runtime)) => {
                    let handle = runtime.handle().clone();
                    if started.send(Ok((namespace, handle))).is_err() {
                        return;
                    }
                    runtime
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            // An error says that the handle was dropped, which is a stop as well.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        let (namespace, runtime) = start.recv().map_err(|_| anyhow!("the thread of host {name} died"))??;
        Ok(Self { runtime, namespace, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for HostThread {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Moves the calling thread into a new network namespace, and names it.
fn unshare_network() -> Result<PathBuf> {
    // Deprecated for the one flag that can break file descriptors of other threads, FILES; this is not it.
    #[allow(deprecated)]
    rustix::thread::unshare(UnshareFlags::NEWNET).context("cannot make a network namespace")?;
    Ok(PathBuf::from(format!("/proc/{}/task/{}/ns/net", std::process::id(), gettid().as_raw_nonzero())))
}
