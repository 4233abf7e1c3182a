//! Leaders that come and go while they tell: nothing is lost, and what may have been said already is marked as a repeat.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use baton_proto::control::{BackupListReply, RecoveryReply, StatusReply, WhyReply};
use futures::future::BoxFuture;
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::alert::due::Wants;
use crate::alert::sink::{Kind, Sink};
use crate::alert::telegram::{Answers, Bot, Chat};
use crate::alert::{Alerting, Listeners, Sinks};
use crate::consensus::tests::cluster::{Node, WITHIN, leader_of, start_all, three};
use crate::consensus::tests::until;
use crate::decide::diagnose::Lasting;
use crate::observe::Table;
use crate::operate::Proposer;
use crate::state::{Cluster, Forced, Member, Safety, Severity};

/// Changes of the leader in every run of the tests; `BATON_LEADER_CHANGES` has another number.
const CHANGES: usize = 24;
/// From what happened to the request that tells of it; the best part of it is the group's commit.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    /// The chat shows it, and the answer says so.
    #[default]
    Shown,
    /// The chat shows it, and no answer ever comes.
    Unanswered,
    /// It is not taken.
    Refused,
}

#[derive(Default)]
struct Book {
    /// Of the messages that say this; the others are shown.
    fate: (String, Fate),
    refused: usize,
    /// What the chat shows, with the moment.
    shown: Vec<(String, Instant)>,
}

/// A chat, as far as it is sent messages.
#[derive(Clone, Default)]
struct Room(Arc<Mutex<Book>>);

impl Room {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    fn will(&self, words: &str, fate: Fate) {
        let mut book = self.book();
        (book.fate, book.refused) = ((words.to_owned(), fate), 0);
    }

    /// The messages that say `words`.
    fn about(&self, words: &str) -> Vec<(String, Instant)> {
        self.book().shown.iter().filter(|(text, _)| text.contains(words)).cloned().collect()
    }

    /// Where to reach it.
    async fn open(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let room = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let room = room.clone();
                tokio::spawn(async move { room.serve(stream).await });
            }
        });
        address
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let (method, body) = request(&mut stream).await?;
        let answer = match method.as_str() {
            "sendMessage" => self.take(&body)?,
            _ => None,
        };
        let Some((status, answer)) = answer else {
            // Until the one who asked goes away.
            while stream.read(&mut [0; 16]).await.ok()? > 0 {}
            return None;
        };
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
        stream.write_all(format!("{head}{answer}").as_bytes()).await.ok()
    }

    /// The answer; `None` where there is none.
    fn take(&self, body: &Value) -> Option<Option<(&'static str, String)>> {
        let mut book = self.book();
        let text = body["text"].as_str()?;
        let fate = if text.contains(&book.fate.0) { book.fate.1 } else { Fate::Shown };
        if fate == Fate::Refused {
            book.refused += 1;
            return Some(Some(("502 Bad Gateway", String::new())));
        }
        book.shown.push((text.to_owned(), Instant::now()));
        let answer = format!(r#"{{"ok":true,"result":{{"message_id":{}}}}}"#, book.shown.len());
        Some((fate == Fate::Shown).then_some(("200 OK", answer)))
    }
}

/// The method of the Bot API, and its parameters.
async fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            let method = head.split_whitespace().nth(1)?.rsplit('/').next()?.to_owned();
            return Some((method, serde_json::from_str(body).ok()?));
        }
    }
}

struct Nothing;

impl Answers for Nothing {
    fn status(&self) -> BoxFuture<'_, StatusReply> {
        Box::pin(async { StatusReply::default() })
    }
    fn why(&self) -> BoxFuture<'_, Result<WhyReply, String>> {
        Box::pin(async { Err("nothing".into()) })
    }
    fn backups(&self) -> BoxFuture<'_, (BackupListReply, RecoveryReply)> {
        Box::pin(async { <(BackupListReply, RecoveryReply)>::default() })
    }
    fn rebuild(&self, _: &str, _: String) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async { Err("nothing".into()) })
    }
}

fn draw() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// What tells, on one node.
fn alerting(node: &Node, listeners: watch::Receiver<Listeners>) -> Alerting {
    let draw: Arc<dyn Fn() -> String + Send + Sync> = Arc::new(draw);
    Alerting {
        cluster: "shop".into(),
        group: node.group.clone(),
        table: Arc::new(Table::default()),
        proposer: Proposer::new(node.group.clone(), node.name.clone(), Arc::clone(&draw), Arc::new(now_ms)),
        followers: watch::Sender::default().subscribe(),
        lasting: watch::Sender::new(Lasting::default()).subscribe(),
        listeners,
        draw,
        answers: Arc::new(Nothing),
    }
}

async fn does(node: &Node, change: Change) {
    let command = Command { id: CommandId(draw()), by: node.name.clone(), at_ms: now_ms(), change };
    let deadline = Instant::now() + WITHIN;
    // A machine that is busy may change its leader by itself: then it is asked again, under the same id.
    let outcome = loop {
        match node.group.propose(command.clone(), WITHIN).await {
            Ok(outcome) => break outcome,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    outcome.into_result().unwrap();
}

async fn form(node: &Node) {
    let member = || Member { server: Some("127.0.0.1:1".into()), ..Member::default() };
    let members: BTreeMap<_, _> = ["db1", "db2", "db3"].map(|n| (name(n), member())).into();
    let cluster = Cluster { name: "shop".into(), id: "1".into() };
    does(node, Change::Form { cluster, members, safety: Safety::default() }).await;
}

/// Everything that happens here is told as a warning: the cluster is given back by its people.
async fn happens(node: &Node, words: &str) {
    does(node, Change::Adopt { operation: OperationId(draw()), node: name("db1"), by: "me".into() }).await;
    let word = Forced { by: "me".into(), reason: words.into() };
    does(node, Change::Release { operation: OperationId(draw()), word }).await;
}

fn words_of(round: usize) -> String {
    format!("in round {round},")
}

fn fate_of(round: usize) -> Fate {
    [Fate::Unanswered, Fate::Refused, Fate::Shown, Fate::Shown][round % 4]
}

/// Whether the chat shows it before its leader goes.
fn was_shown_before(round: usize) -> bool {
    round.is_multiple_of(2)
}

/// Makes a node the leader.
async fn hand_over(nodes: &[&Node], next: &Node) {
    let deadline = Instant::now() + WITHIN;
    let mut leadership = next.group.leadership();
    while !leadership.borrow().mine {
        assert!(Instant::now() < deadline, "{} does not become the leader", next.name);
        // It may have been lost meanwhile.
        let _gone = leader_of(nodes).await.group.transfer_leadership(&next.name).await;
        let _not_yet = timeout(Duration::from_millis(200), leadership.wait_for(|now| now.mine)).await;
    }
}

/// What a round was like.
struct Round {
    /// How long after it happened the chat showed it first.
    told: Duration,
    /// The chat showed it before its leader went.
    shown_before: bool,
}

/// A message while the leader changes.
async fn round(number: usize, nodes: &[&Node], room: &Room) -> Round {
    let (words, fate) = (words_of(number), fate_of(number));
    let shown = || room.about(&words);
    let leader = leader_of(nodes).await;
    let term = leader.group.leadership().borrow().term;
    let others: Vec<_> = nodes.iter().filter(|n| n.name != leader.name).collect();
    let next = others[number % others.len()];
    room.will(&words, fate);
    let begun = Instant::now();
    happens(leader, &words).await;
    // Every fourth time the leader goes when it has not begun yet, or just has.
    match fate {
        Fate::Refused => until("it to be refused", || room.book().refused > 0).await,
        _ if was_shown_before(number) => until("it to be shown", || !shown().is_empty()).await,
        _ => {}
    }
    let still = leader.group.leadership().borrow().term == term;
    let shown_before = was_shown_before(number) && still;
    hand_over(nodes, next).await;
    room.will(&words, Fate::Shown);
    let all = if fate == Fate::Unanswered { 2 } else { 1 };
    until(&format!("what happened in round {number} to be told"), || shown().len() >= all).await;
    Round { told: shown()[0].1.duration_since(begun), shown_before }
}

/// A message is there, once unless it was on its way when its leader went, and marked from the second time on.
fn told_and_marked(number: usize, round: &Round, room: &Room) {
    let shown = room.about(&words_of(number));
    let marked: Vec<bool> = shown.iter().map(|(text, _)| text.contains("Repeat:")).collect();
    assert!(!marked.is_empty() && marked.iter().skip(1).all(|marked| *marked), "{shown:?}");
    // One that was refused, or whose leader went before it was sent, may have arrived for all that the next leader knows.
    assert!(!round.shown_before || !marked[0], "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_lost_with_a_leader_and_repeats_are_marked() {
    let changes = std::env::var("BATON_LEADER_CHANGES").map_or(CHANGES, |number| number.parse().unwrap());
    let room = Room::default();
    let bot = Arc::new(Bot::new(&room.open().await, SecretString::from("123:SECRET")));
    let wants = Wants {
        sink: "telegram 7".into(),
        severity: Severity::Warning,
        edits: true,
        quiet: None,
        buttons: false,
    };
    let sink = Sink { wants, kind: Kind::Telegram(Chat { bot, id: 7 }) };
    let sinks = Arc::new(Sinks { all: vec![sink], ears: None });
    let listeners = watch::Sender::new(Listeners { sinks, heart: None });

    let hosts = three();
    let nodes = start_all(&hosts).await;
    let refs: Vec<&Node> = nodes.iter().collect();
    form(leader_of(&refs).await).await;
    let mut telling = JoinSet::new();
    for node in &nodes {
        telling.spawn(alerting(node, listeners.subscribe()).run());
    }
    until("somebody to listen", || nodes.iter().all(|n| n.group.states().borrow().state.alerts.begun)).await;
    let mut rounds = Vec::new();
    for number in 0..changes {
        rounds.push(round(number, &refs, &room).await);
    }
    rounds.iter().enumerate().for_each(|(number, round)| told_and_marked(number, round, &room));
    let mut told: Vec<Duration> = rounds.iter().filter(|r| r.shown_before).map(|r| r.told).collect();
    told.sort();
    let (median, worst) = (told[told.len() / 2], told[told.len() - 1]);
    let messages = room.book().shown.len();
    eprintln!(
        "{changes} changes of the leader, {messages} messages, none lost; told after {} ms (median), {} ms (worst)",
        median.as_millis(),
        worst.as_millis()
    );
    let p99 = told[(told.len() * 99).div_ceil(100) - 1];
    assert!(p99 <= TOLD_WITHIN, "{told:?}");
    for node in &nodes {
        node.kill().await;
    }
}
