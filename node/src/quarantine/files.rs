//! Writes the picked transactions as binlog files, one for each file of the server that has some: a file of its own
//! format event, so that each can be read alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use mysql_async::binlog::BinlogVersion;
use mysql_async::binlog::events::{Event, FormatDescriptionEvent, RotateEvent, TableMapEvent};
use sha2::{Digest, Sha256};

use super::error::ArchiveError;
use super::folder::Room;
use super::manifest::{Kept, hex};
use super::pick::{Picker, Verdict, gtid_of, kind};
use crate::gtid::GtidSet;

/// What every binlog file begins with.
pub(super) const MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
/// The free space is looked at again after so many bytes.
const LOOK_AFTER: u64 = 16 << 20;
/// More tables than these are shown without the names of their columns.
const TABLES_MAX: usize = 1000;
/// The type of a table map event.
const TABLE_MAP: u8 = 19;

/// Takes the events of a binlog in their order.
pub(super) struct Cutter {
    folder: PathBuf,
    room: Room,
    picker: Picker,
    /// The server's file that the events come from.
    source: String,
    format: Option<Event>,
    open: Option<Open>,
    done: Vec<Kept>,
    tables: BTreeSet<(String, String)>,
    server_version: String,
    unlooked: u64,
}

struct Open {
    path: PathBuf,
    name: String,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

/// What was cut out.
pub(super) struct Cut {
    pub(super) files: Vec<Kept>,
    pub(super) transactions: u64,
    pub(super) server_version: String,
    /// Schema and name of the tables whose rows are in it.
    pub(super) tables: BTreeSet<(String, String)>,
}

impl Cutter {
    pub(super) fn new(folder: &Path, room: Room, wanted: GtidSet, source: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            room,
            picker: Picker::new(wanted),
            source: source.to_owned(),
            format: None,
            open: None,
            done: Vec::new(),
            tables: BTreeSet::new(),
            server_version: String::new(),
            unlooked: LOOK_AFTER,
        }
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, event: &Event) -> Result<(), ArchiveError> {
        let wrong = |source: &str, why: String| ArchiveError::Event { file: source.to_owned(), why };
        let kind = event.header().event_type_raw();
        let gtid = gtid_of(event).map_err(|why| wrong(&self.source, why))?;
        match kind {
            // Before the first format event nobody knows whether a checksum ends the name (MariaDB 10.11 sends one).
            kind::ROTATE if self.format.is_some() => {
                let rotate: RotateEvent<'_> =
                    event.read_event().map_err(|e| wrong(&self.source, e.to_string()))?;
                self.close()?;
                self.source = rotate.name().into_owned();
            }
            kind::FORMAT => {
                let format: FormatDescriptionEvent<'_> =
                    event.read_event().map_err(|e| wrong(&self.source, e.to_string()))?;
                // It stands in a field of fixed length.
                self.server_version = format.server_version().trim_end_matches('\0').to_owned();
                self.close()?;
                self.format = Some(event.clone());
            }
            _ => {}
        }
        match self.picker.judge(kind, gtid.as_ref()) {
            Verdict::Pass => return Ok(()),
            Verdict::Begin | Verdict::Keep => {}
        }
        if kind == TABLE_MAP
            && self.tables.len() < TABLES_MAX
            && let Ok(map) = event.read_event::<TableMapEvent<'_>>()
        {
            self.tables.insert((map.database_name().into_owned(), map.table_name().into_owned()));
        }
        self.write(event)
    }

    fn write(&mut self, event: &Event) -> Result<(), ArchiveError> {
        if self.open.is_none() {
            self.begin()?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let written = open.event(event)?;
        self.unlooked += written;
        if self.unlooked >= LOOK_AFTER {
            self.room.check(0)?;
            self.unlooked = 0;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), ArchiveError> {
        let none = || ArchiveError::Event { file: self.source.clone(), why: "no format event".into() };
        let format = self.format.as_ref().ok_or_else(none)?;
        // The name comes from the server: it names a file in this folder, and never one of ours.
        let plain = |c: &char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(c);
        let source: String = self.source.chars().filter(plain).collect();
        let name = format!("extra-{source}.binlog");
        let path = self.folder.join(&name);
        let file = File::create_new(&path).map_err(ArchiveError::at(&path))?;
        let (file, hash) = (BufWriter::new(file), Sha256::new());
        let mut open = Open { path, name, file, hash, bytes: 0 };
        open.bytes(&MAGIC)?;
        open.event(format)?;
        self.open = Some(open);
        Ok(())
    }

    /// Ends the file at hand, with everything of it on disk.
    fn close(&mut self) -> Result<(), ArchiveError> {
        if let Some(open) = self.open.take() {
            self.done.push(open.close(&self.source)?);
        }
        Ok(())
    }

    /// The binlog has ended.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when not everything came.
    pub(super) fn finish(mut self) -> Result<Cut, ArchiveError> {
        self.close()?;
        let missing = self.picker.missing();
        if !missing.is_empty() {
            return Err(ArchiveError::NotFound(missing));
        }
        Ok(Cut {
            files: self.done,
            transactions: self.picker.transactions(),
            server_version: self.server_version,
            tables: self.tables,
        })
    }
}

impl Open {
    fn event(&mut self, event: &Event) -> Result<u64, ArchiveError> {
        let mut bytes = Vec::new();
        event.write(BinlogVersion::Version4, &mut bytes).map_err(ArchiveError::at(&self.path))?;
        self.bytes(&bytes)?;
        Ok(bytes.len() as u64)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(ArchiveError::at(&self.path))
    }

    fn close(mut self, from: &str) -> Result<Kept, ArchiveError> {
        self.file.flush().map_err(ArchiveError::at(&self.path))?;
        self.file.get_ref().sync_all().map_err(ArchiveError::at(&self.path))?;
        Ok(Kept {
            name: self.name,
            bytes: self.bytes,
            sha256: hex(&self.hash.finalize()),
            from: Some(from.to_owned()),
        })
    }
}
