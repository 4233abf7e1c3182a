//! From the program's output into the pipeline, past the one who looks at it. Blocking: on a thread of its own.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::Counters;
use super::spec::RunSpec;
use super::target::Tee;
use crate::backup::engine::{Findings, Inspector};
use crate::backup::pipeline::{StreamSummary, StreamWriter, Throttle};

/// As much as is read at a time.
const PIECE: usize = 256 << 10;

pub(super) struct Feed {
    input: File,
    inspector: Box<dyn Inspector>,
    writer: StreamWriter<Tee>,
    throttle: Option<Throttle>,
    counters: Arc<Counters>,
    bytes_min: u64,
}

impl Feed {
    pub(super) fn new(
        spec: &RunSpec,
        tee: Tee,
        input: File,
        counters: Arc<Counters>,
    ) -> Result<Self, String> {
        let (backup, recipients, limits) = (&spec.about.backup, spec.recipients.clone(), spec.limits());
        let writer = StreamWriter::zstd(tee, backup, recipients, limits, spec.level, spec.threads);
        Ok(Self {
            input,
            inspector: spec.engine.inspector(&spec.extent),
            writer: writer.map_err(|e| e.to_string())?,
            throttle: spec.bytes_per_s.map(Throttle::new),
            counters,
            bytes_min: spec.bytes_min(),
        })
    }

    /// Until the program writes no more.
    pub(super) fn read_to_end(mut self) -> Result<Self, String> {
        let begun = Instant::now();
        // Nobody ever sends: a wait that has no other purpose.
        let (_keep, clock): (SyncSender<()>, Receiver<()>) = sync_channel(0);
        let mut piece = vec![0; PIECE];
        loop {
            let read = match self.input.read(&mut piece) {
                Ok(0) => return Ok(self),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("the stream cannot be read: {error}")),
            };
            let data = piece.get(..read).unwrap_or_default();
            self.inspector.feed(data)?;
            self.writer.write_all(data).map_err(|e| e.to_string())?;
            self.count();
            if let Some(throttle) = &mut self.throttle {
                let wait = throttle.took(read as u64, begun.elapsed());
                if wait > Duration::ZERO {
                    let _timeout = clock.recv_timeout(wait);
                }
            }
        }
    }

    /// The program has ended well and said `log`. The stream gets its end if everything else is well, too.
    pub(super) fn end(self, log: &str) -> Result<(Findings, StreamSummary), String> {
        let findings = self.inspector.finish(log)?;
        let (bytes, least) = (self.writer.bytes(), self.bytes_min);
        if bytes < least {
            return Err(format!("the stream has {bytes} bytes, and fewer than {least} cannot be right"));
        }
        let counters = self.counters;
        let (_, summary) = self.writer.end().map_err(|e| e.to_string())?;
        counters.stored.store(summary.stored_bytes(), Ordering::Relaxed);
        Ok((findings, summary))
    }

    fn count(&self) {
        self.counters.read.store(self.writer.bytes(), Ordering::Relaxed);
        self.counters.stored.store(self.writer.stored_bytes(), Ordering::Relaxed);
    }
}
