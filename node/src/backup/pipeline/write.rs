//! Writes a stream: compressed, cut into objects, each of them encrypted.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use zstd::stream::write::Encoder;

use super::Checksum;
use super::header::Compression;
use super::keys::Recipients;
use super::seal::{ObjectSummary, PartSink, Sealer};
use super::segment::Follows;

/// How a stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// An object ends soon after it has so many bytes; what the compressor still holds, a few MiB, comes on top.
    pub object_bytes: u64,
    /// Bytes of each part but an object's last. That and two more are held in memory.
    pub part_bytes: usize,
}

impl Default for Limits {
    /// Objects of just under 16 GiB in parts of 16 MiB: within S3's 10000 parts, and 10 TB are some 650 objects.
    fn default() -> Self {
        Self { object_bytes: (16 << 30) - (64 << 20), part_bytes: 16 << 20 }
    }
}

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pack {
    Zstd { level: i32, threads: u32 },
    Not,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSummary {
    /// Bytes that came in.
    pub bytes: u64,
    /// BLAKE3 of them.
    pub blake3: Checksum,
    /// Every object in its order.
    pub objects: Vec<ObjectSummary>,
}

impl StreamSummary {
    /// Bytes that are stored.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }
}

enum Packer<S: PartSink> {
    Zstd(Box<Encoder<'static, Sealer<S>>>),
    Not(Box<Sealer<S>>),
}

/// Takes a stream. Without [`end`](Self::end) there is no last object, and nobody can take what was written for whole.
pub struct StreamWriter<S: PartSink> {
    backup: String,
    recipients: Recipients,
    limits: Limits,
    pack: Pack,
    packer: Option<Packer<S>>,
    objects: Vec<ObjectSummary>,
    bytes: u64,
    hash: blake3::Hasher,
}

impl<S: PartSink> StreamWriter<S> {
    /// A stream of the backup `backup`, compressed with zstd at `level` on `threads` threads beside the caller's, 0 for none.
    ///
    /// # Errors
    /// No random bytes, no memory for the compressor, or the sink takes nothing.
    pub fn zstd(
        sink: S,
        backup: &str,
        recipients: Recipients,
        limits: Limits,
        level: i32,
        threads: u32,
    ) -> io::Result<Self> {
        Self::begin(sink, backup, recipients, limits, Pack::Zstd { level, threads })
    }

    /// One that is compressed already.
    ///
    /// # Errors
    /// No random bytes, or the sink takes nothing.
    pub fn uncompressed(sink: S, backup: &str, recipients: Recipients, limits: Limits) -> io::Result<Self> {
        Self::begin(sink, backup, recipients, limits, Pack::Not)
    }

    fn begin(sink: S, backup: &str, recipients: Recipients, limits: Limits, pack: Pack) -> io::Result<Self> {
        let mut writer = Self {
            backup: backup.to_owned(),
            recipients,
            limits,
            pack,
            packer: None,
            objects: Vec::new(),
            bytes: 0,
            hash: blake3::Hasher::new(),
        };
        writer.packer = Some(writer.next_object(sink)?);
        Ok(writer)
    }

    /// Bytes that came in so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that went out so far, but for what the compressor holds.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let ended: u64 = self.objects.iter().map(|object| object.bytes).sum();
        ended + self.packer.as_ref().map_or(0, |p| p.sealer().bytes())
    }

    /// Ends the stream. Only now its last part goes out.
    ///
    /// # Errors
    /// The sink takes nothing, or an earlier write has failed.
    pub fn end(mut self) -> io::Result<(S, StreamSummary)> {
        let packer = self.packer.take().ok_or_else(broken)?;
        let (sink, object) = packer.end(Follows::Nothing)?;
        self.objects.push(object);
        let blake3 = self.hash.finalize().to_hex().to_string();
        Ok((sink, StreamSummary { bytes: self.bytes, blake3, objects: self.objects }))
    }

    fn next_object(&self, sink: S) -> io::Result<Packer<S>> {
        let object = u32::try_from(self.objects.len()).map_err(io::Error::other)?;
        let compression = match self.pack {
            Pack::Zstd { .. } => Compression::Zstd,
            Pack::Not => Compression::None,
        };
        let sealer = Sealer::begin(sink, &self.backup, object, compression, &self.recipients, &self.limits)?;
        let Pack::Zstd { level, threads } = self.pack else { return Ok(Packer::Not(Box::new(sealer))) };
        let mut encoder = Encoder::new(sealer, level)?;
        if threads > 0 {
            encoder.multithread(threads)?;
        }
        Ok(Packer::Zstd(Box::new(encoder)))
    }
}

impl<S: PartSink> Packer<S> {
    fn sealer(&self) -> &Sealer<S> {
        match self {
            Self::Zstd(encoder) => encoder.get_ref(),
            Self::Not(sealer) => sealer,
        }
    }

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(data),
            Self::Not(sealer) => sealer.write_all(data),
        }
    }

    fn end(self, follows: Follows) -> io::Result<(S, ObjectSummary)> {
        match self {
            Self::Zstd(encoder) => encoder.finish()?.end(follows),
            Self::Not(sealer) => sealer.end(follows),
        }
    }
}

fn broken() -> io::Error {
    io::Error::other("an earlier part of the stream was not written")
}

impl<S: PartSink> Write for StreamWriter<S> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        // Whatever fails here, no later write may succeed and no end may be written.
        let mut packer = self.packer.take().ok_or_else(broken)?;
        if packer.sealer().bytes() >= self.limits.object_bytes && !data.is_empty() {
            let (sink, object) = packer.end(Follows::Object)?;
            self.objects.push(object);
            packer = self.next_object(sink)?;
        }
        packer.write_all(data)?;
        self.hash.update(data);
        self.bytes += data.len() as u64;
        self.packer = Some(packer);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
