//! The topology: the writer, what follows it, the witnesses; shapes say how each is.

use baton_proto::control::{NodeStatus, StatusReply};

use crate::render::layout::Cell;
use crate::render::style::Tone;
use crate::render::time;

/// Above this a lease has no end: it is one for a pause.
const WITHOUT_END_MS: u64 = 365 * 24 * 3600 * 1000;

/// One row for each node: the branch with shape and name, the role, and what there is to say.
pub(super) fn rows(reply: &StatusReply) -> Vec<Vec<Cell>> {
    let (writers, others): (Vec<_>, Vec<_>) = reply.nodes.iter().partition(|node| node.role == "writer");
    let apart = |node: &&NodeStatus| matches!(node.role.as_str(), "witness" | "left behind");
    let (apart, servers): (Vec<_>, Vec<_>) = others.into_iter().partition(apart);
    let mut rows = Vec::new();
    for node in &writers {
        rows.push(row(reply, node, " "));
    }
    for (position, node) in servers.iter().enumerate() {
        let branch = match (writers.is_empty(), position + 1 == servers.len()) {
            (true, _) => " ",
            (false, false) => " ├ ",
            (false, true) => " └ ",
        };
        rows.push(row(reply, node, branch));
    }
    for node in &apart {
        rows.push(row(reply, node, " "));
    }
    rows
}

fn row(reply: &StatusReply, node: &NodeStatus, branch: &str) -> Vec<Cell> {
    let (tone, shape) = shape(node);
    let name = Cell::plain(branch).then(tone, shape).then(Tone::Plain, format!(" {}", node.name));
    let mut row = vec![name, Cell::plain(&node.role)];
    row.extend(match node.role.as_str() {
        "writer" => of_writer(reply, node),
        "witness" => of_witness(node),
        "left behind" => Vec::new(),
        _ => of_replica(reply, node),
    });
    if !node.note.is_empty() {
        row.push(Cell::plain(&node.note));
    }
    row
}

fn shape(node: &NodeStatus) -> (Tone, &'static str) {
    match (node.role.as_str(), node.health.as_str()) {
        (_, "down") => (Tone::Bad, "✗"),
        ("witness", _) if node.node_answers => (Tone::Plain, "○"),
        ("witness", _) => (Tone::Bad, "✗"),
        ("out" | "left behind", _) => (Tone::Warn, "◌"),
        (_, "ok") => (Tone::Good, "●"),
        (_, "warning") => (Tone::Warn, "◐"),
        _ => (Tone::Dim, "?"),
    }
}

/// Which half of a node is silent; `None` when both answer.
fn silence(node: &NodeStatus) -> Option<Cell> {
    match (node.node_answers, node.server_answers) {
        (true, true) => None,
        (true, false) => Some(Cell::new(Tone::Bad, "server down")),
        (false, true) => Some(Cell::new(Tone::Warn, "Baton down, server up")),
        (false, false) => Some(Cell::new(Tone::Bad, "no answer")),
    }
}

fn of_writer(reply: &StatusReply, node: &NodeStatus) -> Vec<Cell> {
    let mut cells = Vec::new();
    cells.extend(silence(node));
    if node.server_answers {
        cells.push(Cell::plain(&node.server));
        if !node.open {
            cells.push(Cell::new(Tone::Bad, "closed"));
        }
    }
    // While observing and in a pause no lease bounds the writer.
    if node.open && node.lease_left_ms >= WITHOUT_END_MS {
        cells.push(Cell::plain("lease without end"));
    } else if node.open && node.lease_left_ms > 0 {
        cells.push(Cell::plain(format!("lease {:.1} s", node.lease_left_ms as f64 / 1_000.0)));
    } else if node.open && reply.phase == "managed" && reply.automation != "paused" {
        cells.push(Cell::new(Tone::Warn, "no lease"));
    }
    let ackers: Vec<&str> =
        reply.nodes.iter().filter(|node| node.acker).map(|node| node.name.as_str()).collect();
    if node.open && !ackers.is_empty() {
        cells.push(Cell::plain(format!("acked by {}", ackers.join(", "))));
    }
    cells
}

fn of_witness(node: &NodeStatus) -> Vec<Cell> {
    if node.node_answers { Vec::new() } else { vec![Cell::new(Tone::Bad, "no answer")] }
}

fn of_replica(reply: &StatusReply, node: &NodeStatus) -> Vec<Cell> {
    let mut cells = Vec::new();
    cells.extend(silence(node));
    if node.server_answers {
        if node.open {
            cells.push(Cell::new(Tone::Bad, "OPEN"));
        }
        cells.push(match (node.replicating, node.lag_seconds) {
            (false, _) => Cell::new(Tone::Warn, "not replicating"),
            (true, lag) if lag < 0.0 => Cell::plain("lag unknown"),
            (true, lag) => Cell::plain(format!("lag {}", time::seconds(lag))),
        });
        if node.replicating
            && !node.follows.is_empty()
            && node.follows != reply.writer
            && !reply.writer.is_empty()
        {
            cells.push(Cell::new(Tone::Warn, format!("follows {}", node.follows)));
        }
    }
    if node.candidate {
        let candidates = reply.nodes.iter().filter(|node| node.candidate).count();
        cells.push(Cell::plain(if candidates == 1 { "next writer" } else { "candidate" }));
    }
    if differs(reply, node) {
        cells.push(Cell::plain(&node.server));
    }
    cells
}

/// Whether it runs another version than the writer: the one case in which a replica's version is news.
fn differs(reply: &StatusReply, node: &NodeStatus) -> bool {
    let writer = reply.nodes.iter().find(|node| node.role == "writer" && !node.server.is_empty());
    !node.server.is_empty() && writer.is_some_and(|writer| writer.server != node.server)
}
