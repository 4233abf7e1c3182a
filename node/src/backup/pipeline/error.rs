//! Why a key is of no use, and why an object cannot be read.

use std::io;

use thiserror::Error;

/// Why a key is of no use.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not an age recipient.
    #[error("\"{0}\" is no age recipient; write a public key as `age-keygen` prints it, age1…")]
    NoRecipient(String),
    /// Not an age identity. Its text is a secret and not shown.
    #[error("line {0} is no age identity; a key file has lines AGE-SECRET-KEY-1…, as `age-keygen` writes it")]
    NoIdentity(usize),
    /// A key file without keys.
    #[error("there is no AGE-SECRET-KEY-1… in it")]
    NoKeys,
    /// Without one nobody could read what is made.
    #[error("there is no escrow recipient: name the public key of at least one key that is kept offline")]
    NoEscrow,
    /// No randomness.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// Wrapped for others.
    #[error("none of the keys here opens it; it was made for {0}")]
    OtherKeys(String),
    /// Not an age file.
    #[error("the wrapped key is damaged: {0}")]
    Damaged(&'static str),
}

/// Why an object or a stream cannot be read. Whatever was read before is as it was written.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Not one of ours, or of a later version of this program.
    #[error("object {object}: {what}")]
    Header {
        /// Which.
        object: u32,
        /// What is wrong.
        what: String,
    },
    /// Its key.
    #[error("object {object}: {source}")]
    Key {
        /// Which.
        object: u32,
        /// Why.
        source: KeyError,
    },
    /// Bits were flipped, segments changed places, or the end is missing.
    #[error("object {object} is damaged or cut off at segment {segment}")]
    Damaged {
        /// Which.
        object: u32,
        /// Counted from 0.
        segment: u64,
    },
    /// An object is not in its place.
    #[error("object {found} of backup {of} is where object {expected} of backup {backup} belongs")]
    Misplaced {
        /// What it says itself.
        found: u32,
        /// Whose it says it is.
        of: String,
        /// What belongs there.
        expected: u32,
        /// What is read.
        backup: String,
    },
    /// Objects are missing at the end.
    #[error("the stream goes on after object {0}, which is the last one here")]
    CutOff(u32),
    /// The stream has ended before its last object.
    #[error("the stream ends with object {0}, but more objects follow")]
    TooLong(u32),
    /// What was decrypted does not unpack.
    #[error("object {object} does not unpack: {source}")]
    Unpack {
        /// Which.
        object: u32,
        /// Why.
        source: io::Error,
    },
    /// It is not what the manifest has.
    #[error("{what} has the checksum {found} and should have {expected}")]
    Checksum {
        /// Object or stream.
        what: String,
        /// BLAKE3 of what was read.
        found: String,
        /// BLAKE3 of what was written.
        expected: String,
    },
    /// The store or a file.
    #[error("object {object}: {source}")]
    Io {
        /// Which.
        object: u32,
        /// Why.
        source: io::Error,
    },
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}
