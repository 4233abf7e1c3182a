use std::future::ready;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::route::Stats;
use crate::serve::http::{Asked, Pages, serve};
use crate::serve::metrics::{Made, Metrics, Probed, Sample};
use crate::serve::page::{Picture, Viewing};
use crate::serve::roles::Role;
use crate::state::{
    Alerts, ClusterState, Ending, Epoch, Finished, Operation, OperationKind, Step, StepName, Untold,
};

fn sample() -> Sample {
    Sample {
        formed: true,
        leader: Some("db2".into()),
        term: 12,
        applied_index: 42,
        managed: true,
        epoch: 7,
        role: "writer",
        writer: true,
        lossless: true,
        durability: "lossless",
        open: Some(true),
        acks: Some((1, 0)),
        disk: Some(crate::decide::tried::Disk { free: 3 << 30, size: 10 << 30, read_only: false }),
        certificate_left: Some(Duration::from_secs(86_400)),
        probes: vec![Probed {
            node: "db2".into(),
            silent_for: Duration::from_millis(120),
            took: Some(Duration::from_millis(2)),
        }],
        troubles: vec![("ReplicaDown".into(), "db3".into())],
        notices: 1,
        dropped: vec![("webhook ops".into(), 0)],
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
    let text = metrics.encode().unwrap();
    // What was counted comes first, its series in any order.
    let (_counted, read) = text.split_at(text.find("# HELP baton_build_info").unwrap());
    insta::assert_snapshot!(read);
}

/// Where a series begins with its first count, `increase` does not see that.
#[tokio::test]
async fn what_is_counted_begins_at_zero_and_goes_on_to_one() {
    let metrics = Metrics::new("shop", "db1", Arc::new(sample));
    let value = |text: &str, name: &str, labels: &str| -> Option<String> {
        let line = format!("\nbaton_{name}{{cluster=\"shop\",node=\"db1\",{labels}}} ");
        Some(text.split_once(&line)?.1.lines().next()?.to_owned())
    };
    let text = metrics.encode().unwrap();
    for kind in ["failover", "switchover", "adopt", "release", "rebuild"] {
        for outcome in ["done", "superseded", "failed", "cancelled"] {
            let labels = format!("kind=\"{kind}\",outcome=\"{outcome}\"");
            assert_eq!(value(&text, "operations_total", &labels).as_deref(), Some("0"), "{labels}: {text}");
        }
    }
    for kind in ["failover", "switchover"] {
        let labels = format!("kind=\"{kind}\"");
        assert_eq!(value(&text, "write_outage_seconds_count", &labels).as_deref(), Some("0"), "{text}");
    }
    for step in ["proof", "received", "applied", "grant", "open", "route", "follow"] {
        let labels = format!("step=\"{step}\"");
        assert_eq!(
            value(&text, "failover_step_seconds_count", &labels).as_deref(),
            Some("0"),
            "{labels}: {text}"
        );
    }

    let states = watch::Sender::new(Arc::new(ClusterState::default()));
    let mut counting = Box::pin(metrics.count(states.subscribe()));
    assert!((&mut counting).now_or_never().is_none());
    let mut state = ClusterState::default();
    let operation = Operation::of(OperationKind::Switchover, Epoch(1), "db1".into());
    state.history.push_back(Arc::new(Finished { operation, ended_ms: 400, ending: Ending::Failed }));
    states.send_replace(Arc::new(state));
    drop(states);
    counting.await;
    let text = metrics.encode().unwrap();
    let of = |outcome: &str| {
        value(&text, "operations_total", &format!("kind=\"switchover\",outcome=\"{outcome}\""))
    };
    assert_eq!((of("failed").as_deref(), of("done").as_deref()), (Some("1"), Some("0")), "{text}");
}

#[test]
fn whoever_is_told_anything_has_a_count_of_what_was_dropped() {
    let mut alerts = Alerts::default();
    alerts.untold.insert("webhook ops".into(), Untold { total: 3, said: 3 });
    let counted = Sample::default().with_dropped(&alerts, ["command pager", "webhook ops"].into_iter());
    assert_eq!(counted.dropped, [("command pager".to_owned(), 0), ("webhook ops".to_owned(), 3)]);
}

/// What an alert rule or the dashboard asks for is there, once a failover has been counted.
#[tokio::test]
async fn rules_and_dashboard_name_metrics_that_there_are() {
    let metrics = Metrics::new("shop", "db1", Arc::new(|| Sample { to_apply: Some(3), ..sample() }));
    let states = watch::Sender::new(Arc::new(ClusterState::default()));
    let mut counting = Box::pin(metrics.count(states.subscribe()));
    assert!((&mut counting).now_or_never().is_none());
    let mut state = ClusterState::default();
    let steps = vec![Step {
        at_ms: 7,
        node: "db2".into(),
        name: StepName::Proof.as_str().into(),
        detail: String::new(),
    }];
    let failover = Operation::of(OperationKind::Failover, Epoch(1), "db1".into());
    let operation = Operation { opened_ms: Some(312), steps, ..failover };
    state.history.push_back(Arc::new(Finished { operation, ended_ms: 400, ending: Ending::Done }));
    states.send_replace(Arc::new(state));
    drop(states);
    counting.await;
    let text = metrics.encode().unwrap();
    for file in ["../docs/prometheus/baton.rules.yml", "../docs/grafana/baton.json"] {
        let asked = std::fs::read_to_string(file).unwrap();
        let words = asked.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("baton_")) {
            assert!(text.contains(&format!("\n{name}{{")), "{file} asks for {name}, which is not in {text}");
        }
    }
}

#[test]
fn what_is_unknown_is_left_out() {
    let read = || Sample { behind: None, router: None, server_answers: None, ..sample() };
    let text = Metrics::new("shop", "app1", Arc::new(read)).encode().unwrap();
    for absent in ["replication_lag", "router", "server_up"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}

#[test]
fn what_is_in_the_stores() {
    let read = || Sample {
        newest_backup: Some(Made {
            ended_ms: 1_795_165_200_000,
            took_ms: 840_000,
            bytes: 90_000,
            stored_bytes: 30_000,
        }),
        read_again_ms: Some(1_795_000_000_000),
        window_ms: Some((1_794_000_000_000, 1_795_165_198_000)),
        ..sample()
    };
    let text = Metrics::new("shop", "db1", Arc::new(read)).encode().unwrap();
    for (name, value) in [
        ("backup_newest_timestamp_seconds", "1795165200.0"),
        ("backup_newest_duration_seconds", "840.0"),
        ("backup_newest_size_bytes", "90000"),
        ("backup_newest_stored_bytes", "30000"),
        ("backup_read_again_timestamp_seconds", "1795000000.0"),
        ("recoverable_from_timestamp_seconds", "1794000000.0"),
        ("recoverable_to_timestamp_seconds", "1795165198.0"),
    ] {
        let line = format!("\nbaton_{name}{{cluster=\"shop\",node=\"db1\"}} {value}\n");
        assert!(text.contains(&line), "{line} is not in {text}");
    }
    let none = Metrics::new("shop", "db1", Arc::new(sample)).encode().unwrap();
    assert!(!none.contains("backup") && !none.contains("recoverable"), "{none}");
}

fn nothing_to_see() -> Viewing {
    let states = watch::Sender::new(Arc::default()).subscribe();
    Viewing::new(Arc::new(|| ready(Picture::default()).boxed()), states, CancellationToken::new())
}

async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
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
    let pages = Pages { metrics, role: Arc::new(|_| Role::default()), viewing: nothing_to_see() };
    let serving = tokio::spawn(serve(listener, pages, stop.clone()));
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

/// A node that is a fit replica up to 5 s of lag and no primary.
async fn with_roles(test: impl AsyncFnOnce(SocketAddr)) {
    let metrics = Arc::new(Metrics::new("shop", "db1", Arc::new(sample)));
    let role = Arc::new(|asked| match asked {
        Asked::Primary => Role { role: "primary", why: Some("db2 is the writer".into()), ..Role::default() },
        Asked::Replica(lag) => {
            let fit = lag.is_none_or(|lag| lag >= Duration::from_secs(5));
            Role { role: "replica", fit, ..Role::default() }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving =
        tokio::spawn(serve(listener, Pages { metrics, role, viewing: nothing_to_see() }, stop.clone()));
    test(address).await;
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn roles_are_answered_whatever_method_a_health_check_uses() {
    with_roles(async |address| {
        for method in ["GET", "HEAD", "OPTIONS"] {
            // As HAProxy sends it where nothing else is configured: HTTP/1.0 without a host.
            for (path, code) in
                [("/primary", 503), ("/replica", 200), ("/replica?lag=4s", 503), ("/ready", 200)]
            {
                let answer = ask(address, &format!("{method} {path} HTTP/1.0\r\n\r\n")).await;
                assert!(answer.starts_with(&format!("HTTP/1.0 {code} ")), "{method} {path}: {answer}");
            }
        }
        let why = get(address, "/primary").await;
        assert!(why.ends_with(r#""fit":false,"epoch":0,"why":"db2 is the writer"}"#), "{why}");
        let posted = ask(address, "POST /primary HTTP/1.0\r\n\r\n").await;
        assert!(posted.starts_with("HTTP/1.0 405 "), "{posted}");
    })
    .await;
}

#[tokio::test]
async fn a_lag_that_is_none_is_refused_with_the_mend() {
    with_roles(async |address| {
        let answer = get(address, "/replica?lag=5").await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("like"), "{answer}");
    })
    .await;
}
