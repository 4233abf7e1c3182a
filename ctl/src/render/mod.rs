//! Answers as text. Pure: what is printed depends on the reply, the time and the style alone.

mod adopt;
mod check;
mod history;
mod layout;
mod status;
mod style;
mod time;
mod why;

pub use adopt::adopt;
pub use check::check;
pub use history::history;
pub use status::status;
pub use style::Style;
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
    format!("{head} {what}{stop}{}\n", mend.unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod fixtures;
