//! The head of an object: what it is, and the key that reads it, wrapped.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{KeyError, ReadError};
use super::keys::{Identity, Recipients, random};
use super::{FORMAT, age, armor};

/// The first bytes of an object.
const MAGIC: [u8; 8] = *b"baton-bk";
/// The only cipher so far.
const CIPHER: &str = "aes-256-gcm";
/// A header has a few hundred bytes, and a hundred more for each recipient.
const HEADER_MAX: usize = 256 << 10;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// A zstd frame for each object.
    Zstd,
    /// Not at all.
    None,
}

/// What an object says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectHeader {
    /// Version of the format.
    pub format: u32,
    /// The backup it belongs to.
    pub backup: String,
    /// Its place among the backup's objects, from 0.
    pub object: u32,
    /// What its content is compressed with.
    pub compression: Compression,
    /// What it is encrypted with.
    pub cipher: String,
    /// Bytes of each segment before encryption, but of the last.
    pub segment_bytes: u32,
    /// The data key: an armoured age file of 32 bytes.
    pub key: String,
}

/// The key of one object, and what binds each segment to its header.
pub(super) struct ObjectKey {
    pub(super) key: [u8; 32],
    pub(super) bound_to: [u8; 32],
}

/// A new object's header as it is written, and its key.
pub(super) fn begin(
    backup: &str,
    object: u32,
    compression: Compression,
    segment_bytes: u32,
    recipients: &Recipients,
) -> Result<(Vec<u8>, ObjectKey), KeyError> {
    let key: [u8; 32] = random()?;
    let header = ObjectHeader {
        format: FORMAT,
        backup: backup.to_owned(),
        object,
        compression,
        cipher: CIPHER.to_owned(),
        segment_bytes,
        key: armor::wrap(&age::wrap(&key, recipients)?),
    };
    let json = serde_json::to_vec(&header).unwrap_or_default();
    let length = u32::try_from(json.len()).unwrap_or_default();
    let bytes = [&MAGIC[..], &length.to_be_bytes(), &json].concat();
    let bound_to = Sha256::digest(&bytes).into();
    Ok((bytes, ObjectKey { key, bound_to }))
}

/// Reads the header of what should be `object` of `backup`, and no byte more. `made_for` is said when no key fits.
pub(super) fn read(
    input: &mut impl Read,
    backup: &str,
    object: u32,
    keys: &[Identity],
    made_for: &str,
) -> Result<(ObjectHeader, ObjectKey), ReadError> {
    let wrong = |what: String| ReadError::Header { object, what };
    let (header, bytes) = read_plain(input).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => wrong(e.to_string()),
        io::ErrorKind::UnexpectedEof => wrong("it is cut off within its header".into()),
        _ => ReadError::Io { object, source: e },
    })?;
    if header.format > FORMAT {
        let newer = header.format;
        return Err(wrong(format!("its format is {newer} and this program reads {FORMAT}; use a newer one")));
    }
    if header.cipher != CIPHER {
        return Err(wrong(format!("its cipher is {} and this program knows {CIPHER}", header.cipher)));
    }
    if header.backup != backup || header.object != object {
        let (found, of) = (header.object, header.backup);
        return Err(ReadError::Misplaced { found, of, expected: object, backup: backup.to_owned() });
    }
    let of_key = |source| ReadError::Key { object, source };
    let wrapped =
        armor::unwrap(&header.key).ok_or(KeyError::Damaged("its armour is broken")).map_err(of_key)?;
    let key = age::unwrap(&wrapped, keys, made_for).map_err(of_key)?;
    let key = key.try_into().map_err(|_| of_key(KeyError::Damaged("it has a wrong length")))?;
    Ok((header, ObjectKey { key, bound_to: Sha256::digest(&bytes).into() }))
}

fn read_plain(input: &mut impl Read) -> io::Result<(ObjectHeader, Vec<u8>)> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut bytes = vec![0; MAGIC.len() + 4];
    input.read_exact(&mut bytes)?;
    let (magic, length) = bytes.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(invalid("it is no object of a backup of Baton's".into()));
    }
    let length = length.iter().fold(0_usize, |n, b| (n << 8) | usize::from(*b));
    if length > HEADER_MAX {
        return Err(invalid(format!("its header has {length} bytes, more than any")));
    }
    let mut json = vec![0; length];
    input.read_exact(&mut json)?;
    let header = serde_json::from_slice(&json).map_err(|e| invalid(format!("its header: {e}")))?;
    bytes.extend_from_slice(&json);
    Ok((header, bytes))
}
