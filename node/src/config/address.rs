//! `host:port` as people write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A host, by name or address, and a port; written `db1.example:3306`, `10.0.0.1:3306` or `[fd00::1]:3306`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// Name or address, an IPv6 one without its brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("\"{text}\" is not an address; write it as \"host:port\"");
        let (host, port) = text.rsplit_once(':').ok_or_else(fault)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let inner = rest.strip_suffix(']').ok_or_else(fault)?;
                inner.parse::<std::net::Ipv6Addr>().map_err(|_| fault())?;
                inner
            }
            None => host,
        };
        let named = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if !named && host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(fault());
        }
        if host.contains(':') && !text.starts_with('[') {
            return Err(format!("\"{text}\" is ambiguous; write it as \"[address]:port\""));
        }
        match port.parse() {
            Ok(0) | Err(_) => Err(format!("\"{port}\" in \"{text}\" is not a port; use 1 to 65535")),
            Ok(port) => Ok(Self { host: host.to_owned(), port }),
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
