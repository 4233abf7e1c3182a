//! The SQL for people: statements with the values of the rows, one transaction after the other. Written by a process of
//! its own (`baton-node render-archive`), so that no event, however odd, can end the daemon.

mod events;
mod rows;
mod values;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use mysql_async::binlog::events::{
    BinlogEventFooter, Event, FormatDescriptionEvent, TransactionPayloadEvent,
};
use mysql_async::binlog::{BinlogChecksumAlg, BinlogVersion};
use serde::{Deserialize, Serialize};

use super::files::MAGIC;
use super::folder::SQL;
use super::pick::kind;
use crate::sql::TableColumn;
use events::Writer;

/// What the rendering process is told, as a file in the folder.
pub(super) const JOB: &str = "render.json";

/// What to render and what is known of the tables.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Job {
    /// Comment lines at the beginning.
    pub(super) head: Vec<String>,
    /// Binlog files in their order.
    pub(super) files: Vec<String>,
    /// Columns by `schema.table`.
    pub(super) columns: BTreeMap<String, Vec<TableColumn>>,
}

/// Reads the job and the binlog files in `folder` and writes the SQL beside them, on disk when this returns.
///
/// # Errors
/// What cannot be read or written. An event that cannot be decoded is no error: the SQL says so in its place.
pub fn render_folder(folder: &Path) -> io::Result<()> {
    let job: Job = serde_json::from_slice(&std::fs::read(folder.join(JOB))?)?;
    let out = File::create(folder.join(SQL))?;
    let mut writer = Writer::new(BufWriter::new(out), &job.columns);
    writer.head(&job.head)?;
    for file in &job.files {
        let mut input = BufReader::new(File::open(folder.join(file))?);
        render_file(file, &mut input, &mut writer)?;
    }
    let out = writer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    out.sync_all()
}

fn render_file<W: Write>(
    name: &str,
    input: &mut impl io::BufRead,
    writer: &mut Writer<'_, W>,
) -> io::Result<()> {
    let mut magic = MAGIC;
    input.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(io::Error::other(format!("{name} is no binlog file")));
    }
    writer.file(name)?;
    let mut format = FormatDescriptionEvent::new(BinlogVersion::Version4);
    while !input.fill_buf()?.is_empty() {
        let event = Event::read(&format, &mut *input)?;
        match event.header().event_type_raw() {
            kind::FORMAT => format = event.fde().clone().into_owned().with_footer(event.footer()),
            kind::PAYLOAD => unpack(&event, &format, writer)?,
            _ => writer.event(&event)?,
        }
    }
    Ok(())
}

/// A compressed transaction: its events carry no checksums.
fn unpack<W: Write>(
    event: &Event,
    format: &FormatDescriptionEvent<'static>,
    writer: &mut Writer<'_, W>,
) -> io::Result<()> {
    let payload: TransactionPayloadEvent<'_> = event.read_event()?;
    let plain = BinlogEventFooter::new(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_OFF);
    let format = format.clone().with_footer(plain);
    let mut input = BufReader::new(payload.decompressed()?);
    while !io::BufRead::fill_buf(&mut input)?.is_empty() {
        writer.event(&Event::read(&format, &mut input)?)?;
    }
    Ok(())
}
