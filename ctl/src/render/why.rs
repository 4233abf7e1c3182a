//! `batonctl why`: the diagnosis, what speaks for and against it, and what was decided.

use baton_proto::control::WhyReply;

use super::layout::{Cell, flow, table};
use super::style::{Style, Tone};
use super::time;

/// The whole answer.
pub fn why(reply: &WhyReply, style: &Style) -> String {
    let head = [Cell::new(Tone::Strong, &reply.diagnosis), Cell::plain(&reply.summary)];
    let fits = reply.diagnosis.chars().count() + reply.summary.chars().count() + 3 <= style.width;
    let mut text = if fits {
        flow(&head, 3, style)
    } else {
        format!("{}{}", flow(&head[..1], 3, style), super::layout::wrap(&reply.summary, "", "", style.width))
    };
    if !reply.reasons.is_empty() {
        text.push('\n');
        // For and against first: the facts are what the two rest on.
        let order = |side: &str| match side {
            "for" => 0,
            "against" => 1,
            _ => 2,
        };
        let mut reasons: Vec<_> = reply.reasons.iter().collect();
        reasons.sort_by_key(|reason| order(&reason.side));
        let row = |reason: &&baton_proto::control::Reason| {
            let (tone, sign) = match reason.side.as_str() {
                "for" => (Tone::Good, " + for"),
                "against" => (Tone::Warn, " − against"),
                _ => (Tone::Dim, " · fact"),
            };
            vec![Cell::new(tone, sign), Cell::plain(&reason.text)]
        };
        text += &table(&reasons.iter().map(row).collect::<Vec<_>>(), style);
    }
    if !reply.decisions.is_empty() {
        text += "\ndecided\n";
        let row = |decision: &baton_proto::control::Decision| {
            let words = match decision.why.as_str() {
                "" => decision.what.clone(),
                why => format!("{}, because {why}", decision.what),
            };
            vec![Cell::new(Tone::Dim, format!(" {}", time::instant(decision.at_ms))), Cell::plain(words)]
        };
        text += &table(&reply.decisions.iter().map(row).collect::<Vec<_>>(), style);
    }
    text
}

#[cfg(test)]
mod tests;
