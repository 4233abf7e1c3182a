use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::route::Stats;
use crate::serve::http::serve;
use crate::serve::metrics::{Metrics, Sample};

fn sample() -> Sample {
    Sample {
        formed: true,
        leader: Some("db2".into()),
        term: 12,
        applied_index: 42,
        managed: true,
        epoch: 7,
        writer: true,
        lossless: true,
        server_answers: Some(true),
        lease_left: Some(Duration::from_millis(840)),
        behind: Some(Duration::from_secs(2)),
        router: Some(Stats { writer_sessions_now: 3, cut_total: 5, ..Stats::default() }),
        ..Sample::default()
    }
}

#[test]
fn metrics_by_the_conventions() {
    let metrics = Metrics::new("shop", "db1", Arc::new(sample));
    insta::assert_snapshot!(metrics.encode().unwrap());
}

#[test]
fn what_is_unknown_is_left_out() {
    let read = || Sample { behind: None, router: None, server_answers: None, ..sample() };
    let text = Metrics::new("shop", "app1", Arc::new(read)).encode().unwrap();
    for absent in ["replication_lag", "router", "server_up"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn health_follows_the_group_and_readiness_the_server_too() {
    let now = Arc::new(Mutex::new(sample()));
    let read = Arc::clone(&now);
    let metrics = Arc::new(Metrics::new("shop", "db1", Arc::new(move || read.lock().unwrap().clone())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, metrics, stop.clone()));
    type Spoil = fn(&mut Sample);
    let cases: [(Spoil, &str, &str); 4] = [
        (|_| {}, "200", "200"),
        (|s| s.server_answers = Some(false), "200", "503"),
        (|s| s.leader = None, "503", "503"),
        (|s| s.formed = false, "503", "503"),
    ];
    for (spoil, health, ready) in cases {
        let mut spoilt = sample();
        spoil(&mut spoilt);
        *now.lock().unwrap() = spoilt;
        for (path, code) in [("/health", health), ("/ready", ready), ("/metrics", "200")] {
            let answer = get(address, path).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{path}: {answer}");
        }
    }
    assert!(get(address, "/health").await.contains(r#""cluster":"shop","node":"db1""#));
    stop.cancel();
    serving.await.unwrap().unwrap();
}
