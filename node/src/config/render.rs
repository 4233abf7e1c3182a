//! `check-config`, `print-config` and the reference of all keys, as text.

use std::fmt::Write as _;

use super::keys::{self, KEYS, Key, NODE_KEYS, Preset, Scope};
use super::load::{Loaded, Origin};
use super::problem::ConfigErrors;
use super::reload::flat;

/// The whole configuration as a TOML file that would give it again, each value with its source.
#[must_use]
pub fn render_effective(loaded: &Loaded) -> String {
    let values = flat(&loaded.config);
    let mut text = format!("# {} as node {} uses it\n", loaded.path.display(), loaded.me.name);
    for section in keys::sections() {
        let rows: Vec<Row> = KEYS
            .iter()
            .filter(|key| key.section() == section)
            .map(|key| Row::new(key, values.get(key.path), loaded.origins.get(key.path)))
            .collect();
        render_table(&mut text, &format!("[{section}]"), &rows);
        if section == "cluster" {
            render_nodes(&mut text, loaded);
        }
    }
    text
}

fn render_nodes(text: &mut String, loaded: &Loaded) {
    let values = flat(&loaded.config);
    for (index, node) in loaded.config.nodes.iter().enumerate() {
        let rows: Vec<Row> = NODE_KEYS
            .iter()
            .map(|key| {
                let value = values.get(&format!("node.{}.{}", node.name, key.path));
                Row::new(key, value, loaded.origins.get(&format!("node.{index}.{}", key.path)))
            })
            .collect();
        render_table(text, "[[node]]", &rows);
    }
}

/// What `check-config` says: every finding, one line each, and the outcome.
#[must_use]
pub fn render_check(outcome: &Result<Loaded, ConfigErrors>) -> String {
    let (errors, warnings): (&[_], _) = match outcome {
        Ok(loaded) => (&[], &loaded.warnings),
        Err(faults) => (&faults.errors, &faults.warnings),
    };
    let mut text = String::new();
    for problem in errors {
        let _ = writeln!(text, "error    {problem}");
    }
    for problem in warnings {
        let _ = writeln!(text, "warning  {problem}");
    }
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let verdict = match outcome {
        Ok(loaded) => format!("{} is right for node {}", loaded.path.display(), loaded.me.name),
        Err(_) => "nothing was changed".to_owned(),
    };
    let _ =
        writeln!(text, "{}, {}: {verdict}", count(errors.len(), "error"), count(warnings.len(), "warning"));
    text
}

const REFERENCE_HEAD: &str = "# Configuration

One file, `/etc/baton/baton.toml`, the same on every node; a node is told its own name by `--node` or `BATON_NODE`. In paths
and in a fence's command `{node}` stands for that name. The variable that is named with a key overrides the file.

- `baton-node check-config --node NAME` says what is wrong with the file, and where.
- `baton-node print-config --node NAME` shows every value with its source.
- SIGHUP reloads the file: all of what changed, or nothing when one of the changes needs a restart.
- A replicated key is read from the file when the group forms. Afterwards all nodes go by the value the group agreed on, and
  `batonctl status` names a node whose file has another.

Durations are written as `\"1500ms\"`, `\"2s\"` or `\"5m\"`. This page is made from the program's own table of keys.
";

/// Every key with what it takes, its default, when a change counts, and why: a Markdown document.
#[must_use]
pub fn render_reference() -> String {
    let mut text = String::from(REFERENCE_HEAD);
    for section in keys::sections() {
        let _ = write!(text, "\n## [{section}]\n");
        for key in KEYS.iter().filter(|key| key.section() == section) {
            render_key(&mut text, key, Some(&key.variable()));
        }
        if section == "cluster" {
            text.push_str("\n## [[node]]\n");
            for key in NODE_KEYS {
                render_key(&mut text, key, None);
            }
        }
    }
    text
}

fn render_key(text: &mut String, key: &Key, variable: Option<&str>) {
    let default = match key.default {
        Preset::Required => "required".to_owned(),
        Preset::Unset => "not set".to_owned(),
        Preset::Value(value) => format!("default `{value}`"),
    };
    let scope = match key.scope {
        Scope::Live => "counts at a reload",
        Scope::Restart => "counts at a restart",
        Scope::Replicated => "replicated: seeded by the file when the group forms",
    };
    let variable = variable.map(|variable| format!("; `{variable}`")).unwrap_or_default();
    let _ = write!(
        text,
        "\n**{}**: {}; {default}; {scope}{variable}.\n{}\n",
        key.name(),
        key.kind.expects(),
        key.about
    );
}

/// One line of a table: the value as TOML, or a comment that it is not set.
struct Row {
    name: &'static str,
    value: Option<String>,
    source: String,
}

impl Row {
    fn new(key: &Key, value: Option<&String>, origin: Option<&Origin>) -> Self {
        let source = match origin {
            Some(Origin::File(line)) => format!("file, line {line}"),
            Some(Origin::Environment(variable)) => format!("environment, {variable}"),
            None => "default".to_owned(),
        };
        Self { name: key.name(), value: value.cloned(), source }
    }
}

fn render_table(text: &mut String, head: &str, rows: &[Row]) {
    let names = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let values = rows.iter().filter_map(|row| row.value.as_ref()).map(String::len).max().unwrap_or_default();
    let _ = write!(text, "\n{head}\n");
    for Row { name, value, source } in rows {
        match value {
            Some(value) => {
                let _ = writeln!(text, "{name:names$} = {value:values$}  # {source}");
            }
            None => {
                let _ = writeln!(text, "# {name} is not set");
            }
        }
    }
}
