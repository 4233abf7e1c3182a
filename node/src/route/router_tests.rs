//! The router between a fake server and a client that looks at every packet.
#![allow(clippy::unwrap_used)]

use std::{net::SocketAddr, time::Duration};

use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Counters, Router, RouterError, RouterOptions, Routes, Stats,
    fake::{FakeServer, Manner, PATIENCE, Peer, ok},
    handshake::tests::WITH_SSL,
};

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
        self.routes.send_replace(Routes { epoch, writer, readers: readers.to_vec() });
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

/// An address of this host where nothing listens.
async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_connection_is_held_until_there_is_a_writer() {
    let server = FakeServer::start(1).await;
    let router = Running::start(|_| ()).await;
    let mut client = Peer::connect(router.writer).await;
    router.until(|s| s.held_now == 1).await;
    router.route(1, Some(server.address), &[]);
    client.authenticate(super::handshake::tests::PLAIN).await;
    assert_eq!(client.query("anything").await, (1, ok(1)));
    let stats = router.counters.stats();
    assert_eq!((stats.held_now, stats.held_total, stats.writer_sessions_now), (0, 1, 1));
}

#[tokio::test]
async fn a_writer_that_refuses_is_tried_until_it_accepts() {
    let address = free_address().await;
    let router = Running::start(|_| ()).await;
    router.route(1, Some(address), &[]);
    let mut client = Peer::connect(router.writer).await;
    router.until(|s| s.held_now == 1).await;
    let _server = FakeServer::start_at(1, address, Manner::Polite).await;
    client.authenticate(super::handshake::tests::PLAIN).await;
}

#[tokio::test]
async fn a_connection_that_was_not_greeted_goes_to_the_next_writer() {
    let silent = FakeServer::start_at(1, SocketAddr::from(([127, 0, 0, 1], 0)), Manner::Silent).await;
    let server = FakeServer::start(2).await;
    let router = Running::leading_to(&silent).await;
    let mut client = Peer::connect(router.writer).await;
    router.route(2, None, &[]);
    router.until(|s| s.held_now == 1).await;
    router.route(2, Some(server.address), &[]);
    client.authenticate(super::handshake::tests::PLAIN).await;
    assert_eq!(client.query("anything").await, (1, ok(2)));
    assert_eq!(router.counters.stats().cut_total, 0);
}

#[tokio::test]
async fn the_wait_has_an_end() {
    let router = Running::start(|o| o.hold_for = Duration::from_millis(30)).await;
    router.route(7, None, &[]);
    let mut client = Peer::connect(router.writer).await;
    let message = error_of(&client.expect().await, 0, 1053);
    assert!(message.starts_with("Baton: no writer for 30ms (epoch 7)"), "{message}");
    client.expect_end().await;
    router.until(|s| s.held_now == 0 && s.refused_total == 1).await;
}

#[tokio::test]
async fn only_so_many_are_held_and_one_that_leaves_makes_room() {
    let router = Running::start(|o| o.held_max = 1).await;
    let first = Peer::connect(router.writer).await;
    router.until(|s| s.held_now == 1).await;
    let mut second = Peer::connect(router.writer).await;
    let message = error_of(&second.expect().await, 0, 1040);
    assert!(message.contains("1 connections already wait"), "{message}");
    drop(first);
    router.until(|s| s.held_now == 0).await;
    let _third = Peer::connect(router.reader).await;
    router.until(|s| s.held_now == 1).await;
}

#[tokio::test]
async fn there_are_only_so_many_sessions() {
    let server = FakeServer::start(1).await;
    let router = Running::start(|o| o.sessions_max = 1).await;
    router.route(1, Some(server.address), &[server.address]);
    let first = Peer::log_in(router.writer).await;
    let mut second = Peer::connect(router.reader).await;
    error_of(&second.expect().await, 0, 1040);
    drop(first);
    router.until(|s| s.writer_sessions_now == 0).await;
    Peer::log_in(router.reader).await;
}

#[tokio::test]
async fn an_idle_session_is_cut_with_an_error_out_of_turn() {
    let (old, new) = (FakeServer::start(1).await, FakeServer::start(2).await);
    let router = Running::leading_to(&old).await;
    let mut client = Peer::log_in(router.writer).await;
    assert_eq!(client.query("anything").await, (1, ok(1)));
    router.route(2, None, &[]);
    let message = error_of(&client.expect().await, 0, 1053);
    assert!(message.starts_with("#08S01Baton: this server is no longer a writer (epoch 2)"), "{message}");
    client.expect_end().await;
    router.until(|s| s.cut_total == 1).await;

    router.route(2, Some(new.address), &[]);
    let mut client = Peer::log_in(router.writer).await;
    assert_eq!(client.query("anything").await, (1, ok(2)));
}

#[tokio::test]
async fn a_session_that_waits_for_a_reply_is_cut_in_its_turn() {
    let (old, new) = (FakeServer::start(1).await, FakeServer::start(2).await);
    let router = Running::leading_to(&old).await;
    let mut client = Peer::log_in(router.writer).await;
    client.send_query("hang").await;
    router.route(2, Some(new.address), &[]);
    // Whether the router had read the command when the routes changed is not for the test to say: both are right.
    let packet = client.expect().await;
    assert!(packet.0 <= 1);
    error_of(&packet, packet.0, 1053);
    client.expect_end().await;
}

#[tokio::test]
async fn a_server_reopened_in_the_next_epoch_is_another_one() {
    let server = FakeServer::start(1).await;
    let router = Running::leading_to(&server).await;
    let mut client = Peer::log_in(router.writer).await;
    router.route(1, Some(server.address), &[server.address]);
    assert_eq!(client.query("anything").await, (1, ok(1)));
    router.route(2, Some(server.address), &[]);
    error_of(&client.expect().await, 0, 1053);
}

/// Starts a `half` and waits until its first part has come through.
async fn half_a_reply(client: &mut Peer) -> [u8; 6] {
    client.send_query("half").await;
    let mut half = [0; 6];
    timeout(PATIENCE, tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut half))
        .await
        .unwrap()
        .unwrap();
    half
}

#[tokio::test]
async fn a_packet_that_has_begun_is_completed() {
    let server = FakeServer::start(1).await;
    let router = Running::leading_to(&server).await;
    let mut client = Peer::log_in(router.writer).await;
    let half = half_a_reply(&mut client).await;
    router.route(2, None, &[]);
    server.finish();
    let mut rest = [0; 5];
    timeout(PATIENCE, tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut rest))
        .await
        .unwrap()
        .unwrap();
    assert_eq!([&half[4..], &rest[..]].concat(), ok(1));
    error_of(&client.expect().await, 0, 1053);
    client.expect_end().await;
}

#[tokio::test]
async fn a_packet_that_is_never_completed_ends_the_session_without_words() {
    let server = FakeServer::start(1).await;
    let router = Running::leading_to(&server).await;
    let mut client = Peer::log_in(router.writer).await;
    half_a_reply(&mut client).await;
    let cut = Instant::now();
    router.route(2, None, &[]);
    client.expect_end().await;
    assert!(cut.elapsed() < Duration::from_secs(1), "{:?}", cut.elapsed());
}

#[tokio::test]
async fn a_dead_server_ends_its_sessions_at_once() {
    let server = FakeServer::start(1).await;
    let router = Running::leading_to(&server).await;
    let mut waiting = Peer::log_in(router.writer).await;
    let mut idle = Peer::log_in(router.writer).await;
    let message = error_of(&waiting.query("die").await, 1, 1053);
    assert!(message.contains("the server closed the connection"), "{message}");
    waiting.expect_end().await;
    drop(server);
    idle.expect_end().await;
    router.until(|s| s.server_gone_total == 2 && s.cut_total == 0).await;
}

#[tokio::test]
async fn a_session_with_tls_is_only_closed() {
    let server = FakeServer::start(1).await;
    let router = Running::leading_to(&server).await;
    let mut client = Peer::log_in_with(router.writer, WITH_SSL).await;
    router.route(2, None, &[]);
    client.expect_end().await;
    router.until(|s| s.cut_total == 1).await;
}

#[tokio::test]
async fn packets_beyond_16_mib_pass_both_ways() {
    let server = FakeServer::start(1).await;
    let router = Running::leading_to(&server).await;
    let mut client = Peer::log_in(router.writer).await;
    let (_, reply) = client.query(&format!("length{}", " ".repeat(20_000_000))).await;
    assert_eq!(reply[2..10], 20_000_007_u64.to_le_bytes());
    let (sequence, reply) = client.query("big").await;
    assert_eq!((sequence, reply), (2, vec![1; 20_000_000]));
}

#[tokio::test]
async fn readers_take_turns_and_the_writer_stands_in() {
    let (writer, one, two) =
        (FakeServer::start(1).await, FakeServer::start(2).await, FakeServer::start(3).await);
    let router = Running::start(|_| ()).await;
    router.route(1, Some(writer.address), &[one.address, two.address]);
    let mut first = Peer::log_in(router.reader).await;
    let mut second = Peer::log_in(router.reader).await;
    let mut seen = [first.query("who").await.1[1], second.query("who").await.1[1]];
    seen.sort_unstable();
    assert_eq!(seen, [2, 3]);

    router.route(1, Some(writer.address), &[]);
    error_of(&first.expect().await, 0, 1053);
    error_of(&second.expect().await, 0, 1053);
    let mut third = Peer::log_in(router.reader).await;
    assert_eq!(third.query("who").await, (1, ok(1)));

    router.route(1, Some(writer.address), &[free_address().await, two.address]);
    for _ in 0..2 {
        let mut client = Peer::log_in(router.reader).await;
        assert_eq!(client.query("who").await, (1, ok(3)), "a reader that refuses is passed over");
    }
    assert_eq!(third.query("who").await, (1, ok(1)), "the stand-in's session stays");
}

#[tokio::test]
async fn stopping_tells_clients_and_ends() {
    let server = FakeServer::start(1).await;
    let mut router = Running::leading_to(&server).await;
    let mut client = Peer::log_in(router.writer).await;
    router.shutdown.cancel();
    assert!(error_of(&client.expect().await, 0, 1053).contains("the router is stopping"));
    drop(client);
    timeout(PATIENCE, &mut router.task).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(router.writer).await.is_err());
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let error = Router::bind(RouterOptions::new(any, address)).unwrap_err();
    assert!(matches!(error, RouterError::Listen { port: "reader", .. }));
    assert!(error.to_string().contains(&address.to_string()));
}

#[tokio::test]
async fn a_real_client_reconnects_and_is_held_through_a_failover() {
    let (old, new) = (FakeServer::start(1).await, FakeServer::start(2).await);
    let router = Running::leading_to(&old).await;
    let options = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(router.writer.port())
        .user(Some("user"))
        // Both given, so that the client does not ask for them.
        .max_allowed_packet(Some(1 << 24))
        .wait_timeout(Some(100))
        .prefer_socket(false);
    let mut connection = Conn::new(options.clone()).await.unwrap();
    connection.query_drop("insert").await.unwrap();
    assert_eq!(connection.affected_rows(), 1);

    let (result, ()) = tokio::join!(connection.query_drop("hang"), async {
        sleep(Duration::from_millis(20)).await;
        router.route(2, None, &[]);
    });
    let error = result.unwrap_err().to_string();
    assert!(error.contains("Baton: this server is no longer a writer (epoch 2)"), "{error}");

    let reconnecting = tokio::spawn(Conn::new(options));
    router.until(|s| s.held_now == 1).await;
    router.route(2, Some(new.address), &[]);
    let mut connection = timeout(PATIENCE, reconnecting).await.unwrap().unwrap().unwrap();
    connection.query_drop("insert").await.unwrap();
    assert_eq!(connection.affected_rows(), 2);
}
