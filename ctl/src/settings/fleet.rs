//! `clusters.toml`: every cluster of the house, so that all of them can be asked at once.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::file::{TlsFiles, where_and_what};
use super::{Settings, tls_folder, user_folder, with_port};
use crate::cli::Global;
use crate::error::Error;

/// Bound on the answer of a cluster, when `--timeout` is absent: with the printing, all of them are there within 2 s.
pub const FLEET_TIMEOUT: Duration = Duration::from_millis(1500);

const NAME: &str = "clusters.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    cluster: Vec<Entry>,
    #[serde(default)]
    tls: TlsFiles,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    nodes: Vec<String>,
    #[serde(default)]
    tls: TlsFiles,
}

/// What each cluster of the file needs to be asked, in the file's order. Reads the named file, or else the first of the
/// usual places that there is.
///
/// # Errors
/// A file that is absent, cannot be read or understood, names no cluster, one twice, or one without a node.
pub fn gather(named: Option<&Path>, global: &Global) -> Result<Vec<Settings>, Error> {
    let (path, text) = find(named)?;
    let wrong = |what: String| Error::Config { path: path.clone(), what };
    let file: File = toml::from_str(&text).map_err(|error| wrong(where_and_what(&error, &text)))?;
    if file.cluster.is_empty() {
        return Err(wrong("it names no cluster; write a [[cluster]] with name and nodes".into()));
    }
    let mut names = BTreeSet::new();
    let base = path.parent().unwrap_or(Path::new("."));
    let mut clusters = Vec::new();
    for entry in file.cluster {
        if !names.insert(entry.name.clone()) {
            return Err(wrong(format!("cluster \"{}\" is there twice", entry.name)));
        }
        if entry.nodes.is_empty() {
            return Err(wrong(format!("cluster \"{}\" has no node", entry.name)));
        }
        clusters.push(settings(entry, &file.tls, base, global)?);
    }
    Ok(clusters)
}

fn find(named: Option<&Path>) -> Result<(PathBuf, String), Error> {
    let usual = || user_folder().into_iter().chain([PathBuf::from("/etc/baton")]).map(|f| f.join(NAME));
    let places: Vec<PathBuf> = named.map_or_else(|| usual().collect(), |path| vec![path.to_owned()]);
    let mut absent = None;
    for path in places {
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok((path, text)),
            Err(source) => {
                let is_absent = source.kind() == ErrorKind::NotFound;
                let error = Error::File {
                    purpose: "list of clusters",
                    path,
                    source,
                    mend: "write one, or name it with --file; docs/batonctl.md shows it",
                };
                if !is_absent {
                    return Err(error);
                }
                absent.get_or_insert(error);
            }
        }
    }
    Err(absent.unwrap_or_else(|| Error::usage("which clusters?", "pass --file clusters.toml")))
}

/// The certificate of a cluster: its own words, a folder of its name beside the file, the file's, the usual place.
fn settings(entry: Entry, shared: &TlsFiles, base: &Path, global: &Global) -> Result<Settings, Error> {
    let own = Some(base.join(&entry.name)).filter(|folder| folder.join("ca.pem").exists());
    let place = |named: Option<PathBuf>, shared: &Option<PathBuf>, name: &str| {
        let in_folder = || own.as_ref().map(|folder| folder.join(name));
        let shared = || shared.as_ref().map(|path| base.join(path));
        let named = named.map(|path| base.join(path));
        named.or_else(in_folder).or_else(shared).unwrap_or_else(|| tls_folder().join(name))
    };
    Ok(Settings {
        nodes: entry.nodes.iter().map(|node| with_port(node)).collect::<Result<_, _>>()?,
        ca: place(entry.tls.ca, &shared.ca, "ca.pem"),
        cert: place(entry.tls.cert, &shared.cert, "admin.client.pem"),
        key: place(entry.tls.key, &shared.key, "admin.client.key"),
        timeout: Some(global.timeout.unwrap_or(FLEET_TIMEOUT)),
        cluster: entry.name,
    })
}
