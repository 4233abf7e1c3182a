//! What client and server agreed on: the capability flags of the greeting and of the client's answer.
//!
//! Layouts: <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets.html>.

const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const COMPRESS: u32 = 1 << 5;
const ZSTD_COMPRESSION: u32 = 1 << 26;
const DEPRECATE_EOF: u32 = 1 << 24;
const OPTIONAL_RESULTSET_METADATA: u32 = 1 << 25;

/// The capability flags of both sides.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Handshake {
    pub(super) server: u32,
    pub(super) client: u32,
}

impl Handshake {
    /// The client wants TLS: what follows its first packet is not readable.
    pub(super) fn is_tls(self) -> bool {
        self.client & SSL != 0
    }

    /// The packets of the command phase are readable: not compressed, and of the protocol that every server since
    /// MySQL 4.1 speaks. A client that asks not to be sent column definitions is left out, because the first byte of
    /// a result is ambiguous then.
    pub(super) fn is_readable(self) -> bool {
        let agreed = self.agreed();
        agreed & PROTOCOL_41 != 0 && agreed & (COMPRESS | ZSTD_COMPRESSION | OPTIONAL_RESULTSET_METADATA) == 0
    }

    /// Rows end with an OK packet, and no packet ends the column definitions.
    pub(super) fn deprecates_eof(self) -> bool {
        self.agreed() & DEPRECATE_EOF != 0
    }

    fn agreed(self) -> u32 {
        self.server & self.client
    }
}

/// The server's flags from a greeting's first bytes; `None` if it is no greeting of protocol 10 (an error, say).
pub(super) fn server_flags(greeting: &[u8]) -> Option<u32> {
    let (&10, rest) = greeting.split_first()? else { return None };
    let version = rest.iter().position(|&b| b == 0)?;
    // Connection id (4), first part of the salt (8), a zero.
    let rest = rest.get(version + 1 + 4 + 8 + 1..)?;
    let low = u16::from_le_bytes(rest.get(..2)?.try_into().ok()?);
    // Character set (1) and status (2) lie between the halves.
    let high = rest.get(5..7).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
    Some(u32::from(low) | u32::from(high) << 16)
}

/// The client's flags from its first packet, be it a handshake response or only the request for TLS.
pub(super) fn client_flags(response: &[u8]) -> Option<u32> {
    let low = u16::from_le_bytes(response.get(..2)?.try_into().ok()?);
    if u32::from(low) & PROTOCOL_41 == 0 {
        return Some(u32::from(low));
    }
    Some(u32::from_le_bytes(response.get(..4)?.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const PLAIN: u32 = PROTOCOL_41;
    pub(in super::super) const PLAIN_DEPRECATE_EOF: u32 = PROTOCOL_41 | DEPRECATE_EOF;
    pub(in super::super) const WITH_SSL: u32 = PROTOCOL_41 | SSL;
    pub(in super::super) const WITH_COMPRESS: u32 = PROTOCOL_41 | COMPRESS;

    /// A greeting's payload as MySQL sends it.
    pub(in super::super) fn greeting(flags: u32) -> Vec<u8> {
        let mut payload = b"\x0a8.4.0-fake\0\x01\0\0\0abcdefgh\0".to_vec();
        payload.extend_from_slice(&(flags as u16).to_le_bytes());
        payload.extend_from_slice(&[255, 2, 0]);
        payload.extend_from_slice(&((flags >> 16) as u16).to_le_bytes());
        payload.push(21);
        payload.extend_from_slice(&[0; 10]);
        payload.extend_from_slice(b"ijklmnopqrst\0mysql_native_password\0");
        payload
    }

    #[test]
    fn flags_are_found_in_both_packets() {
        assert_eq!(server_flags(&greeting(0x81_ff_82_0d)), Some(0x81_ff_82_0d));
        assert_eq!(server_flags(b"\xff\x10\x04Too many connections"), None);
        assert_eq!(client_flags(&[0, 2, 0, 1, 0, 0]), Some(PLAIN_DEPRECATE_EOF));
        assert_eq!(client_flags(&[0x20, 0, 9, 9]), Some(0x20), "before 4.1 there were 16 bits");
        assert_eq!(client_flags(&[1]), None);
    }

    #[test]
    fn what_only_one_side_can_is_not_agreed() {
        let plain = Handshake { server: u32::MAX, client: PLAIN };
        assert!(plain.is_readable() && !plain.is_tls() && !plain.deprecates_eof());
        let compressed = Handshake { server: u32::MAX, client: WITH_COMPRESS };
        assert!(!compressed.is_readable());
        assert!(Handshake { server: PLAIN, client: WITH_COMPRESS }.is_readable());
        assert!(Handshake { server: u32::MAX, client: PLAIN_DEPRECATE_EOF }.deprecates_eof());
    }
}
