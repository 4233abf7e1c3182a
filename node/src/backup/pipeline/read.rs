//! Reads a stream out of its objects, and checks it against what was written.

use std::io::{self, Read};

use super::error::ReadError;
use super::keys::Identity;
use super::open::{ObjectReader, read_error};
use super::seal::ObjectSummary;
use super::write::StreamSummary;

/// Where objects come from.
pub trait ObjectSource {
    /// Begins to read object `object`, from 0.
    ///
    /// # Errors
    /// It is not there, or the store does not answer.
    fn open(&mut self, object: u32) -> io::Result<Box<dyn Read + Send>>;
}

/// A stream as it was before it was compressed. That it has ended at all means that it is whole and as it was written.
pub struct StreamReader<O: ObjectSource> {
    source: O,
    backup: String,
    made_for: String,
    keys: Vec<Identity>,
    written: StreamSummary,
    now: Option<ObjectReader<Hashed>>,
    next: u32,
    is_over: bool,
    has_failed: bool,
    hash: blake3::Hasher,
    objects: Hashes,
}

/// The checksum of what is read of an object, shared with its reader.
type Hashes = std::sync::Arc<std::sync::Mutex<blake3::Hasher>>;

struct Hashed {
    input: Box<dyn Read + Send>,
    hash: Hashes,
}

impl Read for Hashed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        if let Ok(mut hash) = self.hash.lock() {
            hash.update(into.get(..read).unwrap_or_default());
        }
        Ok(read)
    }
}

impl<O: ObjectSource> StreamReader<O> {
    /// Reads `backup`, which was written as `written`. `made_for` names the keys that would fit, for the case that none of
    /// `keys` does.
    pub fn new(source: O, backup: &str, written: StreamSummary, keys: Vec<Identity>, made_for: &str) -> Self {
        Self {
            source,
            backup: backup.to_owned(),
            made_for: made_for.to_owned(),
            keys,
            written,
            now: None,
            next: 0,
            is_over: false,
            has_failed: false,
            hash: blake3::Hasher::new(),
            objects: Hashes::default(),
        }
    }

    fn begin(&mut self) -> Result<ObjectReader<Hashed>, ReadError> {
        let object = self.next;
        let input = self.source.open(object).map_err(|source| ReadError::Io { object, source })?;
        self.objects = Hashes::default();
        let input = Hashed { input, hash: self.objects.clone() };
        self.next += 1;
        ObjectReader::begin(input, &self.backup, object, &self.keys, &self.made_for)
    }

    fn end_object(&mut self, reader: ObjectReader<Hashed>) -> Result<(), ReadError> {
        let object = reader.header().object;
        let goes_on = reader.finish()?;
        let hash = self.objects.lock().map(|h| h.finalize().to_hex().to_string()).unwrap_or_default();
        let written = self.written.objects.get(object as usize).map(|o| o.blake3.as_str());
        same(format!("object {object}"), &hash, written.unwrap_or_default())?;
        let is_last = self.next as usize >= self.written.objects.len();
        match (goes_on, is_last) {
            (true, true) => Err(ReadError::CutOff(object)),
            (false, false) => Err(ReadError::TooLong(object)),
            (true, false) => Ok(()),
            (false, true) => {
                same("the stream".into(), self.hash.finalize().to_hex().as_str(), &self.written.blake3)?;
                self.is_over = true;
                Ok(())
            }
        }
    }

    fn read_some(&mut self, into: &mut [u8]) -> Result<usize, ReadError> {
        while !self.is_over {
            let mut reader = match self.now.take() {
                Some(reader) => reader,
                None => self.begin()?,
            };
            let object = reader.header().object;
            let read = reader.read(into).map_err(|e| read_error(object, e))?;
            if read > 0 {
                self.hash.update(into.get(..read).unwrap_or_default());
                self.now = Some(reader);
                return Ok(read);
            }
            self.end_object(reader)?;
        }
        Ok(0)
    }
}

impl<O: ObjectSource> Read for StreamReader<O> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.has_failed {
            return Err(io::Error::other("the stream has failed before"));
        }
        let read = self.read_some(into);
        // After an error nothing more may come, and no end either.
        self.has_failed = read.is_err();
        read.map_err(io::Error::from)
    }
}

/// Reads an object as it is stored, without a key, and compares it with what was written.
///
/// # Errors
/// It is another one, or cannot be read.
pub fn check_object(mut input: impl Read, object: u32, written: &ObjectSummary) -> Result<(), ReadError> {
    let mut hash = blake3::Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => hash.update(buffer.get(..read).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(ReadError::Io { object, source }),
        };
    }
    same(format!("object {object}"), hash.finalize().to_hex().as_str(), &written.blake3)
}

fn same(what: String, found: &str, expected: &str) -> Result<(), ReadError> {
    if found == expected {
        return Ok(());
    }
    Err(ReadError::Checksum { what, found: found.to_owned(), expected: expected.to_owned() })
}
