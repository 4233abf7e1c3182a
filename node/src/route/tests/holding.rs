//! Connections without a server, and limits.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::{
    Running, error_of,
    fake::{FakeServer, Manner, Peer, ok},
    reserved_address,
};
use crate::route::handshake::tests::PLAIN;

#[tokio::test]
async fn a_connection_is_held_until_there_is_a_writer() {
    let server = FakeServer::start(1).await;
    let router = Running::start(|_| ()).await;
    let mut client = Peer::connect(router.writer).await;
    router.until(|s| s.held_now == 1).await;
    router.route(1, Some(server.address), &[]);
    client.authenticate(PLAIN).await;
    assert_eq!(client.query("anything").await, (1, ok(1)));
    let stats = router.counters.stats();
    assert_eq!((stats.held_now, stats.held_total), (0, 1));
    assert_eq!((stats.writer_sessions_now, stats.sessions_total), (1, 1));
}

#[tokio::test]
async fn a_writer_that_refuses_is_tried_until_it_accepts() {
    let (address, socket) = reserved_address();
    let router = Running::start(|_| ()).await;
    router.route(1, Some(address), &[]);
    let mut client = Peer::connect(router.writer).await;
    router.until(|s| s.held_now == 1).await;
    let _server = FakeServer::start_on(1, socket.listen(1).unwrap(), Manner::Polite);
    client.authenticate(PLAIN).await;
}

#[tokio::test]
async fn a_connection_that_was_not_greeted_goes_to_the_next_writer() {
    let silent = FakeServer::start_on(1, reserved_address().1.listen(1).unwrap(), Manner::Silent);
    let server = FakeServer::start(2).await;
    let router = Running::leading_to(&silent).await;
    let mut client = Peer::connect(router.writer).await;
    silent.until(|seen| seen.connections == 1).await;
    router.route(2, None, &[]);
    router.until(|s| s.held_now == 1).await;
    router.route(2, Some(server.address), &[]);
    client.authenticate(PLAIN).await;
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
