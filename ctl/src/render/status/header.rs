//! The first line: which cluster, and is it well?

use baton_proto::control::StatusReply;
use jiff::Timestamp;

use crate::render::layout::Cell;
use crate::render::style::Tone;
use crate::render::time;

pub(super) fn items(reply: &StatusReply, now: Timestamp) -> Vec<Cell> {
    let mut items = vec![Cell::new(Tone::Strong, &reply.cluster)];
    let observing = reply.phase == "observing";
    if reply.epoch > 0 {
        items.push(Cell::plain(format!("epoch {}", reply.epoch)));
    }
    if reply.health == "no_writer" {
        items.push(Cell::new(Tone::Bad, "NO WRITER"));
    } else if !observing {
        items.push(durability(&reply.durability));
    }
    items.push(if observing { Cell::new(Tone::Strong, "observing") } else { automation(reply, now) });
    if reply.muted_until_ms > 0 {
        items.push(Cell::new(Tone::Warn, format!("alerts muted, {}", time::left(reply.muted_until_ms, now))));
    }
    items
}

fn durability(durability: &str) -> Cell {
    match durability {
        "lossless" => Cell::new(Tone::Good, "LOSSLESS"),
        _ => Cell::new(Tone::Warn, "NOT LOSSLESS"),
    }
}

fn automation(reply: &StatusReply, now: Timestamp) -> Cell {
    match reply.automation.as_str() {
        "paused" if reply.paused_until_ms > 0 => {
            Cell::new(Tone::Warn, format!("PAUSED, {}", time::left(reply.paused_until_ms, now)))
        }
        "paused" => Cell::new(Tone::Warn, "PAUSED"),
        "held" => Cell::new(Tone::Warn, "HELD"),
        other => Cell::plain(other),
    }
}
