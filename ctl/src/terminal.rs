//! The person at the terminal: what is under way, and a question before something that cannot be taken back.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::error::Error;

/// How soon a wait is explained, and how often anew.
struct Pace {
    first: Duration,
    again: Duration,
}

/// Below that nobody wonders whether anything happens.
const QUESTION: Pace = Pace { first: Duration::from_secs(2), again: Duration::from_secs(1) };
/// Whoever changes something looks on. What is over in a moment is not worth a line that flickers.
const CHANGE: Pace = Pace { first: Duration::from_millis(400), again: Duration::from_millis(250) };

/// The line of a terminal whose width is not known.
const USUAL_WIDTH: usize = 80;

/// Runs `work`, and on a terminal says on stderr what takes so long, once it takes over two seconds.
pub fn with_progress<F: Future>(label: &str, work: F) -> impl Future<Output = F::Output> {
    watched(&QUESTION, label, async || None, line_of_terminal(), work)
}

/// The same almost at once, with the newest word from `news` in place of the label. It is asked about four times a second,
/// and given up when the work is done.
pub fn with_news<F: Future>(
    label: &str,
    news: impl AsyncFn() -> Option<String>,
    work: F,
) -> impl Future<Output = F::Output> {
    watched(&CHANGE, label, news, line_of_terminal(), work)
}

/// `show` replaces the line that was shown before; without it nobody watches.
async fn watched<F: Future>(
    pace: &Pace,
    label: &str,
    news: impl AsyncFn() -> Option<String>,
    show: Option<impl FnMut(&str)>,
    work: F,
) -> F::Output {
    let Some(mut show) = show else { return work.await };
    let mut work = pin!(work);
    let started = Instant::now();
    let (mut shown, mut newest) = (false, None);
    let output = loop {
        let wait = if shown { pace.again } else { pace.first };
        if let Ok(output) = timeout(wait, &mut work).await {
            break output;
        }
        if !shown {
            show(&text(label, started));
            shown = true;
        }
        let said = tokio::select! {
            output = &mut work => break output,
            said = news() => said.filter(|said| !said.is_empty()),
        };
        // While nobody can say, what was said last is closer than the label.
        newest = said.or(newest);
        show(&text(newest.as_deref().unwrap_or(label), started));
    };
    if shown {
        show("");
    }
    output
}

fn text(what: &str, started: Instant) -> String {
    match started.elapsed().as_secs() {
        0 => format!("{what} …"),
        seconds => format!("{what} … {seconds} s"),
    }
}

/// Replaces the line of stderr that the cursor is in, cut to the terminal's width: what wraps could not be replaced. None
/// where stderr is no terminal. One that cannot be written to loses nothing but the progress.
fn line_of_terminal() -> Option<impl FnMut(&str)> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let columns = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    let width = if columns == 0 { USUAL_WIDTH } else { columns };
    Some(move |text: &str| {
        let text = cut(text, width);
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}").and_then(|()| std::io::stderr().flush());
    })
}

/// At most `width` columns; what is left out is left out in the middle, before the time.
fn cut(text: &str, width: usize) -> String {
    let all: Vec<char> = text.chars().collect();
    if all.len() <= width {
        return text.to_owned();
    }
    let end = text.rfind(" … ").map_or(0, |at| text[at..].chars().count()).min(width);
    let begin = all.iter().take((width - end).saturating_sub(1));
    begin.chain(['…'].iter()).chain(&all[all.len() - end..]).collect()
}

/// Whether somebody can be asked.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on stderr and wants `expected` typed.
///
/// # Errors
/// [`Error::NotConfirmed`] for anything else; [`Error::Write`] when the terminal is gone.
pub fn confirm(question: &str, expected: &str) -> Result<(), Error> {
    write!(std::io::stderr(), "{question} ")?;
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == expected { Ok(()) } else { Err(Error::NotConfirmed) }
}

/// Who is asking, for the history: `user@host`.
pub fn operator() -> String {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    // Under sudo the person, not root.
    let user = set("SUDO_USER").or_else(|| set("USER")).or_else(|| set("LOGNAME"));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{}@{host}", user.unwrap_or_else(|| "unknown".into()))
}

#[cfg(test)]
mod tests;
