//! Where the cluster is and how to prove who we are: command line over environment over file over default.

mod file;
pub mod fleet;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use file::ConfigFile;

use crate::cli::Global;
use crate::error::Error;

/// The port a node's peer address has when none is written.
pub const DEFAULT_PORT: u16 = 7400;

/// Bound on a question, when `--timeout` is absent: three times what a group takes to elect a leader.
pub const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Bound on a change, when `--timeout` is absent: a failover may wait for a candidate to apply what it received
/// (30 s by default) and for the lease of the old writer.
pub const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Everything that a connection needs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cluster's name, part of every certificate.
    pub cluster: String,
    /// Peer addresses, `HOST:PORT`, at least one.
    pub nodes: Vec<String>,
    /// The cluster's CA, PEM.
    pub ca: PathBuf,
    /// Our certificate, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// `--timeout`, where it was given.
    pub timeout: Option<Duration>,
}

impl Settings {
    /// Puts the settings together. Reads the configuration file, and of the certificates only whether they are there.
    ///
    /// # Errors
    /// A file that was named and cannot be read, a key in it that does not exist, no cluster name, no node.
    pub fn gather(global: &Global) -> Result<Self, Error> {
        let file = ConfigFile::find(global.config.as_deref())?.unwrap_or_default();
        let cluster = global.cluster.clone().or(file.cluster).ok_or_else(|| {
            Error::usage(
                "which cluster? Its name is part of the certificates",
                "pass --cluster NAME, or write `cluster = \"NAME\"` into batonctl.toml",
            )
        })?;
        let nodes = if global.node.is_empty() { file.nodes } else { global.node.clone() };
        if nodes.is_empty() {
            return Err(Error::usage(
                "which nodes? No address is known",
                "pass --node HOST:PORT, or write `nodes = [\"HOST:PORT\"]` into batonctl.toml",
            ));
        }
        let nodes = nodes.iter().map(|node| with_port(node)).collect::<Result<_, _>>()?;
        let timeout = global.timeout.or(file.timeout);
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(Error::usage(
                "a timeout of no length lets nothing answer",
                "pass for example --timeout 5s",
            ));
        }
        let folder = tls_folder();
        let place = |flag: &Option<PathBuf>, from_file: Option<PathBuf>, name: &str| {
            flag.clone().or(from_file).unwrap_or_else(|| folder.join(name))
        };
        Ok(Self {
            cluster,
            nodes,
            ca: place(&global.ca, file.tls.ca, "ca.pem"),
            cert: place(&global.cert, file.tls.cert, "admin.client.pem"),
            key: place(&global.key, file.tls.key, "admin.client.key"),
            timeout,
        })
    }
}

/// `~/.config/baton` where an operator keeps his own certificate, else the folder of the node on this host.
fn tls_folder() -> PathBuf {
    let own = user_folder().filter(|folder| folder.join("admin.client.pem").exists());
    own.unwrap_or_else(|| PathBuf::from("/etc/baton/tls"))
}

/// `$XDG_CONFIG_HOME/baton`, or `~/.config/baton`.
fn user_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = set("XDG_CONFIG_HOME").map(PathBuf::from);
    base.or_else(|| set("HOME").map(|home| Path::new(&home).join(".config"))).map(|base| base.join("baton"))
}

/// Adds the default port where there is none. IPv6 addresses stand in brackets, as everywhere in a URL.
fn with_port(node: &str) -> Result<String, Error> {
    let wrong = || {
        Error::usage(
            format!("\"{node}\" is not a node's address"),
            "write HOST, HOST:PORT or [IPV6]:PORT, as `peer` in baton.toml",
        )
    };
    let (host, port) = match node.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (node, DEFAULT_PORT),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.contains(['/', ' ', '@']) || (host.contains(':') && !bracketed) {
        return Err(wrong());
    }
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_node_without_a_port_gets_the_default() {
        assert_eq!(with_port("db1").unwrap(), "db1:7400");
        assert_eq!(with_port("10.0.0.1:7500").unwrap(), "10.0.0.1:7500");
        assert_eq!(with_port("[fd00::1]").unwrap(), "[fd00::1]:7400");
        assert_eq!(with_port("[fd00::1]:7500").unwrap(), "[fd00::1]:7500");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in ["", ":7400", "db1:port", "db1:99999", "https://db1:7400", "fd00::1", "a b"] {
            assert!(with_port(wrong).is_err(), "{wrong:?} was taken for an address");
        }
    }
}
