//! From file and environment to a configuration that may be used, or to everything that is wrong with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{ConfigError, Map, Source, Value as Layered};
use toml::Value;

use super::document::{self, Document};
use super::environment::{self, Override};
use super::files;
use super::keys::{KEYS, LISTS, List, Preset};
use super::model::{Config, NodeConfig};
use super::problem::{ConfigErrors, Place, Problem};
use super::rules;

/// A configuration without errors, and where each value of it comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Every value, `{node}` filled in.
    pub config: Config,
    /// This node's own entry.
    pub me: NodeConfig,
    /// The file that was read.
    pub path: PathBuf,
    /// By key path; those of the second `[[node]]` are `node.1.name` and so on. A key that is not here has its default.
    pub origins: BTreeMap<String, Origin>,
    /// Worth saying once at start.
    pub warnings: Vec<Problem>,
}

/// Where a value comes from, when it is not the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file.
    File(usize),
    /// An environment variable.
    Environment(String),
}

impl Config {
    /// Reads the file at `path` for the node of that name, with the overrides of `env` (names and values).
    ///
    /// # Errors
    /// Everything that is wrong: in the text, in the whole, and with the files it names.
    pub fn load(path: &Path, node: &str, env: &BTreeMap<String, String>) -> Result<Loaded, ConfigErrors> {
        let mut findings = Findings::new(path);
        match std::fs::read_to_string(path) {
            Ok(text) => Self::read(&text, node, env, true, findings),
            Err(fault) => {
                findings.error(Place::File(path.to_owned(), None), "", files::read_fault(&fault));
                Err(findings.into_errors())
            }
        }
    }

    /// Like [`Config::load`], for text at hand; looks at no other file.
    ///
    /// # Errors
    /// Everything that is wrong in the text and in the whole.
    pub fn parse(
        text: &str,
        path: &Path,
        node: &str,
        env: &BTreeMap<String, String>,
    ) -> Result<Loaded, ConfigErrors> {
        Self::read(text, node, env, false, Findings::new(path))
    }

    fn read(
        text: &str,
        node: &str,
        env: &BTreeMap<String, String>,
        look_at_files: bool,
        mut findings: Findings,
    ) -> Result<Loaded, ConfigErrors> {
        let overrides = environment::read(env, &mut findings);
        let Some(mut document) = document::read(text, &mut findings) else {
            return Err(findings.into_errors());
        };
        let unnamed =
            !document.values.contains_key("cluster.name") && !overrides.contains_key("cluster.name");
        if unnamed && !findings.about("cluster.name") {
            findings.error(
                findings.file(None),
                "cluster.name",
                "is missing; write name = \"…\" into [cluster]",
            );
        }
        let written = document.list("node").len();
        for list in LISTS {
            document.lists.entry(list.section).or_default().retain(|entry| entry.is_whole(list));
        }
        let whole = document.list("node").len() == written;
        let origins = origins(&document, &overrides);
        let mut config = match layered(&document, &overrides, unnamed) {
            Ok(config) => config,
            Err(fault) => {
                findings.error(findings.file(None), "", fault.to_string());
                return Err(findings.into_errors());
            }
        };
        rules::check(&config, node, whole, &origins, &mut findings);
        let Some(me) = config.node(node).cloned() else { return Err(findings.into_errors()) };
        config.expand(node);
        if look_at_files {
            files::check(&config, me.is_witness(), &origins, &mut findings);
        }
        let path = findings.path.clone();
        findings.finish(Loaded { config, me, path, origins, warnings: Vec::new() })
    }
}

/// Defaults, then the file, then the environment. A faulty value counts as not written, so that the rules can still
/// look at the others; it is already among the findings.
fn layered(
    document: &Document,
    overrides: &BTreeMap<&'static str, Override>,
    unnamed: bool,
) -> Result<Config, ConfigError> {
    let mut defaults = Map::new();
    for key in KEYS {
        if let Preset::Value(text) = key.default {
            defaults.insert(key.path.to_owned(), layered_default(key.kind.read(text))?);
        }
    }
    if unnamed {
        defaults.insert("cluster.name".to_owned(), Layered::from("unnamed"));
    }
    let mut file: Map<String, Layered> =
        document.values.iter().map(|(path, written)| (path.clone(), convert(&written.value))).collect();
    for list in LISTS {
        file.insert(list.section.to_owned(), entries(document, list)?);
    }
    let environment =
        overrides.iter().map(|(path, entry)| ((*path).to_owned(), convert(&entry.value))).collect();
    config::Config::builder()
        .add_source(Layer(defaults))
        .add_source(Layer(file))
        .add_source(Layer(environment))
        .build()?
        .try_deserialize()
}

fn entries(document: &Document, list: &List) -> Result<Layered, ConfigError> {
    let mut entries = Vec::new();
    for written in document.list(list.section) {
        let mut entry = Map::new();
        for key in list.keys {
            match (written.values.get(key.path), key.default) {
                (Some(written), _) => entry.insert(key.path.to_owned(), convert(&written.value)),
                (None, Preset::Value(text)) => {
                    entry.insert(key.path.to_owned(), layered_default(key.kind.read(text))?)
                }
                (None, _) => None,
            };
        }
        entries.push(Layered::from(entry));
    }
    Ok(Layered::from(entries))
}

fn layered_default(read: Result<Value, String>) -> Result<Layered, ConfigError> {
    read.map(|value| convert(&value)).map_err(ConfigError::Message)
}

fn convert(value: &Value) -> Layered {
    match value {
        Value::String(text) => Layered::from(text.clone()),
        Value::Integer(number) => Layered::from(*number),
        Value::Float(number) => Layered::from(*number),
        Value::Boolean(flag) => Layered::from(*flag),
        Value::Datetime(date) => Layered::from(date.to_string()),
        Value::Array(items) => Layered::from(items.iter().map(convert).collect::<Vec<_>>()),
        Value::Table(table) => {
            Layered::from(table.iter().map(|(key, item)| (key.clone(), convert(item))).collect::<Map<_, _>>())
        }
    }
}

fn origins(document: &Document, overrides: &BTreeMap<&'static str, Override>) -> BTreeMap<String, Origin> {
    let mut origins = BTreeMap::new();
    for (path, written) in &document.values {
        origins.insert(path.clone(), Origin::File(written.line));
    }
    for (section, entries) in &document.lists {
        for (index, entry) in entries.iter().enumerate() {
            origins.insert(format!("{section}.{index}"), Origin::File(entry.line));
            for (key, written) in &entry.values {
                origins.insert(format!("{section}.{index}.{key}"), Origin::File(written.line));
            }
        }
    }
    for (path, entry) in overrides {
        origins.insert((*path).to_owned(), Origin::Environment(entry.variable.clone()));
    }
    origins
}

/// Values that were checked before, by key path.
#[derive(Debug, Clone)]
struct Layer(Map<String, Layered>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Layered>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Collects what is wrong.
#[derive(Debug)]
pub(super) struct Findings {
    path: PathBuf,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Findings {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), errors: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn file(&self, line: Option<usize>) -> Place {
        Place::File(self.path.clone(), line)
    }

    /// Where that value was written; the file as a whole for a default.
    pub(super) fn place(&self, origin: Option<&Origin>) -> Place {
        match origin {
            Some(Origin::File(line)) => self.file(Some(*line)),
            Some(Origin::Environment(variable)) => Place::Environment(variable.clone()),
            None => self.file(None),
        }
    }

    pub(super) fn error(&mut self, place: Place, key: &str, text: impl Into<String>) {
        self.errors.push(Problem { place, key: key.to_owned(), text: text.into() });
    }

    pub(super) fn warning(&mut self, place: Place, key: &str, text: impl Into<String>) {
        self.warnings.push(Problem { place, key: key.to_owned(), text: text.into() });
    }

    pub(super) fn about(&self, key: &str) -> bool {
        self.errors.iter().any(|problem| problem.key == key)
    }

    /// In the order of the file: whoever mends it goes from top to bottom.
    fn into_errors(mut self) -> ConfigErrors {
        self.errors.sort_by_key(|problem| match &problem.place {
            Place::File(_, line) => line.unwrap_or(usize::MAX - 1),
            Place::Environment(_) => usize::MAX,
        });
        ConfigErrors { errors: self.errors, warnings: self.warnings }
    }

    fn finish(self, mut loaded: Loaded) -> Result<Loaded, ConfigErrors> {
        if !self.errors.is_empty() {
            return Err(self.into_errors());
        }
        loaded.warnings = self.warnings;
        Ok(loaded)
    }
}
