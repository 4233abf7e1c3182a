//! SIGHUP: which changes of the file count now, which need a restart, and which are no longer the file's to make.

use std::collections::BTreeMap;

use serde_json::Value;

use super::keys::{KEYS, Scope};
use super::model::Config;

/// One changed value, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its key path.
    pub key: String,
    /// Before; None when it was not set.
    pub old: Option<String>,
    /// Now; None when it is no longer set.
    pub new: Option<String>,
}

/// A reload that may be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reload {
    /// Counts from now on.
    pub live: Vec<Change>,
    /// Differs from what the file said before, while the replicated value goes on: ConfigDiverged.
    pub replicated: Vec<Change>,
}

/// A reload that changes nothing, because some of it would need a restart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} changed, which counts after a restart of the daemon only", keys(.restart))]
pub struct ReloadRefused {
    /// What needs the restart.
    pub restart: Vec<Change>,
}

fn keys(changes: &[Change]) -> String {
    changes.iter().map(|change| change.key.as_str()).collect::<Vec<_>>().join(", ")
}

impl Config {
    /// Compares two configurations of one node.
    ///
    /// # Errors
    /// A key changed that needs a restart: then no other change may be taken over either.
    pub fn reload_diff(old: &Self, new: &Self) -> Result<Reload, ReloadRefused> {
        let (old, new) = (flat(old), flat(new));
        let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
        paths.sort();
        paths.dedup();
        let mut reload = Reload::default();
        let mut restart = Vec::new();
        for key in paths.into_iter().filter(|key| old.get(*key) != new.get(*key)) {
            let change = Change { key: key.clone(), old: old.get(key).cloned(), new: new.get(key).cloned() };
            match scope(key) {
                Scope::Live => reload.live.push(change),
                Scope::Replicated => reload.replicated.push(change),
                Scope::Restart => restart.push(change),
            }
        }
        if restart.is_empty() { Ok(reload) } else { Err(ReloadRefused { restart }) }
    }
}

/// Whatever stands under `node` is membership, which is replicated.
fn scope(path: &str) -> Scope {
    KEYS.iter().find(|key| key.path == path).map_or(Scope::Replicated, |key| key.scope)
}

/// Every set value as text, by key path; those of a node under `node.NAME.`.
pub(super) fn flat(config: &Config) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let Ok(Value::Object(sections)) = serde_json::to_value(config) else { return values };
    for (section, content) in sections {
        match content {
            Value::Object(entries) => {
                values.extend(
                    entries.into_iter().map(|(key, item)| (format!("{section}.{key}"), literal(&item))),
                );
            }
            Value::Array(nodes) => {
                for (node, entry) in config.nodes.iter().zip(nodes) {
                    let entries = entry.as_object().into_iter().flatten();
                    values.extend(
                        entries.map(|(key, item)| (format!("{section}.{}.{key}", node.name), literal(item))),
                    );
                }
            }
            _ => {}
        }
    }
    values
}

/// As TOML writes it: for texts, numbers, flags and lists of texts the same as JSON.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        plain => plain.to_string(),
    }
}
