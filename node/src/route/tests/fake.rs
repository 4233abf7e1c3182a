//! A MySQL server small enough to be told exactly where to stop, and a client that looks at every packet.
#![allow(clippy::unwrap_used)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::super::handshake::tests::{PLAIN, greeting};

/// The bound on everything that a test waits for.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
const FLAGS: u32 = 0x00ff_ffff & !(1 << 24);

/// What the fake does with a connection before any command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Greets and answers.
    Polite,
    /// Accepts and says nothing.
    Silent,
}

/// What has reached a fake.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) connections: usize,
    pub(super) commands: usize,
}

/// A server that answers every command with an OK whose affected rows are the server's number, except `hang` (no
/// answer), `half` (half of an OK; the rest after [`finish`](Self::finish)), `die` (closes), `length` (the affected
/// rows are the command's length) and `big` (a first packet of 20 MB, then OK).
#[derive(Debug)]
pub(super) struct FakeServer {
    pub(super) address: SocketAddr,
    finish: Arc<Notify>,
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl FakeServer {
    pub(super) async fn start(number: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_on(number, listener, Manner::Polite)
    }

    pub(super) fn start_on(number: u8, listener: TcpListener, manner: Manner) -> Self {
        let address = listener.local_addr().unwrap();
        let finish = Arc::new(Notify::new());
        let notify = Arc::clone(&finish);
        let (tell, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let tell = Arc::new(tell);
            while let Ok((stream, _)) = listener.accept().await {
                tell.send_modify(|seen| seen.connections += 1);
                let (tell, notify) = (Arc::clone(&tell), Arc::clone(&notify));
                connections.spawn(async move {
                    let _ = converse(Peer { stream }, number, manner, &notify, &tell).await;
                });
            }
        });
        Self { address, finish, seen, task }
    }

    /// Waits, bounded, until what has reached the fake is as told.
    pub(super) async fn until(&self, condition: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.clone();
        timeout(PATIENCE, seen.wait_for(condition)).await.expect("seen in time").unwrap();
    }

    /// Lets one `half` go on.
    pub(super) fn finish(&self) {
        self.finish.notify_one();
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(
    mut peer: Peer,
    number: u8,
    manner: Manner,
    finish: &Notify,
    tell: &watch::Sender<Seen>,
) -> Option<()> {
    if manner == Manner::Silent {
        return std::future::pending().await;
    }
    peer.write(0, &greeting(FLAGS)).await;
    let (sequence, _) = peer.read().await?;
    peer.write(sequence + 1, &ok(0)).await;
    loop {
        let (_, command) = peer.read().await?;
        tell.send_modify(|seen| seen.commands += 1);
        match command.as_slice() {
            [0x01, ..] | b"\x03die" => return None,
            b"\x03hang" => {}
            b"\x03half" => {
                let packet = encode(1, &ok(number));
                peer.stream.write_all(&packet[..6]).await.ok()?;
                finish.notified().await;
                peer.stream.write_all(&packet[6..]).await.ok()?;
            }
            b"\x03big" => {
                peer.write(1, &vec![1; 20_000_000]).await;
            }
            [0x03, b'l', b'e', b'n', b'g', b't', b'h', ..] => {
                let length = [&[0, 0xfe][..], &(command.len() as u64).to_le_bytes(), &[0, 2, 0, 0, 0]];
                peer.write(1, &length.concat()).await;
            }
            _ => peer.write(1, &ok(number)).await,
        }
    }
}

/// An OK payload with so many affected rows.
pub(super) fn ok(rows: u8) -> Vec<u8> {
    vec![0, rows, 0, 2, 0, 0, 0]
}

/// A payload as packets on the wire.
pub(super) fn encode(mut sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let chunks = payload.chunks(0xff_ffff).chain(payload.len().is_multiple_of(0xff_ffff).then_some(&[][..]));
    for chunk in chunks {
        wire.extend_from_slice(&(chunk.len() as u32).to_le_bytes()[..3]);
        wire.push(sequence);
        wire.extend_from_slice(chunk);
        sequence = sequence.wrapping_add(1);
    }
    wire
}

/// One end of a connection, packet by packet.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) stream: TcpStream,
}

impl Peer {
    /// A client that has connected and not read anything.
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    /// A client that has authenticated, with these capability flags.
    pub(super) async fn log_in_with(address: SocketAddr, flags: u32) -> Self {
        let mut peer = Self::connect(address).await;
        peer.authenticate(flags).await;
        peer
    }

    /// A client that has authenticated, without TLS or compression.
    pub(super) async fn log_in(address: SocketAddr) -> Self {
        Self::log_in_with(address, PLAIN).await
    }

    pub(super) async fn authenticate(&mut self, flags: u32) {
        let (sequence, payload) = self.expect().await;
        assert_eq!((sequence, payload[0]), (0, 10), "a greeting: {payload:?}");
        self.write(1, &[&flags.to_le_bytes()[..], &[0; 28], b"user\0\0"].concat()).await;
        assert_eq!(self.expect().await, (2, ok(0)));
    }

    /// Sends a query and returns its reply's first packet.
    pub(super) async fn query(&mut self, text: &str) -> (u8, Vec<u8>) {
        self.send_query(text).await;
        self.expect().await
    }

    pub(super) async fn send_query(&mut self, text: &str) {
        self.write(0, &[b"\x03", text.as_bytes()].concat()).await;
    }

    pub(super) async fn write(&mut self, sequence: u8, payload: &[u8]) {
        let _ = self.stream.write_all(&encode(sequence, payload)).await;
    }

    /// The next packet; fails the test if the connection ends first or takes too long.
    pub(super) async fn expect(&mut self) -> (u8, Vec<u8>) {
        timeout(PATIENCE, self.read()).await.expect("a packet in time").expect("a packet before the end")
    }

    /// Fails the test unless the connection ends now.
    pub(super) async fn expect_end(&mut self) {
        let rest = timeout(PATIENCE, self.read()).await.expect("the end in time");
        assert_eq!(rest, None);
    }

    /// The next packet, a chain put together; `None` at the end of the connection.
    async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut payload = Vec::new();
        loop {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header).await.ok()?;
            let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
            let begun = payload.len();
            payload.resize(begun + length, 0);
            self.stream.read_exact(&mut payload[begun..]).await.ok()?;
            if length < 0xff_ffff {
                return Some((header[3], payload));
            }
        }
    }
}
