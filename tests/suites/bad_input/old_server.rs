//! A server of a version that Baton does not manage: it lets everybody in and says how old it is.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use baton_tests::sandbox::Host;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

/// What a driver needs to hear: the protocol of 4.1, several statements at once, plugins.
const CAPABILITIES: u32 = 0x001b_a20f & !0x0010_0000;
const AUTOCOMMIT: u16 = 2;
const MORE_RESULTS: u16 = 8;
const QUIT: u8 = 1;

/// Ends with its handle.
pub(crate) struct OldServer {
    tasks: Vec<JoinHandle<()>>,
    socket: PathBuf,
}

impl Drop for OldServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        // Not there any more when the real server has come back already.
        let _ = fs::remove_file(&self.socket);
    }
}

/// What is said of a version.
struct Version {
    greeting: String,
    text: String,
    gtid_variable: &'static str,
}

impl OldServer {
    /// Listens where the server of `host` did.
    pub(crate) async fn start(
        host: &Host,
        address: SocketAddr,
        socket: &Path,
        greeting: &str,
        text: &str,
    ) -> Result<Self> {
        let is_mariadb = text.contains("MariaDB");
        let gtid_variable = if is_mariadb { "gtid_slave_pos" } else { "gtid_executed" };
        let version =
            Arc::new(Version { greeting: greeting.to_owned(), text: text.to_owned(), gtid_variable });
        let tcp = host.run(async move { Ok(TcpListener::bind(address).await?) }).await?;
        let unix = UnixListener::bind(socket)?;
        let of_tcp = Arc::clone(&version);
        let over_tcp = host.runtime().spawn(async move {
            while let Ok((stream, _)) = tcp.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&of_tcp)));
            }
        });
        let over_unix = tokio::spawn(async move {
            while let Ok((stream, _)) = unix.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&version)));
            }
        });
        Ok(Self { tasks: vec![over_tcp, over_unix], socket: socket.to_owned() })
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, version: Arc<Version>) {
    // A client that goes away is no failure of the test.
    let _ = converse(stream, &version).await;
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, version: &Version) -> Result<()> {
    write(&mut stream, 0, &greeting(&version.greeting)).await?;
    let (sequence, _) = read(&mut stream).await?;
    write(&mut stream, sequence + 1, &ok()).await?;
    loop {
        let (_, command) = read(&mut stream).await?;
        if command.first() == Some(&QUIT) {
            return Ok(());
        }
        let packets = if command[1..].starts_with(b"SELECT VERSION()") {
            let mut packets = rows(&["VERSION()"], &[&version.text], MORE_RESULTS);
            packets.extend(rows(&["Variable_name", "Value"], &[version.gtid_variable, ""], 0));
            packets
        } else {
            vec![ok()]
        };
        for (packet, sequence) in packets.iter().zip(1..) {
            write(&mut stream, sequence, packet).await?;
        }
    }
}

fn greeting(version: &str) -> Vec<u8> {
    let [low, low_high, high, high_high] = CAPABILITIES.to_le_bytes();
    let mut packet = vec![10];
    packet.extend(version.as_bytes());
    packet.extend([0, 7, 0, 0, 0]);
    packet.extend(b"saltsalt\0");
    packet.extend([low, low_high, 33]);
    packet.extend(AUTOCOMMIT.to_le_bytes());
    packet.extend([high, high_high, 21]);
    packet.extend([0; 10]);
    packet.extend(b"saltsaltsalt\0mysql_native_password\0");
    packet
}

fn ok() -> Vec<u8> {
    let mut packet = vec![0, 0, 0];
    packet.extend(AUTOCOMMIT.to_le_bytes());
    packet.extend([0, 0]);
    packet
}

fn eof(flags: u16) -> Vec<u8> {
    let mut packet = vec![0xfe, 0, 0];
    packet.extend((AUTOCOMMIT | flags).to_le_bytes());
    packet
}

fn text(text: &str) -> Vec<u8> {
    let mut field = vec![u8::try_from(text.len()).unwrap_or_default()];
    field.extend(text.as_bytes());
    field
}

/// A result of one row.
fn rows(columns: &[&str], row: &[&str], flags: u16) -> Vec<Vec<u8>> {
    let mut packets = vec![vec![u8::try_from(columns.len()).unwrap_or_default()]];
    for column in columns {
        let mut packet: Vec<u8> =
            ["def", "", "", "", column, ""].iter().flat_map(|part| text(part)).collect();
        packet.extend([12, 33, 0, 0, 1, 0, 0, 0xfd, 0, 0, 0, 0, 0]);
        packets.push(packet);
    }
    packets.push(eof(flags));
    packets.push(row.iter().flat_map(|value| text(value)).collect());
    packets.push(eof(flags));
    packets
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<(u8, Vec<u8>)> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await?;
    let [a, b, c, sequence] = header;
    let mut packet = vec![0; u32::from_le_bytes([a, b, c, 0]) as usize];
    stream.read_exact(&mut packet).await?;
    if packet.is_empty() {
        bail!("an empty packet");
    }
    Ok((sequence, packet))
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), sequence: u8, packet: &[u8]) -> Result<()> {
    let [a, b, c, _] = u32::try_from(packet.len())?.to_le_bytes();
    stream.write_all(&[a, b, c, sequence]).await?;
    stream.write_all(packet).await?;
    Ok(stream.flush().await?)
}
