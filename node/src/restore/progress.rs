//! How far a restore is, for whoever looks on: on a terminal one line that is written over, elsewhere nothing.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};

use tokio::time::Instant;

use crate::paper::{length, size};

/// Hears how many bytes of how many have been moved; 0 of all where nobody knows.
pub(super) type Told<'t> = &'t dyn Fn(u64, u64);

/// Before the rate is steady nothing is said of the time that is left.
const STEADY_MS: u128 = 2000;

/// The line.
pub(super) struct Progress {
    is_shown: bool,
    stage: RefCell<Stage>,
}

struct Stage {
    name: String,
    begun: Instant,
}

impl Progress {
    /// Shown when standard error is a terminal, and `is_wanted`.
    pub(super) fn new(is_wanted: bool) -> Self {
        let stage = Stage { name: String::new(), begun: Instant::now() };
        Self { is_shown: is_wanted && io::stderr().is_terminal(), stage: RefCell::new(stage) }
    }

    /// Something else is done now.
    pub(super) fn stage(&self, name: &str) {
        *self.stage.borrow_mut() = Stage { name: name.to_owned(), begun: Instant::now() };
        self.show(name);
    }

    /// It is this far.
    pub(super) fn moved(&self, bytes: u64, total: u64) {
        let stage = self.stage.borrow();
        self.show(&line(&stage.name, bytes, total, stage.begun.elapsed().as_millis()));
    }

    /// So many of all are done.
    pub(super) fn counted(&self, done: u64, all: u64) {
        let name = &self.stage.borrow().name;
        self.show(&format!("{name}  {done} of {all}"));
    }

    /// So many transactions of all are replayed.
    pub(super) fn replayed(&self, done: u64, all: u64) {
        let stage = self.stage.borrow();
        self.show(&counts(&stage.name, done, all, stage.begun.elapsed().as_millis()));
    }

    /// Nothing is left on the line.
    pub(super) fn end(&self) {
        self.show("");
    }

    fn show(&self, text: &str) {
        if self.is_shown {
            // Nobody is told by an error here.
            let mut out = io::stderr().lock();
            drop(write!(out, "\r\x1b[K{text}").and_then(|()| out.flush()));
        }
    }
}

/// "unpacking  1.2 GiB of 4.0 GiB  118 MiB/s  24 s left"
fn line(stage: &str, bytes: u64, total: u64, elapsed_ms: u128) -> String {
    let rate = u128::from(bytes) * 1000 / elapsed_ms.max(1);
    let mut text = format!("{stage}  {} of {}", size(bytes), size(total));
    if elapsed_ms >= STEADY_MS && rate > 0 {
        let left = u128::from(total.saturating_sub(bytes)) / rate;
        let (rate, left) = (u64::try_from(rate).unwrap_or(u64::MAX), u64::try_from(left).unwrap_or(u64::MAX));
        text += &format!("  {}/s  {} left", size(rate), length(left));
    }
    text
}

/// "replaying  1200 of 4000 transactions  240/s  11 s left"
fn counts(stage: &str, done: u64, all: u64, elapsed_ms: u128) -> String {
    let rate = u128::from(done) * 1000 / elapsed_ms.max(1);
    let mut text = format!("{stage}  {done} of {all} transactions");
    if elapsed_ms >= STEADY_MS && rate > 0 {
        let left = u128::from(all.saturating_sub(done)) / rate;
        text += &format!("  {rate}/s  {} left", length(u64::try_from(left).unwrap_or(u64::MAX)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_of_all() {
        assert_eq!(counts("replaying", 100, 400, 100), "replaying  100 of 400 transactions");
        assert_eq!(
            counts("replaying", 100, 400, 10_000),
            "replaying  100 of 400 transactions  10/s  30 s left"
        );
    }

    #[test]
    fn rate_and_time_left() {
        let (one, four) = (1 << 30, 4 << 30);
        assert_eq!(line("unpacking", one, four, 100), "unpacking  1.0 GiB of 4.0 GiB");
        assert_eq!(
            line("unpacking", one, four, 10_000),
            "unpacking  1.0 GiB of 4.0 GiB  102 MiB/s  30 s left"
        );
        assert_eq!(line("unpacking", 0, four, 10_000), "unpacking  0 B of 4.0 GiB");
    }
}
