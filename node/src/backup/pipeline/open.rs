//! Reads one object: decrypted and unpacked. Each byte that comes out was authenticated before.

use std::io::{self, BufRead, BufReader, Read};

use zstd::stream::read::Decoder;

use super::error::ReadError;
use super::header::{self, Compression, ObjectHeader};
use super::keys::Identity;
use super::segment::{Follows, Segments, TAG};

/// More than any segment of ours; it bounds what a forged header can ask for.
const SEGMENT_MAX: u32 = 16 << 20;

/// One object being read.
pub struct ObjectReader<R: Read> {
    header: ObjectHeader,
    unpack: Unpack<R>,
}

enum Unpack<R: Read> {
    Zstd(Box<Decoder<'static, BufReader<Opener<R>>>>),
    Not(Box<Opener<R>>),
}

impl<R: Read> ObjectReader<R> {
    /// Reads the header of what should be object `object` of `backup`. `made_for` names the keys that would fit, for the case
    /// that none of `keys` does.
    ///
    /// # Errors
    /// It is something else, no key fits, or it cannot be read.
    pub fn begin(
        mut input: R,
        backup: &str,
        object: u32,
        keys: &[Identity],
        made_for: &str,
    ) -> Result<Self, ReadError> {
        let (header, key) = header::read(&mut input, backup, object, keys, made_for)?;
        let wrong = |what: &str| ReadError::Header { object, what: what.to_owned() };
        if header.segment_bytes == 0 || header.segment_bytes > SEGMENT_MAX {
            return Err(wrong("its segments have an impossible size"));
        }
        let segments = Segments::new(&key).map_err(|_| wrong("the cipher does not take its key"))?;
        let opener = Opener {
            input,
            object,
            segments,
            whole: header.segment_bytes as usize + TAG,
            ahead: Vec::new(),
            plain: Vec::new(),
            at: 0,
            follows: Follows::Segment,
        };
        let unpack = match header.compression {
            Compression::None => Unpack::Not(Box::new(opener)),
            Compression::Zstd => {
                let decoder = Decoder::new(opener).map_err(|source| ReadError::Unpack { object, source })?;
                Unpack::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { header, unpack })
    }

    /// What the object says of itself.
    pub fn header(&self) -> &ObjectHeader {
        &self.header
    }

    /// Whether the stream goes on after this object. It has to be read to its end before.
    ///
    /// # Errors
    /// Something is left of it, or something follows that does not belong to it.
    pub(super) fn finish(mut self) -> Result<bool, ReadError> {
        let object = self.header.object;
        let mut rest = [0];
        let left = self.read(&mut rest).map_err(|source| read_error(object, source))?;
        let opener = match &mut self.unpack {
            Unpack::Zstd(decoder) => {
                let buffer = decoder.get_mut();
                let is_empty = buffer.fill_buf().map_err(|source| read_error(object, source))?.is_empty();
                if !is_empty {
                    return Err(ReadError::Header { object, what: "something follows its content".into() });
                }
                buffer.get_mut()
            }
            Unpack::Not(opener) => opener,
        };
        match opener.follows {
            _ if left > 0 => Err(ReadError::Header { object, what: "it was not read to its end".into() }),
            Follows::Segment => Err(opener.damaged()),
            Follows::Object => Ok(true),
            Follows::Nothing => Ok(false),
        }
    }
}

/// An error of ours comes back out of `io::Error` as it was.
pub(super) fn read_error(object: u32, error: io::Error) -> ReadError {
    match error.downcast::<ReadError>() {
        Ok(ours) => ours,
        Err(source) => ReadError::Unpack { object, source },
    }
}

impl<R: Read> Read for ObjectReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.unpack {
            Unpack::Zstd(decoder) => decoder.read(into),
            Unpack::Not(opener) => opener.read(into),
        }
    }
}

/// Decrypts segment after segment.
struct Opener<R> {
    input: R,
    object: u32,
    segments: Segments,
    /// Bytes of an encrypted segment that is not the last.
    whole: usize,
    /// Encrypted: the next segment and one byte of the one after it, which tells whether there is one.
    ahead: Vec<u8>,
    plain: Vec<u8>,
    at: usize,
    follows: Follows,
}

impl<R: Read> Opener<R> {
    fn damaged(&self) -> ReadError {
        ReadError::Damaged { object: self.object, segment: self.segments.next() }
    }

    /// Decrypts the next one into `plain`.
    fn next_segment(&mut self) -> Result<(), ReadError> {
        let wanted = (self.whole + 1).saturating_sub(self.ahead.len());
        let (object, by_ref) = (self.object, Read::by_ref(&mut self.input));
        by_ref
            .take(wanted as u64)
            .read_to_end(&mut self.ahead)
            .map_err(|source| ReadError::Io { object, source })?;
        let is_last = self.ahead.len() <= self.whole;
        let after = if is_last { Vec::new() } else { self.ahead.split_off(self.whole) };
        let mut segment = std::mem::replace(&mut self.ahead, after);
        if is_last {
            // What did not fit is destroyed by the attempt.
            let mut copy = segment.clone();
            if self.segments.open(&mut segment, Follows::Nothing).is_ok() {
                self.follows = Follows::Nothing;
            } else {
                self.segments.open(&mut copy, Follows::Object).map_err(|_| self.damaged())?;
                self.follows = Follows::Object;
                segment = copy;
            }
        } else {
            self.segments.open(&mut segment, Follows::Segment).map_err(|_| self.damaged())?;
        }
        self.plain = segment;
        self.at = 0;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() {
            if self.follows != Follows::Segment {
                return Ok(0);
            }
            self.next_segment()?;
        }
        let rest = self.plain.get(self.at..).unwrap_or_default();
        let taken = rest.len().min(into.len());
        for (to, from) in into.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at += taken;
        Ok(taken)
    }
}
