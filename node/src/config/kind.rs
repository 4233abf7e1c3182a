//! What a key takes: how its value is read from text, checked, and described.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::Uri;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use toml::Value;

use super::address::HostPort;
use super::duration;
use crate::backup::pipeline::Recipient;
use crate::decide::backup::cron::Cron;

/// The kinds of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A name of a cluster or node.
    Name,
    /// Any text that is not empty.
    Text,
    /// An absolute path; `{node}` stands for the node's name.
    Path,
    /// `host:port`.
    Address,
    /// `ip:port` to listen on.
    Listen,
    /// true or false.
    Boolean,
    /// A whole number.
    Integer {
        /// Least.
        min: i64,
        /// Most.
        max: i64,
    },
    /// A fraction from 0 on.
    Ratio {
        /// Most.
        max: f64,
    },
    /// A duration with its unit.
    Duration {
        /// Least, in milliseconds.
        min_ms: u64,
        /// Most, in milliseconds.
        max_ms: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Public keys of age, with commas.
    Recipients,
    /// Program and arguments.
    Command,
    /// `"sigkill"`, or program and arguments.
    HardFence,
    /// An address of http or https.
    Url,
    /// A chat's number.
    ChatId,
    /// Numbers of Telegram's users.
    Users,
    /// Two times of day.
    Hours,
    /// A time zone's name.
    Zone,
    /// An expression of cron.
    Cron,
}

impl Kind {
    /// What to write, for messages and the reference.
    #[must_use]
    pub fn expects(&self) -> String {
        match self {
            Self::Name => "a name".to_owned(),
            Self::Text => "text in quotes".to_owned(),
            Self::Path => "an absolute path in quotes".to_owned(),
            Self::Address => "\"host:port\"".to_owned(),
            Self::Listen => "\"ip:port\"".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Ratio { max } => format!("a fraction from 0 to {max}"),
            Self::Duration { min_ms, max_ms } => format!(
                "a duration from {} to {}, in quotes",
                duration::show(Duration::from_millis(*min_ms)),
                duration::show(Duration::from_millis(*max_ms))
            ),
            Self::Choice(words) => {
                words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
            }
            Self::Recipients => "public keys age1… in quotes, with commas between".to_owned(),
            Self::Command => "[\"/program\", \"argument\"]".to_owned(),
            Self::HardFence => "\"sigkill\" or [\"/program\", \"argument\"]".to_owned(),
            Self::Url => "\"https://host/path\"".to_owned(),
            Self::ChatId => "a whole number, not 0".to_owned(),
            Self::Users => "[1234567, 2345678]".to_owned(),
            Self::Hours => "\"22:00-07:00\"".to_owned(),
            Self::Zone => "a time zone such as \"Europe/Berlin\"".to_owned(),
            Self::Cron => "an expression of cron with five fields, such as \"30 2 * * 1-5\"".to_owned(),
        }
    }

    /// Checks a value as it stands in the file.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Self::Boolean, Value::Boolean(_)) => Ok(()),
            (Self::Integer { min, max }, Value::Integer(number)) => {
                within(number, min, max).ok_or_else(|| self.outside(number))
            }
            (Self::Ratio { max }, Value::Float(number)) => {
                within(number, &0.0, max).ok_or_else(|| self.outside(number))
            }
            (Self::Ratio { .. }, Value::Integer(0)) => Ok(()),
            (Self::ChatId, Value::Integer(number)) if *number != 0 => Ok(()),
            (Self::Users, Value::Array(users)) if users.iter().all(is_user) => Ok(()),
            (Self::Users, _) => Err(format!("is no list of users' numbers; write {}", self.expects())),
            (Self::ChatId, _) => Err(self.wrong_type(value)),
            (Self::Duration { .. }, Value::Integer(number)) => {
                Err(format!("{number} has no unit; write \"{number}ms\" or \"{number}s\""))
            }
            (Self::Command | Self::HardFence, Value::Array(words)) => check_command(words),
            (Self::Command | Self::Boolean | Self::Integer { .. } | Self::Ratio { .. }, _) => {
                Err(self.wrong_type(value))
            }
            (_, Value::String(text)) => self.check_text(text),
            _ => Err(self.wrong_type(value)),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        match self {
            Self::Name => baton_proto::names::name_fault(text).map_or(Ok(()), Err),
            Self::Text if text.trim().is_empty() => {
                Err("is empty; write a value or leave the key out".to_owned())
            }
            Self::Path if !text.starts_with('/') => {
                Err(format!("\"{text}\" is not an absolute path; let it start with /"))
            }
            Self::Address => text.parse::<HostPort>().map(drop),
            Self::Listen => match text.parse::<SocketAddr>() {
                Ok(address) if address.port() != 0 => Ok(()),
                _ => Err(format!("\"{text}\" is not an address to listen on; write it as \"ip:port\"")),
            },
            Self::Duration { min_ms, max_ms } => {
                let (least, most) = (Duration::from_millis(*min_ms), Duration::from_millis(*max_ms));
                let length = duration::parse(text)?;
                within(&length, &least, &most).ok_or_else(|| self.outside(&duration::show(length)))
            }
            Self::Recipients => {
                let faults = text.split(',').filter_map(|key| key.parse::<Recipient>().err());
                faults.map(|fault| Err(fault.to_string())).next().unwrap_or(Ok(()))
            }
            Self::Choice(words) if !words.contains(&text) => {
                Err(format!("\"{text}\" is unknown; write {}", self.expects()))
            }
            Self::HardFence if text != "sigkill" => {
                Err(format!("\"{text}\" is unknown; write {}", self.expects()))
            }
            // What is wrong is not shown: an address may be a secret.
            Self::Url if !is_url(text) => Err(format!("is no address; write {}", self.expects())),
            Self::Hours if read_hours(text).is_none() => {
                Err(format!("\"{text}\" is no part of a day; write {}", self.expects()))
            }
            Self::Cron => Cron::parse(text).map(drop),
            Self::Zone if TimeZone::get(text).is_err() => Err(format!(
                "this host knows no time zone \"{text}\"; correct the name, install tzdata, or write \"UTC\""
            )),
            _ => Ok(()),
        }
    }

    /// Reads text that has no TOML type, as in the environment, and checks it.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub(super) fn read(&self, text: &str) -> Result<Value, String> {
        let not_one = || format!("\"{text}\" is not {}", self.expects());
        let value = match self {
            Self::Boolean => Value::Boolean(text.parse().map_err(|_| not_one())?),
            Self::Integer { .. } => Value::Integer(text.parse().map_err(|_| not_one())?),
            Self::Ratio { .. } => Value::Float(text.parse().map_err(|_| not_one())?),
            Self::Command => words(text),
            Self::Users => Value::Array(
                text.split(',')
                    .map(|user| user.trim().parse().map(Value::Integer))
                    .collect::<Result<_, _>>()
                    .map_err(|_| not_one())?,
            ),
            Self::HardFence if text.starts_with('/') => words(text),
            _ => Value::String(text.to_owned()),
        };
        self.check(&value)?;
        Ok(value)
    }

    fn outside(&self, found: &dyn std::fmt::Display) -> String {
        format!("{found} is out of range; write {}", self.expects())
    }

    fn wrong_type(&self, value: &Value) -> String {
        let found = match value {
            Value::String(_) => "text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a fraction",
            Value::Boolean(_) => "true or false",
            Value::Datetime(_) => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a section",
        };
        format!("is {found}; write {}", self.expects())
    }
}

/// A group's number is negative.
fn is_user(value: &Value) -> bool {
    value.as_integer().is_some_and(|id| id > 0)
}

fn is_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
}

/// The two ends of `22:00-07:00`.
#[must_use]
pub fn read_hours(text: &str) -> Option<(Time, Time)> {
    let time = |text: &str| Time::strptime("%H:%M", text.trim()).ok();
    let (from, until) = text.split_once('-')?;
    Some((time(from)?, time(until)?)).filter(|(from, until)| from != until)
}

fn within<T: PartialOrd>(value: &T, least: &T, most: &T) -> Option<()> {
    (value >= least && value <= most).then_some(())
}

fn check_command(words: &[Value]) -> Result<(), String> {
    match words.first() {
        Some(Value::String(program)) if program.starts_with('/') => {}
        _ => return Err("must begin with the program's absolute path".to_owned()),
    }
    if words.iter().all(Value::is_str) { Ok(()) } else { Err("must be a list of texts in quotes".to_owned()) }
}

/// Split at white space: a command whose words contain some belongs in the file.
fn words(text: &str) -> Value {
    Value::Array(text.split_whitespace().map(|word| Value::String(word.to_owned())).collect())
}
