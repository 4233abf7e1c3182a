//! Bad input and what is said about it, line for line; and what good input gives.

#![allow(clippy::unwrap_used)]

mod alerting;
mod backup;
mod effect;
mod files;
mod rules;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

const GOOD: &str = r#"[cluster]
name = "shop"

[[node]]
name = "db1"
peer = "10.0.0.1:7400"
server = "10.0.0.1:3306"
zone = "fsn1"

[[node]]
name = "db2"
peer = "10.0.0.2:7400"
server = "10.0.0.2:3306"
priority = 50

[[node]]
name = "app1"
peer = "10.0.0.9:7400"
"#;

/// A public key that somebody made with `age-keygen`.
const RECIPIENT: &str = "age1efjyj8u47y3fyulmuxxgn8kvxtz7f2jgfvjghf60fw9ufv8c03uqhadlhe";

fn parse_with(text: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let env: BTreeMap<String, String> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Config::parse(text, Path::new("baton.toml"), "db1", &env)
}

fn parse(text: &str) -> Result<Loaded, ConfigErrors> {
    parse_with(text, &[])
}

/// What is said about the good file with these lines after it.
fn said(more: &str) -> String {
    render_check(&parse(&format!("{GOOD}{more}")))
}
