//! The few methods of the Bot API that are needed. The token is part of every URL, so none is ever shown.

use std::time::Duration;

use axum::http::{HeaderValue, Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::http::{Ask, HttpError, ask};
use super::super::sink::Outcome;
use super::listen::Update;

/// Bound on one call.
const WITHIN: Duration = Duration::from_secs(10);
/// For how long a question for what people did is held open.
const POLL: Duration = Duration::from_secs(25);
/// A token that is not accepted is tried again this seldom: somebody has to mend it.
const TOKEN_AGAIN: Duration = Duration::from_secs(300);
/// Characters of Telegram's own words that are passed on.
const WORDS_MAX: usize = 200;

/// A bot.
pub(in super::super) struct Bot {
    /// Without the token.
    api: String,
    token: SecretString,
}

impl std::fmt::Debug for Bot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bot")
    }
}

/// What the API answers.
#[derive(Debug, Deserialize)]
struct Reply {
    ok: bool,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error_code: u16,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

impl Bot {
    pub(in super::super) fn new(api: &str, token: SecretString) -> Self {
        Self { api: api.trim_end_matches('/').to_owned(), token }
    }

    pub(super) async fn send(&self, message: &Value) -> Outcome {
        match self.call("sendMessage", message, WITHIN).await {
            Ok(reply) if reply.ok => Outcome::Told(reply.result["message_id"].as_i64()),
            Ok(reply) => refusal(&reply),
            Err(error) => later(error),
        }
    }

    pub(super) async fn change(&self, message: &Value, id: i64) -> Outcome {
        match self.call("editMessageText", message, WITHIN).await {
            Ok(reply) if reply.ok || reply.description.contains("message is not modified") => {
                Outcome::Told(Some(id))
            }
            Ok(Reply { error_code: 400, description, .. })
                if description.contains("message to edit not found")
                    || description.contains("message can't be edited") =>
            {
                Outcome::Gone
            }
            Ok(reply) => refusal(&reply),
            Err(error) => later(error),
        }
    }

    /// What people did since the update before `next`; waits for something to come, bounded.
    ///
    /// # Errors
    /// In words without the token, and how long to wait where that was said.
    pub(super) async fn updates(&self, next: i64) -> Result<Vec<Update>, (String, Option<Duration>)> {
        let question = json!({
            "offset": next,
            "timeout": POLL.as_secs(),
            "allowed_updates": ["message", "callback_query"],
        });
        match self.call("getUpdates", &question, POLL + WITHIN).await {
            Ok(reply) if reply.ok => {
                // One that cannot be read must not come again and again.
                let all: Vec<Value> = serde_json::from_value(reply.result).unwrap_or_default();
                let id = |value: &Value| value["update_id"].as_i64().unwrap_or_default();
                let read = |value: Value| {
                    let update_id = id(&value);
                    serde_json::from_value(value).unwrap_or_else(|_| Update::empty(update_id))
                };
                Ok(all.into_iter().map(read).collect())
            }
            Ok(reply) => match refusal(&reply) {
                Outcome::Later { why, after, .. } => Err((why, after)),
                Outcome::Refused(why) => Err((why, None)),
                Outcome::Told(_) | Outcome::Gone => Err((String::new(), None)),
            },
            Err(error) => Err((format!("Telegram: {error}"), None)),
        }
    }

    /// Says something to whoever pressed a button.
    pub(super) async fn answer(&self, callback: &str, text: &str) {
        let text: String = text.chars().take(WORDS_MAX).collect();
        let answer = json!({ "callback_query_id": callback, "text": text, "show_alert": true });
        // Nobody waits for it for long, so it is not tried again.
        let _lost = self.call("answerCallbackQuery", &answer, WITHIN).await;
    }

    async fn call(&self, method: &str, body: &Value, within: Duration) -> Result<Reply, HttpError> {
        let url = format!("{}/bot{}/{method}", self.api, self.token.expose_secret());
        let answer = ask(Ask {
            method: Method::POST,
            url: &url,
            headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
            body: body.to_string().into_bytes(),
            within,
        })
        .await?;
        // Something between here and Telegram may answer in its own way.
        Ok(serde_json::from_slice(&answer.body).unwrap_or_else(|_| Reply {
            ok: false,
            result: Value::Null,
            // No word of Telegram's own refuses nothing for good: it is an outage, whatever it says.
            error_code: match answer.status.as_u16() {
                429 => 429,
                other => other.max(500),
            },
            description: format!("HTTP {}", answer.status.as_u16()),
            parameters: Parameters { retry_after: answer.retry_after, migrate_to_chat_id: None },
        }))
    }
}

fn refusal(reply: &Reply) -> Outcome {
    let words: String = reply.description.chars().take(WORDS_MAX).collect();
    if let Some(seconds) = reply.parameters.retry_after.filter(|_| reply.error_code == 429) {
        let after = Some(Duration::from_secs(seconds));
        return Outcome::Later { why: "too many messages".into(), after, unsure: false };
    }
    if let Some(id) = reply.parameters.migrate_to_chat_id {
        return Outcome::Refused(format!("the chat has become {id}; write that id into telegram.chat"));
    }
    match reply.error_code {
        401 | 404 => Outcome::Later {
            why: "the token is not accepted; correct the file that telegram.token_file names".into(),
            after: Some(TOKEN_AGAIN),
            unsure: false,
        },
        429 | 500.. => Outcome::Later { why: words, after: None, unsure: false },
        _ => Outcome::Refused(words),
    }
}

fn later(error: HttpError) -> Outcome {
    let why = format!("Telegram: {error}");
    Outcome::Later { why, after: None, unsure: error.may_have_arrived() }
}
