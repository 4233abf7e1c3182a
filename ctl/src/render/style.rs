//! Colour and width.

use std::io::IsTerminal;

use crate::cli::Color;

/// How to print: with colour or without, and how wide.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Whether escape sequences may be printed.
    pub color: bool,
    /// Columns.
    pub width: usize,
}

/// What a piece of text means; its colour only repeats what shape and words say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Strong,
    Good,
    Warn,
    Bad,
    Dim,
}

/// What a log, a mail and a terminal of the usual size all show.
const USUAL_WIDTH: usize = 80;

impl Style {
    /// For stdout as it is.
    pub fn of_stdout(color: Color) -> Self {
        Self::of(&std::io::stdout(), color)
    }

    /// For stderr as it is.
    pub fn of_stderr(color: Color) -> Self {
        Self::of(&std::io::stderr(), color)
    }

    fn of(stream: &(impl IsTerminal + std::os::fd::AsFd), color: Color) -> Self {
        let terminal = stream.is_terminal();
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                terminal && !set("NO_COLOR") && !dumb
            }
        };
        let width = if terminal { rustix::termios::tcgetwinsize(stream).ok() } else { None };
        // A pseudo-terminal that nobody sized says 0. Beyond 120 columns the eye loses the line.
        let width = width.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        Self { color, width: width.unwrap_or(USUAL_WIDTH).clamp(40, 120) }
    }

    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => "",
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "1;31",
            Tone::Dim => "2",
        };
        let text = clean(text);
        if !self.color || code.is_empty() || text.is_empty() {
            return text;
        }
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Names of accounts and messages of servers are other people's words: they must not steer this terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
