//! SIGHUP: which changes of the file count now, which need a restart, and which are no longer the file's to make.

use std::collections::BTreeMap;

use serde_json::Value;

use super::keys::{self, KEYS, Key, List, Scope};
use super::kind::Kind;
use super::model::Config;

/// In place of a value that is not shown.
const HIDDEN: &str = "…";

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
            let shown = |value: Option<&String>| {
                if is_secret(key) { value.map(|_| HIDDEN.into()) } else { value.cloned() }
            };
            let change = Change { key: key.clone(), old: shown(old.get(key)), new: shown(new.get(key)) };
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
    key_of(path).map_or(Scope::Replicated, |key| key.scope)
}

/// Whether a change of it is logged without the value: an address may be one that whoever knows it can use.
fn is_secret(path: &str) -> bool {
    key_of(path).is_some_and(|key| matches!(key.kind, Kind::Url))
}

/// `section.key`, or `section.NAME.key` in a list.
fn key_of(path: &str) -> Option<&'static Key> {
    let of_list = || {
        let (entry, key_name) = path.rsplit_once('.')?;
        let (section, _) = entry.rsplit_once('.')?;
        keys::list(section)?.keys.iter().find(|key| key.path == key_name)
    };
    KEYS.iter().find(|key| key.path == path).or_else(of_list)
}

/// Every set value as text, by key path; those of a list's entry under `section.NAME.`.
pub(super) fn flat(config: &Config) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let Ok(Value::Object(sections)) = serde_json::to_value(config) else { return values };
    for (section, content) in sections {
        match content {
            Value::Object(entries) => {
                for (key, item) in entries {
                    let path = format!("{section}.{key}");
                    match (keys::list(&path), item) {
                        (Some(list), Value::Array(items)) => flat_list(list, &items, &mut values),
                        (_, item) => drop(values.insert(path, literal(&item))),
                    }
                }
            }
            Value::Array(items) => {
                if let Some(list) = keys::list(&section) {
                    flat_list(list, &items, &mut values);
                }
            }
            _ => {}
        }
    }
    values
}

fn flat_list(list: &List, items: &[Value], values: &mut BTreeMap<String, String>) {
    for entry in items.iter().filter_map(Value::as_object) {
        let name = list.keys.first().and_then(|key| entry.get(key.path)).map(plain).unwrap_or_default();
        let section = list.section;
        values.extend(entry.iter().map(|(key, item)| (format!("{section}.{name}.{key}"), literal(item))));
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// As TOML writes it: for texts, numbers, flags and lists of texts the same as JSON.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        plain => plain.to_string(),
    }
}
