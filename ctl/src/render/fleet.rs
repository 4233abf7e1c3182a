//! `batonctl fleet`: how many clusters are well, then a line for each, the worst first.

use baton_proto::control::StatusReply;
use serde::Serialize;

use super::layout::{Cell, table, wrap};
use super::style::{Style, Tone};

/// How a cluster stands, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// No server is open for writes.
    NoWriter,
    /// None of its nodes answers, or it cannot be asked.
    Silent,
    /// Something is not as it should be.
    Degraded,
    /// All is.
    Well,
}

impl Standing {
    /// That of a cluster that answered.
    pub fn of(status: &StatusReply) -> Self {
        match status.health.as_str() {
            "healthy" => Self::Well,
            "no_writer" => Self::NoWriter,
            // A word of a newer node is not known to be healthy.
            _ => Self::Degraded,
        }
    }
}

/// One cluster, as it is shown.
#[derive(Clone, Copy, Debug)]
pub struct FleetRow<'a> {
    /// Its name.
    pub name: &'a str,
    /// How it stands.
    pub standing: Standing,
    /// Its answer, if it gave one.
    pub status: Option<&'a StatusReply>,
    /// Why it gave none.
    pub error: &'a str,
}

/// The whole page, of clusters in their order.
pub fn fleet(clusters: &[FleetRow<'_>], style: &Style) -> String {
    let rows: Vec<Vec<Cell>> = clusters.iter().map(row).collect();
    format!("{}\n{}", wrap(&summary(clusters), "", "", style.width), table(&rows, style))
}

fn summary(clusters: &[FleetRow<'_>]) -> String {
    let count = |standing| clusters.iter().filter(|row| row.standing == standing).count();
    let parts = [
        (Standing::NoWriter, "without a writer"),
        (Standing::Silent, "without an answer"),
        (Standing::Degraded, "degraded"),
        (Standing::Well, "well"),
    ];
    let said: Vec<String> = parts
        .into_iter()
        .map(|(standing, words)| (count(standing), words))
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    let all = clusters.len();
    format!("{all} cluster{}: {}", if all == 1 { "" } else { "s" }, said.join(", "))
}

fn row(row: &FleetRow<'_>) -> Vec<Cell> {
    let (tone, shape) = match row.standing {
        Standing::NoWriter | Standing::Silent => (Tone::Bad, "✗"),
        Standing::Degraded => (Tone::Warn, "◐"),
        Standing::Well => (Tone::Good, "●"),
    };
    let name = Cell::new(tone, shape).then(Tone::Plain, format!(" {}", row.name));
    let Some(status) = row.status else {
        return vec![name, Cell::new(Tone::Bad, "NO ANSWER"), Cell::default(), Cell::plain(row.error)];
    };
    let state = match (row.standing, status.durability.as_str()) {
        (Standing::NoWriter, _) => Cell::new(Tone::Bad, "NO WRITER"),
        _ if status.phase == "observing" => Cell::plain("observing"),
        (_, "lossless") => Cell::new(Tone::Good, "LOSSLESS"),
        _ => Cell::new(Tone::Warn, "NOT LOSSLESS"),
    };
    let writer = if status.writer.is_empty() { "" } else { &status.writer };
    vec![name, state, Cell::plain(writer), Cell::plain(said(status))]
}

/// What there is to say: the operation under way, else the first warning and how many more there are, else nothing but
/// what differs from one cluster to the next.
fn said(status: &StatusReply) -> String {
    if !status.operation.is_empty() {
        return status.operation.clone();
    }
    if let Some((first, rest)) = status.warnings.split_first() {
        return if rest.is_empty() { first.clone() } else { format!("{first} (and {} more)", rest.len()) };
    }
    if !status.durability_reason.is_empty() && status.durability == "degraded" {
        return status.durability_reason.clone();
    }
    let paused = if status.automation == "paused" { ", paused" } else { "" };
    format!("epoch {}{paused}", status.epoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixtures::{PLAIN, healthy};

    #[test]
    fn the_count_comes_first_and_each_line_says_why() {
        let well = healthy();
        let mut closed = healthy();
        (closed.health, closed.durability) = ("no_writer".into(), "none".into());
        closed.operation = "failover of epoch 7, away from db1: waiting for a proof that it is closed".into();
        let mut degraded = healthy();
        (degraded.health, degraded.durability) = ("degraded".into(), "degraded".into());
        degraded.warnings = vec!["db2 has stopped replicating".into(), "its disk is nearly full".into()];
        let of = |name: &'static str, status| FleetRow {
            name,
            standing: Standing::of(status),
            status: Some(status),
            error: "",
        };
        let silent = FleetRow {
            name: "shop-31",
            standing: Standing::Silent,
            status: None,
            error: "no node answers: 10.0.0.7:7400, 10.0.0.8:7400: refuses connections",
        };
        let rows = [of("shop-07", &closed), silent, of("shop-02", &degraded), of("shop-01", &well)];
        insta::assert_snapshot!(fleet(&rows, &PLAIN));
        assert_eq!(summary(&rows[3..]), "1 cluster: 1 well");
    }
}
