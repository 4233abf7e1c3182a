//! What `deny.toml` forbids is not in the dependency tree. `cargo deny check` tells more; this runs everywhere.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The part of `deny.toml` that is checked here.
#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Debug, Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// Of `cargo metadata`.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// Nothing for what belongs to the workspace.
    source: Option<String>,
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn deny() -> Result<Deny> {
    Ok(toml::from_str(&std::fs::read_to_string(root().join("deny.toml"))?)?)
}

/// The packages that this machine builds from.
fn packages() -> Result<Vec<Package>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let arguments =
        ["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", &target];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    ensure!(metadata.packages.len() > 100, "{} packages only", metadata.packages.len());
    Ok(metadata.packages)
}

/// Whether one of the choices of an SPDX expression consists of allowed licenses. A slash is an older OR.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // One pair of parentheses around a choice is all that occurs; AND outside of it then binds its parts.
    if let Some((choice, rest)) = expression.strip_prefix('(').and_then(|text| text.split_once(')')) {
        let rest = rest.trim().strip_prefix("AND ").unwrap_or(rest.trim());
        return is_allowed(choice, allowed) && (rest.is_empty() || is_allowed(rest, allowed));
    }
    expression
        .replace('/', " OR ")
        .split(" OR ")
        .any(|choice| choice.split(" AND ").all(|license| allowed.contains(license.trim())))
}

#[test]
fn licenses_are_among_the_allowed() -> Result<()> {
    let allowed = deny()?.licenses.allow;
    for package in packages()? {
        let what = format!("{} {}", package.name, package.version);
        let license = package.license.with_context(|| format!("{what} has no license"))?;
        ensure!(is_allowed(&license, &allowed), "{what}: {license}");
    }
    Ok(())
}

#[test]
fn everything_comes_from_the_registry_or_from_here() -> Result<()> {
    for package in packages()? {
        let known = package.source.as_deref().is_none_or(|source| source.starts_with("registry+"));
        ensure!(known, "{}: {:?}", package.name, package.source);
    }
    Ok(())
}

/// On no platform: the lock file has them all.
#[test]
fn nothing_banned_is_there() -> Result<()> {
    let lock: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("Cargo.lock"))?)?;
    let packages = lock["package"].as_array().context("no packages in Cargo.lock")?;
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    ensure!(names.contains("ring"), "the one TLS provider is not in Cargo.lock");
    for banned in deny()?.bans.deny {
        ensure!(!names.contains(banned.name.as_str()), "{}: {}", banned.name, banned.reason);
    }
    Ok(())
}

#[test]
fn a_license_is_read_as_its_author_meant_it() {
    let allowed = ["MIT", "ISC", "Unicode-3.0"].map(str::to_owned).into();
    for good in
        ["MIT", "Apache-2.0 OR MIT", "Apache-2.0/MIT", "MIT AND ISC", "(MIT OR Apache-2.0) AND Unicode-3.0"]
    {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in
        ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-3.0", "(GPL-3.0 OR AGPL-3.0) AND MIT"]
    {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}
