//! What an operator reads: the plan before anything is done, what came of it, and what a store holds. Pure.

use std::ffi::OsString;

use jiff::Timestamp;
use serde::Serialize;

use super::chain::Chain;
use super::judge::Verdict;
use super::replay::Replay;
use super::shelf::Held;
use crate::backup::engine::Extent;
use crate::backup::manifest::Manifest;
use crate::gtid::{Dialect, MariadbSet};
use crate::paper::{length, row, size, wrapped};

/// Of the column with the labels.
const LABEL: usize = 12;

/// What will be done, for people and for machines.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Plan {
    pub(super) store: String,
    pub(super) cluster: String,
    pub(super) backup: String,
    /// What is restored, one after another: a full backup and what adds to it.
    pub(super) chain: Vec<String>,
    pub(super) engine: String,
    pub(super) node: String,
    pub(super) began_ms: u64,
    pub(super) ended_ms: u64,
    pub(super) dialect: Dialect,
    pub(super) server_version: String,
    /// Unpacked.
    pub(super) bytes: u64,
    pub(super) stored_bytes: u64,
    pub(super) gtids: String,
    pub(super) target: String,
    pub(super) needed_bytes: u64,
    pub(super) free_bytes: u64,
    pub(super) owner: Option<String>,
    /// What it goes on with after the backup.
    pub(super) replay: Option<Replay>,
    /// Programs with their arguments, in their order.
    pub(super) runs: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// What speaks against it; nothing is done unless it is empty.
    pub(super) faults: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Done {
    pub(super) seconds: u64,
    /// Where the restored server stands, as far as is known.
    pub(super) gtids: String,
    /// What `--sandbox` found.
    pub(super) tables_checked: Option<u64>,
    pub(super) xa_prepared: Option<u64>,
    pub(super) warnings: Vec<String>,
    pub(super) next: Vec<String>,
}

impl Plan {
    /// As far as the chain says.
    pub(super) fn of(chain: &Chain, store: &str, verdict: Verdict) -> Option<Self> {
        let last = chain.last()?;
        Some(Self {
            store: store.to_owned(),
            cluster: last.cluster.clone(),
            backup: last.backup.clone(),
            chain: chain.parts().iter().map(|part| part.backup.clone()).collect(),
            engine: last.engine.clone(),
            node: last.server.node.clone(),
            began_ms: last.began_ms,
            ended_ms: last.ended_ms,
            dialect: last.server.dialect,
            server_version: last.server.version.clone(),
            bytes: chain.bytes(),
            stored_bytes: chain.stored_bytes(),
            gtids: last.position.as_ref().map(|position| position.gtids.clone()).unwrap_or_default(),
            target: String::new(),
            needed_bytes: 0,
            free_bytes: 0,
            owner: None,
            replay: None,
            runs: Vec::new(),
            warnings: verdict.warnings,
            faults: verdict.faults,
        })
    }

    /// Where the restored server stands in the end, as far as that is known before.
    pub(super) fn ends_at(&self) -> &str {
        self.replay.as_ref().map_or(&self.gtids, |replay| &replay.gtids)
    }

    pub(super) fn render(&self) -> String {
        let said = |label: &str, text: &str| row(LABEL, label, text);
        let took = self.ended_ms.saturating_sub(self.began_ms) / 1000;
        let mut page = format!("restore of {}\n\n", self.backup);
        page += &said("from", &format!("{}, cluster {}, node {}", self.store, self.cluster, self.node));
        page += &said("begun", &format!("{}, it took {}", moment(self.began_ms), length(took)));
        page += &said("engine", &self.engine);
        if self.chain.len() > 1 {
            page += &said("made of", &self.chain.join(", "));
        }
        page += &said("server", &format!("{} {}", self.dialect, self.server_version));
        page += &said("size", &format!("{}, {} in the store", size(self.bytes), size(self.stored_bytes)));
        page += &said("GTID set", &set(&self.gtids));
        page += &said("into", &self.target);
        if self.needed_bytes > 0 {
            page +=
                &said("room", &format!("{} needed, {} free", size(self.needed_bytes), size(self.free_bytes)));
        }
        if let Some(owner) = &self.owner {
            page += &said("owner", owner);
        }
        for (number, words) in self.runs.iter().enumerate() {
            page += &said(if number == 0 { "runs" } else { "" }, words);
        }
        if let Some(replay) = &self.replay {
            page += &replay.render(LABEL);
        }
        for warning in &self.warnings {
            page += &wrapped("! ", "  ", warning);
        }
        page
    }
}

impl Done {
    pub(super) fn render(&self, plan: &Plan) -> String {
        let mut page = wrapped(
            "",
            "",
            &format!("{} is restored into {}, in {}", plan.backup, plan.target, length(self.seconds)),
        );
        page += &row(LABEL, "GTID set", &set(&self.gtids));
        if let Some(replay) = &plan.replay {
            page += &row(LABEL, "last", &replay.last_text());
        }
        if let Some(tables) = self.tables_checked {
            page += &row(
                LABEL,
                "checked",
                &format!("it starts; CHECK TABLE finds nothing wrong in {tables} tables"),
            );
        }
        for warning in &self.warnings {
            page += &wrapped("! ", "  ", warning);
        }
        if !self.next.is_empty() {
            page += "\nnext\n";
        }
        for (number, step) in (1..).zip(&self.next) {
            page += &wrapped(&format!("  {number}  "), "     ", step);
        }
        page
    }
}

/// What is to be done then. `has_looked`: the server itself has said where it stands.
pub(super) fn next(plan: &Plan, way_is_files: bool, gtids: &str, has_looked: bool) -> Vec<String> {
    let mut steps = Vec::new();
    if way_is_files {
        let owner = plan.owner.as_deref().filter(|owner| *owner != "root");
        if owner.is_none() {
            steps.push(format!("chown -R mysql: {}", plan.target));
        }
        let unit = match plan.dialect {
            Dialect::Mysql => "mysql",
            Dialect::Mariadb => "mariadb",
        };
        steps.push(format!("systemctl start {unit} (it needs a server_id of its own, as every server)"));
    }
    if plan.dialect == Dialect::Mariadb {
        if !has_looked && way_is_files {
            steps.push(
                "SELECT @@GLOBAL.gtid_slave_pos; where it is later than the set above in a domain, take that one in \
                 the next step"
                    .into(),
            );
        }
        steps.push(format!(
            "RESET MASTER; SET GLOBAL gtid_slave_pos='{gtids}'; so that it goes on from there, as a replica or as the \
             writer"
        ));
    } else if way_is_files {
        if !has_looked {
            steps.push(
                "SELECT @@GLOBAL.gtid_executed; it may have more than the set above, never less".into(),
            );
        }
        steps.push(
            "RESET REPLICA ALL; the backup brings the replication of the server that it was read of".into(),
        );
    }
    steps.push(
        "in a cluster that lives: start baton-node beside it, and the server follows the writer; where none lives, follow \
         docs/restore.md"
            .into(),
    );
    steps
}

/// The later of what was noted with a copy and what its own table says, which may be one transaction ahead, domain by domain.
pub(super) fn later(noted: &str, table: &str) -> String {
    let (noted, table) = (MariadbSet::parse_position(noted), MariadbSet::parse_position(table));
    noted.unwrap_or_default().union(&table.unwrap_or_default()).position()
}

/// A backup in a list, for people and for machines.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Listed {
    pub(super) backup: String,
    pub(super) began_ms: u64,
    pub(super) node: String,
    pub(super) engine: String,
    /// The backup that it adds to.
    pub(super) base: Option<String>,
    pub(super) server_version: String,
    pub(super) bytes: u64,
    pub(super) stored_bytes: u64,
    pub(super) gtids: String,
    /// Why it cannot be restored; empty where it can.
    pub(super) lacks: Vec<String>,
}

/// What a store holds.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct List {
    pub(super) store: String,
    pub(super) cluster: String,
    pub(super) backups: Vec<Listed>,
    /// Manifests that cannot be read, with the reason.
    pub(super) unreadable: Vec<(String, String)>,
    /// Begun, and without a manifest: no backups.
    pub(super) cut_off: Vec<String>,
}

impl Listed {
    pub(super) fn of(held: Held) -> Self {
        let Held { manifest, lacks } = held;
        let Manifest { backup, began_ms, engine, extent, server, position, stream, .. } = manifest;
        let base = match extent {
            Extent::Full => None,
            Extent::Incremental { base, .. } => Some(base),
        };
        Self {
            backup,
            began_ms,
            node: server.node,
            engine,
            base,
            server_version: server.version,
            bytes: stream.bytes,
            stored_bytes: stream.stored_bytes(),
            gtids: position.map(|position| position.gtids).unwrap_or_default(),
            lacks,
        }
    }
}

impl List {
    pub(super) fn render(&self) -> String {
        let mut page =
            format!("{}, cluster {}: {} backups\n\n", self.store, self.cluster, self.backups.len());
        for listed in &self.backups {
            let kind = if listed.base.is_some() { "increment" } else { "full" };
            let state = if listed.lacks.is_empty() { "complete" } else { "INCOMPLETE" };
            page += &format!(
                "{:<28} {:<9} {:<14} {:>9}  {state}\n",
                listed.backup,
                kind,
                listed.engine,
                size(listed.stored_bytes)
            );
            for lack in &listed.lacks {
                page += &wrapped("    ", "    ", lack);
            }
        }
        for (id, why) in &self.unreadable {
            page += &wrapped(&format!("{id:<28} "), "    ", &format!("its manifest cannot be read: {why}"));
        }
        for id in &self.cut_off {
            page += &format!("{id:<28} was cut off and is no backup\n");
        }
        page
    }
}

/// Words as a shell would take them, but for the rarest.
pub(super) fn command_line(words: &[OsString]) -> String {
    let shown = |word: &OsString| {
        let word = word.to_string_lossy();
        if word.contains([' ', '\'', '"']) { format!("'{word}'") } else { word.into_owned() }
    };
    words.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// A line can be broken between two sources.
fn set(gtids: &str) -> String {
    if gtids.is_empty() { "none".to_owned() } else { gtids.replace(',', ", ") }
}

fn moment(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::testing::{chain, manifest};
    use super::*;

    #[tokio::test]
    async fn a_plan() {
        let verdict =
            Verdict { warnings: vec!["a newer backup is passed over".into()], ..Verdict::default() };
        let mut plan = Plan::of(&chain().await, "disk", verdict).unwrap();
        plan.target = "/var/lib/mysql".into();
        (plan.needed_bytes, plan.free_bytes, plan.owner) = (19 << 20, 1 << 30, Some("mysql".into()));
        plan.runs = vec!["mbstream -x -C /d".into(), "mariadb-backup --prepare".into()];
        let page = plan.render();
        for part in [
            "restore of 2026b\n",
            "  from        disk, cluster shop, node db2\n",
            "  begun       2026-01-01 00:00:00 UTC, it took 60 s\n",
            "  made of     2026a, 2026b\n",
            "  size        18.0 MiB, 28 B in the store\n",
            "  room        19.0 MiB needed, 1.0 GiB free\n",
            "  runs        mbstream -x -C /d\n              mariadb-backup --prepare\n",
            "! a newer backup is passed over\n",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        let steps = next(&plan, true, "0-1-4711", false);
        let warnings = Vec::new();
        let done = Done { seconds: 7, gtids: "0-1-4711".into(), next: steps, warnings, ..Done::default() };
        let page = done.render(&plan);
        assert!(page.starts_with("2026b is restored into /var/lib/mysql, in 7 s\n"), "{page}");
        assert!(page.contains("RESET MASTER; SET GLOBAL gtid_slave_pos='0-1-4711'"), "{page}");
        assert!(page.contains("SELECT @@GLOBAL.gtid_slave_pos;") && !page.contains("chown"), "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    }

    #[test]
    fn a_list() {
        let held = |id: &str, base, lacks: &[&str]| {
            let lacks = lacks.iter().map(|lack| (*lack).to_owned()).collect();
            Listed::of(Held { manifest: manifest(id, base), lacks })
        };
        let list = List {
            store: "disk".into(),
            cluster: "shop".into(),
            backups: vec![
                held("20260101T000000Z-db2", None, &[]),
                held("20260102T000000Z-db2", Some("20260101T000000Z-db2"), &["data.00001 is missing"]),
            ],
            unreadable: vec![("20260103T000000Z-db2".into(), "it is of format 2".into())],
            cut_off: vec!["20260104T000000Z-db2".into()],
        };
        let page = list.render();
        for part in [
            "disk, cluster shop: 2 backups\n",
            "20260101T000000Z-db2         full      mariadb-backup      14 B  complete\n",
            "mariadb-backup      14 B  INCOMPLETE\n    data.00001 is missing\n",
            "20260103T000000Z-db2         its manifest cannot be read: it is of format 2\n",
            "20260104T000000Z-db2         was cut off and is no backup\n",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn the_later_position_counts() {
        assert_eq!(later("0-1-7,2-1-9", "0-1-8,3-1-1"), "0-1-8,2-1-9,3-1-1");
        assert_eq!(later("", ""), "");
    }
}
