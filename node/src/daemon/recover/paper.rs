//! What an operator reads before the question. Pure.

use jiff::Timestamp;

use super::judge::{Prospect, list, writer};
use super::{Facts, Wish};
use crate::paper::{self, wrapped};
use crate::state::{Durability, NodeName};

/// Of the column with the labels.
const LABEL: usize = 17;

pub(super) fn render(facts: &Facts, wish: &Wish, prospect: &Prospect) -> String {
    let survey = &facts.survey;
    let mut page = wrapped(
        "",
        "",
        &format!(
            "recover {}: {} goes on alone as generation {}, without {}",
            survey.binding.cluster,
            wish.keep,
            prospect.generation,
            list(&wish.drop)
        ),
    );
    page += "\n";
    for (label, text) in known(facts) {
        page += &row(&label, &text);
    }
    page += "\nwhat may be missing\n";
    for (label, text) in &prospect.missing {
        page += &row(label, text);
    }
    page += "\n";
    for warning in &prospect.warnings {
        page += &wrapped("! ", "  ", warning);
    }
    page += "\nwhat follows\n";
    for (number, step) in (1..).zip(&prospect.follows) {
        page += &wrapped(&format!("  {number}  "), "     ", step);
    }
    page
}

fn known(facts: &Facts) -> Vec<(String, String)> {
    let (survey, state) = (&facts.survey, &facts.survey.state);
    let mut last = format!("{} of term {}", survey.last_index, survey.last_term);
    if let Some((at_ms, by)) = &survey.last_command {
        let at = Timestamp::from_millisecond(*at_ms).unwrap_or_default();
        last += &format!("; the newest command is {by}'s, of {}", at.strftime("%Y-%m-%d %H:%M:%S UTC"));
    }
    let mut rows = vec![("last entry".to_owned(), last)];
    if survey.unapplied > 0 {
        let said = format!("{} not known to be agreed on; they count as if they were", survey.unapplied);
        rows.push(("of these".into(), said));
    }
    rows.push(match writer(state) {
        Some(writer) => ("writer then".into(), format!("{writer}, epoch {}", state.epoch())),
        None => ("writer then".into(), "none: the cluster was only observed".into()),
    });
    let ackers: Vec<&str> = state.ackers.iter().map(NodeName::as_str).collect();
    rows.push((
        "durability then".into(),
        match &state.durability {
            Durability::Lossless { .. } => format!("lossless, acked by {}", ackers.join(", ")),
            Durability::Degraded { reason, .. } => format!("not lossless: {reason}"),
            Durability::Unknown => "nothing promised".into(),
        },
    ));
    let received = match &facts.received {
        // A line can be broken between two sources.
        Ok(set) => format!("received {}", set.to_string().replace(',', ", ")),
        Err(_) => "cannot be asked".into(),
    };
    rows.push((format!("{}'s server", facts.me), received));
    rows
}

fn row(label: &str, text: &str) -> String {
    paper::row(LABEL, label, text)
}
