//! The same question again and again, until Ctrl-C ends the program.

use std::collections::HashSet;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use baton_proto::control::Event;

use super::{Context, Outcome, report};
use crate::error::Error;
use crate::render;

/// Between two looks at the cluster.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks for events.
const FOLLOW: Duration = Duration::from_millis(500);
/// An event may come in so much later than its time says: clocks differ, and journals are written behind.
const LATE_MS: i64 = 60_000;
/// The cursor to the top; the rest of a line, and all below, away.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// An answer in place on a terminal, elsewhere once more whenever it has changed. Ends with an error alone.
pub(super) async fn again(
    json: bool,
    look: impl AsyncFn() -> Result<Outcome, Error>,
) -> Result<Outcome, Error> {
    let mut out = std::io::stdout();
    let in_place = out.is_terminal() && !json;
    let mut shown = String::new();
    if in_place {
        write!(out, "{HOME}{CLEAR_BELOW}")?;
    }
    loop {
        let page = match look().await {
            Ok(outcome) if json => format!("{}\n", outcome.json),
            Ok(outcome) => outcome.text,
            // Somebody may answer in a moment.
            Err(error) if in_place => format!("{error}\n"),
            Err(error) => return Err(error),
        };
        if in_place {
            let rows = rustix::termios::tcgetwinsize(&out).map(|size| usize::from(size.ws_row)).ok();
            out.write_all(frame(&page, rows.filter(|rows| *rows > 0)).as_bytes())?;
        } else if page != shown {
            out.write_all(page.as_bytes())?;
            shown = page;
        }
        out.flush()?;
        tokio::time::sleep(LOOK).await;
    }
}

/// The page over the one before, without a flicker: nothing is cleared before it is written anew, and a page that is longer than
/// the terminal is cut, as it would scroll otherwise.
fn frame(page: &str, rows: Option<usize>) -> String {
    let all = page.lines().count();
    // The cursor ends below the last line.
    let room = rows.map_or(all, |rows| rows.saturating_sub(1));
    let shown = if all <= room { all } else { room.saturating_sub(1) };
    let mut lines: String = page.lines().take(shown).map(|line| format!("{line}{CLEAR_LINE}\n")).collect();
    if shown < all {
        lines += &format!("… {} more lines{CLEAR_LINE}\n", all - shown);
    }
    format!("{HOME}{lines}{CLEAR_BELOW}")
}

/// The last events, and each that comes; with `--json` an object a line. Ends with an error alone.
pub(super) async fn events(context: &Context<'_>, limit: u32) -> Result<Outcome, Error> {
    let mut told: HashSet<Event> = HashSet::new();
    let (mut since_ms, mut limit) = (0, limit);
    loop {
        match report::ask_events(context, since_ms, limit).await {
            Ok(reply) => {
                let new: Vec<Event> = reply.events.into_iter().filter(|e| !told.contains(e)).collect();
                print(context, &new)?;
                // Of the first answer even the oldest is the edge: what was before is not asked for.
                let edge = match limit {
                    0 => new.last().map(|e| e.at_ms - LATE_MS),
                    _ => new.first().map(|e| e.at_ms),
                };
                since_ms = edge.unwrap_or(since_ms).max(since_ms);
                told.extend(new);
                told.retain(|e| e.at_ms >= since_ms);
                limit = 0;
            }
            Err(error) if limit > 0 => return Err(error),
            // Somebody may answer in a moment.
            Err(_) => {}
        }
        tokio::time::sleep(FOLLOW).await;
    }
}

fn print(context: &Context<'_>, events: &[Event]) -> Result<(), Error> {
    let mut out = std::io::stdout();
    if context.json {
        for event in events {
            let line = serde_json::to_string(event).map_err(|error| Error::Write(error.into()))?;
            writeln!(out, "{line}")?;
        }
    } else {
        out.write_all(render::events(events, context.style).as_bytes())?;
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_leaves_nothing_of_the_one_before() {
        assert_eq!(frame("shop\n\nleader\n", None), "\x1b[Hshop\x1b[K\n\x1b[K\nleader\x1b[K\n\x1b[J");
    }

    #[test]
    fn a_page_longer_than_the_terminal_does_not_scroll() {
        let page = "1\n2\n3\n4\n5\n";
        assert_eq!(frame(page, Some(6)), frame(page, None));
        assert_eq!(frame(page, Some(5)), "\x1b[H1\x1b[K\n2\x1b[K\n3\x1b[K\n… 2 more lines\x1b[K\n\x1b[J");
        for rows in [0, 1, 2] {
            assert!(frame(page, Some(rows)).lines().count() <= 2, "{rows}");
        }
    }
}
