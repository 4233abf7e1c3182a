//! What goes over the wire, and what is made of the answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::alert::Heart;
use crate::alert::command::CommandSink;
use crate::alert::due::Due;
use crate::alert::heartbeat::is_healthy;
use crate::alert::sink::Outcome;
use crate::alert::telegram::{Bot, Chat};
use crate::alert::webhook::Webhook;
use crate::config::HeartbeatConfig;
use crate::consensus::tests::Scratch;
use crate::decide::archive::Archiving;
use crate::decide::diagnose::{Lasting, diagnose};
use crate::state::{Collector, Durability, Severity, Subject};

/// Answers one request with this, and gives what was asked: head and body.
async fn answering(status: &str, body: &str) -> (String, tokio::task::JoinHandle<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).await.unwrap();
            bytes.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
            if rest.len() >= length.unwrap_or(0) {
                stream.write_all(answer.as_bytes()).await.unwrap();
                return (head.to_owned(), rest.as_bytes().to_vec());
            }
        }
    });
    (address, asked)
}

fn something(edit: Option<i64>) -> Due {
    let mut state = listened();
    let line = crate::state::Line {
        key: "ReplicaDown:db2".into(),
        severity: Severity::Warning,
        what: "db2: its server is down".into(),
        since_ms: NOW_MS,
        times: 1,
        over_ms: None,
    };
    let subject = Subject::Troubles(vec![line]);
    agree(
        &mut state,
        NOW_MS,
        vec![AlertChange::Put { id: "n".into(), severity: Severity::Warning, subject, nonce: String::new() }],
    );
    Due {
        notice: state.alerts.notices[0].clone(),
        edit,
        repeat: false,
        dropped: 2,
        silent: true,
        buttons: Vec::new(),
    }
}

async fn told(status: &str, body: &str, edit: Option<i64>) -> (Outcome, String, Value) {
    let (api, asked) = answering(status, body).await;
    let bot = Arc::new(Bot::new(&api, SecretString::from("123:SECRET")));
    let outcome = Chat { bot, id: -5 }.tell("shop", &something(edit)).await;
    let (head, body) = asked.await.unwrap();
    (outcome, head, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn telegram_is_sent_a_message_and_then_a_change_of_it() {
    let (outcome, head, body) = told("200 OK", r#"{"ok":true,"result":{"message_id":42}}"#, None).await;
    assert_eq!(outcome, Outcome::Told(Some(42)));
    assert!(head.starts_with("POST /bot123:SECRET/sendMessage HTTP/1.1"), "{head}");
    assert_eq!((body["chat_id"].as_i64(), body["parse_mode"].as_str()), (Some(-5), Some("HTML")));
    assert_eq!(body["disable_notification"], true);
    let (outcome, head, body) = told("200 OK", r#"{"ok":true,"result":{"message_id":42}}"#, Some(42)).await;
    assert_eq!((outcome, body["message_id"].as_i64()), (Outcome::Told(Some(42)), Some(42)));
    assert!(head.starts_with("POST /bot123:SECRET/editMessageText"), "{head}");
}

#[tokio::test]
async fn every_answer_of_telegram_has_its_meaning_and_none_shows_the_token() {
    let error = |code: u16, words: &str, more: &str| {
        format!(r#"{{"ok":false,"error_code":{code},"description":"{words}"{more}}}"#)
    };
    let flood = error(429, "Too Many Requests", r#","parameters":{"retry_after":7}"#);
    let moved =
        error(400, "Bad Request: group chat was upgraded", r#","parameters":{"migrate_to_chat_id":-1009}"#);
    let cases = [
        ("429 Too Many Requests", flood.as_str(), None, "Later", "7s"),
        ("400 Bad Request", &error(400, "Bad Request: message is not modified", ""), Some(42), "Told", "42"),
        ("400 Bad Request", &error(400, "Bad Request: message to edit not found", ""), Some(42), "Gone", ""),
        (
            "400 Bad Request",
            &error(400, "Bad Request: chat not found", ""),
            None,
            "Refused",
            "chat not found",
        ),
        ("400 Bad Request", &moved, None, "Refused", "-1009"),
        ("403 Forbidden", &error(403, "Forbidden: bot was kicked", ""), None, "Refused", "kicked"),
        ("401 Unauthorized", &error(401, "Unauthorized", ""), None, "Later", "token_file"),
        ("502 Bad Gateway", "<html>", None, "Later", "HTTP 502"),
    ];
    for (status, body, edit, kind, words) in cases {
        let (outcome, ..) = told(status, body, edit).await;
        let said = format!("{outcome:?}");
        assert!(said.starts_with(kind) && said.contains(words), "{status} {body}: {said}");
        assert!(!said.contains("SECRET"), "{said}");
    }
    let nobody = Bot::new("http://127.0.0.1:1", SecretString::from("123:SECRET"));
    let outcome = Chat { bot: Arc::new(nobody), id: -5 }.tell("shop", &something(None)).await;
    let said = format!("{outcome:?}");
    assert!(said.contains("unsure: false") && !said.contains("SECRET"), "{said}");
}

#[tokio::test]
async fn a_webhook_is_signed_and_an_answer_that_never_came_leaves_it_open() {
    let (url, asked) = answering("204 No Content", "").await;
    let secret = Some(SecretString::from("key"));
    let webhook = Webhook { url: format!("{url}/hook?x=1").into(), secret };
    assert_eq!(webhook.tell("shop", &something(None)).await, Outcome::Told(None));
    let (head, body) = asked.await.unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"key");
    let hex = head.lines().find_map(|l| l.strip_prefix("x-baton-signature-256: sha256=")).unwrap();
    let tag: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    assert!(ring::hmac::verify(&key, &body, &tag).is_ok(), "{head}");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((body["state"].as_str(), body["severity"].as_str()), (Some("firing"), Some("warning")));
    assert_eq!(
        (body["title"].as_str(), &body["dropped"]),
        (Some("shop: db2: its server is down"), &Value::from(2))
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let broken = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 16];
        stream.read_exact(&mut some).await.unwrap();
    });
    let webhook = Webhook { url: url.into(), secret: None };
    let outcome = webhook.tell("shop", &something(None)).await;
    assert!(matches!(outcome, Outcome::Later { unsure: true, .. }), "{outcome:?}");
    broken.await.unwrap();
}

#[tokio::test]
async fn a_program_is_given_the_alert_and_its_exit_status_counts() {
    let scratch = Scratch::new();
    let file = scratch.file();
    let told = async |run: &[&str]| {
        let sink = CommandSink { run: run.iter().map(|word| (*word).to_owned()).collect() };
        sink.tell("shop", &something(None)).await
    };
    let path = file.to_str().unwrap();
    assert_eq!(told(&["/bin/sh", "-c", "cat > \"$0\"", path]).await, Outcome::Told(None));
    let given: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((given["cluster"].as_str(), given["id"].as_str()), (Some("shop"), Some("n")));
    for (program, why) in [("/bin/false", "it failed"), ("/nowhere/at-all", "cannot be run")] {
        let outcome = told(&[program]).await;
        assert!(
            matches!(&outcome, Outcome::Later { why: said, unsure: false, .. } if said.contains(why)),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_dead_mans_switch_is_told_by_a_request_and_no_error_shows_where_it_is() {
    let heart = |url: &str| {
        let config = HeartbeatConfig { url: Some(url.to_owned()), every: std::time::Duration::from_secs(1) };
        Heart::of(&config).unwrap()
    };
    let (url, asked) = answering("200 OK", "").await;
    assert_eq!(heart(&format!("{url}/ping/secret")).beat().await, Ok(()));
    assert!(asked.await.unwrap().0.starts_with("GET /ping/secret HTTP/1.1"));
    let (url, _asked) = answering("404 Not Found", "").await;
    assert_eq!(heart(&format!("{url}/ping/secret")).beat().await, Err("HTTP 404".into()));
    let nobody = heart("http://127.0.0.1:1/ping/secret");
    let said = format!("{nobody:?} {:?}", nobody.beat().await);
    assert!(said.contains("cannot be connected") && !said.contains("secret"), "{said}");
}

#[test]
fn a_dead_mans_switch_is_told_while_all_is_well_alone() {
    let healthy = |spoil: &dyn Fn(&mut ClusterState)| {
        let (mut state, seen) = managed();
        spoil(&mut state);
        let diagnosis = diagnose(&state, &seen.observations(), Lasting::default());
        let found = crate::alert::event::conditions(&state, &diagnosis, NOW_MS);
        is_healthy(&state, &diagnosis, &found)
    };
    assert!(healthy(&|_| ()));
    assert!(!healthy(&|state| state.durability = Durability::Unknown));
    assert!(!healthy(&|state| state.phase = crate::state::Phase::Observing));
    assert!(!healthy(&|state| state.revoked_through = Epoch(1)), "the writer's epoch is being ended");
    let archived = |said: Archiving| {
        let (mut state, mut seen) = managed();
        state.collector = Some(Collector {
            node: name("db2"),
            since_ms: NOW_MS,
            turns: 0,
            lacking: BTreeSet::new(),
            lacking_since_ms: 0,
            may_leap: false,
        });
        seen.report("db2").archiving = Some(said);
        let diagnosis = diagnose(&state, &seen.observations(), Lasting::default());
        is_healthy(&state, &diagnosis, &crate::alert::event::conditions(&state, &diagnosis, NOW_MS))
    };
    assert!(archived(Archiving::default()));
    assert!(!archived(Archiving { failed: 2, ..Archiving::default() }), "uploads fail");
    assert!(
        !archived(Archiving { holes: "0-1-4..9".into(), ..Archiving::default() }),
        "something is missing"
    );
}
