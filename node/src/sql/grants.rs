//! What SHOW GRANTS says of the account that asks: what was granted to it, and what comes by its active roles. Pure.
//!
//! Both dialects write one statement a row. MySQL names every privilege at `*.*` one by one, the dynamic ones in a row of
//! their own, also after GRANT ALL, and takes away again by rows that begin with REVOKE (`partial_revokes`). MariaDB
//! writes `ALL PRIVILEGES`, a row for each active role, and behind the account what is nobody's business here: the hash of
//! its password. Nothing behind the account is looked at or kept.

use std::fmt;

/// Where a privilege holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On everything.
    Everywhere,
    /// On everything in one schema.
    Schema(&'static str),
}

impl fmt::Display for Place {
    /// As in `GRANT … ON`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.write_str("*.*"),
            Self::Schema(name) => write!(f, "{name}.*"),
        }
    }
}

/// As the servers write it; [`canonical`] makes it one name.
pub(super) const ALL: &str = "ALL PRIVILEGES";

/// What an account holds. What it holds on single tables, columns and routines is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grants {
    /// On everything.
    pub(super) everywhere: Vec<String>,
    /// On schemas whose names fit a pattern.
    pub(super) schemas: Vec<(String, Vec<String>)>,
    /// Held on everything, but not on these.
    revoked: Vec<(String, Vec<String>)>,
}

impl Grants {
    /// Reads the rows of SHOW GRANTS. Rows that are about something else than privileges on everything or on a schema say
    /// nothing here: roles, proxies, default roles.
    pub(super) fn parse<T: AsRef<str>>(rows: impl IntoIterator<Item = T>) -> Self {
        let mut grants = Self::default();
        for row in rows {
            grants.add(row.as_ref());
        }
        grants
    }

    /// Whether the account may do this there. A privilege counts by its own name or as one of all: an older one that stands
    /// for it, such as MySQL's SUPER, does not.
    pub(super) fn holds(&self, privilege: &str, place: Place) -> bool {
        let name = canonical(privilege);
        let has = |names: &[String]| names.iter().any(|held| held == ALL || *held == name);
        let Place::Schema(schema) = place else { return has(&self.everywhere) };
        let on_schema = |list: &[(String, Vec<String>)]| {
            list.iter().any(|(pattern, names)| covers(pattern, schema) && has(names))
        };
        on_schema(&self.schemas) || (has(&self.everywhere) && !on_schema(&self.revoked))
    }

    fn add(&mut self, row: &str) {
        let Some((verb, rest)) = row.trim().split_once(' ') else { return };
        let grants = match verb {
            "GRANT" => true,
            "REVOKE" => false,
            _ => return,
        };
        // A role is granted on nothing.
        let Some((names, rest)) = split_outside(rest, " ON ") else { return };
        let end = if grants { " TO " } else { " FROM " };
        let Some((object, _account)) = split_outside(rest, end) else { return };
        let names = listed(names);
        match (object.trim().strip_suffix(".*"), grants) {
            (Some("*"), true) => self.everywhere.extend(names),
            (Some(schema), true) => self.schemas.push((bare(schema), names)),
            (Some(schema), false) => self.revoked.push((bare(schema), names)),
            (None, _) => {}
        }
    }
}

/// One name for a privilege that has several: what a server shows is not always what GRANT takes.
pub(super) fn canonical(name: &str) -> String {
    match name.trim().to_ascii_uppercase().as_str() {
        "ALL" => ALL,
        "SLAVE MONITOR" => "REPLICA MONITOR",
        "READ_ONLY ADMIN" => "READ ONLY ADMIN",
        "REPLICA ADMIN" | "REPLICATION REPLICA ADMIN" => "REPLICATION SLAVE ADMIN",
        "REPLICATION REPLICA" => "REPLICATION SLAVE",
        "REPLICATION CLIENT" => "BINLOG MONITOR",
        other => other,
    }
    .to_owned()
}

/// The privileges between GRANT and ON. One on columns, `SELECT (a, b)`, is none on the whole.
fn listed(names: &str) -> Vec<String> {
    let mut list = Vec::new();
    let mut rest = Some(names);
    while let Some(text) = rest {
        let (one, more) = split_outside(text, ",").map_or((text, None), |(one, more)| (one, Some(more)));
        if !one.contains('(') {
            list.push(canonical(one));
        }
        rest = more;
    }
    list
}

/// What stands before and after the first `word` that is in no quotes and no parentheses.
fn split_outside<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (mut quote, mut depth) = (None, 0_u32);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            // A doubled one ends the name and begins it again.
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '`' | '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 => {
                let (before, rest) = text.split_at(at);
                if let Some(after) = rest.strip_prefix(word) {
                    return Some((before, after));
                }
            }
            (None, _) => {}
        }
    }
    None
}

/// A name without its quotes.
fn bare(name: &str) -> String {
    for quote in ['`', '\'', '"'] {
        let inner = name.strip_prefix(quote).and_then(|name| name.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner.replace(&format!("{quote}{quote}"), &quote.to_string());
        }
    }
    name.to_owned()
}

/// Whether a schema is meant: `%` and `_` stand for others, unless a backslash is before them.
fn covers(pattern: &str, schema: &str) -> bool {
    let mut rest = pattern.chars();
    let wanted = match rest.next() {
        None => return schema.is_empty(),
        Some('%') => {
            let rest = rest.as_str().trim_start_matches('%');
            return (0..=schema.len()).any(|at| schema.get(at..).is_some_and(|tail| covers(rest, tail)));
        }
        Some('_') => None,
        Some('\\') => rest.next().or(Some('\\')),
        literal => literal,
    };
    let mut name = schema.chars();
    name.next().is_some_and(|c| wanted.is_none_or(|wanted| wanted == c))
        && covers(rest.as_str(), name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSQL: Place = Place::Schema("mysql");

    #[test]
    fn rows_of_both_dialects() {
        use Place::Everywhere;
        let cases: &[(&[&str], &str, Place, bool)] = &[
            // MySQL: static ones, dynamic ones without a space between them.
            (&["GRANT RELOAD, PROCESS ON *.* TO `b`@`%`"], "PROCESS", Everywhere, true),
            (&["GRANT RELOAD, PROCESS ON *.* TO `b`@`%`"], "SUPER", Everywhere, false),
            (&["GRANT BACKUP_ADMIN,CLONE_ADMIN ON *.* TO `b`@`%`"], "CLONE_ADMIN", Everywhere, true),
            (&["GRANT USAGE ON *.* TO `b`@`%`"], "PROCESS", Everywhere, false),
            (&["GRANT SUPER ON *.* TO `b`@`%` WITH GRANT OPTION"], "SUPER", Everywhere, true),
            (&["GRANT SUPER ON *.* TO `b`@`%`"], "CONNECTION_ADMIN", Everywhere, false),
            // Several rows are one account: its own, and on MariaDB those of its active roles.
            (&["GRANT USAGE ON *.* TO `b`@`%`", "GRANT PROCESS ON *.* TO `r`"], "PROCESS", Everywhere, true),
            (&["GRANT `PROCESS`@`%` TO `b`@`%`"], "PROCESS", Everywhere, false),
            (&["GRANT `r ON *.* TO x` TO `b`@`%`"], "r", Everywhere, false),
            (&["SET DEFAULT ROLE `r` FOR `b`@`%`"], "PROCESS", Everywhere, false),
            (&["GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION"], "PROXY", Everywhere, false),
            // MariaDB: everything in two words, and more behind the account.
            (
                &["GRANT ALL PRIVILEGES ON *.* TO `b`@`%` IDENTIFIED BY PASSWORD '*81F5' WITH GRANT OPTION"],
                "READ ONLY ADMIN",
                Everywhere,
                true,
            ),
            (&["GRANT READ_ONLY ADMIN ON *.* TO `b`@`%`"], "READ ONLY ADMIN", Everywhere, true),
            (&["GRANT SLAVE MONITOR ON *.* TO `b`@`%`"], "REPLICA MONITOR", Everywhere, true),
            (&["GRANT REPLICATION CLIENT ON *.* TO `b`@`%`"], "BINLOG MONITOR", Everywhere, true),
            (&["GRANT REPLICATION SLAVE ON *.* TO `b`@`%`"], "REPLICATION SLAVE ADMIN", Everywhere, false),
            (&["GRANT REPLICATION SLAVE ADMIN ON *.* TO `b`@`%`"], "REPLICATION SLAVE", Everywhere, false),
            // On a schema: by its name, by a pattern, by everything, by everything but this.
            (&["GRANT SELECT ON `mysql`.* TO `b`@`%`"], "SELECT", MYSQL, true),
            (&["GRANT SELECT ON `mysql`.* TO `b`@`%`"], "SELECT", Everywhere, false),
            (&["GRANT SELECT ON mysql.* TO 'b'@'%'"], "SELECT", MYSQL, true),
            (&["GRANT ALL PRIVILEGES ON `my%`.* TO `b`@`%`"], "SELECT", MYSQL, true),
            (&["GRANT SELECT ON *.* TO `b`@`%`"], "SELECT", MYSQL, true),
            (
                &["GRANT SELECT ON *.* TO `b`@`%`", "REVOKE SELECT ON `mysql`.* FROM `b`@`%`"],
                "SELECT",
                MYSQL,
                false,
            ),
            (
                &["GRANT SELECT ON *.* TO `b`@`%`", "REVOKE INSERT ON `mysql`.* FROM `b`@`%`"],
                "SELECT",
                MYSQL,
                true,
            ),
            // Parts of a schema are not all of it.
            (&["GRANT SELECT ON `mysql`.`user` TO `b`@`%`"], "SELECT", MYSQL, false),
            (&["GRANT SELECT (`Host`, `User`) ON `mysql`.`user` TO `b`@`%`"], "SELECT", MYSQL, false),
            (&["GRANT EXECUTE ON PROCEDURE `mysql`.`p` TO `b`@`%`"], "EXECUTE", MYSQL, false),
            (&["GRANT SELECT ON `my``sql`.* TO `b`@`%`"], "SELECT", MYSQL, false),
            // No row that a server writes.
            (&["", "GRANT", "GRANT PROCESS", "GRANT PROCESS ON *.*"], "PROCESS", Everywhere, false),
        ];
        for (rows, privilege, place, held) in cases {
            assert_eq!(
                Grants::parse(*rows).holds(privilege, *place),
                *held,
                "{privilege} ON {place}: {rows:?}"
            );
        }
    }

    #[test]
    fn what_stands_behind_the_account_is_not_kept() {
        let row = "GRANT PROCESS ON *.* TO `b`@`%` IDENTIFIED BY PASSWORD '*81F5E21E35407D884A6CD4A731'";
        assert!(!format!("{:?}", Grants::parse([row])).contains("81F5"));
    }

    #[test]
    fn names_of_schemas_are_patterns() {
        for (pattern, schema, covered) in [
            ("baton", "baton", true),
            ("baton", "bato", false),
            ("bat_n", "baton", true),
            ("bat\\_n", "baton", false),
            ("performance\\_schema", "performance_schema", true),
            ("performance_schema", "performance_schema", true),
            ("%", "mysql", true),
            ("%sq%l", "mysql", true),
            ("%%%%", "", true),
            ("m%x", "mysql", false),
            ("", "mysql", false),
        ] {
            assert_eq!(covers(pattern, schema), covered, "{pattern} {schema}");
        }
    }
}
