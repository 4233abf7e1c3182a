//! Numbers and lengths in bytes, as servers write them into events. Nothing is read beyond the end.

/// Bytes that are read one field after another; `None` where they end too early.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

impl<'b> Fields<'b> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of up to eight bytes, the lowest first.
    pub(super) fn le(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        Some(taken.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        u16::try_from(self.le(2)?).ok()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.le(4)?).ok()
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.le(8)
    }

    /// A number whose first byte says how many follow, as the protocol has it.
    pub(super) fn packed(&mut self) -> Option<u64> {
        match self.u8()? {
            small @ 0..=250 => Some(small.into()),
            252 => self.le(2),
            253 => self.le(3),
            254 => self.le(8),
            _ => None,
        }
    }

    /// The same as a length.
    pub(super) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.packed()?).ok()
    }

    /// A number of MySQL's serialization: as many bytes follow the first as that has ones at its end.
    pub(super) fn varint(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        let more = first.trailing_ones() as usize;
        if more == 8 {
            self.take(1)?;
            return self.le(8);
        }
        self.le(more + 1).map(|number| number >> (more + 1))
    }
}
