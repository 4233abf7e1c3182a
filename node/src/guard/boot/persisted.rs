//! `mysqld-auto.cnf`: what SET PERSIST wrote into the data directory of a MySQL server.

use std::path::Path;

use serde_json::Value;

use super::setting::{Origin, Setting};

/// Reads the file's text. MySQL has changed its layout several times; in all of them a variable is an object with a
/// `Value`, under the variable's name, in one section or another.
///
/// # Errors
/// When it is no JSON object.
pub(super) fn parse(text: &str, path: &Path) -> Result<Vec<Setting>, serde_json::Error> {
    let root: serde_json::Map<String, Value> = serde_json::from_str(text)?;
    let mut settings = Vec::new();
    // serde_json bounds the depth of what it reads.
    collect(&root, path, &mut settings);
    Ok(settings)
}

fn collect(section: &serde_json::Map<String, Value>, path: &Path, settings: &mut Vec<Setting>) {
    for (name, entry) in section {
        let Value::Object(entry) = entry else { continue };
        match entry.get("Value") {
            Some(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let origin = Origin::Persisted { path: path.to_owned() };
                settings.push(Setting { name: name.clone(), value: Some(value), origin });
            }
            _ => collect(entry, path, settings),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn finds_variables_in_every_layout() {
        for text in [
            r#"{"Version":1,"mysql_server":{"super_read_only":{"Value":"OFF","Metadata":{"Timestamp":1,"User":"root"}}}}"#,
            r#"{"mysql_server":{"mysql_server_static_options":{"super_read_only":{"Value":"OFF"}}}}"#,
            r#"{"Version":2,"mysql_dynamic_parse_early_variables":{},"mysql_dynamic_variables":{"super_read_only":{"Value":"OFF","Metadata":{"Host":"localhost"}}},"mysql_static_variables":{}}"#,
            r#"{"super_read_only":{"Value":"OFF"}}"#,
        ] {
            let settings = parse(text, Path::new("/d/mysqld-auto.cnf")).unwrap();
            let shown: Vec<_> = settings.iter().map(ToString::to_string).collect();
            assert_eq!(shown, ["super_read_only=OFF (/d/mysqld-auto.cnf, by SET PERSIST)"], "{text}");
        }
        assert!(parse("", Path::new("x")).is_err());
        assert!(parse("[]", Path::new("x")).is_err());
    }
}
