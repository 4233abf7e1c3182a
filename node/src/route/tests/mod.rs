//! The router between a fake server and a client that looks at every packet.
#![allow(clippy::unwrap_used)]

mod cutting;
mod fake;
mod holding;
mod passing;

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::TcpSocket,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use self::fake::{FakeServer, PATIENCE};
use super::{Counters, Router, RouterOptions, Routes, Stats};

/// A router that serves, and what steers it.
struct Running {
    writer: SocketAddr,
    reader: SocketAddr,
    routes: watch::Sender<Routes>,
    counters: Counters,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(change: impl FnOnce(&mut RouterOptions)) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut options = RouterOptions::new(any, any);
        change(&mut options);
        let router = Router::bind(options).unwrap();
        let (routes, receiver) = watch::channel(Routes::default());
        let shutdown = CancellationToken::new();
        Self {
            writer: router.writer_address(),
            reader: router.reader_address(),
            counters: router.counters(),
            task: tokio::spawn(router.serve(receiver, shutdown.clone())),
            routes,
            shutdown,
        }
    }

    /// A router with its defaults that leads to `server` in epoch 1.
    async fn leading_to(server: &FakeServer) -> Self {
        let running = Self::start(|_| ()).await;
        running.route(1, Some(server.address), &[]);
        running
    }

    fn route(&self, epoch: u64, writer: Option<SocketAddr>, readers: &[SocketAddr]) {
        self.routes.send_replace(Routes { epoch, writer, readers: readers.to_vec(), draining: Vec::new() });
    }

    /// The same, while `server` is left by plan.
    fn drain(&self, epoch: u64, writer: Option<SocketAddr>, readers: &[SocketAddr], server: &FakeServer) {
        let draining = vec![server.address];
        self.routes.send_replace(Routes { epoch, writer, readers: readers.to_vec(), draining });
    }

    /// Waits, bounded, until the counters are as told.
    async fn until(&self, condition: impl Fn(Stats) -> bool) {
        let limit = Instant::now() + PATIENCE;
        while !condition(self.counters.stats()) {
            assert!(Instant::now() < limit, "the counters stay at {:?}", self.counters.stats());
            sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Fails the test unless the packet is the error with this number; returns its message.
fn error_of(packet: &(u8, Vec<u8>), sequence: u8, number: u16) -> String {
    let (seen, payload) = packet;
    assert_eq!((*seen, payload[0]), (sequence, 0xff), "{packet:?}");
    assert_eq!(u16::from_le_bytes([payload[1], payload[2]]), number);
    String::from_utf8_lossy(&payload[3..]).into_owned()
}

/// An address of this host where nothing listens, and the socket that keeps it from others.
fn reserved_address() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    (socket.local_addr().unwrap(), socket)
}
