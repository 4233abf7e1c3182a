//! From the server's stream to segments on disk.

use std::time::Duration;

use mysql_async::binlog::events::Event;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::cut::{Cut, Cutter};
use super::entry::{Origin, Timeline};
use super::segment::Segment;
use super::spool::{Spool, Waiting};
use crate::gtid::GtidSet;
use crate::sql::{BinlogReader, BinlogTail};

/// When a segment ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) segment_bytes: u64,
    pub(super) segment_ms: u64,
}

/// Reads one server.
pub(super) struct Tail {
    spool: Spool,
    /// Cluster, line of history and server.
    of: (String, Timeline, Origin),
    limits: Limits,
    cutter: Cutter,
    /// What the server had before what comes next.
    known: GtidSet,
    /// Describes the server's file.
    format: Option<Event>,
    growing: Option<(Segment, Instant)>,
}

impl Tail {
    pub(super) fn new(spool: Spool, of: (String, Timeline, Origin), start: GtidSet, limits: Limits) -> Self {
        let cutter = Cutter::new(&start);
        Self { spool, of, limits, cutter, known: start, format: None, growing: None }
    }

    /// Reads until something goes wrong, and says what. `room` waits until there is some on disk.
    pub(super) async fn read(
        mut self,
        reader: &BinlogReader,
        queue: mpsc::Sender<Waiting>,
        room: impl AsyncFn() -> Result<(), String>,
    ) -> String {
        if let Err(why) = room().await {
            return why;
        }
        let mut events = match reader.follow(&self.known).await {
            Ok(events) => events,
            Err(error) => return error.to_string(),
        };
        loop {
            let step = match self.next(&mut events).await {
                Ok(Some(event)) => self.take(&event),
                Ok(None) => self.end(),
                Err(why) => Err(why),
            };
            let sent = match step {
                Ok(None) => continue,
                Ok(Some(waiting)) => {
                    queue.send(waiting).await.map_err(|_| "nobody sends any more".to_owned())
                }
                Err(why) => {
                    // The last of what is whole is on disk before anything else, and the rest takes no room there.
                    if let Ok(Some(waiting)) = self.end() {
                        drop(queue.send(waiting).await);
                    }
                    self.spool.discard();
                    return why;
                }
            };
            if let Err(why) = sent {
                return why;
            }
            if let Err(why) = room().await {
                return why;
            }
        }
    }

    /// The next event; none when the segment that grows is to end first.
    async fn next(&self, events: &mut BinlogTail) -> Result<Option<Event>, String> {
        let due = self.growing.as_ref().filter(|(segment, _)| !segment.is_within() && !segment.is_empty());
        let due = due.map(|(_, since)| *since + Duration::from_millis(self.limits.segment_ms));
        tokio::select! {
            event = events.next() => event.map(Some).map_err(|e| e.to_string()),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Ok(None),
        }
    }

    /// Takes an event. A segment that has ended with it.
    fn take(&mut self, event: &Event) -> Result<Option<Waiting>, String> {
        match self.cutter.judge(event)? {
            Cut::Skip => Ok(None),
            Cut::File => {
                let ended = self.end();
                self.format = Some(event.clone());
                ended
            }
            Cut::Begins(begun) => {
                let segment = self.segment()?;
                segment.begins(event, *begun)?;
                Ok(None)
            }
            Cut::Within => {
                self.segment()?.within(event)?;
                Ok(None)
            }
            Cut::Ends => {
                let segment = self.segment()?;
                segment.ends(event)?;
                if segment.bytes() < self.limits.segment_bytes && !self.is_late() {
                    return Ok(None);
                }
                self.end()
            }
        }
    }

    /// Whether the segment that grows should have ended.
    fn is_late(&self) -> bool {
        let most = Duration::from_millis(self.limits.segment_ms);
        self.growing.as_ref().is_some_and(|(_, since)| since.elapsed() >= most)
    }

    /// The segment that grows, begun if there is none.
    fn segment(&mut self) -> Result<&mut Segment, String> {
        let growing = match self.growing.take() {
            Some(growing) => growing,
            None => {
                let format = self.format.as_ref().ok_or("the server sends no format event")?;
                (
                    Segment::begin(&self.spool.part(), self.spool.room(), format, self.known.clone())?,
                    Instant::now(),
                )
            }
        };
        Ok(&mut self.growing.insert(growing).0)
    }

    /// Ends the segment that grows, on disk and listed.
    fn end(&mut self) -> Result<Option<Waiting>, String> {
        let Some((segment, _)) = self.growing.take() else { return Ok(None) };
        let known = segment.known()?;
        let Some((part, span)) = segment.finish()? else { return Ok(None) };
        self.known = known;
        let (cluster, timeline, server) = self.of.clone();
        let waiting = Waiting { cluster, timeline, span, server };
        self.spool.keep(&part, &waiting)?;
        Ok(Some(waiting))
    }
}
