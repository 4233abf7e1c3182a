//! The leader listens to what people write to the bot and which buttons they press. Only those whom the configuration names
//! are answered, in the chats that it names.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::control::{BackupListReply, RecoveryReply, StatusReply, WhyReply};
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::Bot;
use super::buttons::{Press, press};
use super::replies;
use crate::alert::retry::LATEST;
use crate::consensus::Group;
use crate::operate::Proposer;
use crate::state::{AlertChange, Change, ClusterState, Forced, Mute};

/// Bound on what one message or press brings about.
const HANDLED: Duration = Duration::from_secs(20);
/// After a question that had no answer, or while another node still asks.
const AGAIN: Duration = Duration::from_secs(5);
/// A question without an answer is held open for longer; whoever answers sooner is not asked more often.
const HELD_OPEN: Duration = Duration::from_secs(1);
/// How long the button mutes.
const MUTE_MS: i64 = 3_600_000;
/// Characters of a name that is written down.
const NAME_MAX: usize = 64;

/// What the bot can be asked.
pub trait Answers: Send + Sync {
    /// How the cluster is.
    fn status(&self) -> BoxFuture<'_, StatusReply>;
    /// Why Baton does what it does, or why that cannot be said.
    fn why(&self) -> BoxFuture<'_, Result<WhyReply, String>>;
    /// Which backups there are, and what can be restored.
    fn backups(&self) -> BoxFuture<'_, (BackupListReply, RecoveryReply)>;
    /// Begins a rebuild; what was begun, or why not.
    fn rebuild(&self, node: &str, by: String) -> BoxFuture<'_, Result<String, String>>;
}

/// Who may ask, and where.
#[derive(Clone, Debug)]
pub(in super::super) struct Ears {
    pub(in super::super) bot: Arc<Bot>,
    pub(in super::super) users: Vec<i64>,
    pub(in super::super) chats: Vec<i64>,
}

/// What is needed to answer.
pub(in super::super) struct Desk<'a> {
    pub(in super::super) cluster: &'a str,
    pub(in super::super) group: &'a Group,
    pub(in super::super) proposer: &'a Proposer,
    pub(in super::super) answers: &'a dyn Answers,
}

/// One thing that somebody did.
#[derive(Debug, Deserialize)]
pub(super) struct Update {
    pub(super) update_id: i64,
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    callback_query: Option<Callback>,
}

#[derive(Debug, Deserialize)]
struct Message {
    chat: Id,
    #[serde(default)]
    from: Option<User>,
    #[serde(default)]
    text: String,
}

#[derive(Debug, Deserialize)]
struct Callback {
    id: String,
    from: User,
    #[serde(default)]
    data: String,
    #[serde(default)]
    message: Option<Place>,
}

#[derive(Debug, Deserialize)]
struct Place {
    chat: Id,
}

#[derive(Debug, Deserialize)]
struct Id {
    id: i64,
}

#[derive(Debug, Deserialize)]
struct User {
    id: i64,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    username: String,
}

impl Update {
    /// One of a kind that is not known here.
    pub(super) fn empty(update_id: i64) -> Self {
        Self { update_id, message: None, callback_query: None }
    }
}

impl User {
    fn name(&self) -> String {
        let name = if self.username.is_empty() { &self.first_name } else { &self.username };
        let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
        format!("{name} (Telegram {})", self.id)
    }
}

impl Ears {
    fn may(&self, user: &User, chat: i64) -> bool {
        // Whoever writes to the bot alone has a chat with their own number.
        self.users.contains(&user.id) && (self.chats.contains(&chat) || chat == user.id)
    }

    /// Listens for as long as it is polled.
    pub(in super::super) async fn listen(&self, desk: &Desk<'_>) {
        let mut next = 0;
        let mut heard = true;
        loop {
            let asked = Instant::now();
            match self.bot.updates(next).await {
                Ok(updates) => {
                    heard = true;
                    if updates.is_empty() && asked.elapsed() < HELD_OPEN {
                        sleep(HELD_OPEN).await;
                    }
                    for update in updates {
                        next = next.max(update.update_id.saturating_add(1));
                        if timeout(HANDLED, self.handle(desk, update)).await.is_err() {
                            warn!("a question from Telegram took too long to answer");
                        }
                    }
                }
                Err((why, wait)) => {
                    if heard {
                        warn!(why, "what people write to the bot is not heard; it is tried again");
                    }
                    heard = false;
                    sleep(wait.unwrap_or(AGAIN).min(LATEST)).await;
                }
            }
        }
    }

    async fn handle(&self, desk: &Desk<'_>, update: Update) {
        if let Some(Message { chat, from: Some(user), text }) = update.message {
            if !self.may(&user, chat.id) {
                debug!(user = user.id, chat = chat.id, "not one who may ask");
                return;
            }
            let Some(reply) = desk.reply(&text).await else { return };
            let message = json!({ "chat_id": chat.id, "text": reply, "parse_mode": "HTML" });
            let _lost = self.bot.send(&message).await;
        } else if let Some(callback) = update.callback_query {
            let chat = callback.message.as_ref().map(|m| m.chat.id);
            let said = match chat.is_some_and(|chat| self.may(&callback.from, chat)) {
                true => desk.press(&callback.data, &callback.from.name()).await,
                false => "You are not one of those who may.".to_owned(),
            };
            self.bot.answer(&callback.id, &said).await;
        }
    }
}

impl Desk<'_> {
    /// `None` for what is no command of ours.
    async fn reply(&self, text: &str) -> Option<String> {
        let word = text.split_whitespace().next()?;
        match word.split('@').next()? {
            "/status" => Some(replies::status(&self.answers.status().await)),
            "/why" => Some(match self.answers.why().await {
                Ok(why) => replies::why(self.cluster, &why),
                Err(why) => super::super::words::escape(&why),
            }),
            "/backups" => {
                let (list, recovery) = self.answers.backups().await;
                Some(replies::backups(self.cluster, &list, &recovery, self.proposer.now_ms()))
            }
            _ => None,
        }
    }

    /// What whoever pressed is told.
    async fn press(&self, data: &str, by: &str) -> String {
        let state: Arc<ClusterState> = Arc::clone(&self.group.states().borrow().state);
        let (change, said) = match press(&state, data) {
            Err(why) => return why.to_owned(),
            Ok(Press::Rebuild(node)) => {
                info!(by, %node, "a rebuild was approved by a button");
                let begun = self.answers.rebuild(node.as_str(), by.to_owned()).await;
                return begun.unwrap_or_else(|why| format!("Not begun: {why}"));
            }
            Ok(Press::Seen(id)) => (AlertChange::Acknowledge { id, by: by.to_owned() }, "Noted."),
            Ok(Press::Mute) => {
                let word = Forced { by: by.to_owned(), reason: "by a button".into() };
                let until_ms = self.proposer.now_ms() + MUTE_MS;
                (
                    AlertChange::Mute(Mute { until_ms, word }),
                    "Muted for an hour; batonctl mute --end ends it.",
                )
            }
        };
        match self.proposer.must(Change::Alerts(vec![change])).await {
            Ok(()) => said.to_owned(),
            Err(why) => format!("Not done: {why}"),
        }
    }
}
