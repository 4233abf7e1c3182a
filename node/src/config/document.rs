//! The file as it was written: each value with its line, each unknown key and wrong type named.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::Value;
use toml::de::{DeTable, DeValue};

use super::keys::{self, KEYS, Key, List, Preset};
use super::load::Findings;

/// A value and its line.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) value: Value,
    pub(super) line: usize,
}

/// What of the file is usable; the rest is among the findings.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// By key path, lists apart.
    pub(super) values: BTreeMap<String, Written>,
    /// The entries of each list, by its section.
    pub(super) lists: BTreeMap<&'static str, Vec<Entry>>,
}

/// One entry of a list, such as a `[[node]]`.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) values: BTreeMap<&'static str, Written>,
}

impl Document {
    /// The entries of a list.
    pub(super) fn list(&self, section: &str) -> &[Entry] {
        self.lists.get(section).map_or(&[], Vec::as_slice)
    }
}

impl Entry {
    /// Whether every key is there that must be.
    pub(super) fn is_whole(&self, list: &List) -> bool {
        required(list).all(|key| self.values.contains_key(key))
    }
}

fn required(list: &List) -> impl Iterator<Item = &'static str> {
    list.keys.iter().filter(|key| key.default == Preset::Required).map(|key| key.path)
}

/// Reads the text. None when it is not TOML: then nothing more can be said about it.
pub(super) fn read(text: &str, findings: &mut Findings) -> Option<Document> {
    let lines = Lines(text);
    let (root, faults) = DeTable::parse_recoverable(text);
    for fault in &faults {
        let line = fault.span().map(|span| lines.at(span.start));
        findings.error(findings.file(line), "", format!("not TOML: {}", fault.message().replace('\n', " ")));
    }
    if !faults.is_empty() {
        return None;
    }
    let mut document = Document::default();
    for (name, value) in root.get_ref() {
        let line = lines.at(name.span().start);
        let name: &str = name.get_ref();
        let known = || keys::sections().chain(keys::list_heads()).any(|known| known == name);
        match (value.get_ref(), keys::list(name)) {
            (entries, Some(list)) => read_list(list, entries, line, &lines, &mut document, findings),
            (DeValue::Table(table), None) if known() => {
                read_section(name, table, &lines, &mut document, findings);
            }
            _ => findings.error(findings.file(Some(line)), name, unknown_section(name)),
        }
    }
    Some(document)
}

fn read_section(
    section: &str,
    table: &DeTable<'_>,
    lines: &Lines<'_>,
    document: &mut Document,
    findings: &mut Findings,
) {
    for (name, value) in table {
        let line = lines.at(name.span().start);
        let path = format!("{section}.{}", name.get_ref());
        if let Some(list) = keys::list(&path) {
            read_list(list, value.get_ref(), line, lines, document, findings);
            continue;
        }
        match keys::find(&path) {
            Some(key) => {
                if let Some(written) = checked(key, &path, value, line, findings) {
                    document.values.insert(path, written);
                }
            }
            None => {
                let text =
                    unknown_key(name.get_ref(), section, KEYS.iter().filter(|k| k.section() == section));
                findings.error(findings.file(Some(line)), &path, text);
            }
        }
    }
}

fn not_a_list(list: &List) -> String {
    format!("write each {} as its own [[{}]]", list.what, list.section)
}

fn read_list(
    list: &'static List,
    found: &DeValue<'_>,
    line: usize,
    lines: &Lines<'_>,
    document: &mut Document,
    findings: &mut Findings,
) {
    let DeValue::Array(entries) = found else {
        findings.error(findings.file(Some(line)), list.section, not_a_list(list));
        return;
    };
    for entry in entries {
        read_entry(list, entry, lines, document, findings);
    }
}

fn read_entry(
    list: &'static List,
    entry: &Spanned<DeValue<'_>>,
    lines: &Lines<'_>,
    document: &mut Document,
    findings: &mut Findings,
) {
    let line = lines.at(entry.span().start);
    let section = list.section;
    let DeValue::Table(table) = entry.get_ref() else {
        findings.error(findings.file(Some(line)), section, not_a_list(list));
        return;
    };
    let mut values = BTreeMap::new();
    for (name, value) in table {
        let line = lines.at(name.span().start);
        let path = format!("{section}.{}", name.get_ref());
        match list.keys.iter().find(|key| key.path == name.get_ref()) {
            Some(key) => {
                if let Some(written) = checked(key, &path, value, line, findings) {
                    values.insert(key.path, written);
                }
            }
            None => {
                let text = unknown_key(name.get_ref(), section, list.keys.iter());
                findings.error(findings.file(Some(line)), &path, text);
            }
        }
    }
    for key in required(list).filter(|key| !table.contains_key(*key)) {
        let text = format!("is missing from this [[{section}]]; add it");
        findings.error(findings.file(Some(line)), &format!("{section}.{key}"), text);
    }
    document.lists.entry(section).or_default().push(Entry { line, values });
}

fn checked(
    key: &Key,
    path: &str,
    value: &Spanned<DeValue<'_>>,
    line: usize,
    findings: &mut Findings,
) -> Option<Written> {
    let checked = plain(value.get_ref()).and_then(|value| key.kind.check(&value).map(|()| value));
    match checked {
        Ok(value) => Some(Written { value, line }),
        Err(text) => {
            findings.error(findings.file(Some(line)), path, text);
            None
        }
    }
}

/// The value without its places.
fn plain(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => Value::Integer(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| format!("{} is too large", number.as_str()))?,
        ),
        DeValue::Float(number) => Value::Float(
            number.as_str().parse().map_err(|_| format!("{} is not a fraction", number.as_str()))?,
        ),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(date) => Value::Datetime(*date),
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| plain(item.get_ref())).collect::<Result<_, _>>()?)
        }
        DeValue::Table(_) => Value::Table(toml::Table::new()),
    })
}

fn unknown_section(name: &str) -> String {
    let mend = closest(name, keys::sections().chain(keys::list_heads()))
        .map_or_else(|| "remove it".to_owned(), |known| format!("did you mean [{known}]?"));
    format!("unknown section; {mend}")
}

fn unknown_key(name: &str, section: &str, siblings: impl Iterator<Item = &'static Key>) -> String {
    if let Some(known) = closest(name, siblings.map(Key::name)) {
        return format!("unknown key; did you mean {known}?");
    }
    match KEYS.iter().find(|key| key.name() == name && key.section() != section) {
        Some(key) => format!("unknown key; {name} belongs into [{}]", key.section()),
        None => "unknown key; remove it".to_owned(),
    }
}

/// The known word that differs in a third of its letters at most.
pub(super) fn closest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3).min(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

struct Lines<'t>(&'t str);

impl Lines<'_> {
    /// The line of a byte, counted from 1.
    fn at(&self, offset: usize) -> usize {
        self.0.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }
}
