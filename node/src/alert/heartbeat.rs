//! A dead man's switch: the leader asks for an address as long as all is well. When it stops, somebody else raises the alarm,
//! also where nobody of this cluster is left to do so.

use std::time::Duration;

use axum::http::Method;
use secrecy::{ExposeSecret, SecretString};

use super::http::{Ask, ask};
use crate::config::HeartbeatConfig;
use crate::decide::diagnosis::{Diagnosis, Writer};
use crate::state::{ClusterState, Phase, Severity};

use super::event::Condition;

/// Bound on one call.
const WITHIN: Duration = Duration::from_secs(10);

/// Where a switch listens, and how often it wants to hear.
#[derive(Clone, Debug)]
pub struct Heart {
    url: SecretString,
    pub(super) every: Duration,
}

impl Heart {
    /// From the file; `None` where there is none.
    pub fn of(config: &HeartbeatConfig) -> Option<Self> {
        Some(Self { url: config.url.clone()?.into(), every: config.every })
    }

    /// Tells it once.
    ///
    /// # Errors
    /// In words without the address.
    pub(super) async fn beat(&self) -> Result<(), String> {
        let request = Ask {
            method: Method::GET,
            url: self.url.expose_secret(),
            headers: Vec::new(),
            body: Vec::new(),
            within: WITHIN,
        };
        let answer = ask(request).await.map_err(|error| error.to_string())?;
        if answer.status.is_success() { Ok(()) } else { Err(format!("HTTP {}", answer.status.as_u16())) }
    }
}

/// What is wrong with the archive of the binlog.
const OF_ARCHIVE: [&str; 2] = ["ArchiveStalled", "ArchiveHole"];

/// Whether all is well: a writer serves, every acknowledged write is at an acker too, the archive of the binlog is in step where
/// there is one, and nothing critical is the case.
pub(super) fn is_healthy(state: &ClusterState, diagnosis: &Diagnosis, conditions: &[Condition]) -> bool {
    state.phase == Phase::Managed
        && diagnosis.writer == Writer::Serving
        && state.durability.is_lossless()
        && conditions.iter().all(|c| c.severity < Severity::Critical && !OF_ARCHIVE.contains(&c.key.as_str()))
}
