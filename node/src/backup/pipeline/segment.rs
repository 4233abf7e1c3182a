//! One segment: encrypted so that it fits nowhere but in its place in its object.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;

use super::header::ObjectKey;

/// Bytes that encryption adds to a segment.
pub(super) const TAG: usize = 16;

/// What follows after a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// More of the object.
    Segment,
    /// Nothing in this object; the stream goes on in the next.
    Object,
    /// Nothing: the stream has ended.
    Nothing,
}

impl Follows {
    fn mark(self) -> u8 {
        match self {
            Self::Segment => 0,
            Self::Object => 1,
            Self::Nothing => 2,
        }
    }
}

/// Encrypts and decrypts an object's segments, in their order.
pub(super) struct Segments {
    key: LessSafeKey,
    bound_to: [u8; 32],
    next: u64,
}

impl Segments {
    pub(super) fn new(key: &ObjectKey) -> Result<Self, Unspecified> {
        let unbound = UnboundKey::new(&AES_256_GCM, &key.key)?;
        Ok(Self { key: LessSafeKey::new(unbound), bound_to: key.bound_to, next: 0 })
    }

    /// The number of the next one, from 0.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Encrypts the next one in its place.
    pub(super) fn seal(&mut self, segment: &mut Vec<u8>, follows: Follows) -> Result<(), Unspecified> {
        let nonce = self.nonce(follows);
        self.next += 1;
        self.key.seal_in_place_append_tag(nonce, Aad::from(self.bound_to), segment)
    }

    /// Decrypts the next one in its place, if that is what follows. Its tag is cut off. What did not fit is destroyed.
    pub(super) fn open(&mut self, segment: &mut Vec<u8>, follows: Follows) -> Result<(), Unspecified> {
        let nonce = self.nonce(follows);
        let plain = self.key.open_in_place(nonce, Aad::from(self.bound_to), segment)?.len();
        segment.truncate(plain);
        self.next += 1;
        Ok(())
    }

    /// Never twice with one key: the key belongs to one object, and each segment has a number of its own. Only the last
    /// segment's mark is tried twice, and that while reading.
    fn nonce(&self, follows: Follows) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        let (number, mark) = nonce.split_at_mut(NONCE_LEN - 1);
        for (at, byte) in number.iter_mut().skip(3).zip(self.next.to_be_bytes()) {
            *at = byte;
        }
        mark.fill(follows.mark());
        Nonce::assume_unique_for_key(nonce)
    }
}
