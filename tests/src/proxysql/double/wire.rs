//! Packets of the MySQL protocol, a server's side of them.

use anyhow::{Context, Result, ensure};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::Answer;

/// The most that a client may send in one packet.
const PACKET_MAX: usize = 1 << 22;
/// LONG_PASSWORD FOUND_ROWS LONG_FLAG CONNECT_WITH_DB COMPRESS PROTOCOL_41 IGNORE_SIGPIPE TRANSACTIONS RESERVED
/// SECURE_CONNECTION MULTI_STATEMENTS MULTI_RESULTS PS_MULTI_RESULTS PLUGIN_AUTH SESSION_TRACK, bit 31: a real one's without
/// SSL, and without compression, which the double does not speak.
const CAPABILITIES: u32 = 0x808f_f20f;
/// AUTOCOMMIT | NO_BACKSLASH_ESCAPES, in every reply after the greeting.
const STATUS: u16 = 0x0202;
const PLUGIN: &[u8] = b"mysql_native_password\0";
/// Of a client's capabilities.
const CONNECT_WITH_DB: u32 = 0x8;

/// A connection of a client.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    sequence: u8,
    out: Vec<u8>,
}

/// Who came in.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) user: String,
    pub(super) scramble: [u8; 20],
    pub(super) proof: Vec<u8>,
}

impl Guest {
    /// Whether the client knows this password.
    pub(super) fn knows(&self, password: &str) -> bool {
        if password.is_empty() {
            return self.proof.is_empty();
        }
        let once = Sha1::digest(password.as_bytes());
        let twice = Sha1::digest(once);
        let mask = Sha1::new().chain_update(self.scramble).chain_update(twice).finalize();
        let expected: Vec<u8> = once.iter().zip(mask).map(|(a, b)| a ^ b).collect();
        self.proof == expected
    }
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        // A refusal makes packets late, not wrong.
        let _slower = stream.set_nodelay(true);
        Self { stream, sequence: 0, out: Vec::new() }
    }

    /// Greets a client and reads its answer.
    pub(super) async fn greet(&mut self, id: u32) -> Result<Guest> {
        let mut scramble = [0_u8; 20];
        for (index, byte) in scramble.iter_mut().enumerate() {
            // Printable and never zero, as in the protocol.
            *byte = 33 + u8::try_from((index as u32 * 7 + id.wrapping_mul(13)) % 90).unwrap_or_default();
        }
        let mut greeting = vec![10];
        greeting.extend(b"8.0.11\0");
        greeting.extend(id.to_le_bytes());
        greeting.extend(&scramble[..8]);
        greeting.push(0);
        let capabilities = CAPABILITIES.to_le_bytes();
        greeting.extend(&capabilities[..2]);
        greeting.push(33);
        greeting.extend(2_u16.to_le_bytes());
        greeting.extend(&capabilities[2..]);
        greeting.push(21);
        greeting.extend([0; 10]);
        greeting.extend(&scramble[8..]);
        greeting.push(0);
        greeting.extend(PLUGIN);
        self.put(&greeting);
        self.flush().await?;
        let answer = self.read().await?.context("no answer to the greeting")?;
        read_guest(&answer, scramble).context("an answer to the greeting that is none")
    }

    /// The next packet; `None` when the client is gone.
    pub(super) async fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let mut head = [0; 4];
        if self.stream.read_exact(&mut head).await.is_err() {
            return Ok(None);
        }
        let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        ensure!(length <= PACKET_MAX, "a packet of {length} bytes");
        self.sequence = head[3].wrapping_add(1);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(Some(body))
    }

    /// Skips a number in the sequence, as a real one does where it answers COM_RESET_CONNECTION.
    pub(super) fn skip(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
    }

    pub(super) async fn answer(&mut self, answer: &Answer) -> Result<()> {
        match answer {
            Answer::Done { affected, info } => {
                let mut packet = vec![0];
                put_number(&mut packet, *affected);
                packet.push(0);
                packet.extend(STATUS.to_le_bytes());
                packet.extend([0, 0]);
                if !info.is_empty() {
                    put_text(&mut packet, info.as_bytes());
                }
                self.put(&packet);
            }
            Answer::Error { code, state, message } => {
                let mut packet = vec![0xff];
                packet.extend(code.to_le_bytes());
                packet.push(b'#');
                packet.extend(state.as_bytes());
                packet.extend(message.as_bytes());
                self.put(&packet);
            }
            Answer::Rows { columns, rows } => self.put_rows(columns, rows),
            Answer::Crash => {}
        }
        self.flush().await
    }

    pub(super) async fn end_of_data(&mut self) -> Result<()> {
        self.put_eof();
        self.flush().await
    }

    pub(super) async fn plain(&mut self, text: &str) -> Result<()> {
        self.put(text.as_bytes());
        self.flush().await
    }

    fn put_rows(&mut self, columns: &[String], rows: &[Vec<Option<Vec<u8>>>]) {
        let mut count = Vec::new();
        put_number(&mut count, columns.len() as u64);
        self.put(&count);
        for name in columns {
            let mut column = Vec::new();
            for text in ["def", "", "", "", name, ""] {
                put_text(&mut column, text.as_bytes());
            }
            // 12 bytes follow: charset 33, length 15, VAR_STRING, NOT_NULL, 31 decimals.
            column.extend([12, 33, 0, 15, 0, 0, 0, 0xfd, 1, 0, 31, 0, 0]);
            self.put(&column);
        }
        self.put_eof();
        for row in rows {
            let mut packet = Vec::new();
            for value in row {
                match value {
                    Some(bytes) => put_text(&mut packet, bytes),
                    None => packet.push(0xfb),
                }
            }
            self.put(&packet);
        }
        self.put_eof();
    }

    fn put_eof(&mut self) {
        let [low, high] = STATUS.to_le_bytes();
        self.put(&[0xfe, 0, 0, low, high]);
    }

    fn put(&mut self, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.out.extend(&length[..3]);
        self.out.push(self.sequence);
        self.out.extend(body);
        self.sequence = self.sequence.wrapping_add(1);
    }

    async fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&std::mem::take(&mut self.out)).await?;
        Ok(())
    }
}

fn put_number(into: &mut Vec<u8>, number: u64) {
    match number {
        0..=250 => into.push(number as u8),
        251..=0xffff => {
            into.push(0xfc);
            into.extend(&number.to_le_bytes()[..2]);
        }
        _ => {
            into.push(0xfe);
            into.extend(number.to_le_bytes());
        }
    }
}

fn put_text(into: &mut Vec<u8>, text: &[u8]) {
    put_number(into, text.len() as u64);
    into.extend(text);
}

fn read_guest(packet: &[u8], scramble: [u8; 20]) -> Option<Guest> {
    let capabilities = u32::from_le_bytes(packet.get(..4)?.try_into().ok()?);
    let rest = packet.get(32..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let user = String::from_utf8_lossy(&rest[..end]).into_owned();
    let rest = rest.get(end + 1..)?;
    let length = usize::from(*rest.first()?);
    let proof = rest.get(1..=length)?.to_vec();
    // The schema follows where CONNECT_WITH_DB says so: any name is accepted and changes nothing.
    let _schema = capabilities & CONNECT_WITH_DB;
    Some(Guest { user, scramble, proof })
}
