//! The network between a sandbox's hosts.
//!
//! Every host is a network namespace with one link to a bridge, and the bridge is in a namespace of its own: nothing
//! appears in the machine's own network, and sandboxes do not see each other.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::process::Command;

use super::bounded::output;
use super::host::{Host, HostThread};
use super::links::Links;
use super::namespace_address;
use super::root::Root;

/// The last number of the client's address.
const CLIENT: u8 = 250;
/// How long one `ip` or `nft` call may take on a busy machine.
pub(super) const TOOL_BOUND: Duration = Duration::from_secs(10);

/// What hosts are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// A network namespace each: hosts can be cut off from each other.
    Namespaces,
    /// An address of the loopback network each: nothing can be cut, and no rights are needed.
    Loopback,
}

impl Hosts {
    /// Can hosts be network namespaces here?
    ///
    /// # Errors
    /// Says what is missing: the right to make namespaces, or a program.
    pub fn available() -> Result<(), String> {
        let probe = HostThread::start("probe", true).map_err(|error| {
            format!(
                "{error:#}: be root, or run this in a user namespace: unshare --user --map-root-user --net"
            )
        })?;
        drop(probe);
        for program in ["ip", "nft", "nsenter"] {
            let path = std::env::var_os("PATH").unwrap_or_default();
            if !std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
                return Err(format!(
                    "{program} is not on PATH (/usr/sbin has to be in it): run script/bootstrap"
                ));
            }
        }
        Ok(())
    }

    /// Namespaces where they can be had, else loopback addresses.
    pub fn best() -> Self {
        if Self::available().is_ok() { Self::Namespaces } else { Self::Loopback }
    }
}

/// The threads that hold the namespaces, and the hosts in them.
#[derive(Debug)]
pub(super) struct Network {
    hosts: Vec<Host>,
    threads: Vec<HostThread>,
}

impl Network {
    /// Makes `count` hosts and the client's, all up and connected.
    pub(super) async fn build(kind: Hosts, count: usize, root: &Root) -> Result<Self> {
        let numbers: Vec<u8> = (1..=u8::try_from(count)?).chain([CLIENT]).collect();
        let names: Vec<String> = numbers.iter().map(|number| host_name(*number)).collect();
        let hub = match kind {
            Hosts::Namespaces => {
                Hosts::available()
                    .map_err(|reason| anyhow!("hosts cannot be network namespaces: {reason}"))?;
                Some(HostThread::start("hub", true)?)
            }
            Hosts::Loopback => None,
        };
        let links = match hub.as_ref().and_then(|hub| hub.namespace.clone()) {
            Some(namespace) => Some(Arc::new(Links::new(namespace, names.clone()).await?)),
            None => None,
        };
        let base = loopback_base();
        let mut network = Self { hosts: Vec::new(), threads: Vec::new() };
        for (number, name) in numbers.into_iter().zip(names) {
            let thread = HostThread::start(&name, links.is_some())?;
            let folder = root.path().join(&name);
            fs::create_dir(&folder)?;
            let address = if links.is_some() { namespace_address(number) } else { base(number) };
            if let (Some(links), Some(namespace)) = (&links, &thread.namespace) {
                connect(links, &name, namespace, address).await?;
            }
            network.hosts.push(Host {
                name,
                address,
                folder,
                sandbox: root.id().to_owned(),
                runtime: thread.runtime.clone(),
                namespace: thread.namespace.clone(),
                links: links.clone(),
            });
            network.threads.push(thread);
        }
        network.threads.extend(hub);
        Ok(network)
    }

    /// The hosts and the client's host.
    pub(super) fn hosts(&self) -> (Vec<Host>, Host) {
        let mut hosts = self.hosts.clone();
        let client = hosts.remove(hosts.len() - 1);
        (hosts, client)
    }

    /// The namespaces as `/proc/PID/ns/net` links to: `net:[number]`.
    pub(super) fn namespaces(&self) -> Vec<PathBuf> {
        let paths = self.threads.iter().filter_map(|thread| thread.namespace.as_deref());
        paths.filter_map(|path| fs::read_link(path).ok()).collect()
    }
}

fn host_name(number: u8) -> String {
    match number {
        CLIENT => "client".to_owned(),
        number => format!("h{number}"),
    }
}

/// Links a host's namespace to the bridge.
async fn connect(links: &Links, name: &str, namespace: &Path, address: Ipv4Addr) -> Result<()> {
    let at_bridge = format!(
        "link add {name} type veth peer name eth0 netns {}\n\
         link set {name} master bridge up\n",
        namespace.display()
    );
    ip(links.namespace(), &at_bridge).await.with_context(|| format!("cannot link {name} to the bridge"))?;
    let at_host = format!("link set lo up\naddr add {address}/24 dev eth0\nlink set eth0 up\n");
    ip(namespace, &at_host).await.with_context(|| format!("cannot give {name} its address"))
}

/// Runs `ip` with a batch of commands in a namespace.
pub(super) async fn ip(namespace: &Path, batch: &str) -> Result<()> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", namespace.display())).args(["--", "ip", "-batch", "-"]);
    output(command, batch.as_bytes(), TOOL_BOUND).await.map(drop)
}

/// Addresses for loopback hosts: each sandbox has a net of its own, or two would meet at one port.
fn loopback_base() -> impl Fn(u8) -> Ipv4Addr {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    let third = COUNT.fetch_add(1, Ordering::Relaxed);
    let second = 1 + (std::process::id() % 250) as u8;
    move |number| Ipv4Addr::new(127, second, third, number)
}
