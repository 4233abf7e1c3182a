//! Who is told what happens: `[telegram]`, `[[webhook]]`, `[[alert.command]]` and `[heartbeat]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

/// `[telegram]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelegramConfig {
    /// Holds the bot's token and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Where the Bot API is.
    pub api: String,
    /// In which `quiet` hours are given.
    pub time_zone: String,
    /// Who may ask the bot, and press its buttons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<i64>,
    /// The chats.
    #[serde(default, rename = "chat", skip_serializing_if = "Vec::is_empty")]
    pub chats: Vec<ChatConfig>,
}

/// One `[[telegram.chat]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatConfig {
    /// As Telegram numbers it; negative for a group.
    pub id: i64,
    /// What is told there: at least this bad.
    pub severity: Severity,
    /// `22:00-07:00`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<String>,
}

/// One `[[webhook]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// As messages and the group name it.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Holds the key of its signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// What is told there: at least this bad.
    pub severity: Severity,
}

/// `[alert]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertConfig {
    /// The programs.
    #[serde(default, rename = "command", skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<AlertCommandConfig>,
}

/// One `[[alert.command]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertCommandConfig {
    /// As messages and the group name it.
    pub name: String,
    /// Program and arguments.
    pub run: Vec<String>,
    /// What is told there: at least this bad.
    pub severity: Severity,
}

/// `[heartbeat]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatConfig {
    /// Where a dead man's switch listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How often it is told that all is well.
    #[serde(with = "duration")]
    pub every: Duration,
}

/// How bad a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something is wrong, and clients do not feel it yet.
    Warning,
    /// Clients feel it, or one more fault would lose something.
    Critical,
}
