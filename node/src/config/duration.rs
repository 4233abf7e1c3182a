//! Durations as people write them: `1500ms`, `30s`, `2m 30s`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Reads a duration with its unit.
///
/// # Errors
/// What is wrong with the text, and an example.
pub fn parse(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| {
        format!("\"{text}\" is not a duration; write it with its unit, like \"1500ms\" or \"30s\"")
    })
}

/// One number with one unit, the largest that needs no fraction and stays readable beside its neighbours.
pub fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

/// For `#[serde(with)]`.
///
/// # Errors
/// Those of the serializer.
pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show(*duration))
}

/// For `#[serde(with)]`.
///
/// # Errors
/// Text that is no duration.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}
