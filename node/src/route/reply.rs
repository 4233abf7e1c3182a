//! When a server's reply is complete.
//!
//! The command's first byte says what kind of reply to expect, and the first bytes of the reply's packets say how far it
//! is. What does not fit makes the reply [`Step::Lost`]: the session goes on, and the router then knows no more of it
//! than that bytes pass.
//!
//! Layouts: <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase.html>; for MariaDB's
//! additions (bulk execute, cached column definitions, progress reports) <https://mariadb.com/kb/en/clientserver-protocol/>.

use super::{framing::Packet, handshake::Handshake};

const OK: u8 = 0x00;
const LOCAL_INFILE: u8 = 0xfb;
const EOF: u8 = 0xfe;
const ERROR: u8 = 0xff;
/// MariaDB reports the progress of a statement by error packets with this number; the reply is still to come.
const PROGRESS: u16 = 0xffff;
const MORE_RESULTS: u16 = 0x0008;
const CURSOR_EXISTS: u16 = 0x0040;
/// An EOF packet is shorter than this; a row whose first field is of 2²⁴ bytes or more begins with the same byte.
const EOF_LENGTH: u64 = 9;
/// An OK packet that ends rows is shorter than this, for the same reason.
const ROWS_OK_LENGTH: u64 = 0xff_ffff;

/// A reply that is awaited or under way.
#[derive(Debug)]
pub(super) struct Reply {
    state: State,
    /// The sequence number that the reply's next packet will have.
    next_sequence: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// One packet, whatever it is.
    One,
    /// An authentication exchange, ended by OK or an error.
    Authentication,
    /// The first packet of the reply to a prepare.
    Prepared,
    /// So many packets, or an error.
    Packets(u64),
    /// The first packet of a result: OK, an error, a request for a file, or the number of columns.
    Result,
    /// The client is sending a file; a result comes after it.
    Infile,
    /// So many column definitions, then rows.
    Columns(u64),
    /// The EOF packet after the column definitions.
    ColumnsEof,
    /// Rows, up to the packet that ends them.
    Rows,
    /// Replication events, up to EOF or an error.
    Events,
}

/// What a packet did to its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Complete,
    Lost,
}

impl Reply {
    /// The reply that a command's packet asks for; `None` if the server does not answer that command.
    pub(super) fn to_command(command: &Packet<'_>) -> Option<Self> {
        let state = match command.first() {
            // COM_QUIT, COM_STMT_SEND_LONG_DATA, COM_STMT_CLOSE; an acknowledgement by a semi-sync replica.
            Some(0x01 | 0x18 | 0x19 | 0xef) => return None,
            // COM_QUERY, COM_PROCESS_INFO, COM_STMT_EXECUTE, MariaDB's COM_STMT_BULK_EXECUTE.
            Some(0x03 | 0x0a | 0x17 | 0xfa) => State::Result,
            // COM_FIELD_LIST, COM_STMT_FETCH.
            Some(0x04 | 0x1c) => State::Rows,
            // COM_CHANGE_USER.
            Some(0x11) => State::Authentication,
            // COM_BINLOG_DUMP, COM_TABLE_DUMP, COM_BINLOG_DUMP_GTID.
            Some(0x12 | 0x13 | 0x1e) => State::Events,
            // COM_STMT_PREPARE.
            Some(0x16) => State::Prepared,
            _ => State::One,
        };
        Some(Self { state, next_sequence: command.sequence.wrapping_add(1) })
    }

    /// The sequence number that the client expects of the reply's next packet.
    pub(super) fn next_sequence(&self) -> u8 {
        self.next_sequence
    }

    /// Whether the client's packets now belong to this reply and are no commands. An empty one ends a file.
    pub(super) fn takes_client_packets(&self) -> bool {
        matches!(self.state, State::Infile | State::Authentication)
    }

    /// The client sent a packet as a part of this exchange.
    pub(super) fn on_client(&mut self, packet: &Packet<'_>) {
        self.next_sequence = packet.sequence.wrapping_add(1);
        if self.state == State::Infile && packet.length == 0 {
            self.state = State::Result;
        }
    }

    /// The server sent a packet of this reply.
    pub(super) fn on_server(&mut self, packet: &Packet<'_>, handshake: Handshake) -> Step {
        self.next_sequence = packet.sequence.wrapping_add(1);
        if packet.first() == Some(ERROR) {
            let number = packet.prefix.get(1..3).map(|b| u16::from_le_bytes([b[0], b[1]]));
            return if number == Some(PROGRESS) { Step::More } else { Step::Complete };
        }
        let eof = handshake.deprecates_eof();
        match self.advance(packet, eof) {
            Some(Some(next)) => {
                self.state = next;
                Step::More
            }
            Some(None) => Step::Complete,
            None => Step::Lost,
        }
    }

    /// The state after a packet that is no error: `None` if it does not fit, `Some(None)` if it ends the reply.
    fn advance(&self, packet: &Packet<'_>, deprecates_eof: bool) -> Option<Option<State>> {
        let first = packet.first();
        Some(match self.state {
            State::One => None,
            State::Authentication => (first != Some(OK)).then_some(State::Authentication),
            State::Prepared => packets_after_prepare(packet, deprecates_eof)?.map(State::Packets),
            State::Packets(left) => (left > 1).then_some(State::Packets(left.saturating_sub(1))),
            State::Result | State::Infile => match first? {
                OK => another_result(ok_status(packet.prefix)?),
                LOCAL_INFILE => Some(State::Infile),
                EOF => return None,
                _ => Some(after_column_count(packet, deprecates_eof)?),
            },
            State::Columns(left) if left > 1 => Some(State::Columns(left - 1)),
            State::Columns(_) => Some(after_columns(deprecates_eof)),
            State::ColumnsEof => {
                let status = eof_status(packet)?;
                if status & CURSOR_EXISTS != 0 { None } else { Some(State::Rows) }
            }
            State::Rows => match (first, deprecates_eof) {
                (Some(EOF), true) if packet.length < ROWS_OK_LENGTH => {
                    another_result(ok_status(packet.prefix)?)
                }
                (Some(EOF), false) if packet.length < EOF_LENGTH => another_result(eof_status(packet)?),
                _ => Some(State::Rows),
            },
            State::Events => (first != Some(EOF) || packet.length >= EOF_LENGTH).then_some(State::Events),
        })
    }
}

fn another_result(status: u16) -> Option<State> {
    (status & MORE_RESULTS != 0).then_some(State::Result)
}

fn after_columns(deprecates_eof: bool) -> State {
    if deprecates_eof { State::Rows } else { State::ColumnsEof }
}

/// The number of columns; MariaDB adds a byte, which is 0 when the definitions are left out because the client has them.
fn after_column_count(packet: &Packet<'_>, deprecates_eof: bool) -> Option<State> {
    let (columns, rest) = length_encoded(packet.prefix)?;
    if columns == 0 || rest.first() == Some(&0) {
        return Some(after_columns(deprecates_eof));
    }
    Some(State::Columns(columns))
}

/// How many packets follow the OK of a prepare: definitions of parameters and of columns, each with its EOF.
fn packets_after_prepare(packet: &Packet<'_>, deprecates_eof: bool) -> Option<Option<u64>> {
    // OK, statement id (4), columns (2), parameters (2).
    let counts = packet.prefix.get(5..9).filter(|_| packet.first() == Some(OK))?;
    let mut packets = 0;
    for count in [[counts[0], counts[1]], [counts[2], counts[3]]] {
        let count = u64::from(u16::from_le_bytes(count));
        packets += count + u64::from(count > 0 && !deprecates_eof);
    }
    Some((packets > 0).then_some(packets))
}

/// The status flags of an OK packet: after its first byte, the affected rows and the last insert id.
fn ok_status(payload: &[u8]) -> Option<u16> {
    let (_, rest) = length_encoded(payload.get(1..)?)?;
    let (_, rest) = length_encoded(rest)?;
    Some(u16::from_le_bytes(rest.get(..2)?.try_into().ok()?))
}

/// The status flags of an EOF packet: after its first byte and the warnings (2).
fn eof_status(packet: &Packet<'_>) -> Option<u16> {
    let eof = packet.first() == Some(EOF) && packet.length < EOF_LENGTH;
    let status = packet.prefix.get(3..5).filter(|_| eof)?;
    Some(u16::from_le_bytes(status.try_into().ok()?))
}

/// A length-encoded integer and what follows it.
fn length_encoded(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let size = match first {
        0..=0xfa => return Some((u64::from(first), rest)),
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        _ => return None,
    };
    let mut value = [0; 8];
    value[..size].copy_from_slice(rest.get(..size)?);
    Some((u64::from_le_bytes(value), &rest[size..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::handshake::tests::{PLAIN, PLAIN_DEPRECATE_EOF};
    use super::*;

    fn packet(sequence: u8, payload: &[u8]) -> Packet<'_> {
        Packet { sequence, length: payload.len() as u64, prefix: payload }
    }

    const OK_: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
    const OK_MORE: &[u8] = &[0, 0, 0, 10, 0, 0, 0];
    const EOF_: &[u8] = &[0xfe, 0, 0, 2, 0];
    const EOF_MORE: &[u8] = &[0xfe, 0, 0, 10, 0];
    const EOF_CURSOR: &[u8] = &[0xfe, 0, 0, 0x42, 0];
    const OK_ENDS_ROWS: &[u8] = &[0xfe, 0, 0, 2, 0, 0, 0];
    const ERR: &[u8] = b"\xff\x28\x04#42000no";
    const PROGRESS_: &[u8] = b"\xff\xff\xff\x01\x01";
    const COLUMN: &[u8] = b"\x03def";
    const ROW: &[u8] = b"\x01a";
    const EMPTY_ROW: &[u8] = b"\x00";

    /// Feeds the reply packet by packet: all but the last must leave it open, and the last must end it.
    fn ends_with_the_last(command: u8, flags: u32, packets: &[&[u8]]) {
        let handshake = Handshake { server: flags, client: flags };
        let mut reply = Reply::to_command(&packet(0, &[command])).unwrap();
        for (i, payload) in packets.iter().enumerate() {
            assert_eq!(usize::from(reply.next_sequence()), i + 1);
            let step = reply.on_server(&packet(i as u8 + 1, payload), handshake);
            let expected = if i + 1 == packets.len() { Step::Complete } else { Step::More };
            assert_eq!(step, expected, "command {command:#x}, packet {i} of {packets:x?}");
        }
    }

    #[test]
    fn replies_end_where_they_end() {
        let cases: &[(u8, u32, &[&[u8]])] = &[
            (0x0e, PLAIN, &[OK_]),
            (0x09, PLAIN, &[b"Uptime: 1"]),
            (0x1b, PLAIN, &[EOF_]),
            (0x03, PLAIN, &[OK_]),
            (0x03, PLAIN, &[ERR]),
            (0x03, PLAIN, &[PROGRESS_, PROGRESS_, OK_]),
            (0x03, PLAIN, &[OK_MORE, OK_]),
            (0x03, PLAIN, &[&[2], COLUMN, COLUMN, EOF_, ROW, EMPTY_ROW, EOF_]),
            (0x03, PLAIN, &[&[1], COLUMN, EOF_, ROW, ERR]),
            (0x03, PLAIN, &[&[1], COLUMN, EOF_, EOF_MORE, OK_]),
            (0x03, PLAIN, &[&[1], ERR]),
            (0x03, PLAIN_DEPRECATE_EOF, &[&[1], COLUMN, ROW, EMPTY_ROW, OK_ENDS_ROWS]),
            (0x17, PLAIN_DEPRECATE_EOF, &[&[1, 0], ROW, OK_ENDS_ROWS]),
            (0x17, PLAIN, &[&[1, 1], COLUMN, EOF_, ROW, EOF_]),
            (0x17, PLAIN, &[&[1], COLUMN, EOF_CURSOR]),
            (0x1c, PLAIN, &[EMPTY_ROW, EMPTY_ROW, EOF_]),
            (0x04, PLAIN_DEPRECATE_EOF, &[COLUMN, OK_ENDS_ROWS]),
            (0x16, PLAIN, &[&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]),
            (0x16, PLAIN, &[&[0, 1, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0], COLUMN, COLUMN, EOF_, COLUMN, EOF_]),
            (0x16, PLAIN_DEPRECATE_EOF, &[&[0, 1, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0], COLUMN, COLUMN, COLUMN]),
            (0x11, PLAIN, &[b"\xfeplugin\0salt", OK_]),
            (0x1e, PLAIN, &[b"\0event", b"\0event", EOF_]),
        ];
        for (command, flags, packets) in cases {
            ends_with_the_last(*command, *flags, packets);
        }
    }

    #[test]
    fn a_row_that_begins_like_an_end_is_a_row() {
        let handshake = Handshake { server: PLAIN, client: PLAIN };
        let mut reply = Reply::to_command(&packet(0, &[0x1c])).unwrap();
        let row = Packet { sequence: 1, length: 1 << 25, prefix: &[0xfe, 0, 0, 0, 1, 0, 0, 0, 0] };
        assert_eq!(reply.on_server(&row, handshake), Step::More);
    }

    #[test]
    fn a_file_is_the_clients_to_send() {
        let handshake = Handshake { server: PLAIN, client: PLAIN };
        let mut reply = Reply::to_command(&packet(0, &[3])).unwrap();
        assert_eq!(reply.on_server(&packet(1, b"\xfbfile"), handshake), Step::More);
        assert!(reply.takes_client_packets());
        reply.on_client(&packet(2, b"lines"));
        assert!(reply.takes_client_packets());
        reply.on_client(&packet(3, b""));
        assert!(!reply.takes_client_packets());
        assert_eq!(reply.next_sequence(), 4);
        assert_eq!(reply.on_server(&packet(4, OK_), handshake), Step::Complete);
    }

    #[test]
    fn some_commands_have_no_reply() {
        for command in [0x01, 0x18, 0x19] {
            assert!(Reply::to_command(&packet(0, &[command])).is_none());
        }
    }

    #[test]
    fn what_does_not_fit_is_lost() {
        let handshake = Handshake { server: PLAIN, client: PLAIN };
        let lost = |command: u8, packets: &[&[u8]]| {
            let mut reply = Reply::to_command(&packet(0, &[command])).unwrap();
            packets.iter().map(|p| reply.on_server(&packet(1, p), handshake)).last()
        };
        assert_eq!(lost(3, &[b""]), Some(Step::Lost));
        assert_eq!(lost(3, &[EOF_]), Some(Step::Lost));
        assert_eq!(lost(3, &[&[0, 0xff]]), Some(Step::Lost));
        assert_eq!(lost(3, &[&[1], COLUMN, COLUMN]), Some(Step::Lost));
        assert_eq!(lost(0x16, &[&[0, 1]]), Some(Step::Lost));
    }
}
