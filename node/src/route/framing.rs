//! Packet boundaries in one direction of a session.
//!
//! A packet is a header of four bytes (payload length in three, little endian, and a sequence number) and its payload. A
//! payload of 2²⁴−1 bytes goes on in the next packet; here the whole chain counts as one. The framer sees the bytes in
//! whatever pieces they arrive and keeps only the first few of each payload, so its memory does not grow with a packet.

/// How much of a payload is kept: a greeting's capability flags lie within it, whatever the server's version string
/// (at most 60 bytes) is.
pub(super) const PREFIX_MAX: usize = 128;
const HEADER: usize = 4;
/// A payload of this length is continued by another packet.
const CONTINUED: usize = 0xff_ffff;

/// A packet that has arrived in full.
#[derive(Clone, Copy)]
pub(super) struct Packet<'a> {
    /// The sequence number; of a chain the last one.
    pub(super) sequence: u8,
    /// The payload's length; of a chain the sum.
    pub(super) length: u64,
    /// The first bytes of the payload, at most [`PREFIX_MAX`].
    pub(super) prefix: &'a [u8],
}

impl Packet<'_> {
    /// The payload's first byte, which tells packets apart; `None` of an empty packet.
    pub(super) fn first(&self) -> Option<u8> {
        self.prefix.first().copied()
    }
}

/// Where one direction of a session stands between or within packets. Not `Debug`: what it keeps of a packet may be part
/// of a password exchange or of a statement.
#[derive(Default)]
pub(super) struct Framer {
    header: [u8; HEADER],
    header_length: usize,
    payload_left: usize,
    in_chain: bool,
    length: u64,
    prefix: Vec<u8>,
}

impl Framer {
    /// Consumes from `bytes` up to the end of the next packet and returns it, or consumes all and returns `None`.
    pub(super) fn next<'a>(&'a mut self, bytes: &mut &[u8]) -> Option<Packet<'a>> {
        loop {
            if self.header_length < HEADER && !self.take_header(bytes) {
                return None;
            }
            let (payload, rest) = bytes.split_at(self.payload_left.min(bytes.len()));
            let keep = payload.len().min(PREFIX_MAX.saturating_sub(self.prefix.len()));
            self.prefix.extend_from_slice(&payload[..keep]);
            self.payload_left -= payload.len();
            *bytes = rest;
            if self.payload_left > 0 {
                return None;
            }
            self.header_length = 0;
            self.in_chain = self.declared() == CONTINUED;
            if !self.in_chain {
                return Some(Packet { sequence: self.header[3], length: self.length, prefix: &self.prefix });
            }
        }
    }

    /// Whether it has all of the header, having taken what there is of it.
    fn take_header(&mut self, bytes: &mut &[u8]) -> bool {
        let (header, rest) = bytes.split_at((HEADER - self.header_length).min(bytes.len()));
        self.header[self.header_length..][..header.len()].copy_from_slice(header);
        self.header_length += header.len();
        *bytes = rest;
        if self.header_length < HEADER {
            return false;
        }
        if !self.in_chain {
            self.length = 0;
            self.prefix.clear();
        }
        self.payload_left = self.declared();
        self.length += self.payload_left as u64;
        true
    }

    fn declared(&self) -> usize {
        let [a, b, c, _] = self.header;
        u32::from_le_bytes([a, b, c, 0]) as usize
    }

    /// How many bytes may be read without passing the end of the packet under way; 0 between packets.
    pub(super) fn missing(&self) -> usize {
        match self.header_length {
            0 if !self.in_chain => 0,
            HEADER => self.payload_left,
            begun => HEADER - begun,
        }
    }

    /// The sequence number of the packet under way; `None` between packets, and 0 while its header is incomplete.
    pub(super) fn under_way(&self) -> Option<u8> {
        (self.missing() > 0).then(|| if self.header_length == HEADER { self.header[3] } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A payload as packets on the wire, split where the protocol splits it.
    fn encode(sequence: u8, payload: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut sequence = sequence;
        let mut rest = payload;
        loop {
            let (now, later) = rest.split_at(rest.len().min(CONTINUED));
            wire.extend_from_slice(&(now.len() as u32).to_le_bytes()[..3]);
            wire.push(sequence);
            wire.extend_from_slice(now);
            if now.len() < CONTINUED {
                return wire;
            }
            sequence = sequence.wrapping_add(1);
            rest = later;
        }
    }

    type Seen = (u8, u64, Vec<u8>);

    fn feed(framer: &mut Framer, mut bytes: &[u8], seen: &mut Vec<Seen>) {
        while let Some(packet) = framer.next(&mut bytes) {
            seen.push((packet.sequence, packet.length, packet.prefix.to_vec()));
        }
        assert!(bytes.is_empty());
    }

    fn expected(packets: &[(u8, Vec<u8>)]) -> Vec<Seen> {
        packets.iter().map(|(s, p)| (*s, p.len() as u64, p[..p.len().min(PREFIX_MAX)].to_vec())).collect()
    }

    proptest! {
        #[test]
        fn packets_are_the_same_however_they_are_split(
            packets in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20),
            cuts in prop::collection::vec(1usize..70, 1..50),
        ) {
            let wire: Vec<u8> = packets.iter().flat_map(|(s, p)| encode(*s, p)).collect();
            let (mut framer, mut seen) = (Framer::default(), Vec::new());
            let mut rest = wire.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                feed(&mut framer, now, &mut seen);
                rest = later;
            }
            prop_assert_eq!(framer.missing(), 0);
            prop_assert_eq!(seen, expected(&packets));
        }

        #[test]
        fn reading_no_more_than_is_missing_ends_exactly_at_the_boundary(
            payload in prop::collection::vec(any::<u8>(), 0..300),
            begun in 1usize..200,
        ) {
            let wire = encode(3, &payload);
            let begun = begun.min(wire.len());
            let (mut framer, mut seen) = (Framer::default(), Vec::new());
            feed(&mut framer, &wire[..begun], &mut seen);
            let mut at = begun;
            while framer.missing() > 0 {
                let more = framer.missing();
                prop_assert!(at + more <= wire.len());
                feed(&mut framer, &wire[at..at + more], &mut seen);
                at += more;
            }
            prop_assert_eq!(at, wire.len());
            prop_assert_eq!(seen, expected(&[(3, payload)]));
        }
    }

    #[test]
    fn a_chain_is_one_packet() {
        for size in [CONTINUED - 1, CONTINUED, CONTINUED + 10, 2 * CONTINUED] {
            let wire = encode(250, &vec![9; size]);
            let (mut framer, mut seen) = (Framer::default(), Vec::new());
            for piece in wire.chunks(1_000_003) {
                feed(&mut framer, piece, &mut seen);
            }
            let last = 250u8.wrapping_add((size / CONTINUED) as u8);
            assert_eq!(seen, [(last, size as u64, vec![9; PREFIX_MAX])]);
            assert_eq!(framer.missing(), 0);
        }
    }

    #[test]
    fn between_the_parts_of_a_chain_is_no_boundary() {
        let wire = encode(0, &vec![1; CONTINUED + 5]);
        let (mut framer, mut seen) = (Framer::default(), Vec::new());
        feed(&mut framer, &wire[..HEADER + CONTINUED], &mut seen);
        assert_eq!((framer.missing(), framer.under_way()), (HEADER, Some(0)));
        feed(&mut framer, &wire[HEADER + CONTINUED..][..HEADER], &mut seen);
        assert_eq!((framer.missing(), framer.under_way()), (5, Some(1)));
    }
}
