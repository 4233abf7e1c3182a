//! What the router counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What a router does now (`*_now`) and has done since it was bound (`*_total`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Sessions of the writer port.
    pub writer_sessions_now: u64,
    /// Sessions of the reader port.
    pub reader_sessions_now: u64,
    /// Connections that wait for a server.
    pub held_now: u64,
    /// Sessions begun: connections that were given a server.
    pub sessions_total: u64,
    /// Connections that had to wait, however it ended.
    pub held_total: u64,
    /// Sessions cut because their server lost its role, or because the router stopped.
    pub cut_total: u64,
    /// Sessions that ended because their server closed the connection or died.
    pub server_gone_total: u64,
    /// Connections refused: over a limit, or no server within the time they may wait.
    pub refused_total: u64,
}

/// A handle on a router's counters; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Cells>);

#[derive(Debug, Default)]
pub(super) struct Cells {
    pub(super) writer_sessions: AtomicU64,
    pub(super) reader_sessions: AtomicU64,
    pub(super) held: AtomicU64,
    pub(super) sessions_total: AtomicU64,
    pub(super) held_total: AtomicU64,
    pub(super) cut_total: AtomicU64,
    pub(super) server_gone_total: AtomicU64,
    pub(super) refused_total: AtomicU64,
}

impl Counters {
    /// Reads every counter. They are not read at one instant.
    pub fn stats(&self) -> Stats {
        let cells = &self.0;
        Stats {
            writer_sessions_now: cells.writer_sessions.load(Relaxed),
            reader_sessions_now: cells.reader_sessions.load(Relaxed),
            held_now: cells.held.load(Relaxed),
            sessions_total: cells.sessions_total.load(Relaxed),
            held_total: cells.held_total.load(Relaxed),
            cut_total: cells.cut_total.load(Relaxed),
            server_gone_total: cells.server_gone_total.load(Relaxed),
            refused_total: cells.refused_total.load(Relaxed),
        }
    }

    /// Adds one to a total.
    pub(super) fn count(&self, total: fn(&Cells) -> &AtomicU64) {
        total(&self.0).fetch_add(1, Relaxed);
    }

    /// Raises a gauge until the returned value is dropped.
    pub(super) fn raise(&self, gauge: fn(&Cells) -> &AtomicU64) -> Raised {
        gauge(&self.0).fetch_add(1, Relaxed);
        Raised { cells: Arc::clone(&self.0), gauge }
    }
}

/// A gauge raised by one.
pub(super) struct Raised {
    cells: Arc<Cells>,
    gauge: fn(&Cells) -> &AtomicU64,
}

impl Drop for Raised {
    fn drop(&mut self) {
        (self.gauge)(&self.cells).fetch_sub(1, Relaxed);
    }
}
