//! Sessions that end before their clients want it.
#![allow(clippy::unwrap_used)]

use std::{io::Write as _, time::Duration};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    Running, error_of,
    fake::{FakeServer, PATIENCE, Peer, encode, ok},
};
use crate::route::{
    handshake::tests::{PLAIN, WITH_SSL, greeting},
    session::{self, Ending, Talk},
    wire::ServerError,
};

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
    old.until(|seen| seen.commands == 1).await;
    router.route(2, Some(new.address), &[]);
    error_of(&client.expect().await, 1, 1053);
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
    timeout(PATIENCE, client.stream.read_exact(&mut half)).await.unwrap().unwrap();
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
    timeout(PATIENCE, client.stream.read_exact(&mut rest)).await.unwrap().unwrap();
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
async fn stopping_tells_clients_and_ends() {
    let server = FakeServer::start(1).await;
    let mut router = Running::leading_to(&server).await;
    let mut client = Peer::log_in(router.writer).await;
    router.shutdown.cancel();
    assert!(error_of(&client.expect().await, 0, 1053).contains("the router is stopping"));
    drop(client);
    timeout(PATIENCE, &mut router.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(router.writer).await.is_err());
}

#[tokio::test]
async fn a_server_left_by_plan_keeps_a_session_until_its_statement_is_answered() {
    let (old, new) = (FakeServer::start(1).await, FakeServer::start(2).await);
    let router = Running::leading_to(&old).await;
    let (mut busy, mut idle) = (Peer::log_in(router.writer).await, Peer::log_in(router.writer).await);
    let half = half_a_reply(&mut busy).await;
    router.drain(1, None, &[], &old);
    let message = error_of(&idle.expect().await, 0, 1053);
    assert_eq!(
        message,
        "#08S01Baton: this server is no longer a writer (epoch 1); reconnect. No statement was under way."
    );
    idle.expect_end().await;
    router.until(|s| s.cut_total == 1 && s.writer_sessions_now == 1).await;
    old.finish();
    let mut rest = [0; 5];
    timeout(PATIENCE, busy.stream.read_exact(&mut rest)).await.unwrap().unwrap();
    assert_eq!([&half[4..], &rest[..]].concat(), ok(1), "its reply, whole");
    assert!(error_of(&busy.expect().await, 0, 1053).contains("No statement was under way"));
    busy.expect_end().await;
    router.route(2, Some(new.address), &[]);
    assert_eq!(Peer::log_in(router.writer).await.query("anything").await, (1, ok(2)));
}

#[tokio::test]
async fn a_session_that_waits_keeps_its_server_when_that_stays_after_all() {
    let server = FakeServer::start(1).await;
    let router = Running::leading_to(&server).await;
    let mut client = Peer::log_in(router.writer).await;
    half_a_reply(&mut client).await;
    router.drain(1, None, &[], &server);
    let mut idle = Peer::connect(router.writer).await;
    router.until(|s| s.held_now == 1).await;
    router.route(1, Some(server.address), &[]);
    idle.authenticate(PLAIN).await;
    server.finish();
    let mut rest = [0; 5];
    timeout(PATIENCE, client.stream.read_exact(&mut rest)).await.unwrap().unwrap();
    assert_eq!(client.query("anything").await, (1, ok(1)));
}

#[tokio::test]
async fn a_session_that_never_comes_to_the_end_of_its_statement_ends_with_the_epoch() {
    let (old, new) = (FakeServer::start(1).await, FakeServer::start(2).await);
    let router = Running::leading_to(&old).await;
    let mut client = Peer::log_in(router.writer).await;
    client.send_query("hang").await;
    old.until(|seen| seen.commands == 1).await;
    router.drain(1, None, &[], &old);
    router.drain(2, Some(new.address), &[], &old);
    assert!(error_of(&client.expect().await, 1, 1053).contains("may or may not have taken effect"));
    client.expect_end().await;
}

#[tokio::test]
async fn a_reader_that_is_left_waits_for_no_statement_beyond_the_bound() {
    let (slow, other) = (FakeServer::start(1).await, FakeServer::start(2).await);
    let router = Running::start(|options| options.leave_within = Duration::from_millis(300)).await;
    router.route(1, None, &[slow.address]);
    let mut client = Peer::log_in(router.reader).await;
    client.send_query("hang").await;
    slow.until(|seen| seen.commands == 1).await;
    let left = Instant::now();
    router.drain(1, None, &[other.address], &slow);
    error_of(&client.expect().await, 1, 1053);
    assert!(left.elapsed() >= Duration::from_millis(300), "{:?}", left.elapsed());
}

#[tokio::test]
async fn a_writers_session_with_tls_does_not_wait_for_what_cannot_be_seen() {
    let server = FakeServer::start(1).await;
    let router = Running::leading_to(&server).await;
    let mut client = Peer::log_in_with(router.writer, WITH_SSL).await;
    router.drain(1, None, &[], &server);
    client.expect_end().await;
}

/// Both ends of a connection.
async fn connection() -> (TcpStream, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer::connect(listener.local_addr().unwrap()).await;
    (listener.accept().await.unwrap().0, peer)
}

#[tokio::test]
async fn a_reply_that_has_arrived_is_delivered_before_the_cut() {
    let (mut to_client, mut client) = connection().await;
    let (to_server, mut server) = connection().await;
    let (cut_now, when) = oneshot::channel::<std::net::TcpStream>();
    let session = tokio::spawn(async move {
        // The reply comes in the instant of the cut: the kernel has it, and the runtime has not heard of it.
        let cut = async {
            let mut server = when.await.unwrap();
            server.write_all(&encode(1, &ok(9))).unwrap();
            ServerError::not_here("cut".into())
        };
        session::run(&mut to_client, (to_server, None), &Talk::default(), cut).await
    });
    server.write(0, &greeting(PLAIN)).await;
    let authenticating = client.authenticate(PLAIN);
    let answering = async {
        server.expect().await;
        server.write(2, &ok(0)).await;
    };
    tokio::join!(authenticating, answering);
    client.send_query("commit").await;
    server.expect().await;
    cut_now.send(server.stream.into_std().unwrap()).unwrap();
    assert_eq!(client.expect().await, (1, ok(9)));
    error_of(&client.expect().await, 0, 1053);
    client.expect_end().await;
    drop(client);
    assert_eq!(timeout(PATIENCE, session).await.unwrap().unwrap(), Ending::Cut);
}
