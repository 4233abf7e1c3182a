#![allow(clippy::unwrap_used)]

mod backups;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use baton_proto::control::{NodeStatus, Operation, Reason, Step};
use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn node(name: &str, role: &str) -> NodeStatus {
    NodeStatus {
        name: name.into(),
        role: role.into(),
        health: "ok".into(),
        server: "MySQL 9.7.4".into(),
        node_answers: true,
        server_answers: true,
        ..NodeStatus::default()
    }
}

fn picture() -> Picture {
    let writer = NodeStatus { open: true, lease_left_ms: 1_140, ..node("db1", "writer") };
    let replica = NodeStatus {
        replicating: true,
        follows: "db1".into(),
        acker: true,
        candidate: true,
        ..node("db2", "replica")
    };
    let lags =
        NodeStatus { lag_seconds: 41.2, health: "warning".into(), note: "<lags>".into(), ..replica.clone() };
    let lags = NodeStatus { name: "db3".into(), candidate: false, acker: false, ..lags };
    let step = |at_ms, name: &str| Step { at_ms, node: "db2".into(), name: name.into(), detail: "d".into() };
    let operation = Operation {
        kind: "failover".into(),
        id: "ab12".into(),
        from_epoch: 6,
        to_epoch: 7,
        from_node: "db3".into(),
        to_node: "db1".into(),
        started_ms: 1_000,
        outcome: "done".into(),
        outage_ms: 318,
        loss: "nothing lost, proven by db1".into(),
        steps: vec![step(1_000, "intent"), step(1_080, "proof"), step(1_318, "open")],
        ..Operation::default()
    };
    let status = StatusReply {
        cluster: "shop".into(),
        phase: "managed".into(),
        epoch: 7,
        durability: "lossless".into(),
        automation: "automatic".into(),
        writer: "db1".into(),
        writer_open: true,
        nodes: vec![writer, replica, lags, NodeStatus { server_answers: false, ..node("app1", "witness") }],
        leader: "app1".into(),
        health: "healthy".into(),
        voters: 3,
        voters_answering: 3,
        ..StatusReply::default()
    };
    let reason = Reason { side: "against".into(), text: "the writer answers".into() };
    let why = WhyReply { summary: "db1 serves".into(), reasons: vec![reason], ..WhyReply::default() };
    let history = HistoryReply { operations: vec![operation] };
    Picture {
        status,
        history,
        why: Some(why),
        backups: None,
        recovery: None,
        lease_ms: 1_500,
        at_ms: 1_795_000_000_000,
    }
}

#[test]
fn the_cluster_is_drawn() {
    insta::assert_snapshot!(draw::content(&picture()));
}

#[test]
fn nothing_from_outside_becomes_part_of_the_page() {
    let mut picture = picture();
    let hostile = "<script>alert('1')</script>\"";
    picture.status.cluster = hostile.into();
    picture.status.warnings = vec![hostile.into()];
    picture.status.durability_reason = hostile.into();
    picture.status.durability = "degraded".into();
    for node in &mut picture.status.nodes {
        (node.name, node.note, node.zone) = (hostile.into(), hostile.into(), hostile.into());
    }
    for operation in &mut picture.history.operations {
        (operation.id, operation.proof, operation.kind) = (hostile.into(), hostile.into(), hostile.into());
        operation.steps[0].detail = hostile.into();
    }
    picture.why = Some(WhyReply { summary: hostile.into(), ..WhyReply::default() });
    picture.backups = Some(backups::told(hostile));
    let page = draw::page(&picture);
    assert!(!page.contains("<script>") && !page.contains("alert('"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;"), "{page}");
}

#[test]
fn a_page_with_a_long_history_is_small() {
    let mut picture = picture();
    let steps: Vec<Step> = (0..12).flat_map(|_| picture.history.operations[0].steps.clone()).collect();
    picture.history.operations[0].steps = steps;
    picture.history.operations = vec![picture.history.operations[0].clone(); 10];
    let bytes = draw::page(&picture).len() + STYLE.len() + SCRIPT.len();
    assert!(bytes < 150 * 1024, "{bytes}");
}

fn nothing_agreed() -> watch::Receiver<Arc<ClusterState>> {
    watch::Sender::new(Arc::default()).subscribe()
}

/// A node's HTTP port on loopback; what it shows can be changed.
async fn with_page(test: impl AsyncFnOnce(SocketAddr, Arc<Mutex<Picture>>, CancellationToken)) {
    with_viewing(|viewing| viewing, test).await;
}

async fn with_viewing(
    how: impl FnOnce(Viewing) -> Viewing,
    test: impl AsyncFnOnce(SocketAddr, Arc<Mutex<Picture>>, CancellationToken),
) {
    let shown = Arc::new(Mutex::new(picture()));
    let (now, stop) = (Arc::clone(&shown), CancellationToken::new());
    let look = move || {
        let picture = now.lock().unwrap().clone();
        async move { picture }.boxed()
    };
    let viewing = how(Viewing::new(Arc::new(look), nothing_agreed(), stop.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router(viewing).into_make_service_with_connect_info::<Ends>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let serving = tokio::spawn(async move { serving.await });
    test(address, shown, stop.clone()).await;
    stop.cancel();
    timeout(SOON, serving).await.unwrap().unwrap().unwrap();
}

async fn asked(address: SocketAddr, path: &str, host: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn got(address: SocketAddr, path: &str, host: &str) -> String {
    let mut answer = String::new();
    asked(address, path, host).await.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_name_of_another_site_is_refused() {
    with_page(async |address, _, _| {
        for (host, code) in [
            ("127.0.0.1:7480", "200"),
            ("localhost", "200"),
            ("[::1]:7480", "200"),
            ("evil.example", "403"),
            ("127.0.0.1.evil.example:7480", "403"),
            ("localhost.evil.example", "403"),
        ] {
            let answer = got(address, "/", host).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{host}: {answer}");
        }
        let page = got(address, "/", "localhost").await.to_lowercase();
        assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
        for file in ["/page.css", "/page.js"] {
            assert!(got(address, file, "localhost").await.starts_with("HTTP/1.1 200 "));
        }
    })
    .await;
    let far = Ends { peer: [10, 0, 0, 7].into(), own: Some([10, 0, 0, 1].into()) };
    assert!(!far.on_one_host());
    assert!(Ends { own: Some(far.peer), ..far }.on_one_host());
}

/// Reads on until it has come.
async fn until_it_says(stream: &mut TcpStream, seen: &mut String, wanted: &str) {
    let mut buffer = [0; 4096];
    while !seen.contains(wanted) {
        let read = timeout(SOON, stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "ended without {wanted}: {seen}");
        *seen += &String::from_utf8_lossy(&buffer[..read]);
    }
}

#[tokio::test]
async fn an_open_page_follows_and_ends_with_the_node() {
    with_page(async |address, shown, stop| {
        let (mut stream, mut seen) = (asked(address, "/live", "localhost").await, String::new());
        until_it_says(&mut stream, &mut seen, "LOSSLESS").await;
        assert!(!seen.contains("NO WRITER"), "{seen}");
        shown.lock().unwrap().status.health = "no_writer".into();
        until_it_says(&mut stream, &mut seen, "NO WRITER").await;
        stop.cancel();
        let mut rest = Vec::new();
        timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn many_pages_ask_the_leader_once() {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let look = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { picture() }.boxed()
    };
    let states = watch::Sender::new(Arc::default());
    let viewing = Viewing::new(Arc::new(look), states.subscribe(), CancellationToken::new());
    futures::future::join_all((0..WATCHERS).map(|_| viewing.picture())).await;
    assert_eq!(looks.load(Ordering::Relaxed), 1);
    states.send_replace(Arc::default());
    viewing.picture().await;
    assert_eq!(looks.swap(1, Ordering::Relaxed), 2, "what was seen before it was agreed on is not shown");
    tokio::time::advance(LOOK_AGAIN).await;
    viewing.picture().await;
    assert_eq!(looks.load(Ordering::Relaxed), 2, "what is old is not shown");
}

#[tokio::test]
async fn pages_that_are_kept_up_to_date_are_few() {
    with_page(async |address, _, _| {
        let mut open = Vec::new();
        for _ in 0..WATCHERS {
            let mut stream = asked(address, "/live", "localhost").await;
            until_it_says(&mut stream, &mut String::new(), "200 OK").await;
            open.push(stream);
        }
        assert!(got(address, "/live", "localhost").await.starts_with("HTTP/1.1 503 "));
    })
    .await;
}

async fn said(address: SocketAddr, request: &str) -> String {
    let (mut stream, mut answer) = (TcpStream::connect(address).await.unwrap(), String::new());
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn with_a_token_whoever_has_it_sees_the_page_and_nobody_else() {
    let token = "correct horse battery staple";
    with_viewing(
        |viewing| viewing.with_token(&token.into()),
        async |address, _, _| {
            let ask = async |path: &str, header: &str| {
                let host = "Host: db1.example:7480\r\nConnection: close";
                said(address, &format!("GET {path} HTTP/1.1\r\n{host}\r\n{header}\r\n")).await
            };
            for path in ["/", "/live"] {
                let refused = ask(path, "").await;
                assert!(
                    refused.starts_with("HTTP/1.1 401 ") && !refused.contains("shop"),
                    "{path}: {refused}"
                );
                assert!(refused.contains("<form method=\"post\" action=\"enter\">"), "{refused}");
            }
            assert!(ask("/page.css", "").await.starts_with("HTTP/1.1 200 "));
            let shown = ask("/", &format!("Authorization: Bearer {token}\r\n")).await;
            assert!(shown.starts_with("HTTP/1.1 200 ") && shown.contains("shop"), "{shown}");

            let enter_with = async |header: &str, body: &str| {
                let length = body.len();
                let head = "POST /enter HTTP/1.1\r\nHost: x\r\nConnection: close";
                said(address, &format!("{head}\r\n{header}Content-Length: {length}\r\n\r\n{body}")).await
            };
            let enter = async |body: &str| enter_with("", body).await;
            let wrong = enter("token=incorrect").await;
            assert!(wrong.starts_with("HTTP/1.1 401 ") && wrong.contains("That is not the token"), "{wrong}");
            assert!(!wrong.to_lowercase().contains("set-cookie"), "{wrong}");
            let entered = enter("token=correct+horse+battery%20staple").await;
            assert!(entered.starts_with("HTTP/1.1 303 "), "{entered}");
            let cookie = entered.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
            assert!(cookie.ends_with("; HttpOnly; SameSite=Strict") && !cookie.contains("horse"), "{cookie}");
            let by_tls =
                enter_with("X-Forwarded-Proto: https\r\n", "token=correct+horse+battery%20staple").await;
            assert!(by_tls.contains("; HttpOnly; SameSite=Strict; Secure"), "{by_tls}");
            let (pass, _) = cookie.split_once(';').unwrap();
            let shown = ask("/", &format!("Cookie: {pass}\r\n")).await;
            assert!(shown.starts_with("HTTP/1.1 200 ") && shown.contains("shop"), "{shown}");
            assert!(enter(&format!("token={}", "x".repeat(8192))).await.starts_with("HTTP/1.1 413 "));
        },
    )
    .await;
}
