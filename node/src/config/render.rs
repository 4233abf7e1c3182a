//! `check-config`, `print-config` and the reference of all keys, as text.

use std::fmt::Write as _;

use super::keys::{self, KEYS, Key, List, Preset, Scope};
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
        for list in keys::lists_after(section) {
            render_list(&mut text, loaded, list);
        }
    }
    text
}

fn render_list(text: &mut String, loaded: &Loaded, list: &List) {
    let (values, section) = (flat(&loaded.config), list.section);
    let config = &loaded.config;
    let names: Vec<String> = match section {
        "node" => config.nodes.iter().map(|node| node.name.clone()).collect(),
        "replica" => config.replicas.iter().map(|replica| replica.name.clone()).collect(),
        "proxysql" => config.proxies.iter().map(|proxy| proxy.name.clone()).collect(),
        "backup.schedule" => config.backup.schedules.iter().map(|schedule| schedule.name.clone()).collect(),
        "store" => config.stores.iter().map(|store| store.name.clone()).collect(),
        "telegram.chat" => config.telegram.chats.iter().map(|chat| chat.id.to_string()).collect(),
        "webhook" => config.webhooks.iter().map(|webhook| webhook.name.clone()).collect(),
        "alert.command" => config.alert.commands.iter().map(|command| command.name.clone()).collect(),
        _ => config.hooks.iter().map(|hook| hook.name.clone()).collect(),
    };
    for (index, name) in names.into_iter().enumerate() {
        let rows: Vec<Row> = list
            .keys
            .iter()
            .map(|key| {
                let value = values.get(&format!("{section}.{name}.{}", key.path));
                Row::new(key, value, loaded.origins.get(&format!("{section}.{index}.{}", key.path)))
            })
            .collect();
        render_table(text, &format!("[[{section}]]"), &rows);
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
        for list in keys::lists_after(section) {
            let _ = write!(text, "\n## [[{}]]\n", list.section);
            for key in list.keys {
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
