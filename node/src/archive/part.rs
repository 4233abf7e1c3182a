//! What is in a segment that lies in a store, for those who replay it: its transactions one after another, and a part of them as
//! a binlog file of its own.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use mysql_async::binlog::BinlogVersion;
use mysql_async::binlog::events::{Event, FormatDescriptionEvent};

use super::cut::{Begun, Cut, Cutter};
use super::entry::Span;
use super::frame::MAGIC;
use super::room::Room;
use super::segment::Segment;
use crate::gtid::{GtidSet, MariadbSet};

/// A transaction in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name, as its server calls it.
    pub gtid: String,
    /// What it adds, as [`GtidSet::numbers`]. On MariaDB that may be more than one number.
    pub numbers: GtidSet,
    /// When it was committed on its writer, in microseconds since 1970; to the second on MariaDB.
    pub at_us: u64,
}

impl Seen {
    pub(super) fn of(begun: &Begun) -> Self {
        let gtid = match &begun.gtids {
            GtidSet::Mysql(set) => set.to_string(),
            GtidSet::Mariadb(set) => MariadbSet::position(set),
        };
        Self { gtid, numbers: begun.gtids.numbers(), at_us: begun.at_us }
    }
}

/// An event of a segment, as far as it belongs to a transaction.
pub(super) enum Step {
    File,
    Begins(Begun),
    Within,
    Ends,
}

/// Every transaction of a segment's content, in order. `after` is what its entry says.
///
/// # Errors
/// It cannot be read, in words.
pub fn transactions(content: impl Read, after: &GtidSet) -> Result<Vec<Seen>, String> {
    let (mut all, mut begun) = (Vec::new(), None);
    walk(content, after, |_, step| {
        match step {
            Step::Begins(now) => begun = Some(Seen::of(&now)),
            Step::Ends => all.extend(begun.take()),
            Step::File | Step::Within => {}
        }
        Ok(())
    })?;
    Ok(all)
}

/// Writes the transactions of `take`, which are numbers, into a binlog file at `path`.
///
/// # Errors
/// The content cannot be read, or the file not be written, or it does not hold all of `take`; in words.
pub fn cut_out(content: impl Read, after: &GtidSet, take: &GtidSet, path: &Path) -> Result<Span, String> {
    let room = Room::new(path.parent().unwrap_or(Path::new(".")), 0);
    let (mut format, mut segment, mut is_taken) = (None, None, false);
    let mut held = GtidSet::empty(take.dialect());
    walk(content, after, |event, step| {
        match step {
            Step::File => format = Some(event.clone()),
            Step::Begins(begun) => {
                let numbers = begun.gtids.numbers();
                is_taken = take.contains(&numbers).map_err(|e| e.to_string())?;
                // One that is taken in part would be one that another segment has in part.
                let odd = !is_taken && !numbers.intersect(take).map_err(|e| e.to_string())?.is_empty();
                if odd {
                    return Err(format!("its transaction {} is wanted in part", begun.gtids));
                }
                if is_taken {
                    held = held.union(&numbers).map_err(|e| e.to_string())?;
                    let segment = match &mut segment {
                        Some(segment) => segment,
                        empty => {
                            let format = format.as_ref().ok_or("it has no format event")?;
                            empty.insert(Segment::begin(path, room.clone(), format, after.clone())?)
                        }
                    };
                    segment.begins(event, begun)?;
                }
            }
            Step::Within | Step::Ends if !is_taken => {}
            Step::Within => segment.as_mut().map_or(Ok(()), |segment| segment.within(event))?,
            Step::Ends => segment.as_mut().map_or(Ok(()), |segment| segment.ends(event))?,
        }
        Ok(())
    })?;
    let written = segment.map_or(Ok(None), Segment::finish)?;
    let lacks = take.subtract(&held).map_err(|e| e.to_string())?;
    match written {
        Some((_, span)) if lacks.is_empty() => Ok(span),
        _ => Err(format!("it does not hold {lacks}, which its entry says")),
    }
}

/// Each event that belongs to a transaction, and those that describe the file.
pub(super) fn walk(
    content: impl Read,
    after: &GtidSet,
    mut each: impl FnMut(&Event, Step) -> Result<(), String>,
) -> Result<(), String> {
    let told = |e: io::Error| e.to_string();
    let mut content = BufReader::new(content);
    let mut magic = [0; MAGIC.len()];
    content.read_exact(&mut magic).map_err(told)?;
    if magic != MAGIC {
        return Err("it is no binlog file".into());
    }
    let mut format = FormatDescriptionEvent::new(BinlogVersion::Version4);
    let mut cutter = Cutter::new(after);
    while !content.fill_buf().map_err(told)?.is_empty() {
        let event = Event::read(&format, &mut content).map_err(told)?;
        let step = match cutter.judge(&event)? {
            Cut::Skip => continue,
            Cut::File => {
                format = event.fde().clone().into_owned().with_footer(event.footer());
                Step::File
            }
            Cut::Begins(begun) => Step::Begins(*begun),
            Cut::Within => Step::Within,
            Cut::Ends => Step::Ends,
        };
        each(&event, step)?;
    }
    Ok(())
}
