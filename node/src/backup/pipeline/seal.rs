//! Writes one object: what is written into it goes on encrypted, in parts of one size.

use std::io::{self, Write};

use bytes::Bytes;

use super::error::KeyError;
use super::header::{self, Compression};
use super::keys::Recipients;
use super::segment::{Follows, Segments, TAG};
use super::{Checksum, Limits};

/// Bytes of a segment before encryption.
const SEGMENT: usize = 64 << 10;

/// A piece of an object, as it is uploaded. All but an object's last have the same size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The object, from 0.
    pub object: u32,
    /// Its place in the object, from 0.
    pub number: u32,
    /// Encrypted.
    pub data: Bytes,
    /// The object, once this is its last part.
    pub ends: Option<ObjectSummary>,
}

/// What was written as one object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ObjectSummary {
    /// Bytes as stored.
    pub bytes: u64,
    /// BLAKE3 of them.
    pub blake3: Checksum,
}

/// Where parts go. It blocks when it has enough of them.
pub trait PartSink {
    /// Takes the next one.
    ///
    /// # Errors
    /// Nobody takes parts any more.
    fn part(&mut self, part: Part) -> io::Result<()>;
}

/// One object being written.
pub(super) struct Sealer<S> {
    sink: S,
    object: u32,
    segments: Segments,
    segment: Vec<u8>,
    part: Vec<u8>,
    part_bytes: usize,
    number: u32,
    bytes: u64,
    hash: blake3::Hasher,
}

impl<S: PartSink> Sealer<S> {
    pub(super) fn begin(
        sink: S,
        backup: &str,
        object: u32,
        compression: Compression,
        recipients: &Recipients,
        limits: &Limits,
    ) -> io::Result<Self> {
        let of_key = |error: KeyError| io::Error::other(error);
        let (head, key) =
            header::begin(backup, object, compression, SEGMENT as u32, recipients).map_err(of_key)?;
        let segments = Segments::new(&key).map_err(|_| io::Error::other("the cipher takes no key"))?;
        let mut sealer = Self {
            sink,
            object,
            segments,
            segment: Vec::with_capacity(SEGMENT + TAG),
            part: Vec::with_capacity(limits.part_bytes),
            part_bytes: limits.part_bytes,
            number: 0,
            bytes: 0,
            hash: blake3::Hasher::new(),
        };
        sealer.hand_on(&head)?;
        Ok(sealer)
    }

    /// Bytes of the object so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the object. The sink, for the next one.
    pub(super) fn end(mut self, follows: Follows) -> io::Result<(S, ObjectSummary)> {
        self.seal(follows)?;
        let summary = ObjectSummary { bytes: self.bytes, blake3: self.hash.finalize().to_hex().to_string() };
        let data = std::mem::take(&mut self.part).into();
        self.sink.part(Part {
            object: self.object,
            number: self.number,
            data,
            ends: Some(summary.clone()),
        })?;
        Ok((self.sink, summary))
    }

    fn seal(&mut self, follows: Follows) -> io::Result<()> {
        let mut segment = std::mem::take(&mut self.segment);
        self.segments
            .seal(&mut segment, follows)
            .map_err(|_| io::Error::other("a segment cannot be encrypted"))?;
        self.hand_on(&segment)?;
        segment.clear();
        self.segment = segment;
        Ok(())
    }

    fn hand_on(&mut self, mut data: &[u8]) -> io::Result<()> {
        self.bytes += data.len() as u64;
        self.hash.update(data);
        while !data.is_empty() {
            // A full part waits for more: the last one ends the object and is never empty.
            if self.part.len() == self.part_bytes {
                let data = std::mem::replace(&mut self.part, Vec::with_capacity(self.part_bytes)).into();
                self.sink.part(Part { object: self.object, number: self.number, data, ends: None })?;
                self.number += 1;
            }
            let room = (self.part_bytes - self.part.len()).min(data.len());
            let (now, later) = data.split_at(room);
            self.part.extend_from_slice(now);
            data = later;
        }
        Ok(())
    }
}

impl<S: PartSink> Write for Sealer<S> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        // A full segment waits for more: it may be the last.
        if self.segment.len() == SEGMENT && !data.is_empty() {
            self.seal(Follows::Segment)?;
        }
        let taken = (SEGMENT - self.segment.len()).min(data.len());
        self.segment.extend_from_slice(data.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    /// What is not a whole segment stays until more comes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
