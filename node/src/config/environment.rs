//! Overrides from the environment: `BATON_FAILOVER_LEASE_TTL=2s` is `failover.lease_ttl`.

use std::collections::BTreeMap;

use toml::Value;

use super::document::closest;
use super::keys::{self, KEYS};
use super::load::Findings;
use super::problem::Place;

/// A value and its variable.
#[derive(Debug)]
pub(super) struct Override {
    pub(super) value: Value,
    pub(super) variable: String,
}

/// This process's `BATON_…` variables, as [`super::Config::load`] takes them. A value that is no UTF-8 is taken with its
/// odd bytes replaced, and refused by the check of its key.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, _)| name.starts_with("BATON_"))
        .collect()
}

/// Picks what concerns the configuration out of the environment, by key path.
///
/// A variable that names a section but no key of it is an error: it is a mistyped key. Other `BATON_…` variables
/// belong to the command line (`BATON_NODE`) and are left alone.
pub(super) fn read(
    env: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> BTreeMap<&'static str, Override> {
    let known: BTreeMap<String, _> = KEYS.iter().map(|key| (key.variable(), key)).collect();
    let mut overrides = BTreeMap::new();
    for (variable, text) in env {
        let place = Place::Environment(variable.clone());
        match known.get(variable) {
            Some(key) => match key.kind.read(text) {
                Ok(value) => {
                    overrides.insert(key.path, Override { value, variable: variable.clone() });
                }
                Err(fault) => findings.error(place, key.path, fault),
            },
            None if names_a_section(variable) => {
                let mend = closest(variable, known.keys().map(String::as_str))
                    .map_or_else(|| "unset it".to_owned(), |known| format!("did you mean {known}?"));
                findings.error(place, "", format!("unknown key; {mend}"));
            }
            None => {}
        }
    }
    overrides
}

fn names_a_section(variable: &str) -> bool {
    let Some(rest) = variable.strip_prefix("BATON_") else { return false };
    keys::sections()
        .any(|section| rest.strip_prefix(&section.to_uppercase()).is_some_and(|rest| rest.starts_with('_')))
}
