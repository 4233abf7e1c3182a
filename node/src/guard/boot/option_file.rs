//! The lines of an option file. Pure: who follows the includes is `read.rs`.

use std::path::PathBuf;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// `[group]`, in lower case.
    Group(String),
    /// `key` or `key=value`.
    Option { key: String, value: Option<String> },
    /// `!include FILE`.
    Include(PathBuf),
    /// `!includedir DIRECTORY`.
    IncludeDir(PathBuf),
}

/// Reads one line. `Ok(None)` for an empty one or a comment.
///
/// # Errors
/// What a server would end with.
pub(super) fn parse_line(text: &str) -> Result<Option<Line>, &'static str> {
    let text = text.trim();
    match text.as_bytes().first() {
        None | Some(b'#' | b';') => Ok(None),
        Some(b'!') => parse_directive(&text[1..]).map(Some),
        Some(b'[') => match text[1..].split_once(']') {
            // A blank inside the brackets belongs to the name, which then is none that a server reads.
            Some((group, _)) => Ok(Some(Line::Group(group.to_lowercase()))),
            None => Err("the group has no closing bracket"),
        },
        Some(_) => Ok(Some(parse_option(without_comment(text)))),
    }
}

fn parse_directive(text: &str) -> Result<Line, &'static str> {
    let text = text.trim_start();
    let argument = |rest: &str| -> Option<PathBuf> {
        let path = rest.trim();
        (rest.starts_with(|c: char| c.is_whitespace()) && !path.is_empty()).then(|| path.into())
    };
    if let Some(directory) = text.strip_prefix("includedir").and_then(argument) {
        return Ok(Line::IncludeDir(directory));
    }
    text.strip_prefix("include").and_then(argument).map(Line::Include).ok_or("an unknown directive")
}

/// Cuts at the first `#` outside quotes.
fn without_comment(text: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '#') => return text[..index].trim_end(),
            _ => {}
        }
    }
    text
}

fn parse_option(text: &str) -> Line {
    match text.split_once('=') {
        None => Line::Option { key: text.to_owned(), value: None },
        Some((key, value)) => {
            Line::Option { key: key.trim_end().to_owned(), value: Some(unquote(value.trim())) }
        }
    }
}

/// Takes one pair of quotes off and resolves the escapes.
fn unquote(value: &str) -> String {
    let inner = ['\'', '"']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(value);
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('b') => plain.push('\u{8}'),
            Some('s') => plain.push(' '),
            Some(quoted @ ('\'' | '"' | '\\')) => plain.push(quoted),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn option(key: &str, value: Option<&str>) -> Option<Line> {
        Some(Line::Option { key: key.to_owned(), value: value.map(str::to_owned) })
    }

    #[test]
    fn reads_lines_as_a_server_does() {
        let group = |name: &str| Some(Line::Group(name.to_owned()));
        for (text, line) in [
            ("", None),
            ("  # comment", None),
            ("; comment", None),
            ("[mysqld]", group("mysqld")),
            ("  [MySQLd] # comment", group("mysqld")),
            ("[ mysqld ]", group(" mysqld ")),
            ("super-read-only", option("super-read-only", None)),
            ("read_only = 1", option("read_only", Some("1"))),
            ("read_only=ON# comment", option("read_only", Some("ON"))),
            ("read_only=\"1\" # 'x", option("read_only", Some("1"))),
            ("a='b # c' # d", option("a", Some("b # c"))),
            ("a='it\\'s # c' # d", option("a", Some("it's # c"))),
            ("event_scheduler=OFF ; x", option("event_scheduler", Some("OFF ; x"))),
            ("a=", option("a", Some(""))),
            ("a=b=c", option("a", Some("b=c"))),
            ("a=x\\sy\\q", option("a", Some("x y\\q"))),
            ("!include /etc/a b.cnf", Some(Line::Include("/etc/a b.cnf".into()))),
            ("!includedir\t/etc/x.d/", Some(Line::IncludeDir("/etc/x.d/".into()))),
        ] {
            assert_eq!(parse_line(text).unwrap(), line, "{text}");
        }
        for text in ["[mysqld", "!includes /x", "!include", "!"] {
            assert!(parse_line(text).is_err(), "{text}");
        }
    }
}
