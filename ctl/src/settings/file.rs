//! `batonctl.toml`; on a node, `baton.toml` does as well.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::user_folder;
use crate::error::Error;

/// What a configuration file says; every key may be absent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ConfigFile {
    /// The cluster's name.
    pub cluster: Option<String>,
    /// Peer addresses.
    pub nodes: Vec<String>,
    /// Where certificate and key lie.
    pub tls: TlsFiles,
    /// Bound on each request.
    pub timeout: Option<Duration>,
}

/// The three files of mutual TLS.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The cluster's CA, PEM.
    pub ca: Option<PathBuf>,
    /// The client's certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    cluster: Option<String>,
    #[serde(default)]
    nodes: Vec<String>,
    #[serde(default)]
    tls: TlsFiles,
    timeout: Option<String>,
}

/// The part of a node's file that also serves us; the node itself checks the rest.
#[derive(Deserialize)]
struct OfNode {
    cluster: OfNodeCluster,
    #[serde(default)]
    node: Vec<OfNodeNode>,
}

#[derive(Deserialize)]
struct OfNodeCluster {
    name: String,
}

#[derive(Deserialize)]
struct OfNodeNode {
    peer: String,
}

impl ConfigFile {
    /// Reads the named file, or else the first of the usual places that there is.
    ///
    /// # Errors
    /// A named file that is absent, and any file that cannot be read or understood.
    pub fn find(named: Option<&Path>) -> Result<Option<Self>, Error> {
        if let Some(path) = named {
            return Self::read(path).map(Some);
        }
        let own = user_folder().map(|folder| folder.join("batonctl.toml"));
        let host = ["/etc/baton/batonctl.toml", "/etc/baton/baton.toml"].map(PathBuf::from);
        for path in own.into_iter().chain(host) {
            match Self::read(&path) {
                Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                other => return other.map(Some),
            }
        }
        Ok(None)
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::File {
            purpose: "configuration",
            path: path.to_owned(),
            source,
            mend: "correct --config or BATON_CONFIG",
        })?;
        Self::parse(&text).map_err(|what| Error::Config { path: path.to_owned(), what })
    }

    /// Understands either file. In a node's file `cluster` is a section, in ours it is a name.
    fn parse(text: &str) -> Result<Self, String> {
        let short = |error: toml::de::Error| where_and_what(&error, text);
        let table: toml::Table = toml::from_str(text).map_err(short)?;
        if table.get("cluster").is_some_and(toml::Value::is_table) {
            let file: OfNode = toml::from_str(text).map_err(short)?;
            let nodes = file.node.into_iter().map(|node| node.peer).collect();
            return Ok(Self { cluster: Some(file.cluster.name), nodes, ..Self::default() });
        }
        let file: Own = toml::from_str(text).map_err(short)?;
        let timeout = match file.timeout {
            Some(text) => {
                Some(humantime::parse_duration(&text).map_err(|error| format!("timeout: {error}"))?)
            }
            None => None,
        };
        Ok(Self { cluster: file.cluster, nodes: file.nodes, tls: file.tls, timeout })
    }
}

/// The line and the words of an error. Its Display draws the line with a marker below it, too much for one line.
pub(super) fn where_and_what(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before.map(|before| before.matches('\n').count() + 1) {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_our_own_file() {
        let file = ConfigFile::parse(
            "cluster = \"shop\"\nnodes = [\"10.0.0.1:7400\", \"10.0.0.2\"]\ntimeout = \"3s\"\n[tls]\nca = \"/x/ca.pem\"\n",
        )
        .unwrap();
        assert_eq!(file.cluster.as_deref(), Some("shop"));
        assert_eq!(file.nodes, ["10.0.0.1:7400", "10.0.0.2"]);
        assert_eq!(file.timeout, Some(Duration::from_secs(3)));
        assert_eq!(file.tls.ca, Some("/x/ca.pem".into()));
    }

    #[test]
    fn reads_a_nodes_file_and_leaves_the_rest_of_it_to_the_node() {
        let text = "[cluster]\nname = \"shop\"\n[[node]]\nname = \"db1\"\npeer = \"10.0.0.1:7400\"\n\
                    [failover]\nlease_ttl = \"1500ms\"\n";
        let file = ConfigFile::parse(text).unwrap();
        assert_eq!((file.cluster.as_deref(), file.nodes), (Some("shop"), vec!["10.0.0.1:7400".to_owned()]));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = ConfigFile::parse("cluster = \"shop\"\nnode = []\n").unwrap_err();
        assert!(error.starts_with("line 2:") && error.contains("`node`"), "{error}");
    }
}
