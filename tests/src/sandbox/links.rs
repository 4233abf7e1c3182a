//! The links between hosts, and what they lose.
//!
//! All traffic passes the bridge, so one table of rules there can drop it silently, between any two hosts and in one
//! direction alone, the way a real network loses it. The hosts' own link stays up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;
use tokio::sync::Mutex;

use super::bounded::output;
use super::network::{TOOL_BOUND, ip};

/// Sender and receiver, by name.
pub(super) type Direction = (String, String);

/// The bridge, and what it drops.
#[derive(Debug)]
pub(super) struct Links {
    namespace: PathBuf,
    hosts: Vec<String>,
    /// Percent of packets that are lost; what is not named loses nothing.
    lost: Mutex<BTreeMap<Direction, u8>>,
}

impl Links {
    pub(super) async fn new(namespace: PathBuf, hosts: Vec<String>) -> Result<Self> {
        ip(&namespace, "link set lo up\nlink add name bridge type bridge\nlink set bridge up\n")
            .await
            .context("cannot make a bridge")?;
        let links = Self { namespace, hosts, lost: Mutex::new(BTreeMap::new()) };
        links.apply(&BTreeMap::new()).await?;
        Ok(links)
    }

    pub(super) fn namespace(&self) -> &Path {
        &self.namespace
    }

    /// Changes some directions at once: they all lose `percent` of their packets afterwards.
    pub(super) async fn lose(&self, directions: Vec<Direction>, percent: u8) -> Result<()> {
        let mut lost = self.lost.lock().await;
        let mut wanted = lost.clone();
        for direction in directions {
            match percent {
                0 => wanted.remove(&direction),
                _ => wanted.insert(direction, percent),
            };
        }
        self.apply(&wanted).await?;
        *lost = wanted;
        Ok(())
    }

    /// Replaces all rules in one transaction, so that there is no moment in between.
    async fn apply(&self, lost: &BTreeMap<Direction, u8>) -> Result<()> {
        let rules = lost.iter().map(|((from, to), percent)| {
            let chance = match percent {
                100.. => String::new(),
                percent => format!("numgen random mod 100 < {percent} "),
            };
            format!("    iifname \"{from}\" oifname \"{to}\" {chance}drop\n")
        });
        let table = format!(
            "add table bridge faults\ndelete table bridge faults\ntable bridge faults {{\n  chain forward {{\n    \
             type filter hook forward priority 0; policy accept;\n{}  }}\n}}\n",
            rules.collect::<String>()
        );
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace.display())).args(["--", "nft", "-f", "-"]);
        output(command, table.as_bytes(), TOOL_BOUND)
            .await
            .context("cannot change the bridge's rules")
            .map(drop)
    }

    pub(super) fn others<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a String> {
        self.hosts.iter().filter(move |other| *other != name)
    }
}
