//! The keys of those who are told what happens.

use super::Preset::{Required, Unset, Value};
use super::Scope::Live;
use super::{Key, key};
use crate::config::kind::Kind;

const SEVERITY: Key = key(
    "severity",
    Kind::Choice(&["info", "warning", "critical"]),
    Value("warning"),
    Live,
    "What is told: at least this bad. `info`: planned moves and rebuilds too; `warning`: what needs somebody soon; \
     `critical`: what clients feel, or what one more fault would make a loss.",
);
const NAME: Key = key("name", Kind::Name, Required, Live, "Its name in logs and in `batonctl alert test`.");

/// The keys of each `[[telegram.chat]]`: a chat that the bot is a member of.
pub static CHAT_KEYS: &[Key] = &[
    key("id", Kind::ChatId, Required, Live, "The chat's number, as Telegram gives it; negative for a group."),
    SEVERITY,
    key(
        "quiet",
        Kind::Hours,
        Unset,
        Live,
        "Hours in which messages come without a sound, unless they are critical. Nothing is held back.",
    ),
];

/// The keys of each `[[webhook]]`: an address that is sent each alert, and each change of it, as JSON.
pub static WEBHOOK_KEYS: &[Key] = &[
    NAME,
    key(
        "url",
        Kind::Url,
        Required,
        Live,
        "It is sent each alert, and each change of it, as JSON (docs/alerts.md). It never stands in a log or an error.",
    ),
    key(
        "secret_file",
        Kind::Path,
        Unset,
        Live,
        "Holds a key: each call then carries the HMAC-SHA-256 of its body, as `X-Baton-Signature-256: sha256=…`.",
    ),
    SEVERITY,
];

/// The keys of each `[[alert.command]]`: a program that is run for each alert.
pub static ALERT_COMMAND_KEYS: &[Key] = &[
    NAME,
    key(
        "run",
        Kind::Command,
        Required,
        Live,
        "Program and arguments, run without a shell on the leader for each alert and each change of it, with the webhook's \
         JSON on its standard input, for 30s at most. It is tried again when its exit status is not 0.",
    ),
    SEVERITY,
];
