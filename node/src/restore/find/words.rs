//! What a statement is, and which tables it names: by its words alone, as far as that goes. Pure.

use clap::ValueEnum;
use serde::Serialize;

pub(super) use super::reader::Name;
use super::reader::{Reader, deeper, is_one_of};
use super::tokens::Token;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::restore) enum Kind {
    /// A table, a database or something else is gone, or a column or a partition of a table
    Drop,
    /// A table, or a partition of one, was emptied
    Truncate,
    /// A table has changed, or its name has; or an account has
    Alter,
    /// Something is there anew
    Create,
    /// Rows are gone
    Delete,
    /// Rows have other values
    Update,
    /// Rows are there anew
    Insert,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Truncate => "truncate",
            Self::Alter => "alter",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Update => "update",
            Self::Insert => "insert",
        }
    }
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::restore) struct Said {
    /// What it is first of all, and what it is, too.
    pub(super) kinds: Vec<Kind>,
    /// None where it is about something else than tables.
    pub(super) names: Vec<Name>,
}

impl Said {
    fn new(kinds: &[Kind], names: Vec<Name>) -> Option<Self> {
        Some(Self { kinds: kinds.to_vec(), names })
    }

    /// Whether it changes or removes tables themselves, or other things that are defined.
    pub(in crate::restore) fn is_harm(&self) -> bool {
        [Kind::Drop, Kind::Truncate, Kind::Alter].iter().any(|kind| self.kinds.contains(kind))
    }
}

/// What a statement is that ran in `schema`; `None` for all that changes nothing of that kind. Temporary tables are nobody's loss.
pub(in crate::restore) fn said(schema: &str, text: &str) -> Option<Said> {
    Reader::of(schema, text).statement()
}

/// What can be created, altered and dropped.
const TABLES: [&str; 2] = ["TABLE", "TABLES"];
const DATABASES: [&str; 2] = ["DATABASE", "SCHEMA"];
/// Like tables as far as names go.
const NAMED: [&str; 2] = ["VIEW", "SEQUENCE"];
/// They go by names that are no tables'.
const OTHERS: [&str; 15] = [
    "USER",
    "ROLE",
    "TRIGGER",
    "PROCEDURE",
    "FUNCTION",
    "EVENT",
    "SERVER",
    "TABLESPACE",
    "LOGFILE",
    "UNDO",
    "PACKAGE",
    "REFERENCE",
    "RESOURCE",
    "INSTANCE",
    "LIBRARY",
];
/// Of what an ALTER TABLE drops, what leaves all data where it is.
const NO_DATA: [&str; 8] = ["INDEX", "KEY", "PRIMARY", "FOREIGN", "CONSTRAINT", "CHECK", "DEFAULT", "PERIOD"];
/// What follows an ALTER DATABASE without a name.
const NO_DATABASE: [&str; 7] =
    ["CHARACTER", "CHARSET", "DEFAULT", "COLLATE", "ENCRYPTION", "READ", "COMMENT"];
/// Before the object of a CREATE or an ALTER there are no more words than that.
const OPTIONS_MAX: usize = 30;
/// Of the tables of one UPDATE or DELETE so many are named. No server takes more than 61.
const TABLES_MAX: usize = 64;

impl Reader<'_> {
    fn statement(&mut self) -> Option<Said> {
        let mut first = self.word()?.to_ascii_uppercase();
        // MariaDB: SET STATEMENT variable = value FOR statement.
        while first == "SET" && self.eat(&["STATEMENT"]) {
            self.pass_to(&["FOR"])?;
            first = self.word()?.to_ascii_uppercase();
        }
        match first.as_str() {
            "DROP" => self.drop(),
            "TRUNCATE" => {
                self.eat(&TABLES);
                Said::new(&[Kind::Truncate], vec![self.name()?])
            }
            "ALTER" => self.alter(),
            "CREATE" => self.create(),
            "RENAME" => self.rename(),
            "INSERT" | "REPLACE" => {
                while self.eat(&["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"]) {}
                Said::new(&[Kind::Insert], vec![self.name()?])
            }
            "LOAD" => {
                self.pass_to(&["INTO"])?;
                self.eat(&TABLES);
                Said::new(&[Kind::Insert], vec![self.name()?])
            }
            "UPDATE" => {
                while self.eat(&["LOW_PRIORITY", "IGNORE"]) {}
                Said::new(&[Kind::Update], self.references(&["SET"]))
            }
            "DELETE" => self.delete(),
            "GRANT" | "REVOKE" => Said::new(&[Kind::Alter], Vec::new()),
            "SET" if self.eat(&["PASSWORD"]) => Said::new(&[Kind::Alter], Vec::new()),
            "WITH" => match self.pass_to(&["UPDATE", "DELETE", "SELECT"])?.to_ascii_uppercase().as_str() {
                "UPDATE" => Said::new(&[Kind::Update], self.references(&["SET"])),
                "DELETE" => self.delete(),
                _ => None,
            },
            _ => None,
        }
    }

    fn drop(&mut self) -> Option<Said> {
        if self.eat(&["TEMPORARY"]) {
            return None;
        }
        let drop = [Kind::Drop];
        if self.eat(&TABLES) || self.eat(&NAMED) {
            self.eat_exists();
            return Said::new(&drop, self.names());
        }
        if self.eat(&DATABASES) {
            self.eat_exists();
            return Said::new(&drop, vec![self.database()?]);
        }
        if self.eat(&["INDEX"]) {
            return self.index();
        }
        let other = self.word()?;
        if is_one_of(other, &["PREPARE"]) { None } else { Said::new(&drop, Vec::new()) }
    }

    fn create(&mut self) -> Option<Said> {
        let replaces = self.eat(&["OR"]) && self.eat(&["REPLACE"]);
        let object = self.object()?;
        let is = |list: &[&str]| list.contains(&object.as_str());
        // Where there was one, it is gone with all that was in it. A view had nothing in it.
        let kinds = if replaces { &[Kind::Drop, Kind::Create][..] } else { &[Kind::Create] };
        if is(&["TEMPORARY"]) {
            return None;
        }
        if is(&["INDEX"]) {
            return self.index();
        }
        if is(&OTHERS) {
            return Said::new(&[Kind::Create], Vec::new());
        }
        self.eat_exists();
        if is(&DATABASES) {
            return Said::new(kinds, vec![self.database()?]);
        }
        let kinds = if is(&["VIEW"]) { &[Kind::Create] } else { kinds };
        Said::new(kinds, vec![self.name()?])
    }

    fn alter(&mut self) -> Option<Said> {
        let object = self.object()?;
        let alter = [Kind::Alter];
        let is = |list: &[&str]| list.contains(&object.as_str());
        if is(&OTHERS) {
            return Said::new(&alter, Vec::new());
        }
        if is(&DATABASES) {
            // Without a name it is the one that is used.
            let named = if self.is_word(&NO_DATABASE) { None } else { self.database() };
            let own = || Name { schema: self.schema.to_owned(), table: "*".to_owned() };
            return Said::new(&alter, vec![named.unwrap_or_else(own)]);
        }
        self.eat_exists();
        let name = self.name()?;
        if is(&NAMED) { Said::new(&alter, vec![name]) } else { self.changes(name) }
    }

    /// What an ALTER TABLE does.
    fn changes(&mut self, name: Name) -> Option<Said> {
        let (mut names, mut harm, mut depth) = (vec![name], None, 0_u32);
        while let Some(token) = self.tokens.next() {
            let Token::Word(word) = token else {
                depth = deeper(depth, &token);
                continue;
            };
            if depth > 0 {
                continue;
            }
            match word.to_ascii_uppercase().as_str() {
                "DROP" if !self.eat(&NO_DATA) => harm = Some(Kind::Drop),
                "DISCARD" if self.is_word(&["PARTITION", "TABLESPACE"]) => harm = Some(Kind::Drop),
                "TRUNCATE" if self.eat(&["PARTITION"]) => harm = Some(Kind::Truncate),
                // Of a partition that is exchanged or converted.
                "TABLE" => names.extend(self.name()),
                "RENAME" if !self.eat(&["COLUMN", "INDEX", "KEY"]) => {
                    if !self.eat(&["TO", "AS"]) {
                        self.eat_mark('=');
                    }
                    names.extend(self.name());
                }
                _ => {}
            }
        }
        match harm {
            Some(harm) => Said::new(&[harm, Kind::Alter], names),
            None => Said::new(&[Kind::Alter], names),
        }
    }

    fn rename(&mut self) -> Option<Said> {
        if !self.eat(&TABLES) {
            return Said::new(&[Kind::Alter], Vec::new());
        }
        self.eat_exists();
        let mut names = Vec::new();
        loop {
            names.push(self.name()?);
            // MariaDB: how long it waits.
            self.pass_to(&["TO"])?;
            names.push(self.name()?);
            if !self.eat_mark(',') {
                return Said::new(&[Kind::Alter], names);
            }
        }
    }

    fn delete(&mut self) -> Option<Said> {
        while self.eat(&["LOW_PRIORITY", "QUICK", "IGNORE", "HISTORY"]) {}
        if !self.eat(&["FROM"]) {
            // What is named before it may be aliases.
            self.pass_to(&["FROM"])?;
        }
        // What is named before USING may be aliases, too.
        Said::new(&[Kind::Delete], self.references(&["WHERE", "ORDER", "LIMIT", "RETURNING", "FOR"]))
    }

    /// Of CREATE and DROP INDEX.
    fn index(&mut self) -> Option<Said> {
        self.pass_to(&["ON"])?;
        Said::new(&[Kind::Alter], vec![self.name()?])
    }

    /// The tables of an UPDATE or a DELETE, up to one of these words.
    fn references(&mut self, ends: &[&str]) -> Vec<Name> {
        let (mut names, mut is_next) = (Vec::new(), true);
        loop {
            if is_next && let Some(name) = self.name() {
                if names.len() < TABLES_MAX && !names.contains(&name) {
                    names.push(name);
                }
                is_next = false;
                continue;
            }
            match self.tokens.next() {
                None => return names,
                Some(Token::Word(word)) if is_one_of(word, ends) => return names,
                Some(Token::Mark(',')) => is_next = true,
                Some(Token::Word(word)) => is_next = is_one_of(word, &["JOIN", "STRAIGHT_JOIN", "USING"]),
                // A list of tables, or a query of its own, whose words are no tables' names.
                Some(Token::Mark('(')) => {
                    let is_query = self.is_word(&["SELECT", "WITH", "VALUES"]);
                    is_next = !is_query;
                    if is_query || !names.is_empty() {
                        self.pass_parenthesis();
                        is_next = false;
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// What a CREATE or an ALTER is about: the first word of those that can be.
    fn object(&mut self) -> Option<String> {
        for _ in 0..OPTIONS_MAX {
            if let Token::Word(word) = self.tokens.next()? {
                let word = word.to_ascii_uppercase();
                let is = |list: &[&str]| list.contains(&word.as_str());
                if is(&TABLES) || is(&DATABASES) || is(&NAMED) || is(&OTHERS) || is(&["INDEX", "TEMPORARY"]) {
                    return Some(word);
                }
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
