//! Events as they stand in a binlog file: with the place at which each ends, and its checksum.

use mysql_async::binlog::events::Event;
use mysql_async::binlog::{BinlogChecksumAlg, BinlogVersion};

use crate::gtid::{Dialect, GtidSet};
use crate::sql::binlog_event::{kind, previous_gtids};

/// What every binlog file begins with.
pub(super) const MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
/// Bytes of an event before its body.
const HEADER: usize = 19;
/// In the header: how long the event is, where it ends, and its flags.
const SIZE_AT: usize = 9;
const END_AT: usize = 13;
const FLAGS_AT: usize = 17;
/// The file is being written.
const IN_USE: u8 = 1;
/// Bytes of a checksum.
const SUM: usize = 4;

/// What is wrong with what came.
pub(super) type Wrong = String;

/// An event as it will stand at `at`. The checksum that it came with is checked.
pub(super) fn framed(event: &Event, at: u64) -> Result<Vec<u8>, Wrong> {
    let sums = has_checksums(event)?;
    let is_format = event.header().event_type_raw() == kind::FORMAT;
    if let (true, false, Some(came)) = (sums, is_format, event.checksum()) {
        let right = event.calc_checksum(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32).to_le_bytes();
        if came != right {
            return Err(format!(
                "an event of type {} was damaged on its way",
                event.header().event_type_raw()
            ));
        }
    }
    let mut bytes = Vec::with_capacity(HEADER + event.data().len() + SUM + 1);
    event.write(BinlogVersion::Version4, &mut bytes).map_err(|e| e.to_string())?;
    if is_format && let Some(flags) = bytes.get_mut(FLAGS_AT) {
        *flags &= !IN_USE;
    }
    settle(
        &mut bytes,
        at,
        sums || (is_format && event.footer().get_checksum_alg().is_ok_and(|a| a.is_some())),
    );
    Ok(bytes)
}

/// The event that says what precedes a file.
pub(super) fn previous(before: &GtidSet, format: &Event, at: u64) -> Result<Vec<u8>, Wrong> {
    let type_code = match before.dialect() {
        Dialect::Mysql => kind::PREVIOUS_GTIDS,
        Dialect::Mariadb => kind::MARIADB_GTID_LIST,
    };
    let sums = has_checksums(format)?;
    let mut bytes = format.header().timestamp().to_le_bytes().to_vec();
    bytes.push(type_code);
    bytes.extend(format.header().server_id().to_le_bytes());
    bytes.extend([0; HEADER - SIZE_AT]);
    bytes.extend(previous_gtids(before));
    if sums {
        bytes.extend([0; SUM]);
    }
    settle(&mut bytes, at, sums);
    Ok(bytes)
}

/// Whether the events of this file have checksums.
fn has_checksums(event: &Event) -> Result<bool, Wrong> {
    match event.footer().get_checksum_alg() {
        Ok(alg) => Ok(alg == Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32)),
        Err(e) => Err(format!("its checksums are of an unknown kind: {e}")),
    }
}

/// Writes down how long it is and where it ends, and the checksum. Places beyond 4 GiB are cut, as servers cut them.
fn settle(bytes: &mut [u8], at: u64, has_sum: bool) {
    let size = bytes.len() as u64;
    for (place, value) in [(SIZE_AT, size), (END_AT, at + size)] {
        if let Some(slot) = bytes.get_mut(place..place + 4) {
            slot.copy_from_slice(&(value as u32).to_le_bytes());
        }
    }
    if has_sum && let Some((body, sum)) = bytes.split_last_chunk_mut::<SUM>() {
        *sum = crc32fast::hash(body).to_le_bytes();
    }
}
