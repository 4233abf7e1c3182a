//! The person at the terminal: what is under way, and a question before something that cannot be taken back.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::pin::pin;
use std::time::{Duration, Instant};

use crate::error::Error;

/// Below this nobody wonders whether anything happens.
const QUIET: Duration = Duration::from_secs(2);

/// Runs `work`, and on a terminal says on stderr what takes so long, once it takes over two seconds.
pub async fn with_progress<F: Future>(label: &str, work: F) -> F::Output {
    with_news(label, async || None, work).await
}

/// The same, with the newest word from `news` in place of the label. It is asked about once a second, and given
/// up when the work is done.
pub async fn with_news<F: Future>(label: &str, news: impl AsyncFn() -> Option<String>, work: F) -> F::Output {
    let mut work = pin!(work);
    let started = Instant::now();
    let mut shown = false;
    let output = loop {
        let wait = if shown { Duration::from_secs(1) } else { QUIET };
        match tokio::time::timeout(wait, &mut work).await {
            Ok(output) => break output,
            Err(_) if !std::io::stderr().is_terminal() => break work.await,
            Err(_) => {}
        }
        let said = tokio::select! {
            output = &mut work => break output,
            said = news() => said.filter(|said| !said.is_empty()),
        };
        line(&format!("{} … {} s", said.as_deref().unwrap_or(label), started.elapsed().as_secs()));
        shown = true;
    };
    if shown {
        line("");
    }
    output
}

/// Replaces the line the cursor is in. A stderr that cannot be written to loses nothing but the progress.
fn line(text: &str) {
    let _ = write!(std::io::stderr(), "\r\x1b[K{text}").and_then(|()| std::io::stderr().flush());
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
