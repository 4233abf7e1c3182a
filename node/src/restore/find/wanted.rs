//! What is looked for: which kinds, which tables, and when. Pure.

use super::words::{Kind, Name};

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// Any, where there is none.
    pub(super) kinds: Vec<Kind>,
    pub(super) table: Option<Pattern>,
    /// In microseconds since 1970, both included.
    pub(super) from_us: Option<u64>,
    pub(super) to_us: Option<u64>,
}

impl Wanted {
    pub(super) fn spans(&self, at_us: u64) -> bool {
        self.from_us.is_none_or(|from| from <= at_us) && self.to_us.is_none_or(|to| at_us <= to)
    }

    /// The same in milliseconds, which is what entries have.
    pub(super) fn range_ms(&self) -> (u64, u64) {
        (self.from_us.unwrap_or(0) / 1000, self.to_us.unwrap_or(u64::MAX) / 1000)
    }

    pub(super) fn is_any(&self, kinds: &[Kind]) -> bool {
        self.kinds.is_empty() || kinds.iter().any(|kind| self.kinds.contains(kind))
    }

    /// Whether any of these tables is meant. A database that is dropped had all of them.
    pub(super) fn names_any(&self, kinds: &[Kind], names: &[Name]) -> bool {
        let is_drop = kinds.contains(&Kind::Drop);
        self.table.as_ref().is_none_or(|pattern| names.iter().any(|name| pattern.fits(name, is_drop)))
    }

    /// Whether whatever is found is an accident.
    pub(super) fn is_of_accidents(&self) -> bool {
        let accidents = [Kind::Drop, Kind::Truncate, Kind::Delete];
        !self.kinds.is_empty() && self.kinds.iter().all(|kind| accidents.contains(kind))
    }
}

/// A table as it is asked for: `shop.orders`, `orders`, with `*` for anything. Servers differ in whether case counts, and so it
/// does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    schema: Option<String>,
    table: String,
}

impl Pattern {
    pub(super) fn of(text: &str) -> Self {
        let plain = |part: &str| part.trim_matches('`').to_lowercase();
        match text.split_once('.') {
            Some((schema, table)) => Self { schema: Some(plain(schema)), table: plain(table) },
            None => Self { schema: None, table: plain(text) },
        }
    }

    fn fits(&self, name: &Name, is_drop: bool) -> bool {
        let is_of_schema =
            self.schema.as_ref().is_none_or(|schema| fits(schema, &name.schema.to_lowercase()));
        let is_table = fits(&self.table, &name.table.to_lowercase());
        is_of_schema && (is_table || (name.table == "*" && is_drop))
    }
}

/// Whether `text` is what `pattern` says, with `*` for any part of it.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_part() {
        for (pattern, text) in [
            ("orders", "orders"),
            ("*", ""),
            ("*", "a"),
            ("or*s", "orders"),
            ("*d*r*", "orders"),
            ("a*a", "aa"),
            ("a**", "a"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("orders", "orders2"), ("or*x", "orders"), ("a*a", "a"), ("", "a"), ("*b*b", "ab")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_table_with_and_without_its_schema() {
        let name = |schema: &str, table: &str| Name { schema: schema.into(), table: table.into() };
        let orders = name("Shop", "Orders");
        for text in ["orders", "shop.orders", "*.ord*", "`shop`.`orders`", "SHOP.*"] {
            assert!(Pattern::of(text).fits(&orders, false), "{text}");
        }
        for text in ["shop", "stock.orders", "shop.items"] {
            assert!(!Pattern::of(text).fits(&orders, false), "{text}");
        }
        let all = name("shop", "*");
        assert!(Pattern::of("shop.orders").fits(&all, true) && Pattern::of("orders").fits(&all, true));
        assert!(
            !Pattern::of("stock.orders").fits(&all, true) && !Pattern::of("shop.orders").fits(&all, false)
        );
    }

    #[test]
    fn when_and_what() {
        let wanted = Wanted { from_us: Some(5000), to_us: Some(7999), ..Wanted::default() };
        assert_eq!([4999, 5000, 7999, 8000].map(|us| wanted.spans(us)), [false, true, true, false]);
        assert_eq!((wanted.range_ms(), wanted.is_of_accidents()), ((5, 7), false));
        let kinds = |kinds: &[Kind]| Wanted { kinds: kinds.to_vec(), ..Wanted::default() };
        assert!(
            kinds(&[Kind::Drop, Kind::Delete]).is_of_accidents()
                && !kinds(&[Kind::Drop, Kind::Alter]).is_of_accidents()
        );
        assert!(
            kinds(&[Kind::Alter]).is_any(&[Kind::Drop, Kind::Alter])
                && !kinds(&[Kind::Alter]).is_any(&[Kind::Drop])
        );
    }
}
