//! What becomes of a stream: compressed, encrypted in segments, cut into objects, and handed on in parts of one size; and the
//! way back. Neither direction holds more than a few parts, whatever the stream's length. All of it blocks: it belongs on a
//! thread of its own.
//!
//! Each object has a data key of its own, which is wrapped to every recipient: whoever makes backups needs no secret to make
//! them and cannot read them.

mod age;
mod armor;
mod bech32;
mod error;
mod header;
mod keys;
mod open;
mod read;
mod seal;
mod segment;
#[cfg(test)]
mod tests;
mod throttle;
mod write;

pub use error::{KeyError, ReadError};
pub use header::{Compression, ObjectHeader};
pub use keys::{Identity, Recipient, Recipients, Role};
pub use open::ObjectReader;
pub use read::{ObjectSource, StreamReader, check_object};
pub use seal::{ObjectSummary, Part, PartSink};
pub use throttle::Throttle;
pub use write::{Limits, StreamSummary, StreamWriter};

/// What this program writes. It reads this and what was before.
pub const FORMAT: u32 = 1;

/// A BLAKE3 checksum as it is written everywhere: in hexadecimal.
pub type Checksum = String;
