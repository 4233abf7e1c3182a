//! A stand-in for Telegram's Bot API: keeps every call, and answers as a test wants it to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::sandbox::Host;

/// Bytes of a request that are read.
const REQUEST_MAX: usize = 1 << 20;

/// For how long a question for what people did is held open.
const POLL: Duration = Duration::from_secs(2);

/// Where a dead man's switch is told.
const ALIVE: &str = "/alive";

/// What becomes of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 429, with so many seconds to wait.
    TooMany(u64),
    /// 502, and not from the API itself.
    BadGateway,
    /// It is taken, and no answer comes: the connection breaks after so long.
    Silence(Duration),
    /// It is taken, and the answer comes so much later.
    Late(Duration),
}

/// One call that came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// When.
    pub at: Instant,
    /// `sendMessage` and the like.
    pub method: String,
    /// Its parameters.
    pub body: Value,
    /// Whether it was taken: a chat shows it.
    pub taken: bool,
    /// The message that it made or changed.
    pub message: i64,
}

impl Call {
    /// The message's text.
    pub fn text(&self) -> &str {
        self.body["text"].as_str().unwrap_or_default()
    }

    /// Whether it made a message, marked as a repeat or not.
    pub fn is_message(&self) -> bool {
        self.method == "sendMessage" && self.taken
    }

    /// Whether the message says that it may be a repeat.
    pub fn is_repeat(&self) -> bool {
        self.text().contains("Repeat: this may have been sent before")
    }
}

#[derive(Debug, Default)]
struct Book {
    calls: Vec<Call>,
    answers: VecDeque<Answer>,
    messages: i64,
    /// What people did, with the numbers of their updates.
    updates: Vec<Value>,
    /// When the dead man's switch was told.
    beats: Vec<Instant>,
}

#[derive(Debug, Default)]
struct Shared {
    book: Mutex<Book>,
    news: Notify,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running API; ends with the value.
#[derive(Debug)]
pub struct BotApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl BotApi {
    /// Starts one on a host, for the bot of that token.
    ///
    /// # Errors
    /// When its port is taken.
    pub async fn start(host: &Host, token: &str) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (book, path) = (Arc::clone(&shared), format!("/bot{token}/"));
        let address = SocketAddr::from((host.address(), 0));
        let (listener, address) = host
            .run(async move {
                let listener = TcpListener::bind(address).await?;
                let address = listener.local_addr()?;
                Ok((listener, address))
            })
            .await?;
        let serving = host.runtime().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (book, path) = (Arc::clone(&book), path.clone());
                tokio::spawn(async move {
                    // A caller that goes away is no fault of this end.
                    let _gone = serve(stream, &book, &path).await;
                });
            }
        });
        Ok(Self { address, shared, serving })
    }

    /// For `telegram.api`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// For `heartbeat.url`: a dead man's switch on the same port.
    pub fn switch(&self) -> String {
        format!("{}{ALIVE}", self.url())
    }

    /// Waits until the dead man's switch is told after a moment.
    ///
    /// # Errors
    /// When it is not within `bound`.
    pub async fn beat(&self, after: Instant, bound: Duration) -> Result<()> {
        let look = async {
            loop {
                let news = self.shared.news.notified();
                if self.shared.book().beats.iter().any(|beat| *beat > after) {
                    return;
                }
                news.await;
            }
        };
        let told = tokio::time::timeout(bound, look).await;
        told.with_context(|| format!("the dead man's switch was not told within {bound:?}"))
    }

    /// What becomes of the next messages that are sent, in this order; those after them are taken.
    pub fn answer(&self, answers: &[Answer]) {
        self.shared.book().answers.extend(answers);
    }

    /// Somebody writes to the bot.
    pub fn write(&self, user: i64, chat: i64, text: &str) {
        let from = json!({ "id": user, "first_name": "Ada" });
        self.happens(json!({ "message": { "chat": { "id": chat }, "from": from, "text": text } }));
    }

    /// Somebody presses a button, whose data this is.
    pub fn press(&self, user: i64, chat: i64, data: &str) {
        let from = json!({ "id": user, "first_name": "Ada" });
        let place = json!({ "chat": { "id": chat } });
        let query = json!({ "id": data, "from": from, "data": data, "message": place });
        self.happens(json!({ "callback_query": query }));
    }

    fn happens(&self, mut update: Value) {
        let mut book = self.shared.book();
        update["update_id"] = (book.updates.len() as i64 + 1).into();
        book.updates.push(update);
        self.shared.news.notify_waiters();
    }

    /// Every call so far, but for questions for what people did.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.book().calls.clone()
    }

    /// What the chats show now: the first text and the last one of each message, in the order of sending.
    pub fn messages(&self) -> Vec<(Call, Call)> {
        let calls = self.calls();
        let first = calls.iter().filter(|c| c.is_message());
        let last = |of: &Call| calls.iter().rev().find(|c| c.taken && c.message == of.message).cloned();
        first.filter_map(|f| Some((f.clone(), last(f)?))).collect()
    }

    /// Waits for a call that fulfils a condition.
    ///
    /// # Errors
    /// When none comes within `bound`; the message has all that came.
    pub async fn call(&self, what: &str, bound: Duration, wanted: impl Fn(&Call) -> bool) -> Result<Call> {
        let look = async {
            loop {
                let news = self.shared.news.notified();
                if let Some(call) = self.calls().into_iter().find(|call| wanted(call)) {
                    return call;
                }
                news.await;
            }
        };
        let found = tokio::time::timeout(bound, look).await;
        found.with_context(|| format!("no {what} within {bound:?}: {:#?}", self.calls()))
    }
}

impl Drop for BotApi {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared, path: &str) -> Result<()> {
    let (target, body) = read(&mut stream).await?;
    let at = Instant::now();
    if target == ALIVE {
        shared.book().beats.push(at);
        shared.news.notify_waiters();
        return reply(&mut stream, "200 OK", "").await;
    }
    let Some(method) = target.strip_prefix(path) else {
        return reply(&mut stream, "404 Not Found", &error(404, "Not Found", Value::Null)).await;
    };
    if method == "getUpdates" {
        let result = updates(shared, body["offset"].as_i64().unwrap_or_default()).await;
        return reply(&mut stream, "200 OK", &json!({ "ok": true, "result": result }).to_string()).await;
    }
    let (answer, message) = note(shared, at, method, body);
    match answer {
        Some(Answer::TooMany(seconds)) => {
            let parameters = json!({ "retry_after": seconds });
            let body = error(429, &format!("Too Many Requests: retry after {seconds}"), parameters);
            reply(&mut stream, "429 Too Many Requests", &body).await
        }
        Some(Answer::BadGateway) => reply(&mut stream, "502 Bad Gateway", "<html>nginx</html>").await,
        Some(Answer::Silence(length)) => {
            tokio::time::sleep(length).await;
            Ok(())
        }
        Some(Answer::Late(length)) => {
            tokio::time::sleep(length).await;
            reply(&mut stream, "200 OK", &taken(message)).await
        }
        None => reply(&mut stream, "200 OK", &taken(message)).await,
    }
}

/// What people did from this number on; waits a moment for something.
async fn updates(shared: &Shared, offset: i64) -> Vec<Value> {
    let waiting = async {
        loop {
            let news = shared.news.notified();
            let new = shared.book().updates.clone().into_iter();
            let new: Vec<Value> = new.filter(|u| u["update_id"].as_i64() >= Some(offset)).collect();
            if !new.is_empty() {
                return new;
            }
            news.await;
        }
    };
    tokio::time::timeout(POLL, waiting).await.unwrap_or_default()
}

fn note(shared: &Shared, at: Instant, method: &str, body: Value) -> (Option<Answer>, i64) {
    let mut book = shared.book();
    let answer = if method == "sendMessage" { book.answers.pop_front() } else { None };
    let taken = !matches!(answer, Some(Answer::TooMany(_) | Answer::BadGateway));
    let message = match body["message_id"].as_i64() {
        Some(message) => message,
        None => {
            book.messages += i64::from(taken);
            book.messages
        }
    };
    book.calls.push(Call { at, method: method.to_owned(), body, taken, message });
    shared.news.notify_waiters();
    (answer, message)
}

fn taken(message: i64) -> String {
    json!({ "ok": true, "result": { "message_id": message } }).to_string()
}

fn error(code: u16, words: &str, parameters: Value) -> String {
    let parameters = if parameters.is_null() { json!({}) } else { parameters };
    json!({ "ok": false, "error_code": code, "description": words, "parameters": parameters }).to_string()
}

/// The target and the body of one request.
async fn read(stream: &mut TcpStream) -> Result<(String, Value)> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 8192];
        let count = stream.read(&mut buffer).await?;
        ensure!(count > 0 && bytes.len() < REQUEST_MAX, "no whole request");
        bytes.extend_from_slice(&buffer[..count]);
        let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let target = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
            return Ok((target, serde_json::from_slice(&bytes[end + 4..]).unwrap_or_default()));
        }
    }
}

async fn reply(stream: &mut TcpStream, status: &str, body: &str) -> Result<()> {
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    stream.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).await?;
    Ok(stream.shutdown().await?)
}
