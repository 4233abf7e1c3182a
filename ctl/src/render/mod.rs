//! Answers as text. Pure: what is printed depends on the reply, the time and the style alone.

mod adopt;
mod alert;
mod backup;
mod check;
mod config;
mod events;
mod fleet;
mod history;
mod layout;
mod quarantine;
mod rebuild;
mod recovery;
mod rehearsal;
mod routing;
mod status;
mod style;
mod switchover;
mod time;
mod why;

pub use adopt::adopt;
pub use alert::alert_test;
pub use backup::{backup, backup_begun, backup_line, backup_list, backup_over, backup_prune};
pub use check::check;
pub use config::{config, config_change};
pub use events::events;
pub use fleet::{FleetRow, Standing, fleet};
pub use history::history;
pub use quarantine::{quarantine, quarantine_list};
pub use rebuild::{rebuild_line, rebuild_plan, rebuilt};
pub use recovery::recovery;
pub use rehearsal::{Case, junit, rehearsal};
pub use routing::routing;
pub use status::status;
pub use style::Style;
pub use switchover::switchover;
pub use why::why;

use baton_proto::control::Done;
use style::Tone;

/// What a change answers: its message, and the details below it.
pub fn done(done: &Done, style: &Style) -> String {
    let mut text = layout::wrap(&done.message, "", "", style.width);
    for detail in &done.details {
        text += &layout::wrap(detail, "  ", "  ", style.width);
    }
    text
}

/// The line on stderr when a command fails: what is wrong, and what to do.
pub fn error_line(what: &str, mend: &str, style: &Style) -> String {
    let head = style.paint(Tone::Bad, "error:");
    let stop = if what.ends_with(['.', '?', '!']) || mend.is_empty() { "" } else { "." };
    let mut letters = mend.chars();
    let mend = letters.next().map(|first| format!(" {}{}", first.to_uppercase(), letters.as_str()));
    let words = format!("{what}{stop}{}", mend.unwrap_or_default());
    // A message of several lines becomes one.
    let words: Vec<String> = words.lines().map(style::clean).collect();
    format!("{head} {}\n", words.join(" "))
}

#[cfg(test)]
pub(crate) mod fixtures;

#[cfg(test)]
mod tests {
    use super::fixtures::{PLAIN, healthy, now};
    use super::*;

    #[test]
    fn an_error_is_one_line_that_says_what_to_do() {
        let line = |what, mend| error_line(what, mend, &PLAIN);
        assert_eq!(line("no node answers", "start one"), "error: no node answers. Start one\n");
        assert_eq!(line("which nodes?", "pass --node"), "error: which nodes? Pass --node\n");
        assert_eq!(line("db3 lags;\nwait", ""), "error: db3 lags; wait\n");
    }

    #[test]
    fn what_a_server_says_cannot_steer_the_terminal() {
        let mut reply = healthy();
        reply.nodes[1].note = "account \x1b[2Jevil\x07".into();
        reply.warnings = vec!["account \x1b]0;evil".into()];
        let message = Done { message: "\x1b[2J".into(), details: vec!["\x1b[2J".into()] };
        for text in
            [status(&reply, now(), &PLAIN), done(&message, &PLAIN), error_line("\x1b[2J", "\x1b", &PLAIN)]
        {
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        }
    }
}
