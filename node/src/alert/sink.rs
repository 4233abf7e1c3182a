//! To whom people have things told: made from the configuration, with the secrets read from their files.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::SecretString;
use thiserror::Error;

use super::command::CommandSink;
use super::due::{Due, Quiet, Wants};
use super::telegram::{Bot, Chat, Ears};
use super::webhook::Webhook;
use crate::config::{Config, read_hours, read_password};
use crate::state::Severity;

/// Nobody can be told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SinksError(pub String);

/// What became of telling one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was told; the message, where it can be changed.
    Told(Option<i64>),
    /// The message that was to be changed is no longer there: a new one is needed.
    Gone,
    /// It will not take it, in words without a secret.
    Refused(String),
    /// Not now.
    Later {
        /// In words without a secret.
        why: String,
        /// It wants to be left alone for so long.
        after: Option<Duration>,
        /// It may have been told all the same.
        unsure: bool,
    },
}

/// Somebody who is told.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Telegram(Chat),
    Webhook(Webhook),
    Command(CommandSink),
}

/// One sink.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    pub(super) wants: Wants,
    pub(super) kind: Kind,
}

impl Sink {
    pub(super) async fn tell(&self, cluster: &str, due: &Due) -> Outcome {
        match &self.kind {
            Kind::Telegram(chat) => chat.tell(cluster, due).await,
            Kind::Webhook(webhook) => webhook.tell(cluster, due).await,
            Kind::Command(command) => command.tell(cluster, due).await,
        }
    }
}

/// Everybody who is told.
#[derive(Clone, Debug, Default)]
pub struct Sinks {
    pub(super) all: Vec<Sink>,
    /// Who may ask and press buttons.
    pub(super) ears: Option<Ears>,
}

impl Sinks {
    /// From the file.
    ///
    /// # Errors
    /// A secret cannot be read, or a time zone is not known on this host; the text names the key and the mend.
    pub fn of(config: &Config) -> Result<Self, SinksError> {
        let (mut all, mut ears) = (Vec::new(), None);
        if let Some(token) = token(config)? {
            let bot = Arc::new(Bot::new(&config.telegram.api, token));
            if !config.telegram.users.is_empty() {
                let chats = config.telegram.chats.iter().map(|c| c.id).collect();
                ears = Some(Ears { bot: Arc::clone(&bot), users: config.telegram.users.clone(), chats });
            }
            for chat in &config.telegram.chats {
                let wants = Wants {
                    sink: format!("telegram {}", chat.id),
                    severity: chat.severity.into(),
                    edits: true,
                    quiet: quiet(config, chat.quiet.as_deref())?,
                    buttons: !config.telegram.users.is_empty(),
                };
                all.push(Sink { wants, kind: Kind::Telegram(Chat { bot: Arc::clone(&bot), id: chat.id }) });
            }
        }
        for webhook in &config.webhooks {
            let secret = webhook.secret_file.as_deref().map(read_password).transpose();
            let secret = secret.map_err(|why| SinksError(format!("webhook.secret_file: {why}")))?;
            let wants = plain(format!("webhook {}", webhook.name), webhook.severity.into());
            all.push(Sink {
                wants,
                kind: Kind::Webhook(Webhook { url: webhook.url.clone().into(), secret }),
            });
        }
        for command in &config.alert.commands {
            let wants = plain(format!("command {}", command.name), command.severity.into());
            all.push(Sink { wants, kind: Kind::Command(CommandSink { run: command.run.clone() }) });
        }
        Ok(Self { all, ears })
    }

    /// What everybody is called in the group.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|sink| sink.wants.sink.as_str())
    }

    /// Whether nobody is told.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

fn plain(sink: String, severity: Severity) -> Wants {
    Wants { sink, severity, edits: false, quiet: None, buttons: false }
}

impl From<crate::config::Severity> for Severity {
    fn from(configured: crate::config::Severity) -> Self {
        match configured {
            crate::config::Severity::Info => Self::Info,
            crate::config::Severity::Warning => Self::Warning,
            crate::config::Severity::Critical => Self::Critical,
        }
    }
}

fn token(config: &Config) -> Result<Option<SecretString>, SinksError> {
    let token = config.telegram.token_file.as_deref().map(read_password).transpose();
    token.map_err(|why| SinksError(format!("telegram.token_file: {why}")))
}

/// `22:00-07:00` in the configured time zone; the form was checked with the file.
fn quiet(config: &Config, hours: Option<&str>) -> Result<Option<Quiet>, SinksError> {
    let Some((from, until)) = hours.and_then(read_hours) else { return Ok(None) };
    let zone = TimeZone::get(&config.telegram.time_zone).map_err(|_| {
        SinksError(format!(
            "telegram.time_zone: this host does not know {}; install tzdata, or write \"UTC\"",
            config.telegram.time_zone
        ))
    })?;
    Ok(Some(Quiet { from, until, zone }))
}
