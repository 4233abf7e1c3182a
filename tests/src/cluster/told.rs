//! What people are told of a fault: a command sink of the cluster's that writes down what it was given.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::sandbox::until;

const FILE: &str = "told.jsonl";
/// For what has to be told. A trouble is told once it has lasted for some seconds.
const TOLD: Duration = Duration::from_secs(20);

/// The section of the configuration.
pub(super) const SECTION: &str = "\n[[alert.command]]\nname = \"told\"\n\
    run = [\"/bin/sh\", \"-c\", \"cat >> {root}/told.jsonl\"]\nseverity = \"info\"\n";

/// What a fault has to be told of as, and what may be told besides, as names of `about` in `docs/alerts.md`. One without a
/// server stands for that of any. Anything else is a false alarm.
#[derive(Debug)]
pub(super) struct Told {
    /// Each of these.
    pub(super) must: &'static [&'static str],
    /// And no other than these: what lasts long enough on a slow machine only, say.
    pub(super) may: Vec<&'static str>,
    /// Of what began since then, in milliseconds since 1970.
    pub(super) since_ms: i64,
}

impl Told {
    /// Waits until all is told that has to be, and sees that nothing else was.
    ///
    /// # Errors
    /// What is missing, or was told without need.
    pub(super) async fn holds(&self, root: &Path) -> Result<()> {
        let missing = async || {
            let told = read(root, self.since_ms)?;
            let missing: Vec<_> = self.must.iter().filter(|name| !told.iter().any(|t| is(t, name))).collect();
            ensure!(missing.is_empty(), "nobody was told of {missing:?}, but of {told:?}");
            Ok(Some(()))
        };
        until("the alerts", TOLD, missing).await?;
        let known: Vec<_> = self.must.iter().chain(&self.may).collect();
        let told = read(root, self.since_ms)?;
        println!("people were told of {told:?}");
        let false_alarms: Vec<_> =
            told.iter().filter(|told| !known.iter().any(|name| is(told, name))).collect();
        ensure!(false_alarms.is_empty(), "a false alarm: {false_alarms:?}; expected are {known:?} alone");
        Ok(())
    }
}

fn is(told: &str, name: &str) -> bool {
    told == name || told.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'))
}

/// Everything that was told until now of what has begun since then, by name.
fn read(root: &Path, since_ms: i64) -> Result<BTreeSet<String>> {
    let file = root.join(FILE);
    if !file.exists() {
        return Ok(BTreeSet::new());
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut told = BTreeSet::new();
    for line in text.lines() {
        let notice: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        if notice["since_ms"].as_i64().context("a notice without a beginning")? < since_ms {
            continue;
        }
        let about = notice["about"].as_array().context("a notice that says nothing of what it is about")?;
        told.extend(about.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    Ok(told)
}
