//! The one packet that the router itself sends.
//!
//! An error packet is `0xff`, the error number (2 bytes, little endian), `#` and five characters of SQLSTATE, and the
//! message. In place of the greeting it has no SQLSTATE, as the client has not said yet that it knows one.
//! Layout: <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html>.

/// MySQL cuts an error message at this many bytes.
const MESSAGE_MAX: usize = 512;

/// An error as a server would send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerError {
    pub(super) number: u16,
    pub(super) sqlstate: &'static str,
    pub(super) message: String,
}

impl ServerError {
    /// 1040, which clients and pools take for "try again later": the router is at a limit.
    pub(super) fn too_many(message: String) -> Self {
        Self { number: 1040, sqlstate: "08004", message }
    }

    /// 1053 (ER_SERVER_SHUTDOWN). Its SQLSTATE class 08 makes connection pools drop the connection and make a new one.
    pub(super) fn not_here(message: String) -> Self {
        Self { number: 1053, sqlstate: "08S01", message }
    }

    /// The error in place of the greeting, before client and server have agreed on anything.
    pub(super) fn as_greeting(&self) -> Vec<u8> {
        self.packet(0, "")
    }

    /// The error with the given sequence number, to a client that has introduced itself.
    pub(super) fn as_reply(&self, sequence: u8) -> Vec<u8> {
        self.packet(sequence, &format!("#{}", self.sqlstate))
    }

    fn packet(&self, sequence: u8, state: &str) -> Vec<u8> {
        let message = &self.message.as_bytes()[..self.message.floor_char_boundary(MESSAGE_MAX)];
        let length = 3 + state.len() + message.len();
        let mut packet = Vec::with_capacity(4 + length);
        packet.extend_from_slice(&(length as u32).to_le_bytes()[..3]);
        packet.push(sequence);
        packet.push(0xff);
        packet.extend_from_slice(&self.number.to_le_bytes());
        packet.extend_from_slice(state.as_bytes());
        packet.extend_from_slice(message);
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_is_what_a_server_sends() {
        let error = ServerError::not_here("gone".into());
        assert_eq!(error.as_reply(7), b"\x0d\x00\x00\x07\xff\x1d\x04#08S01gone");
        let error = ServerError::too_many("full".into());
        assert_eq!(error.as_greeting(), b"\x07\x00\x00\x00\xff\x10\x04full");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let packet = ServerError::not_here("é".repeat(400)).as_reply(0);
        assert_eq!(packet.len(), 4 + 3 + 6 + MESSAGE_MAX);
        let packet = ServerError::not_here(format!("a{}", "é".repeat(400))).as_reply(0);
        assert_eq!(packet.len(), 4 + 3 + 6 + MESSAGE_MAX - 1);
    }
}
