//! What passes, where it goes, and how a real client sees it.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use tokio::{net::TcpListener, time::timeout};

use super::{
    Running, error_of,
    fake::{FakeServer, PATIENCE, Peer, ok},
    reserved_address,
};
use crate::route::{Router, RouterError, RouterOptions};

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

    let (refusing, _socket) = reserved_address();
    router.route(1, Some(writer.address), &[refusing, two.address]);
    for _ in 0..2 {
        let mut client = Peer::log_in(router.reader).await;
        assert_eq!(client.query("who").await, (1, ok(3)), "a reader that refuses is passed over");
    }
    assert_eq!(third.query("who").await, (1, ok(1)), "the stand-in's session stays");
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
        old.until(|seen| seen.commands == 2).await;
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
