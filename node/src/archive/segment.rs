//! One segment being written: a binlog file on this node's disk. It ends where the last whole transaction ends.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use mysql_async::binlog::events::Event;

use super::cut::Begun;
use super::entry::Span;
use super::frame::{MAGIC, framed, previous};
use super::room::Room;
use crate::gtid::GtidSet;

/// The disk is looked at again after so many bytes: a single transaction can have more than it has room for.
const LOOK_BYTES: u64 = 4 << 20;

/// A segment that grows.
pub(super) struct Segment {
    path: PathBuf,
    room: Room,
    file: BufWriter<File>,
    bytes: u64,
    /// How many there were when the disk was last looked at.
    looked: u64,
    /// Where the last whole transaction ends.
    whole: u64,
    after: GtidSet,
    added: GtidSet,
    transactions: u64,
    first_ms: u64,
    last_ms: u64,
    begun: Option<Begun>,
}

impl Segment {
    /// Begins one in a file of its own, in the place of one that was left there. `format` is the event that describes the
    /// server's file.
    pub(super) fn begin(path: &Path, room: Room, format: &Event, after: GtidSet) -> Result<Self, String> {
        let told = told(path);
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = BufWriter::new(options.map_err(&told)?);
        let added = GtidSet::empty(after.dialect());
        let (path, whole) = (path.to_owned(), 0);
        let mut segment = Self {
            path,
            room,
            file,
            bytes: 0,
            looked: 0,
            whole,
            after,
            added,
            transactions: 0,
            first_ms: u64::MAX,
            last_ms: 0,
            begun: None,
        };
        segment.write(&MAGIC)?;
        segment.write(&framed(format, segment.bytes)?)?;
        let head = previous(&segment.after, format, segment.bytes)?;
        segment.write(&head)?;
        segment.whole = segment.bytes;
        Ok(segment)
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether a transaction has begun and not ended.
    pub(super) fn is_within(&self) -> bool {
        self.begun.is_some()
    }

    /// Whether there is no whole transaction in it.
    pub(super) fn is_empty(&self) -> bool {
        self.transactions == 0
    }

    /// What the server had before it, and what is in it.
    pub(super) fn known(&self) -> Result<GtidSet, String> {
        self.after.union(&self.added).map_err(|e| e.to_string())
    }

    /// Takes an event that begins a transaction. One that has not ended is dropped.
    pub(super) fn begins(&mut self, event: &Event, begun: Begun) -> Result<(), String> {
        self.back()?;
        if let Some(unlogged) = &begun.unlogged {
            self.after = self.after.union(unlogged).map_err(|e| e.to_string())?;
        }
        self.begun = Some(begun);
        self.within(event)
    }

    /// Takes one of the transaction that has begun.
    pub(super) fn within(&mut self, event: &Event) -> Result<(), String> {
        let bytes = framed(event, self.bytes)?;
        self.write(&bytes)
    }

    /// Takes the one that ends it.
    pub(super) fn ends(&mut self, event: &Event) -> Result<(), String> {
        self.within(event)?;
        let Some(begun) = self.begun.take() else { return Ok(()) };
        self.added = self.added.union(&begun.gtids).map_err(|e| e.to_string())?;
        self.transactions += 1;
        self.first_ms = self.first_ms.min(begun.at_us / 1000);
        self.last_ms = self.last_ms.max(begun.at_us / 1000);
        self.whole = self.bytes;
        Ok(())
    }

    /// Everything of it is on disk. `None`, and no file, when no transaction is in it.
    pub(super) fn finish(mut self) -> Result<Option<(PathBuf, Span)>, String> {
        self.back()?;
        let told = told(&self.path);
        if self.transactions == 0 {
            return std::fs::remove_file(&self.path).map_err(&told).map(|()| None);
        }
        self.file.flush().map_err(&told)?;
        self.file.get_ref().sync_all().map_err(&told)?;
        let Self { path, after, added, transactions, first_ms, last_ms, .. } = self;
        Ok(Some((path, Span { after, added, transactions, first_ms, last_ms })))
    }

    /// To where the last whole transaction ends.
    fn back(&mut self) -> Result<(), String> {
        if self.begun.take().is_none() {
            return Ok(());
        }
        let told = told(&self.path);
        self.file.flush().map_err(&told)?;
        let file = self.file.get_mut();
        file.set_len(self.whole).map_err(&told)?;
        file.seek(SeekFrom::Start(self.whole)).map_err(&told)?;
        self.bytes = self.whole;
        self.looked = self.looked.min(self.whole);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.file.write_all(bytes).map_err(told(&self.path))?;
        self.bytes += bytes.len() as u64;
        if self.bytes - self.looked >= LOOK_BYTES {
            self.looked = self.bytes;
            return self.room.lacking()?.map_or(Ok(()), Err);
        }
        Ok(())
    }
}

fn told(path: &Path) -> impl Fn(io::Error) -> String + use<> {
    let path = path.display().to_string();
    move |error| format!("{path} cannot be written: {error}")
}
