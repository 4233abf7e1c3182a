//! Reading rows by name, under any of the names that versions gave a thing.

use std::collections::HashMap;

use mysql_async::{Row, Value};

use super::error::SqlError;

/// A value as text; none for NULL.
pub(super) fn text_at(row: &Row, index: usize) -> Option<String> {
    match row.as_ref(index)? {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Int(n) => Some(n.to_string()),
        Value::UInt(n) => Some(n.to_string()),
        Value::Float(n) => Some(n.to_string()),
        Value::Double(n) => Some(n.to_string()),
        other => Some(other.as_sql(true)),
    }
}

/// Names of things to their values, names in lower case.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Fields(HashMap<String, String>);

impl Fields {
    /// The columns of one row. NULL is left out.
    pub(super) fn of_row(row: &Row) -> Self {
        let names = row.columns_ref().iter().map(|c| c.name_str().to_ascii_lowercase());
        Self(names.enumerate().filter_map(|(i, name)| Some((name, text_at(row, i)?))).collect())
    }

    /// Rows of name and value, as SHOW VARIABLES gives them.
    pub(super) fn of_pairs(rows: &[Row]) -> Self {
        Self(
            rows.iter().filter_map(|r| Some((text_at(r, 0)?.to_ascii_lowercase(), text_at(r, 1)?))).collect(),
        )
    }

    #[cfg(test)]
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(k, v)| (k.to_ascii_lowercase(), (*v).to_owned())).collect())
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The first of these names that is there, empty values included.
    pub(super) fn text(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.0.get(*name)).map(String::as_str)
    }

    /// The same, none for an empty value.
    pub(super) fn filled(&self, names: &[&str]) -> Option<&str> {
        self.text(names).filter(|v| !v.is_empty())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A number; none where it is missing or no number.
    pub(super) fn number<T: std::str::FromStr>(&self, names: &[&str]) -> Option<T> {
        self.text(names)?.trim().parse().ok()
    }

    /// A switch, however the version spells it.
    pub(super) fn is_on(&self, names: &[&str]) -> bool {
        self.text(names).is_some_and(is_on)
    }

    /// A value without which Baton cannot go on.
    pub(super) fn must(&self, name: &str) -> Result<&str, SqlError> {
        self.text(&[name]).ok_or_else(|| SqlError::Unexpected(format!("no `{name}` in the answer")))
    }
}

/// Whether a value says yes.
pub(super) fn is_on(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// A quoted string literal, for sessions whose `sql_mode` is empty.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_that_is_there_counts() {
        let fields = Fields::of(&[("slave_net_timeout", "60"), ("report_host", "")]);
        assert_eq!(fields.number::<u32>(&["replica_net_timeout", "slave_net_timeout"]), Some(60));
        assert_eq!(fields.filled(&["report_host"]), None);
        assert!(fields.has("report_host"));
    }

    #[test]
    fn quoting_leaves_no_way_out() {
        assert_eq!(quote(r"a'b\c"), r"'a\'b\\c'");
    }
}
